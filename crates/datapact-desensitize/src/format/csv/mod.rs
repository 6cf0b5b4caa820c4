//! CSV (RFC 4180): delimiter, quote and encoding are found out; every record must have as many
//! fields as the header.
//!
//! Quoting is read strictly, since a guess at where a field ends could let a value pass under
//! another column's rule.

use std::collections::HashSet;
use std::io::{Read, Write};

use super::{Buffered, Dialect, Formulas, Options, Outgoing, Sink, Source};
use crate::detect::identifies;
use crate::encoding::Text;
use crate::error::{Error, Position, Result};
use crate::needles::Needles;
use crate::table::{COLUMNS_MAX, Column, Field, NAME_BYTES_MAX, RECORD_BYTES_MAX, Record};

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
        let crlf = memchr::memchr(b'\n', look)
            .is_some_and(|at| at > 0 && look.get(at - 1) == Some(&b'\r'));
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
        if options.header.is_none() {
            source.check_header()?;
        }
        Ok(source)
    }

    fn check_header(&self) -> Result<()> {
        match self.columns.iter().position(|column| identifies(&column.name)) {
            None => Ok(()),
            Some(index) => {
                let at = Position { line: 1, ..Position::default() };
                let detail =
                    format!("what would name column {} looks like data about a person", index + 1);
                Err(Error::malformed(at, detail, NO_HEADER))
            }
        }
    }

    fn read_columns(&mut self) -> Result<()> {
        if self.dialect.header {
            let mut header = Record::default();
            if !self.next_record(&mut header)? {
                return Err(Error::mismatch(
                    "there are no data",
                    "give a file with a header and records",
                ));
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
                    let name = crate::error::printable(&name);
                    return Err(Error::malformed(
                        at,
                        format_args!("two columns are named `{name}`"),
                        HEADER,
                    ));
                }
                self.columns.push(Column { name });
            }
        } else {
            let look = self.text.unread();
            let count = match parse(look, &self.dialect, true, &mut Record::default()) {
                Parsed::Record { fields, .. } => fields,
                _ => 1,
            };
            self.columns =
                (1..=count).map(|index| Column { name: format!("column{index}") }).collect();
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
                    Parsed::Record { bytes, lines, .. } => break (bytes, lines),
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

/// A first record that nobody has said to be a header, and that looks like data: its values would
/// become the columns' names, and go out in the header, the rules and the signed manifest.
const NO_HEADER: &str = "say `--no-header` to `desensitize scan`, or `header = false` in the rule file, if the file has no header; \
                         `header = true` in the rule file if it is one all the same";
const HEADER: &str =
    "repair the file's header, or say `header = false` in the rule file if it has none";
const TOO_MANY: &str = "there are more than 100000 fields";
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

/// Reads the record at the begin of `text` into `record`; `last` says that nothing comes behind
/// `text`.
fn parse(text: &[u8], dialect: &Dialect, last: bool, record: &mut Record) -> Parsed {
    if text.is_empty() {
        return if last { Parsed::End } else { Parsed::More };
    }
    let Dialect { delimiter, quote, .. } = *dialect;
    record.clear();
    // Of the field: where it starts, whether its quote is open and in which line, and where it was
    // closed, if it was.
    let (mut start, mut open, mut opened, mut closed) = (0, false, 0, 0);
    let (mut lines, mut doubled) = (0, false);
    let mut places = Needles::new([delimiter, quote, b'\n', b'\r']).places(text);
    let (end, bytes) = loop {
        let place = match places.next() {
            Some(place) => place,
            None if !last => return Parsed::More,
            None if open => {
                return Parsed::Broken {
                    at: start,
                    line: opened,
                    detail: "this quote is never closed",
                };
            }
            None => text.len(),
        };
        let byte = text.get(place);
        if open || byte == Some(&quote) {
            match byte {
                Some(byte) if *byte != quote => lines += u64::from(*byte == b'\n'),
                // What follows decides whether it is the closing one.
                Some(_) if open => {
                    (open, closed) = (false, place);
                    match text.get(place + 1) {
                        None if !last => return Parsed::More,
                        Some(next)
                            if *next != quote && *next != delimiter && !b"\r\n".contains(next) =>
                        {
                            let detail = "something follows the closing quote";
                            return Parsed::Broken { at: place + 1, line: lines, detail };
                        }
                        _ => {}
                    }
                }
                _ if place == start => (open, opened) = (true, lines),
                _ if closed > 0 && closed + 1 == place => (open, doubled) = (true, true),
                _ => {}
            }
            continue;
        }
        if record.len() == COLUMNS_MAX {
            return Parsed::Broken { at: start, line: lines, detail: TOO_MANY };
        }
        if closed > 0 {
            record.mark(start + 1, closed);
            closed = 0;
        } else {
            record.mark(start, place);
        }
        if byte == Some(&delimiter) {
            start = place + 1;
            continue;
        }
        match (byte, text.get(place + 1)) {
            (Some(b'\n'), _) => break (place, place + 1),
            (Some(_), Some(b'\n')) => break (place, place + 2),
            (Some(_), Some(_)) => {
                let detail = "there is a carriage return without a line feed";
                return Parsed::Broken { at: place, line: lines, detail };
            }
            (_, None) if last => break (place, text.len()),
            _ => return Parsed::More,
        }
    };
    record.fill(text.get(..end).unwrap_or_default());
    if doubled {
        record.undouble(quote);
    }
    Parsed::Record { bytes, lines: lines + 1, fields: record.len() }
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
        for delimiter in DELIMITERS.into_iter().filter(|d| delimiter.is_none_or(|said| said == *d))
        {
            let dialect = Dialect { delimiter, quote, ..Dialect::default() };
            let (mut rest, mut records, mut fields_first, mut alike) = (look, 0_usize, 0, 0_usize);
            while let Parsed::Record { bytes, fields, .. } =
                parse(rest, &dialect, false, &mut record)
            {
                if records == 0 {
                    fields_first = fields;
                }
                records += 1;
                alike += usize::from(fields == fields_first && fields > 1);
                rest = rest.get(bytes..).unwrap_or_default();
            }
            // Alike first, then the more fields; of equals the first candidate.
            let score = alike * 1000 / records.max(1) * 1_000_000
                + fields_first.min(1000) * 1000
                + alike.min(999);
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
    special: Needles,
}

impl CsvSink {
    pub(crate) fn create(
        output: Box<dyn Write + Send>,
        columns: &[Outgoing],
        dialect: &Dialect,
        formulas: Formulas,
    ) -> Result<Self> {
        let mut sink = Self {
            output: Buffered::new(output),
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            crlf: dialect.crlf,
            formulas,
            formula_cells: 0,
            columns: columns.len(),
            special: Needles::new([dialect.delimiter, dialect.quote, b'\n', b'\r']),
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
        let quoted = self.special.any(bytes) || (bytes.is_empty() && self.columns == 1);
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
        // Few records have anything to quote or to escape.
        let plain = self.columns > 1 && !self.special.any(record.bytes());
        for index in 0..self.columns {
            if index > 0 {
                self.output.buffer.push(self.delimiter);
            }
            let bytes = record.field(index).bytes;
            if plain && !is_formula(bytes) {
                self.output.buffer.extend_from_slice(bytes);
            } else {
                self.cell(bytes);
            }
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

/// Whether a spreadsheet would run it: it begins like a formula, and is no number nor a telephone
/// number.
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
mod tests;
