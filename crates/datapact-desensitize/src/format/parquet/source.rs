//! Reading: some rows of all columns at a time, from their pages or, where these are too large,
//! from encrypted blocks.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::ColumnReader;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::batch::{Batch, skip};
use super::codec::Codec;
use super::pages::Held;
use super::{HINT, Layout, malformed};
use crate::error::{Error, Position, Result, printable};
use crate::format::{Dialect, Source};
use crate::spill::Spill;
use crate::table::{COLUMNS_MAX, Column, Field, Kind, NAME_BYTES_MAX, RECORD_BYTES_MAX, Record};

/// The most rows of all columns that are read at once.
const ROWS_MAX: usize = 256;
/// The most fields that are read at once.
const FIELDS_MAX: usize = 100_000;
/// About how many bytes of rows are read at once.
const BATCH_BYTES: u64 = 8 << 20;
/// The most bytes of pages that are held at once.
const PAGES_BYTES_MAX: usize = 40 << 20;
/// The most columns whose pages are read at once: their readers take memory, too.
const READERS_MAX: usize = 5_000;
/// The most entries of a footer, one for each column of each row group.
const CHUNKS_MAX: usize = 150_000;
/// The largest page.
const PAGE_BYTES_MAX: usize = 32 << 20;

/// Reads Parquet.
pub(in crate::format) struct ParquetSource {
    file: SerializedFileReader<File>,
    length: u64,
    columns: Vec<Column>,
    /// The codec of each column, and which of the file's flat ones it is; none of nested ones,
    /// which are not read.
    codecs: Vec<Option<(Codec, usize)>>,
    dialect: Dialect,
    /// The current row group, and how many of its rows are in batches or were.
    group: Group,
    groups_begun: usize,
    group_rows: usize,
    held: Held,
    pages_max: usize,
    /// How many rows are read at once.
    rows_max: usize,
    /// One for each flat column.
    batches: Vec<Batch>,
    rows: usize,
    row: usize,
    records: u64,
}

/// Where the rows of a row group come from.
enum Group {
    /// The readers of the flat columns.
    Pages(Vec<ColumnReader>),
    /// Blocks with the flat columns' values as text, column after column, each with as many as
    /// there are `batches`: the numbers of rows in them.
    Spilled { spill: Spill, batches: Vec<usize>, next: usize },
}

impl ParquetSource {
    pub(in crate::format) fn open(file: File) -> Result<Self> {
        let length = file.metadata().map_err(Error::Read)?.len();
        let file = guarded(0, || SerializedFileReader::new(file))?;
        let metadata = file.metadata();
        let schema = metadata.file_metadata().schema();
        let fields = schema.get_fields().to_vec();
        if fields.is_empty() || fields.len() > COLUMNS_MAX {
            return Err(malformed(
                0,
                format_args!("it has {} columns, not 1 to {COLUMNS_MAX}", fields.len()),
            ));
        }
        if metadata.num_row_groups().saturating_mul(fields.len()) > CHUNKS_MAX {
            let detail = format!("it has more than {CHUNKS_MAX} columns times row groups");
            return Err(Error::malformed(
                Position::default(),
                detail,
                "write the file with larger row groups",
            ));
        }
        let leaves = metadata.file_metadata().schema_descr();
        let leaf_of: HashMap<usize, usize> = (0..leaves.num_columns())
            .map(|leaf| (leaves.get_column_root_idx(leaf), leaf))
            .collect();
        let (mut columns, mut codecs, mut names) =
            (Vec::new(), Vec::new(), std::collections::HashSet::new());
        for field in &fields {
            let name = field.name();
            let at = Position { column: Some(printable(name)), ..Position::default() };
            if name.len() > NAME_BYTES_MAX || name.contains('\0') || !names.insert(name) {
                return Err(Error::malformed(
                    at,
                    "the name is too long, or two columns have it",
                    HINT,
                ));
            }
            codecs.push(Codec::of(field).zip(leaf_of.get(&columns.len()).copied()));
            columns.push(Column { name: name.to_owned() });
        }
        if codecs.iter().all(Option::is_none) {
            return Err(malformed(0, "it has no flat column"));
        }
        let of_group = metadata.row_groups().first().and_then(|group| group.columns().first());
        let compression = match of_group.map(|column| column.compression()) {
            // The older framing of LZ4 is deprecated: what had it is written in the newer.
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
            group: Group::Pages(Vec::new()),
            groups_begun: 0,
            group_rows: 0,
            held: Held::default(),
            pages_max: PAGES_BYTES_MAX,
            rows_max: 1,
            batches,
            rows: 0,
            row: 0,
            records: 0,
        })
    }

    /// Reads the next rows; false at the end.
    fn load(&mut self) -> Result<bool> {
        loop {
            let count = match &mut self.group {
                Group::Spilled { spill, batches, next } => {
                    for (column, batch) in self.batches.iter_mut().enumerate() {
                        let block = column * batches.len() + *next;
                        if *next < batches.len() {
                            batch.load_text(|text| spill.read(block, text))?;
                        }
                    }
                    *next += 1;
                    batches.get(*next - 1).copied().unwrap_or(0)
                }
                Group::Pages(readers) => {
                    let (mut count, mut outgrown) = (None, false);
                    for (reader, batch) in readers.iter_mut().zip(&mut self.batches) {
                        let found =
                            guarded(self.records + 1, || batch.load(reader, self.rows_max))?;
                        if *count.get_or_insert(found) != found {
                            return Err(self.unequal());
                        }
                        // Checked after each column: one more may be all that memory holds.
                        outgrown = self.held.bytes() > self.pages_max;
                        if outgrown {
                            break;
                        }
                    }
                    if outgrown {
                        self.spill()?;
                        continue;
                    }
                    count.unwrap_or(0)
                }
            };
            // A row group that gave nothing is at its end, and the next begins.
            if count > 0 {
                (self.rows, self.row) = (count, 0);
                self.group_rows += count;
                return Ok(true);
            }
            if self.groups_begun == self.file.metadata().num_row_groups() {
                return Ok(false);
            }
            let (file, index, held) = (&self.file, self.groups_begun, &self.held);
            let group = file.metadata().row_group(index);
            let row_bytes =
                (group.total_byte_size().max(0) as u64) / (group.num_rows().max(1) as u64);
            let rows = (FIELDS_MAX / self.columns.len().max(1)).clamp(1, ROWS_MAX);
            self.rows_max = rows.min((BATCH_BYTES / row_bytes.max(1)) as usize).max(1);
            let leaves = self.codecs.iter().flatten().map(|(_, leaf)| *leaf);
            self.batches.iter_mut().for_each(|batch| *batch = Batch::default());
            // So many readers would take too much memory before the first page is read.
            if self.batches.len() > READERS_MAX {
                (self.group_rows, self.groups_begun) = (0, index + 1);
                self.spill()?;
                continue;
            }
            self.group = Group::Pages(guarded(self.records + 1, || {
                let group = file.get_row_group(index)?;
                leaves.map(|leaf| held.column(&*group, leaf, PAGE_BYTES_MAX)).collect()
            })?);
            self.group_rows = 0;
            self.groups_begun += 1;
        }
    }

    /// Puts the rest of the row group into encrypted blocks, one column after the other.
    fn spill(&mut self) -> Result<()> {
        self.group = Group::Pages(Vec::new());
        self.batches.iter_mut().for_each(|batch| *batch = Batch::default());
        let (mut spill, mut block) = (Spill::create()?, Vec::new());
        let mut batches: Option<Vec<usize>> = None;
        for (codec, leaf) in self.codecs.iter().flatten() {
            let mut reader = guarded(self.records + 1, || {
                let group = self.file.get_row_group(self.groups_begun - 1)?;
                let mut reader = self.held.column(&*group, *leaf, PAGE_BYTES_MAX)?;
                skip(&mut reader, self.group_rows)?;
                Ok(reader)
            })?;
            let (mut batch, mut counts) = (Batch::default(), Vec::new());
            loop {
                let count = guarded(self.records + 1, || batch.load(&mut reader, self.rows_max))?;
                if count == 0 {
                    break;
                }
                batch
                    .write_text(*codec, count, &mut block)
                    .ok_or_else(|| malformed(self.records + 1, "a value is missing"))?;
                spill.append(&mut block)?;
                counts.push(count);
            }
            if *batches.get_or_insert_with(|| counts.clone()) != counts {
                return Err(self.unequal());
            }
        }
        self.group = Group::Spilled { spill, batches: batches.unwrap_or_default(), next: 0 };
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn row_groups(&self) -> usize {
        self.file.metadata().num_row_groups()
    }

    #[cfg(test)]
    pub(super) fn limit_pages(&mut self, bytes: usize) {
        self.pages_max = bytes;
    }

    #[cfg(test)]
    pub(super) fn is_spilled(&self) -> bool {
        matches!(self.group, Group::Spilled { .. })
    }

    fn unequal(&self) -> Error {
        malformed(self.records + 1, "columns have different lengths")
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
            let batch =
                batches.next().ok_or_else(|| malformed(self.records, "a column is missing"))?;
            let mut value = None;
            record.push_with(|out| {
                let begin = out.len();
                value = batch.next(row, *codec, out);
                bytes += out.len() - begin;
                value.unwrap_or_default()
            });
            let kind = value.ok_or_else(|| malformed(self.records, "a value is missing"))?;
            let at =
                || Position { column: Some(printable(&column.name)), ..record.position.clone() };
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
        let rows =
            u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or(0).max(1);
        (u128::from(self.length) * u128::from(self.records.min(rows)) / u128::from(rows)) as u64
    }

    fn dialect(&self) -> &Dialect {
        &self.dialect
    }
}
