//! The formats: each is a [`Source`] and a [`Sink`]. What goes out has the format that came in, in
//! UTF-8.

mod csv;
mod input;
mod jsonl;
mod parquet;
mod text;

use std::fs::File;
use std::io::{Read, Write};

use encoding_rs::Encoding;

use crate::error::{Error, Result};
use crate::table::{Column, Record};
pub use input::Input;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma- or otherwise separated values (RFC 4180) with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Plain text: a table of one column, `text`, with a record a line.
    Text,
    /// Apache Parquet, flat columns.
    Parquet,
}

impl Format {
    /// Its name in rule files and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
            Self::Text => "text",
            Self::Parquet => "parquet",
        }
    }

    /// The format with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Csv, Self::JsonLines, Self::Text, Self::Parquet]
            .into_iter()
            .find(|format| format.name() == name)
    }

    /// The format of files whose name ends so.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" | "tsv" | "tab" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            "txt" | "text" | "log" | "md" => Some(Self::Text),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// What a rule file may say about the format; the rest is detected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The format; by the file's extension, or CSV.
    pub format: Option<Format>,
    /// The encoding of text; by byte order mark or by guess.
    pub encoding: Option<&'static Encoding>,
    /// CSV: what separates fields, an ASCII character.
    pub delimiter: Option<u8>,
    /// CSV: what quotes fields, an ASCII character.
    pub quote: Option<u8>,
    /// CSV: whether the first record names the columns (the default); else they are `column1`,
    /// `column2`, ...
    pub header: Option<bool>,
}

/// How the input is written, so that the output can be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// The encoding that was read, as its WHATWG name; what is written is UTF-8.
    pub encoding: &'static str,
    /// CSV: what separates fields.
    pub delimiter: u8,
    /// CSV: what quotes fields.
    pub quote: u8,
    /// CSV: whether there is a header.
    pub header: bool,
    /// Text formats: whether lines end by CR LF.
    pub crlf: bool,
    /// Parquet: the schema and compression.
    pub layout: Option<parquet::Layout>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            encoding: "UTF-8",
            delimiter: b',',
            quote: b'"',
            header: true,
            crlf: false,
            layout: None,
        }
    }
}

/// What is done to cells of CSV that a spreadsheet would run as a formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Formulas {
    /// An apostrophe is put before them.
    #[default]
    Escape,
    /// Nothing.
    Keep,
}

pub(crate) fn open_file(format: Format, file: File, options: &Options) -> Result<Box<dyn Source>> {
    match format {
        Format::Parquet => Ok(Box::new(parquet::ParquetSource::open(file)?)),
        _ => open_stream(format, Box::new(file), options),
    }
}

pub(crate) fn open_stream(
    format: Format,
    stream: Box<dyn Read + Send>,
    options: &Options,
) -> Result<Box<dyn Source>> {
    match format {
        Format::Csv => Ok(Box::new(csv::CsvSource::open(stream, options)?)),
        Format::JsonLines => Ok(Box::new(jsonl::JsonSource::open(stream, options)?)),
        Format::Text => Ok(Box::new(text::TextSource::open(stream, options)?)),
        Format::Parquet => Err(Error::NotSeekable("Parquet")),
    }
}

/// Where records come from, in order, in one pass.
///
/// Errors carry the position, and never a value. After an error or the end nothing more is read.
pub trait Source: Send {
    /// The columns known so far. Only JSON lines has more of them as it is read.
    fn columns(&self) -> &[Column];

    /// Reads the next record into `record`; false at the end.
    fn read(&mut self, record: &mut Record) -> Result<bool>;

    /// How many bytes of the input were read, for a progress bar.
    fn bytes_read(&self) -> u64;

    /// How the input is written, for writing the same.
    fn dialect(&self) -> &Dialect;
}

/// Where records go. Fields have the order of the columns that the sink was made for.
pub trait Sink: Send {
    /// Writes a record.
    fn write(&mut self, record: &Record) -> Result<()>;

    /// Writes what is left; nothing more may be written.
    fn finish(&mut self) -> Result<()>;

    /// How many cells a spreadsheet would have run as formulas.
    fn formulas(&self) -> u64 {
        0
    }
}

/// A column that goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its name.
    pub name: String,
    /// The column that came in whose type its values still have; none if they are text now.
    pub typed_as: Option<usize>,
    /// Whether every value stays.
    pub whole: bool,
}

/// Begins a table with these columns at `output`.
pub fn create(
    format: Format,
    columns: &[Outgoing],
    dialect: &Dialect,
    formulas: Formulas,
    output: Box<dyn Write + Send>,
) -> Result<Box<dyn Sink>> {
    match format {
        Format::Csv => Ok(Box::new(csv::CsvSink::create(output, columns, dialect, formulas)?)),
        Format::JsonLines => Ok(Box::new(jsonl::JsonSink::create(output, columns, dialect))),
        Format::Text => Ok(Box::new(text::TextSink::create(output, dialect))),
        Format::Parquet => {
            let layout = dialect.layout.as_ref();
            let layout = layout.ok_or_else(|| {
                Error::mismatch("only Parquet becomes Parquet", "name another format")
            })?;
            Ok(Box::new(parquet::ParquetSink::create(output, columns, layout)?))
        }
    }
}

/// How much is written at a time, in bytes.
const WRITE_BYTES: usize = 256 << 10;

/// A writer that gets blocks.
struct Buffered {
    output: Box<dyn Write + Send>,
    buffer: Vec<u8>,
}

impl Buffered {
    fn new(output: Box<dyn Write + Send>) -> Self {
        Self { output, buffer: Vec::with_capacity(WRITE_BYTES + (64 << 10)) }
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.output.write_all(&self.buffer).map_err(Error::Write)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.flush()?;
        self.output.flush().map_err(Error::Write)
    }
}
