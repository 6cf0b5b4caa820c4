//! Signed documents in the database, each as its compact serialization.

use datapact_core::document::Body;
use datapact_core::jws::Signed;
use datapact_store::{Row, StoreError};

/// The document in a column.
pub(super) fn signed<B: Body>(row: &Row, column: usize) -> Result<Signed<B>, StoreError> {
    Signed::parse(&row.text(column)?).map_err(|e| StoreError::Damaged(e.to_string()))
}
