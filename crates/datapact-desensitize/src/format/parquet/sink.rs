//! Writing: row groups of values that are gathered in memory, and in encrypted blocks where row
//! groups must be larger.
//!
//! The footer has an entry for each column of each row group, and is in memory until the end: the
//! more there are, the larger row groups become.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::codec::{Codec, Value};
use super::{FLAT, HINT, Layout, NESTED};
use crate::error::{Error, Position, Result, printable};
use crate::format::{Outgoing, Sink};
use crate::spill::Spill;
use crate::table::{Kind, Record};

/// The most rows of the first row groups.
const ROWS_MAX: usize = 64 << 10;
/// About how many bytes of values are gathered in memory, and the most of the first row groups.
const BYTES_MAX: usize = 12 << 20;
/// After so many entries of the footer, row groups become twice as large.
const CHUNKS_PER_DOUBLING: usize = 8 << 10;

/// Writes Parquet.
pub(in crate::format) struct ParquetSink {
    writer: Option<SerializedFileWriter<Box<dyn Write + Send>>>,
    columns: Vec<Gathered>,
    /// Of the row group: its rows, their bytes, and how many of these are in memory.
    rows: usize,
    bytes: usize,
    gathered: usize,
    /// Where the rest is: for one stripe of rows after the other, a block for each column.
    spill: Option<Spill>,
    bytes_max: usize,
    chunks: usize,
    records: u64,
}

/// A column of the row group to be written.
struct Gathered {
    name: String,
    codec: Codec,
    required: bool,
    cells: Cells,
}

/// Some rows of a column.
#[derive(Default)]
struct Cells {
    /// 1 where there is a value.
    levels: Vec<i16>,
    values: Vec<Value>,
}

impl ParquetSink {
    pub(in crate::format) fn create(
        output: Box<dyn Write + Send>,
        outgoing: &[Outgoing],
        layout: &Layout,
    ) -> Result<Self> {
        let mut fields: Vec<TypePtr> = Vec::new();
        let mut columns = Vec::new();
        let nested: HashSet<&str> = layout
            .fields
            .iter()
            .filter(|field| Codec::of(field).is_none())
            .map(|field| field.name())
            .collect();
        for column in outgoing {
            if nested.contains(column.name.as_str()) {
                let at = Position { column: Some(printable(&column.name)), ..Position::default() };
                return Err(Error::malformed(at, NESTED, FLAT));
            }
            let from = column.typed_as.and_then(|index| layout.fields.get(index));
            let (field, codec, required) =
                match from.and_then(|from| Some((from, Codec::of(from)?))) {
                    Some((from, codec)) => {
                        let required = column.whole
                            && from.get_basic_info().repetition() == Repetition::REQUIRED;
                        let codec = if column.whole { codec.unchecked() } else { codec };
                        (with_repetition(from, required).map_err(failed)?, codec, required)
                    }
                    None => {
                        let text = Type::primitive_type_builder(&column.name, Physical::BYTE_ARRAY)
                            .with_logical_type(Some(LogicalType::String))
                            .build();
                        (text.map_err(failed)?, Codec::Text, false)
                    }
                };
            fields.push(Arc::new(field));
            let name = column.name.clone();
            columns.push(Gathered { name, codec, required, cells: Cells::default() });
        }
        let schema =
            Type::group_type_builder("schema").with_fields(fields).build().map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(layout.compression)
            .set_max_row_group_row_count(None)
            // An index of pages would be in memory until the end, too.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let writer = SerializedFileWriter::new(output, Arc::new(schema), Arc::new(properties))
            .map_err(failed)?;
        Ok(Self {
            writer: Some(writer),
            columns,
            rows: 0,
            bytes: 0,
            gathered: 0,
            spill: None,
            bytes_max: BYTES_MAX,
            chunks: 0,
            records: 0,
        })
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, bytes: usize, chunks: usize) {
        (self.bytes_max, self.chunks) = (bytes, chunks);
    }

    /// How often the size of row groups was doubled: early where there are many columns.
    fn doublings(&self) -> usize {
        ((self.chunks + self.columns.len()) / CHUNKS_PER_DOUBLING).min(24)
    }

    /// Puts the gathered rows of all columns into encrypted blocks.
    fn spill(&mut self) -> Result<()> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::create()?),
        };
        let mut block = Vec::new();
        for column in &mut self.columns {
            column.cells.drain_to(column.codec, &mut block);
            spill.append(&mut block)?;
        }
        self.gathered = 0;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if self.rows > 0 {
            let stripes = self.spill.as_ref().map_or(0, |spill| spill.len() / self.columns.len());
            let (count, mut block) = (self.columns.len(), Vec::new());
            let mut group = writer.next_row_group().map_err(failed)?;
            for (index, column) in self.columns.iter_mut().enumerate() {
                let Some(mut writer) = group.next_column().map_err(failed)? else { break };
                if let Some(spill) = &self.spill {
                    for stripe in 0..stripes {
                        spill.read(stripe * count + index, &mut block)?;
                        let mut cells = Cells::of_text(column.codec, &block);
                        cells.write(column.required, writer.untyped()).map_err(failed)?;
                    }
                }
                column.cells.write(column.required, writer.untyped()).map_err(failed)?;
                writer.close().map_err(failed)?;
                self.chunks += 1;
            }
            group.close().map_err(failed)?;
        }
        (self.rows, self.bytes, self.gathered, self.spill) = (0, 0, 0, None);
        Ok(())
    }
}

/// The same type, with or without nulls.
fn with_repetition(field: &Type, required: bool) -> Result<Type, ParquetError> {
    let Type::PrimitiveType { basic_info, physical_type, type_length, scale, precision } = field
    else {
        return Err(ParquetError::General("a column is nested".to_owned()));
    };
    let repetition = if required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    Type::primitive_type_builder(basic_info.name(), *physical_type)
        .with_repetition(repetition)
        .with_converted_type(basic_info.converted_type())
        .with_logical_type(basic_info.logical_type_ref().cloned())
        .with_length(*type_length)
        .with_precision(*precision)
        .with_scale(*scale)
        .build()
}

fn failed(error: ParquetError) -> Error {
    Error::Write(match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::other(other),
    })
}

impl Cells {
    /// Appends all rows as text, each behind its length, or behind `u32::MAX` if there is
    /// no value; no row is left.
    fn drain_to(&mut self, codec: Codec, out: &mut Vec<u8>) {
        let mut values = self.values.drain(..);
        for level in self.levels.drain(..) {
            let begin = out.len();
            out.extend_from_slice(&u32::MAX.to_le_bytes());
            let Some(value) = (level > 0).then(|| values.next()).flatten() else { continue };
            codec.write(&value, out);
            let length = (out.len() - begin - 4) as u32;
            if let Some(head) = out.get_mut(begin..).and_then(|row| row.first_chunk_mut()) {
                *head = length.to_le_bytes();
            }
        }
    }

    /// The rows of such text.
    fn of_text(codec: Codec, mut text: &[u8]) -> Self {
        let mut cells = Self::default();
        while let Some((length, rest)) = text.split_first_chunk() {
            let length = u32::from_le_bytes(*length);
            let (value, rest) = rest.split_at_checked(length as usize).unwrap_or((&[], rest));
            let value = if length == u32::MAX { None } else { codec.read(value) };
            cells.levels.push(i16::from(value.is_some()));
            cells.values.extend(value);
            text = rest;
        }
        cells
    }

    fn write(&mut self, required: bool, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = (!required).then_some(self.levels.as_slice());
        macro_rules! write {
            ($writer:expr, $variant:path) => {{
                let values: Vec<_> = self
                    .values
                    .drain(..)
                    .filter_map(
                        |value| if let $variant(value) = value { Some(value) } else { None },
                    )
                    .collect();
                $writer.write_batch(&values, levels, None)?;
            }};
        }
        match writer {
            ColumnWriter::BoolColumnWriter(writer) => write!(writer, Value::Bool),
            ColumnWriter::Int32ColumnWriter(writer) => write!(writer, Value::I32),
            ColumnWriter::Int64ColumnWriter(writer) => write!(writer, Value::I64),
            ColumnWriter::FloatColumnWriter(writer) => write!(writer, Value::F32),
            ColumnWriter::DoubleColumnWriter(writer) => write!(writer, Value::F64),
            ColumnWriter::ByteArrayColumnWriter(writer) => write!(writer, Value::Bytes),
            ColumnWriter::FixedLenByteArrayColumnWriter(writer) => write!(writer, Value::Fixed),
            ColumnWriter::Int96ColumnWriter(writer) => write!(writer, Value::I96),
        }
        self.levels.clear();
        Ok(())
    }
}

impl Sink for ParquetSink {
    fn write(&mut self, record: &Record) -> Result<()> {
        self.records += 1;
        for (index, column) in self.columns.iter_mut().enumerate() {
            let field = record.field(index);
            let null = matches!(field.kind, Kind::Null | Kind::Missing);
            self.bytes += field.bytes.len() + 40;
            self.gathered += field.bytes.len() + 40;
            if null && !column.required {
                column.cells.levels.push(0);
                continue;
            }
            let value = column.codec.read(field.bytes).ok_or_else(|| {
                let at = Position {
                    record: self.records,
                    column: Some(printable(&column.name)),
                    ..Position::default()
                };
                Error::malformed(
                    at,
                    "what the rule makes of the value is not of the column's type",
                    HINT,
                )
            })?;
            column.cells.levels.push(1);
            column.cells.values.push(value);
        }
        self.rows += 1;
        let doublings = self.doublings();
        if self.rows >= ROWS_MAX << doublings || self.bytes >= self.bytes_max << doublings {
            self.flush()
        } else if self.gathered >= self.bytes_max {
            self.spill()
        } else {
            Ok(())
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.flush()?;
        match self.writer.take() {
            Some(mut writer) => {
                writer.finish().map_err(failed)?;
                writer.inner_mut().flush().map_err(Error::Write)
            }
            None => Ok(()),
        }
    }
}
