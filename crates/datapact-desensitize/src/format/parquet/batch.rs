//! Some rows of one column, as values of its type or as text.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;

use super::codec::{Codec, Value};
use crate::table::Kind;

/// Evaluates an expression with the reader of whichever type.
macro_rules! with_typed {
    ($reader:expr, $typed:ident => $do:expr) => {
        match $reader {
            ColumnReader::BoolColumnReader($typed) => $do,
            ColumnReader::Int32ColumnReader($typed) => $do,
            ColumnReader::Int64ColumnReader($typed) => $do,
            ColumnReader::FloatColumnReader($typed) => $do,
            ColumnReader::DoubleColumnReader($typed) => $do,
            ColumnReader::ByteArrayColumnReader($typed) => $do,
            ColumnReader::FixedLenByteArrayColumnReader($typed) => $do,
            ColumnReader::Int96ColumnReader($typed) => $do,
        }
    };
}

/// Passes over rows; returns how many there were.
pub(super) fn skip(reader: &mut ColumnReader, rows: usize) -> parquet::errors::Result<usize> {
    with_typed!(reader, typed => typed.skip_records(rows))
}

/// Some rows of one column.
#[derive(Default)]
pub(super) struct Batch {
    /// 1 where there is a value; empty for a column without nulls.
    levels: Vec<i16>,
    values: Vec<Value>,
    /// In their place: a kind and, unless it is null, a length and bytes for each row.
    text: Option<Vec<u8>>,
    next: usize,
}

impl Batch {
    /// Reads up to `rows` rows, in place of those before; returns how many there were.
    pub(super) fn load(
        &mut self,
        reader: &mut ColumnReader,
        rows: usize,
    ) -> parquet::errors::Result<usize> {
        self.levels.clear();
        self.values.clear();
        (self.text, self.next) = (None, 0);
        with_typed!(reader, typed => self.extend(typed, rows))
    }

    fn extend<T: DataType>(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        rows: usize,
    ) -> parquet::errors::Result<usize>
    where
        Value: From<T::T>,
    {
        let mut values = Vec::with_capacity(rows);
        let mut total = 0;
        // A call ends with the page, which need not be the end of the column.
        while total < rows {
            let levels = Some(&mut self.levels);
            let (records, _, _) = reader.read_records(rows - total, levels, None, &mut values)?;
            if records == 0 {
                break;
            }
            total += records;
        }
        self.values.extend(values.into_iter().map(Value::from));
        Ok(total)
    }

    /// Takes the rows of a block that [`Batch::write_text`] wrote, in place of those before.
    pub(super) fn load_text(
        &mut self,
        read: impl FnOnce(&mut Vec<u8>) -> crate::error::Result<()>,
    ) -> crate::error::Result<()> {
        self.next = 0;
        read(self.text.get_or_insert_default())
    }

    /// Appends the value of the next row as text; its kind is [`Kind::Missing`] if it is not
    /// UTF-8. None if no value is left.
    pub(super) fn next(&mut self, row: usize, codec: Codec, out: &mut Vec<u8>) -> Option<Kind> {
        if let Some(text) = &self.text {
            let (kind, rest) = text.get(self.next..)?.split_first()?;
            let kind = *KINDS.get(usize::from(*kind))?;
            let (length, rest) = rest.split_first_chunk()?;
            let length = u32::from_le_bytes(*length) as usize;
            out.extend_from_slice(rest.get(..length)?);
            self.next += 5 + length;
            return Some(kind);
        }
        if self.levels.get(row) == Some(&0) {
            return Some(Kind::Null);
        }
        let value = self.values.get(self.next)?;
        self.next += 1;
        Some(codec.write(value, out).unwrap_or_default())
    }

    /// Appends all rows as text.
    pub(super) fn write_text(
        &mut self,
        codec: Codec,
        rows: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        for row in 0..rows {
            let begin = out.len();
            out.extend_from_slice(&[0; 5]);
            let kind = self.next(row, codec, out)?;
            let length = (out.len() - begin - 5) as u32;
            let head = out.get_mut(begin..)?.first_chunk_mut::<5>()?;
            head[0] = KINDS.iter().position(|known| *known == kind)? as u8;
            head[1..].copy_from_slice(&length.to_le_bytes());
        }
        Some(())
    }
}

/// The kinds that values of Parquet have, by their numbers in blocks.
const KINDS: [Kind; 6] =
    [Kind::Missing, Kind::Null, Kind::Text, Kind::Number, Kind::Bool, Kind::Nested];
