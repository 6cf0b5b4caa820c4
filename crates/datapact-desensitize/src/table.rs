//! What all formats look like to transforms and detection: records of fields under named columns,
//! in one pass.

use std::fs::File;
use std::io::{self, Read, Seek as _};

use crate::error::{Error, Position, Result};
use crate::format::{self, Format, Options};

/// The most columns of a table.
pub const COLUMNS_MAX: usize = 100_000;
/// The largest record, in bytes of UTF-8.
pub const RECORD_BYTES_MAX: usize = 8 << 20;
/// The longest name of a column, in bytes.
pub const NAME_BYTES_MAX: usize = 1 << 10;

/// What a field's bytes are. Text formats know only [`Kind::Text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// The record has no such field (JSON lines).
    #[default]
    Missing,
    /// A null (JSON lines, Parquet).
    Null,
    /// Text. An empty one counts as absent.
    Text,
    /// A number, as JSON writes it.
    Number,
    /// `true` or `false`.
    Bool,
    /// Something nested, as JSON: transforms cannot look into it.
    Nested,
}

/// One value; by default a missing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Field<'a> {
    /// What it is.
    pub kind: Kind,
    /// UTF-8. Empty for [`Kind::Missing`] and [`Kind::Null`].
    pub bytes: &'a [u8],
}

impl<'a> Field<'a> {
    /// A text.
    pub fn text(bytes: &'a [u8]) -> Self {
        Self { kind: Kind::Text, bytes }
    }

    /// Whether there is nothing here to protect: missing, null, or an empty text.
    pub fn is_absent(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The value as text. Sources yield UTF-8 only, so nothing is lost.
    pub fn as_str(&self) -> &'a str {
        std::str::from_utf8(self.bytes).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
    kind: Kind,
}

/// One record. It is reused from record to record, so that none needs memory of its own.
#[derive(Debug, Clone, Default)]
pub struct Record {
    data: Vec<u8>,
    spans: Vec<Span>,
    /// Where it begins.
    pub position: Position,
}

impl Record {
    /// Takes all fields away.
    pub fn clear(&mut self) {
        self.data.clear();
        self.spans.clear();
    }

    /// How many fields it has; fields from there on are missing.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The field of the column with this index.
    pub fn field(&self, index: usize) -> Field<'_> {
        let span = self.spans.get(index).copied().unwrap_or_default();
        Field {
            kind: span.kind,
            bytes: self.data.get(span.start as usize..span.end as usize).unwrap_or_default(),
        }
    }

    /// Appends a field.
    pub fn push(&mut self, field: Field<'_>) {
        self.push_with(|data| {
            data.extend_from_slice(field.bytes);
            field.kind
        });
    }

    /// Appends a field whose bytes `write` appends to what it is given; it must not change what is
    /// there.
    pub fn push_with<K>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> K) -> K
    where
        K: Copy + Into<Kind>,
    {
        self.put(self.spans.len(), write)
    }

    /// Like [`Record::push_with`], for the column with this index; fields before it that are not
    /// there are missing.
    pub fn put<K>(&mut self, index: usize, write: impl FnOnce(&mut Vec<u8>) -> K) -> K
    where
        K: Copy + Into<Kind>,
    {
        let start = self.data.len() as u32;
        let kind = write(&mut self.data);
        let span = Span { start, end: self.data.len() as u32, kind: kind.into() };
        if index >= self.spans.len() {
            self.spans.resize(index, Span::default());
            self.spans.push(span);
        } else if let Some(place) = self.spans.get_mut(index) {
            *place = span;
        }
        kind
    }

    /// Sets the field of a column, which need not be the next; those between are missing.
    pub fn set(&mut self, index: usize, kind: Kind, bytes: &[u8]) {
        self.put(index, |data| {
            data.extend_from_slice(bytes);
            kind
        });
    }

    /// Appends a field that is at these bytes of what [`Record::fill`] takes afterwards.
    pub(crate) fn mark(&mut self, start: usize, end: usize) {
        self.spans.push(Span { start: start as u32, end: end as u32, kind: Kind::Text });
    }

    /// Takes the text of all marked fields at once.
    pub(crate) fn fill(&mut self, text: &[u8]) {
        self.data.extend_from_slice(text);
    }

    /// Takes out the second of every two quotes of marked fields behind a quote.
    pub(crate) fn undouble(&mut self, quote: u8) {
        for span in &mut self.spans {
            let behind =
                (span.start as usize).checked_sub(1).and_then(|before| self.data.get(before));
            if behind != Some(&quote) {
                continue;
            }
            let field =
                self.data.get_mut(span.start as usize..span.end as usize).unwrap_or_default();
            let (mut kept, mut first) = (0, false);
            for read in 0..field.len() {
                let is_quote = field.get(read) == Some(&quote);
                first = is_quote && !first;
                if first || !is_quote {
                    field.swap(kept, read);
                    kept += 1;
                }
            }
            span.end = span.start + kept as u32;
        }
    }

    /// The text of all fields, and what may stand between them.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.data
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unique in the table. A member of a nested JSON object is `outer.inner`.
    pub name: String,
}

/// Where records come from, in order, in one pass.
///
/// Errors carry the position, and never a value. After an error or the end nothing more is read.
pub trait Source: Send {
    /// The columns known so far. Only JSON lines has more of them as it is read.
    fn columns(&self) -> &[Column];

    /// Reads the next record into `record`; false at the end.
    fn read(&mut self, record: &mut Record) -> Result<bool>;

    /// How many bytes of the input were taken, for a progress bar.
    fn bytes_read(&self) -> u64;

    /// What was found out about the format, for writing the same.
    fn dialect(&self) -> &format::Dialect;
}

/// Where records go. Fields stand in the order of the columns that the sink was made for.
pub trait Sink: Send {
    /// Writes a record.
    fn write(&mut self, record: &Record) -> Result<()>;

    /// Nothing more comes.
    fn finish(&mut self) -> Result<()>;

    /// How many cells a spreadsheet would have run as formulas.
    fn formulas(&self) -> u64 {
        0
    }
}

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
                format::open_file(self.format, file, &self.options)
            }
            Data::Stream(stream) => {
                let stream = stream.take().ok_or(Error::NotSeekable("this"))?;
                format::open_stream(self.format, stream, &self.options)
            }
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_knows_fields_that_are_missing() {
        let mut record = Record::default();
        record.set(2, Kind::Number, b"7");
        record.set(0, Kind::Text, b"a");
        assert_eq!(record.field(0), Field::text(b"a"));
        assert_eq!(record.field(1), Field { kind: Kind::Missing, bytes: b"" });
        assert_eq!(record.field(2), Field { kind: Kind::Number, bytes: b"7" });
        assert!(record.field(3).is_absent());
    }
}
