//! The tables of the catalog: publications and the index.

use datapact_api::management::CatalogEntry;
use datapact_core::id::ShareId;
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, StoreError, Tx, json, number, text};

/// The tables of the catalog.
pub(crate) const SCHEMA: Migration =
    Migration { module: "catalog", version: 1, sql: include_str!("schema_1.sql") };

/// The newest published information about a share.
pub(super) fn entry(db: &Db, share: &ShareId) -> Result<Option<CatalogEntry>, StoreError> {
    let row = db.row("SELECT entry FROM share WHERE id = $1", [text(share)])?;
    row.map(|row| row.json(0)).transpose()
}

/// Adds a publication.
pub(super) fn add(tx: &Tx, entry: &CatalogEntry) -> Result<(), StoreError> {
    let row = [number(entry.event), text(entry.share), json(entry)?];
    tx.insert("publication (event, share, entry)", vec![row])
}

/// The publications behind the event `after`, in order.
pub(crate) fn publications(
    db: &Db,
    after: u64,
    count: u64,
) -> Result<Vec<CatalogEntry>, StoreError> {
    let sql = "SELECT entry FROM publication WHERE event > $1 ORDER BY event LIMIT $2";
    db.rows(sql, [number(after), number(count)])?.iter().map(|row| row.json(0)).collect()
}

/// Erases what a provider published. Its rows in `share` must still be there.
pub(crate) fn erase(tx: &Tx, provider: &Identity) -> Result<(), StoreError> {
    for table in ["term", "publication"] {
        let own = "(SELECT id FROM share WHERE provider = $1)";
        tx.run(format!("DELETE FROM {table} WHERE share IN {own}"), [text(provider)])?;
    }
    Ok(())
}
