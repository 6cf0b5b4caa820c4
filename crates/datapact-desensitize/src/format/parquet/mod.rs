//! Parquet: flat columns, and nested ones that are dropped. Values become text for transforms;
//! columns that keep their type are written with it, others as strings.

mod batch;
mod codec;
mod pages;
mod sink;
mod source;

use std::fmt::Display;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::schema::types::TypePtr;

pub(super) use self::sink::ParquetSink;
pub(super) use self::source::ParquetSource;
use crate::error::{Error, Position};

const HINT: &str = "write the file again, for example with `pandas` or `duckdb`";
const NESTED: &str = "nested and repeated columns can only be dropped";
const FLAT: &str =
    "say `transform = \"drop\"`, or write the file with flat columns, for example with `duckdb`";

/// What a file was like, for writing the same.
#[derive(Debug, Clone)]
pub struct Layout {
    fields: Arc<Vec<TypePtr>>,
    compression: Compression,
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Eq for Layout {}

fn malformed(record: u64, error: impl Display) -> Error {
    // The library's messages speak of structure, never of values.
    let at = Position { record, ..Position::default() };
    Error::malformed(
        at,
        format_args!("the Parquet file is damaged or not supported: {error}"),
        HINT,
    )
}

#[cfg(test)]
mod tests;
