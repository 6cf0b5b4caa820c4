//! Writes the corpus of the fuzz target `parquet`: `cargo xtask vectors parquet` runs this.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "writes fixtures")]

#[path = "../tests/support/parquet_table.rs"]
mod parquet_table;

use std::path::Path;

fn main() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/parquet/types");
    std::fs::write(file, parquet_table::of_all_types()).unwrap();
}
