//! Writing CSV: quoted where needed, and formulas escaped.

use std::io::Write;

use crate::error::Result;
use crate::format::{Buffered, Dialect, Formulas, Outgoing, Sink};
use crate::needles::Needles;
use crate::table::{Field, Record};

/// Writes CSV.
pub(in crate::format) struct CsvSink {
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

/// Whether a spreadsheet would run it: it begins like a formula, and is neither a number nor a
/// telephone number.
fn is_formula(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(b'=' | b'@' | b'\t' | b'\r') => true,
        Some(b'+' | b'-') => {
            !bytes.iter().all(|byte| byte.is_ascii_digit() || b"+-.,()/ eE".contains(byte))
                || !bytes.iter().any(u8::is_ascii_digit)
        }
        _ => false,
    }
}
