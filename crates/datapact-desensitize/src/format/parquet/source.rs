//! Reading: some rows of all columns at a time.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::codec::{Codec, Value};
use super::{HINT, Layout, malformed};
use crate::error::{Error, Position, Result, plain};
use crate::format::Dialect;
use crate::table::{COLUMNS_MAX, Column, Field, Kind, NAME_BYTES_MAX, RECORD_BYTES_MAX, Record, Source};

/// The most rows of all columns that are read at once.
const ROWS_MAX: usize = 256;
/// The most fields that are read at once.
const FIELDS_MAX: usize = 100_000;

/// Reads Parquet.
pub(in crate::format) struct ParquetSource {
    file: SerializedFileReader<File>,
    length: u64,
    columns: Vec<Column>,
    /// The codec of each column, and which of the file's flat ones it is; none of nested ones, which are not read.
    codecs: Vec<Option<(Codec, usize)>>,
    dialect: Dialect,
    /// The readers of the flat columns of the current row group.
    readers: Vec<ColumnReader>,
    groups_begun: usize,
    /// One for each reader.
    batches: Vec<Batch>,
    rows: usize,
    row: usize,
    records: u64,
}

/// Some rows of one column.
#[derive(Default)]
struct Batch {
    /// 1 where there is a value; empty for a column without nulls.
    levels: Vec<i16>,
    values: Vec<Value>,
    next: usize,
}

impl ParquetSource {
    pub(in crate::format) fn open(file: File) -> Result<Self> {
        let length = file.metadata().map_err(Error::Read)?.len();
        let file = guarded(0, || SerializedFileReader::new(file))?;
        let metadata = file.metadata();
        let schema = metadata.file_metadata().schema();
        let fields = schema.get_fields().to_vec();
        if fields.is_empty() || fields.len() > COLUMNS_MAX {
            return Err(malformed(0, format_args!("{} columns; 1 to {COLUMNS_MAX} can be", fields.len())));
        }
        let leaves = metadata.file_metadata().schema_descr();
        let leaf_of: HashMap<usize, usize> =
            (0..leaves.num_columns()).map(|leaf| (leaves.get_column_root_idx(leaf), leaf)).collect();
        let (mut columns, mut codecs, mut names) = (Vec::new(), Vec::new(), std::collections::HashSet::new());
        for field in &fields {
            let name = field.name();
            let at = Position { column: Some(plain(name)), ..Position::default() };
            if name.len() > NAME_BYTES_MAX || name.contains('\0') || !names.insert(name) {
                return Err(Error::malformed(at, "the name is too long, or is another column's, too", HINT));
            }
            codecs.push(Codec::of(field).zip(leaf_of.get(&columns.len()).copied()));
            columns.push(Column { name: name.to_owned() });
        }
        if codecs.iter().all(Option::is_none) {
            return Err(malformed(0, "it has no flat column"));
        }
        let of_group = metadata.row_groups().first().and_then(|group| group.columns().first());
        let compression = match of_group.map(|column| column.compression()) {
            // The former way to frame LZ4 is not written any more.
            Some(Compression::LZ4) => Compression::LZ4_RAW,
            Some(known) => known,
            None => Compression::SNAPPY,
        };
        let layout = Layout { fields: Arc::new(fields), compression };
        let dialect = Dialect { layout: Some(layout), ..Dialect::default() };
        let batches = codecs.iter().flatten().map(|_| Batch::default()).collect();
        Ok(Self {
            file,
            length,
            columns,
            codecs,
            dialect,
            readers: Vec::new(),
            groups_begun: 0,
            batches,
            rows: 0,
            row: 0,
            records: 0,
        })
    }

    /// Reads the next rows; false at the end.
    fn load(&mut self) -> Result<bool> {
        let rows = (FIELDS_MAX / self.columns.len().max(1)).clamp(1, ROWS_MAX);
        loop {
            let mut counts = self
                .readers
                .iter_mut()
                .zip(&mut self.batches)
                .map(|(reader, batch)| guarded(self.records + 1, || batch.load(reader, rows)));
            let count = counts.next().transpose()?.unwrap_or(0);
            for other in counts {
                if other? != count {
                    return Err(malformed(self.records + 1, "columns have different lengths"));
                }
            }
            if count > 0 {
                (self.rows, self.row) = (count, 0);
                return Ok(true);
            }
            if self.groups_begun == self.file.metadata().num_row_groups() {
                return Ok(false);
            }
            let (file, group) = (&self.file, self.groups_begun);
            let leaves = self.codecs.iter().flatten().map(|(_, leaf)| *leaf);
            self.readers = guarded(self.records + 1, || {
                let group = file.get_row_group(group)?;
                leaves.map(|leaf| group.get_column_reader(leaf)).collect()
            })?;
            self.groups_begun += 1;
        }
    }
}

/// The library is careful with damaged files, but does not promise never to panic.
fn guarded<T>(record: u64, read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(malformed(record, error)),
        Err(_) => Err(malformed(record, "its pages contradict themselves")),
    }
}

impl Batch {
    fn load(&mut self, reader: &mut ColumnReader, rows: usize) -> parquet::errors::Result<usize> {
        self.levels.clear();
        self.values.clear();
        self.next = 0;
        macro_rules! load {
            ($reader:expr, $variant:path, $type:ty) => {{
                let mut values: Vec<$type> = Vec::with_capacity(rows);
                let mut total = 0;
                while total < rows {
                    let (records, _, _) =
                        $reader.read_records(rows - total, Some(&mut self.levels), None, &mut values)?;
                    if records == 0 {
                        break;
                    }
                    total += records;
                }
                self.values.extend(values.into_iter().map($variant));
                Ok(total)
            }};
        }
        match reader {
            ColumnReader::BoolColumnReader(reader) => load!(reader, Value::Bool, bool),
            ColumnReader::Int32ColumnReader(reader) => load!(reader, Value::I32, i32),
            ColumnReader::Int64ColumnReader(reader) => load!(reader, Value::I64, i64),
            ColumnReader::FloatColumnReader(reader) => load!(reader, Value::F32, f32),
            ColumnReader::DoubleColumnReader(reader) => load!(reader, Value::F64, f64),
            ColumnReader::ByteArrayColumnReader(reader) => load!(reader, Value::Bytes, ByteArray),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                load!(reader, Value::Fixed, FixedLenByteArray)
            }
            ColumnReader::Int96ColumnReader(reader) => load!(reader, Value::I96, Int96),
        }
    }

    /// The value of the next row; the outer none if there is none left.
    fn next(&mut self, row: usize) -> Option<Option<&Value>> {
        if self.levels.get(row) == Some(&0) {
            return Some(None);
        }
        let value = self.values.get(self.next)?;
        self.next += 1;
        Some(Some(value))
    }
}

impl Source for ParquetSource {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn read(&mut self, record: &mut Record) -> Result<bool> {
        if self.row == self.rows && !self.load()? {
            return Ok(false);
        }
        self.records += 1;
        record.clear();
        record.position = Position { record: self.records, ..Position::default() };
        let (row, mut bytes) = (self.row, 0);
        let mut batches = self.batches.iter_mut();
        for (codec, column) in self.codecs.iter().zip(&self.columns) {
            let Some((codec, _)) = codec else {
                record.push(Field { kind: Kind::Nested, bytes: b"..." });
                continue;
            };
            let batch = batches.next().ok_or_else(|| malformed(self.records, "a column is missing"))?;
            let value = batch.next(row).ok_or_else(|| malformed(self.records, "a value is missing"))?;
            let Some(value) = value else {
                record.push_with(|_| Kind::Null);
                continue;
            };
            let kind = record.push_with(|out| {
                let begin = out.len();
                // What is no text is caught below.
                let kind = codec.write(value, out).unwrap_or_default();
                bytes += out.len() - begin;
                kind
            });
            let at = || Position { column: Some(plain(&column.name)), ..record.position.clone() };
            if kind == Kind::Missing {
                return Err(Error::malformed(at(), "a text is not UTF-8", HINT));
            }
            if bytes > RECORD_BYTES_MAX {
                let detail = format!("the record is longer than {RECORD_BYTES_MAX} bytes");
                return Err(Error::malformed(at(), detail, HINT));
            }
        }
        self.row += 1;
        Ok(true)
    }

    fn bytes_read(&self) -> u64 {
        let rows = u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or(0).max(1);
        (u128::from(self.length) * u128::from(self.records.min(rows)) / u128::from(rows)) as u64
    }

    fn dialect(&self) -> &Dialect {
        &self.dialect
    }
}
