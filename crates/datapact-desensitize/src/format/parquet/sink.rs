//! Writing: row groups of bounded size.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::codec::{Codec, Value};
use super::{FLAT, HINT, Layout, NESTED};
use crate::error::{Error, Position, Result, plain};
use crate::format::Outgoing;
use crate::table::{Record, Sink};

/// The most rows of a row group.
const ROWS_MAX: usize = 64 << 10;
/// About how many bytes of values are gathered for a row group.
const BYTES_MAX: usize = 12 << 20;

/// Writes Parquet.
pub(in crate::format) struct ParquetSink {
    writer: Option<SerializedFileWriter<Box<dyn Write + Send>>>,
    columns: Vec<Gathered>,
    rows: usize,
    bytes: usize,
    records: u64,
}

/// A column of the row group to be written.
struct Gathered {
    name: String,
    codec: Codec,
    required: bool,
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
                let at = Position { column: Some(plain(&column.name)), ..Position::default() };
                return Err(Error::malformed(at, NESTED, FLAT));
            }
            let from = column.typed_as.and_then(|index| layout.fields.get(index));
            let (field, codec, required) = match from.and_then(|from| Some((from, Codec::of(from)?))) {
                Some((from, codec)) => {
                    let required = column.whole && from.get_basic_info().repetition() == Repetition::REQUIRED;
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
            columns.push(Gathered { name, codec, required, levels: Vec::new(), values: Vec::new() });
        }
        let schema = Type::group_type_builder("schema").with_fields(fields).build().map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(layout.compression)
            .set_max_row_group_row_count(Some(ROWS_MAX))
            .build();
        let writer =
            SerializedFileWriter::new(output, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        Ok(Self { writer: Some(writer), columns, rows: 0, bytes: 0, records: 0 })
    }

    fn flush(&mut self) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if self.rows > 0 {
            let mut group = writer.next_row_group().map_err(failed)?;
            for column in &mut self.columns {
                let Some(mut writer) = group.next_column().map_err(failed)? else { break };
                column.write(writer.untyped()).map_err(failed)?;
                writer.close().map_err(failed)?;
            }
            group.close().map_err(failed)?;
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

/// The same type, with or without nulls.
fn with_repetition(field: &Type, required: bool) -> Result<Type, ParquetError> {
    let Type::PrimitiveType { basic_info, physical_type, type_length, scale, precision } = field else {
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

impl Gathered {
    fn write(&mut self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = (!self.required).then_some(self.levels.as_slice());
        macro_rules! write {
            ($writer:expr, $variant:path) => {{
                let values: Vec<_> = self
                    .values
                    .drain(..)
                    .filter_map(|value| if let $variant(value) = value { Some(value) } else { None })
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
            let null = matches!(field.kind, crate::table::Kind::Null | crate::table::Kind::Missing);
            self.bytes += field.bytes.len() + 40;
            if null && !column.required {
                column.levels.push(0);
                continue;
            }
            let value = column.codec.read(field.bytes).ok_or_else(|| {
                let at = Position {
                    record: self.records,
                    column: Some(plain(&column.name)),
                    ..Position::default()
                };
                Error::malformed(at, "what the rule makes of the value is not of the column's type", HINT)
            })?;
            column.levels.push(1);
            column.values.push(value);
        }
        self.rows += 1;
        if self.rows >= ROWS_MAX || self.bytes >= BYTES_MAX { self.flush() } else { Ok(()) }
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
