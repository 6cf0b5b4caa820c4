//! CSV (RFC 4180): delimiter, quote and encoding are found out; every record must have as many fields as the header.
//!
//! Quoting is read strictly, since a guess at where a field ends could let a value pass under another column's rule.

use std::collections::HashSet;
use std::io::{Read, Write};

use super::{Buffered, Dialect, Formulas, Options, Outgoing};
use crate::encoding::Text;
use crate::error::{Error, Position, Result};
use crate::table::{
    COLUMNS_MAX, Column, Field, Kind, NAME_BYTES_MAX, RECORD_BYTES_MAX, Record, Sink, Source,
};

const DELIMITERS: [u8; 4] = *b",;\t|";
const QUOTES: [u8; 2] = *b"\"'";
/// How much is looked at to find out the dialect, in bytes.
const LOOK_BYTES: usize = 64 << 10;

/// Reads CSV.
pub(crate) struct CsvSource {
    text: Text,
    dialect: Dialect,
    columns: Vec<Column>,
    records: u64,
    line: u64,
}

impl CsvSource {
    pub(crate) fn open(input: Box<dyn Read + Send>, options: &Options) -> Result<Self> {
        let text = Text::open(input, options.encoding)?;
        let look = text.unread();
        let look = look.get(..LOOK_BYTES).unwrap_or(look);
        let (delimiter, quote) = detect(look, options.delimiter, options.quote);
        let crlf = memchr::memchr(b'\n', look).is_some_and(|at| at > 0 && look.get(at - 1) == Some(&b'\r'));
        let dialect = Dialect {
            encoding: text.encoding().name(),
            delimiter,
            quote,
            header: options.header.unwrap_or(true),
            crlf,
            layout: None,
        };
        let mut source = Self { text, dialect, columns: Vec::new(), records: 0, line: 1 };
        source.read_columns()?;
        Ok(source)
    }

    fn read_columns(&mut self) -> Result<()> {
        if self.dialect.header {
            let mut header = Record::default();
            if !self.next_record(&mut header)? {
                return Err(Error::mismatch("there are no data", "give a file with a header and records"));
            }
            let mut names = HashSet::new();
            for index in 0..header.len() {
                let name = header.field(index).as_str().trim().to_owned();
                let at = Position { line: 1, ..Position::default() };
                if name.len() > NAME_BYTES_MAX {
                    return Err(Error::malformed(at, "a column's name is too long", HEADER));
                }
                let name = if name.is_empty() { format!("column{}", index + 1) } else { name };
                if !names.insert(name.clone()) {
                    let name = crate::error::plain(&name);
                    return Err(Error::malformed(at, format_args!("two columns are named `{name}`"), HEADER));
                }
                self.columns.push(Column { name });
            }
        } else {
            let look = self.text.unread();
            let count = match parse(look, &self.dialect, true, &mut Record::default()) {
                Parsed::Record { fields, .. } => fields,
                _ => 1,
            };
            self.columns = (1..=count).map(|index| Column { name: format!("column{index}") }).collect();
        }
        Ok(())
    }

    fn position(&self) -> Position {
        Position { record: self.records, line: self.line, byte: self.text.offset(), column: None }
    }

    fn next_record(&mut self, record: &mut Record) -> Result<bool> {
        loop {
            let mut more = true;
            let (bytes, lines) = loop {
                match parse(self.text.unread(), &self.dialect, !more, record) {
                    Parsed::Record { bytes, lines, fields } => {
                        if fields > COLUMNS_MAX {
                            let detail = format!("there are more than {COLUMNS_MAX} fields");
                            return Err(Error::malformed(self.position(), detail, HEADER));
                        }
                        break (bytes, lines);
                    }
                    Parsed::End => return Ok(false),
                    Parsed::Broken { at, line, detail } => {
                        let mut position = self.position();
                        position.byte += at as u64;
                        position.line += line;
                        return Err(Error::malformed(position, detail, QUOTING));
                    }
                    Parsed::More if self.text.unread().len() > RECORD_BYTES_MAX => {
                        let detail = format!("the record is longer than {RECORD_BYTES_MAX} bytes");
                        return Err(Error::malformed(self.position(), detail, QUOTING));
                    }
                    Parsed::More => more = self.text.more()?,
                }
            };
            if bytes > RECORD_BYTES_MAX {
                let detail = format!("the record is longer than {RECORD_BYTES_MAX} bytes");
                return Err(Error::malformed(self.position(), detail, QUOTING));
            }
            record.position = self.position();
            self.text.consume(bytes);
            self.line += lines;
            let blank = record.len() == 1 && record.field(0).is_absent();
            // A blank line is a record only where a record is one field.
            if !blank || self.columns.len() == 1 {
                return Ok(true);
            }
        }
    }
}

const HEADER: &str = "repair the file's header, or say `header = false` in the rule file if it has none";
const QUOTING: &str = "repair the file's quoting, or say `delimiter` and `quote` in the rule file";

impl Source for CsvSource {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read(&mut self, record: &mut Record) -> Result<bool> {
        self.records += 1;
        if !self.next_record(record)? {
            return Ok(false);
        }
        let (found, expected) = (record.len(), self.columns.len());
        if found != expected {
            let detail = format!("there are {found} fields where the header has {expected}");
            return Err(Error::malformed(record.position.clone(), detail, QUOTING));
        }
        Ok(true)
    }

    fn bytes_read(&self) -> u64 {
        self.text.bytes_read()
    }

    fn dialect(&self) -> &Dialect {
        &self.dialect
    }
}

enum Parsed {
    /// A record, how long it is with its line end, and how many lines it takes.
    Record { bytes: usize, lines: u64, fields: usize },
    /// The record is not complete.
    More,
    /// Nothing is left.
    End,
    /// Where the fault is, relative to the record's begin.
    Broken { at: usize, line: u64, detail: &'static str },
}

/// Reads the record at the begin of `text` into `record`; `last` says that nothing comes behind `text`.
fn parse(text: &[u8], dialect: &Dialect, last: bool, record: &mut Record) -> Parsed {
    match memchr::memchr2(b'\n', dialect.quote, text) {
        Some(at) if text.get(at) == Some(&b'\n') => {
            let line = text.get(..at).unwrap_or_default();
            unquoted(line.strip_suffix(b"\r").unwrap_or(line), at + 1, dialect, record)
        }
        None if !last => Parsed::More,
        None if text.is_empty() => Parsed::End,
        None => unquoted(text.strip_suffix(b"\r").unwrap_or(text), text.len(), dialect, record),
        Some(_) => quoted(text, dialect, last, record),
    }
}

/// A record without any quote: what most are.
fn unquoted(line: &[u8], bytes: usize, dialect: &Dialect, record: &mut Record) -> Parsed {
    if let Some(at) = memchr::memchr(b'\r', line) {
        return Parsed::Broken { at, line: 0, detail: "there is a carriage return without a line feed" };
    }
    record.set_line(line, dialect.delimiter);
    Parsed::Record { bytes, lines: 1, fields: record.len() }
}

fn quoted(text: &[u8], dialect: &Dialect, last: bool, record: &mut Record) -> Parsed {
    let Dialect { delimiter, quote, .. } = *dialect;
    record.clear();
    let mut at = 0;
    let mut lines = 0;
    loop {
        if text.get(at) == Some(&quote) {
            let opened = (at, lines);
            at += 1;
            let mut complete = false;
            record.push_with(|data| {
                while let Some(rest) = text.get(at..) {
                    let Some(end) = memchr::memchr(quote, rest) else { break };
                    let piece = rest.get(..end).unwrap_or_default();
                    lines += memchr::memchr_iter(b'\n', piece).count() as u64;
                    data.extend_from_slice(piece);
                    at += end + 1;
                    if text.get(at) != Some(&quote) {
                        complete = true;
                        break;
                    }
                    data.push(quote);
                    at += 1;
                }
                Kind::Text
            });
            if !complete && last {
                return Parsed::Broken { at: opened.0, line: opened.1, detail: "this quote is never closed" };
            }
            // What follows the closing quote decides whether it is one.
            if !complete || (at + 1 >= text.len() && !last) {
                return Parsed::More;
            }
        } else {
            let rest = text.get(at..).unwrap_or_default();
            let end = match memchr::memchr2(delimiter, b'\n', rest) {
                Some(end) => end,
                None if last => rest.len(),
                None => return Parsed::More,
            };
            let mut field = rest.get(..end).unwrap_or_default();
            if rest.get(end) != Some(&delimiter) {
                field = field.strip_suffix(b"\r").unwrap_or(field);
            }
            if let Some(inside) = memchr::memchr(b'\r', field) {
                let detail = "there is a carriage return without a line feed";
                return Parsed::Broken { at: at + inside, line: lines, detail };
            }
            record.push(Field::text(field));
            at += end;
        }
        if text.get(at) == Some(&b'\r') {
            at += 1;
            if !matches!(text.get(at), Some(b'\n') | None) {
                let detail = "there is a carriage return without a line feed";
                return Parsed::Broken { at, line: lines, detail };
            }
        }
        match text.get(at) {
            Some(byte) if *byte == delimiter => at += 1,
            Some(b'\n') => return Parsed::Record { bytes: at + 1, lines: lines + 1, fields: record.len() },
            None => return Parsed::Record { bytes: at, lines: lines + 1, fields: record.len() },
            Some(_) => {
                let detail = "something follows the closing quote";
                return Parsed::Broken { at, line: lines, detail };
            }
        }
    }
}

/// The delimiter and quote under which the first lines are most alike.
fn detect(look: &[u8], delimiter: Option<u8>, quote: Option<u8>) -> (u8, u8) {
    let mut best = (delimiter.unwrap_or(b','), quote.unwrap_or(b'"'));
    let mut best_score = 0;
    let mut record = Record::default();
    // An apostrophe quotes only where nothing else could.
    let has_quotes = memchr::memchr(b'"', look).is_some();
    let quotes = QUOTES.into_iter().filter(|candidate| match quote {
        Some(said) => said == *candidate,
        None => *candidate == b'"' || !has_quotes,
    });
    for quote in quotes {
        for delimiter in DELIMITERS.into_iter().filter(|d| delimiter.is_none_or(|said| said == *d)) {
            let dialect = Dialect { delimiter, quote, ..Dialect::default() };
            let (mut rest, mut records, mut fields_first, mut alike) = (look, 0_usize, 0, 0_usize);
            while let Parsed::Record { bytes, fields, .. } = parse(rest, &dialect, false, &mut record) {
                if records == 0 {
                    fields_first = fields;
                }
                records += 1;
                alike += usize::from(fields == fields_first && fields > 1);
                rest = rest.get(bytes..).unwrap_or_default();
            }
            // Alike first, then the more fields; of equals the first candidate.
            let score =
                alike * 1000 / records.max(1) * 1_000_000 + fields_first.min(1000) * 1000 + alike.min(999);
            if alike > 0 && score > best_score {
                (best, best_score) = ((delimiter, quote), score);
            }
        }
    }
    best
}

/// Writes CSV.
pub(crate) struct CsvSink {
    output: Buffered,
    delimiter: u8,
    quote: u8,
    crlf: bool,
    formulas: Formulas,
    formula_cells: u64,
    columns: usize,
    special: [bool; 256],
}

impl CsvSink {
    pub(crate) fn create(
        output: Box<dyn Write + Send>,
        columns: &[Outgoing],
        dialect: &Dialect,
        formulas: Formulas,
    ) -> Result<Self> {
        let mut special = [false; 256];
        for byte in [dialect.delimiter, dialect.quote, b'\n', b'\r'] {
            if let Some(special) = special.get_mut(usize::from(byte)) {
                *special = true;
            }
        }
        let mut sink = Self {
            output: Buffered::new(output),
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            crlf: dialect.crlf,
            formulas,
            formula_cells: 0,
            columns: columns.len(),
            special,
        };
        if dialect.header {
            let mut header = Record::default();
            for column in columns {
                header.push(Field::text(column.name.as_bytes()));
            }
            sink.write(&header)?;
        }
        Ok(sink)
    }

    fn cell(&mut self, bytes: &[u8]) {
        let formula = is_formula(bytes);
        self.formula_cells += u64::from(formula);
        let escape = formula && self.formulas == Formulas::Escape;
        let special = |byte: &u8| self.special.get(usize::from(*byte)).is_some_and(|special| *special);
        let quoted = bytes.iter().any(special) || (bytes.is_empty() && self.columns == 1);
        if quoted {
            self.output.buffer.push(self.quote);
        }
        if escape {
            self.output.buffer.push(b'\'');
        }
        if quoted {
            for byte in bytes {
                if *byte == self.quote {
                    self.output.buffer.push(self.quote);
                }
                self.output.buffer.push(*byte);
            }
            self.output.buffer.push(self.quote);
        } else {
            self.output.buffer.extend_from_slice(bytes);
        }
    }
}

impl Sink for CsvSink {
    fn write(&mut self, record: &Record) -> Result<()> {
        for index in 0..self.columns {
            if index > 0 {
                self.output.buffer.push(self.delimiter);
            }
            self.cell(record.field(index).bytes);
        }
        self.output.buffer.extend_from_slice(if self.crlf { b"\r\n" } else { b"\n" });
        self.output.flush_if_full()
    }

    fn finish(&mut self) -> Result<()> {
        self.output.finish()
    }

    fn formulas(&self) -> u64 {
        self.formula_cells
    }
}

/// Whether a spreadsheet would run it: it begins like a formula, and is no number nor a telephone number.
pub(crate) fn is_formula(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(b'=' | b'@' | b'\t' | b'\r') => true,
        Some(b'+' | b'-') => {
            !bytes.iter().all(|byte| byte.is_ascii_digit() || b"+-.,()/ eE".contains(byte))
                || !bytes.iter().any(u8::is_ascii_digit)
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
