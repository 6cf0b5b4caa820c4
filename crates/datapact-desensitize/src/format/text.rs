//! Plain text: a table of one column, `text`, with a record a line.

use std::io::{Read, Write};

use super::{Buffered, Dialect, Options, Sink, Source};
use crate::encoding::Text;
use crate::error::{Error, Position, Result};
use crate::table::{Column, Field, RECORD_BYTES_MAX, Record};

/// The only column's name.
const COLUMN: &str = "text";

/// Lines of text, each with its position: what plain text and JSON lines have in common.
pub(super) struct Lines {
    text: Text,
    pub(super) dialect: Dialect,
    lines: u64,
}

impl Lines {
    pub(super) fn open(input: Box<dyn Read + Send>, options: &Options) -> Result<Self> {
        let text = Text::open(input, options.encoding)?;
        let look = text.unread();
        let crlf = memchr::memchr(b'\n', look)
            .is_some_and(|at| at > 0 && look.get(at - 1) == Some(&b'\r'));
        let dialect = Dialect { encoding: text.encoding().name(), crlf, ..Dialect::default() };
        Ok(Self { text, dialect, lines: 0 })
    }

    pub(super) fn position(&self) -> Position {
        Position { record: self.lines, line: self.lines, byte: self.text.offset(), column: None }
    }

    /// Hands the next line to `take`, without its end; none behind the last.
    pub(super) fn next<T>(
        &mut self,
        take: impl FnOnce(&[u8], Position) -> Result<T>,
    ) -> Result<Option<T>> {
        self.lines += 1;
        let mut looked = 0;
        let (length, bytes) = loop {
            let unread = self.text.unread();
            let fresh = unread.get(looked..).unwrap_or_default();
            match memchr::memchr(b'\n', fresh) {
                Some(at) => break (looked + at, looked + at + 1),
                None => looked = unread.len(),
            }
            if looked > RECORD_BYTES_MAX {
                let detail = format!("the line is longer than {RECORD_BYTES_MAX} bytes");
                return Err(Error::malformed(
                    self.position(),
                    detail,
                    "break it into shorter ones",
                ));
            }
            if !self.text.more()? {
                if looked == 0 {
                    return Ok(None);
                }
                break (looked, looked);
            }
        };
        let position = self.position();
        let line = self.text.unread().get(..length).unwrap_or_default();
        let taken = take(line.strip_suffix(b"\r").unwrap_or(line), position);
        self.text.consume(bytes);
        taken.map(Some)
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.text.bytes_read()
    }
}

/// Reads plain text.
pub(super) struct TextSource {
    lines: Lines,
    columns: [Column; 1],
}

impl TextSource {
    pub(super) fn open(input: Box<dyn Read + Send>, options: &Options) -> Result<Self> {
        let columns = [Column { name: COLUMN.to_owned() }];
        Ok(Self { lines: Lines::open(input, options)?, columns })
    }
}

impl Source for TextSource {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read(&mut self, record: &mut Record) -> Result<bool> {
        let read = self.lines.next(|line, position| {
            record.clear();
            record.push(Field::text(line));
            record.position = position;
            Ok(())
        })?;
        Ok(read.is_some())
    }

    fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    fn dialect(&self) -> &Dialect {
        &self.lines.dialect
    }
}

/// Writes plain text.
pub(super) struct TextSink {
    output: Buffered,
    crlf: bool,
}

impl TextSink {
    pub(super) fn create(output: Box<dyn Write + Send>, dialect: &Dialect) -> Self {
        Self { output: Buffered::new(output), crlf: dialect.crlf }
    }
}

impl Sink for TextSink {
    fn write(&mut self, record: &Record) -> Result<()> {
        self.output.buffer.extend_from_slice(record.field(0).bytes);
        self.output.buffer.extend_from_slice(if self.crlf { b"\r\n" } else { b"\n" });
        self.output.flush_if_full()
    }

    fn finish(&mut self) -> Result<()> {
        self.output.finish()
    }
}
