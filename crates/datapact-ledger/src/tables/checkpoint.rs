//! Checkpoints and their cosignatures.

use datapact_log::Position;
use datapact_store::{Db, Row, StoreError, Tx, number, text};

pub(crate) fn write_checkpoint(tx: &Tx, size: u64, note: &str) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO ledger_checkpoint (size, note) VALUES ($1, $2) ON CONFLICT (size) DO NOTHING";
    tx.run(sql, [number(size), text(note)]).map(drop)
}

/// Writes the checkpoint that follows the one of `before` entries, which must be the newest.
pub(crate) fn advance_checkpoint(
    tx: &Tx,
    before: u64,
    size: u64,
    note: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger_checkpoint (size, note) SELECT $1, $2 \
               WHERE (SELECT MAX(size) FROM ledger_checkpoint) = $3";
    match tx.run(sql, [number(size), text(note), number(before)])? {
        1 => Ok(()),
        _ => Err(StoreError::Damaged(format!(
            "the checkpoint of {before} entries is not the newest"
        ))),
    }
}

pub(crate) fn write_cosignature(
    tx: &Tx,
    size: u64,
    witness: &str,
    line: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger_cosignature (size, witness, line) VALUES ($1, $2, $3) \
               ON CONFLICT (size, witness) DO UPDATE SET line = excluded.line";
    tx.run(sql, [number(size), text(witness), text(line)]).map(drop)
}

/// The note of the checkpoint of `size`, as its log signed it, without cosignatures.
pub(crate) fn checkpoint(db: &Db, size: u64) -> Result<Option<String>, StoreError> {
    let sql = "SELECT note FROM ledger_checkpoint WHERE size = $1";
    db.row(sql, [number(size)])?.map(|row| row.text(0)).transpose()
}

/// The size of the newest checkpoint.
pub(crate) fn newest_size(db: &Db) -> Result<Option<u64>, StoreError> {
    newest(db.row("SELECT MAX(size) FROM ledger_checkpoint", [])?)
}

/// The size of the newest cosigned checkpoint.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub fn cosigned_size(db: &Db) -> Result<Option<u64>, StoreError> {
    newest(db.row("SELECT MAX(size) FROM ledger_cosignature", [])?)
}

fn newest(row: Option<Row>) -> Result<Option<u64>, StoreError> {
    Ok(row.map(|row| row.optional_number(0)).transpose()?.flatten())
}

/// The sizes of the newest checkpoint and of the newest cosigned one; 0 where there is none.
pub(crate) fn sizes(db: &Db) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT (SELECT MAX(size) FROM ledger_checkpoint), \
               (SELECT MAX(size) FROM ledger_cosignature)";
    let Some(row) = db.row(sql, [])? else { return Ok((0, 0)) };
    Ok((row.optional_number(0)?.unwrap_or(0), row.optional_number(1)?.unwrap_or(0)))
}

/// How many of the newest cosigned checkpoints are looked at for the one that most witnesses
/// cosigned.
const COSIGNED_LOOK: u64 = 64;

/// The size of the checkpoint of more than `position` entries that most witnesses have cosigned,
/// the newest of those.
pub(crate) fn best_cosigned_size(db: &Db, position: Position) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT size FROM ledger_cosignature WHERE size IN \
               (SELECT DISTINCT size FROM ledger_cosignature \
               WHERE size > $1 ORDER BY size DESC LIMIT $2) \
               GROUP BY size ORDER BY COUNT(*) DESC, size DESC LIMIT 1";
    let row = db.row(sql, [number(position), number(COSIGNED_LOOK)])?;
    row.map(|row| row.number(0)).transpose()
}

/// The note of the checkpoint of `size` with its cosignatures.
pub(crate) fn cosigned_checkpoint(db: &Db, size: u64) -> Result<Option<String>, StoreError> {
    let Some(mut note) = checkpoint(db, size)? else { return Ok(None) };
    let sql = "SELECT line FROM ledger_cosignature WHERE size = $1 ORDER BY witness";
    for row in db.rows(sql, [number(size)])? {
        note.push_str(&row.text(0)?);
    }
    Ok(Some(note))
}
