//! What the log as a whole is: the chain that it mirrors, and why its follower stopped.

use datapact_log::Position;
use datapact_store::{Db, StoreError, Tx, number, text};

/// The chain that this log mirrors, and the chain's position after the newest event mirrored.
pub(crate) fn mirror(db: &Db) -> Result<Option<(String, Position)>, StoreError> {
    let row = db.row("SELECT chain, next FROM ledger_mirror WHERE id = 1", [])?;
    row.map(|row| Ok((row.text(0)?, row.number(1)?))).transpose()
}

pub(crate) fn write_mirror(tx: &Tx, chain: &str, next: Position) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger_mirror (id, chain, next) VALUES (1, $1, $2) \
               ON CONFLICT (id) DO UPDATE SET chain = excluded.chain, next = excluded.next";
    tx.run(sql, [text(chain), number(next)]).map(drop)
}

/// Why a follower stopped: the entry at fault and the reason.
pub(crate) fn fault(db: &Db) -> Result<Option<(Option<Position>, String)>, StoreError> {
    let row = db.row("SELECT position, reason FROM ledger_fault WHERE id = 1", [])?;
    row.map(|row| Ok((row.optional_number(0)?, row.text(1)?))).transpose()
}

/// Stores why a follower stopped, and the checkpoint that showed it; the first reason stays.
pub(crate) fn write_fault(
    tx: &Tx,
    at: Option<Position>,
    reason: &str,
    evidence: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger_fault (id, position, reason, evidence) VALUES (1, $1, $2, $3) \
               ON CONFLICT (id) DO NOTHING";
    tx.run(sql, [at.map(number).into(), text(reason), text(evidence)]).map(drop)
}

/// Forgets why a follower stopped.
pub(crate) fn clear_fault(tx: &Tx) -> Result<(), StoreError> {
    tx.run("DELETE FROM ledger_fault", []).map(drop)
}
