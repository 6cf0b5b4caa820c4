//! What a witness has cosigned.

use datapact_core::id::{Digest, Timestamp};
use datapact_log::note::Checkpoint;
use datapact_log::tree::Hash;
use datapact_store::{Db, Migration, StoreError, Tx, number, text};

/// The tables of a witness.
pub(super) const SCHEMA: Migration =
    Migration { module: "witness", version: 1, sql: include_str!("schema_1.sql") };

/// How many contradicting requests of one log are kept.
const EVIDENCE_MAX: u64 = 16;

/// Size and root of the newest checkpoint of a log that was cosigned.
pub(super) fn latest(db: &Db, origin: &str) -> Result<Option<(u64, Hash)>, StoreError> {
    let sql = "SELECT size, root FROM witness_checkpoint WHERE origin = $1";
    let row = db.row(sql, [text(origin)])?;
    let read = |row: datapact_store::Row| {
        let root: Digest = row.parse(1)?;
        Ok((row.number(0)?, root.0))
    };
    row.map(read).transpose()
}

/// Puts `checkpoint` with its cosignature in the place of the one before.
pub(super) fn set_latest(tx: &Tx, checkpoint: &Checkpoint, line: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO witness_checkpoint (origin, size, root, note) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (origin) DO UPDATE SET \
               size = excluded.size, root = excluded.root, note = excluded.note";
    let root = Digest(*checkpoint.root());
    let note = super::shown(checkpoint, line);
    let values = [text(checkpoint.origin()), number(checkpoint.size()), text(root), text(note)];
    tx.run(sql, values).map(drop)
}

/// The newest checkpoint of a log with its cosignature.
pub(super) fn note(db: &Db, origin: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT note FROM witness_checkpoint WHERE origin = $1";
    db.row(sql, [text(origin)])?.map(|row| row.text(0)).transpose()
}

/// Keeps a request with a checkpoint that its log has signed and that contradicts what was
/// cosigned, the first few of each log.
pub(super) fn add_evidence(
    tx: &Tx,
    origin: &str,
    now: Timestamp,
    request: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO witness_evidence (origin, number, time, request) \
               SELECT $1, COUNT(*), CAST($2 AS BIGINT), $3 FROM witness_evidence \
               WHERE origin = $1 HAVING COUNT(*) < $4";
    let values = [text(origin), number(now), text(request), number(EVIDENCE_MAX)];
    tx.run(sql, values).map(drop)
}
