//! CSV (RFC 4180): delimiter, quote and encoding are found out; every record must have as many
//! fields as the header.
//!
//! Quoting is read strictly, since a guess at where a field ends could let a value pass under
//! another column's rule.

mod parse;
mod sink;

use std::collections::HashSet;
use std::io::Read;

use self::parse::{Parsed, detect, parse};
pub(super) use self::sink::CsvSink;
use super::{Dialect, Options, Source};
use crate::detect::identifies;
use crate::encoding::Text;
use crate::error::{Error, Position, Result};
use crate::table::{Column, NAME_BYTES_MAX, RECORD_BYTES_MAX, Record};

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
                    format!("the header of column {} looks like data about a person", index + 1);
                Err(Error::malformed(at, detail, NO_HEADER))
            }
        }
    }

    fn read_columns(&mut self) -> Result<()> {
        if self.dialect.header {
            let mut header = Record::default();
            if !self.next_record(&mut header)? {
                return Err(Error::mismatch(
                    "the file has no records",
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

/// For a first record that the rule file does not declare a header, and that looks like data: its
/// values would become the columns' names, and go out in the header, the rules and the signed
/// manifest.
const NO_HEADER: &str = "if the file has no header, give `desensitize scan` the option \
                         `--no-header`, or \
                         say `header = false` in the rule file; if it has one, say `header = true`";
const HEADER: &str =
    "repair the file's header, or say `header = false` in the rule file if there is none";
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
            let detail = format!("the record has {found} fields, the header {expected}");
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

#[cfg(test)]
mod tests;
