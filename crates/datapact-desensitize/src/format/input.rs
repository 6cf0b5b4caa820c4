//! What is read: a file, which can be read again and again, or a stream.

use std::fs::File;
use std::io::{Read, Seek as _};

use super::{Format, Options, Source, open_file, open_stream};
use crate::error::{Error, Result};

/// Data to be desensitized or scanned: a file, which can be read again and again, or a stream.
pub struct Input {
    data: Data,
    options: Options,
    format: Format,
}

enum Data {
    File(File),
    Stream(Option<Box<dyn Read + Send>>),
}

impl Input {
    /// A file; `extension` is its name's, for the format, unless the options say one.
    pub fn file(file: File, extension: Option<&str>, options: Options) -> Result<Self> {
        let format = options
            .format
            .or_else(|| extension.and_then(Format::of_extension))
            .unwrap_or(Format::Csv);
        Ok(Self { data: Data::File(file), options, format })
    }

    /// A stream, such as standard input.
    pub fn stream(stream: Box<dyn Read + Send>, extension: Option<&str>, options: Options) -> Self {
        let format = options
            .format
            .or_else(|| extension.and_then(Format::of_extension))
            .unwrap_or(Format::Csv);
        Self { data: Data::Stream(Some(stream)), options, format }
    }

    /// The format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether it can be opened more than once.
    pub fn is_seekable(&self) -> bool {
        matches!(self.data, Data::File(_))
    }

    /// How long it is, in bytes, if that is known.
    pub fn length(&self) -> Option<u64> {
        match &self.data {
            Data::File(file) => file.metadata().ok().map(|metadata| metadata.len()),
            Data::Stream(_) => None,
        }
    }

    /// Begins to read from the start. Of two sources of one input only the newer may be used.
    pub fn open(&mut self) -> Result<Box<dyn Source>> {
        match &mut self.data {
            Data::File(file) => {
                file.rewind().map_err(Error::Read)?;
                let file = file.try_clone().map_err(Error::Read)?;
                open_file(self.format, file, &self.options)
            }
            Data::Stream(stream) => {
                let stream = stream.take().ok_or(Error::NotSeekable("this"))?;
                open_stream(self.format, stream, &self.options)
            }
        }
    }
}
