//! The revocations of tokens in the database, each with whether its key server was told.

use datapact_api::key_server::TokenRevocation;
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_core::id::{Digest, Timestamp};
use datapact_store::{Db, StoreError, Tx, number, text};

/// How many revocations are read at once.
const BATCH: u64 = 100;

/// Whether the token of the access by `request` was revoked.
pub(crate) fn is_revoked(db: &Db, request: &Digest) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM token_revocation WHERE request = $1";
    Ok(db.row(sql, [text(request)])?.is_some())
}

/// Revokes a token, of which `server` is still to be told. Returns whether it was good before.
pub(crate) fn revoke(
    tx: &Tx,
    revocation: &TokenRevocation,
    server: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // A token that is dead by every clock needs no revocation any more.
    let dead = number(now.saturating_sub(CLOCK_SKEW_SECONDS_MAX));
    tx.run("DELETE FROM token_revocation WHERE until <= $1", [dead])?;
    let sql = "INSERT INTO token_revocation (request, server, until, told) \
               VALUES ($1, $2, $3, 0) ON CONFLICT (request) DO NOTHING";
    let values = [text(revocation.request), text(server), number(revocation.until)];
    Ok(tx.run(sql, values)? == 1)
}

/// The key server that is still to be told of the revocation, if it is.
pub(super) fn untold(db: &Db, request: &Digest) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT server FROM token_revocation WHERE request = $1 AND told = 0";
    db.rows(sql, [text(request)])?.iter().map(|row| row.text(0)).collect()
}

/// Revocations of which `server` is still to be told.
pub(super) fn waiting(db: &Db, server: &str) -> Result<Vec<TokenRevocation>, StoreError> {
    let sql = "SELECT request, until FROM token_revocation WHERE told = 0 AND server = $1 LIMIT $2";
    let found = db.rows(sql, [text(server), number(BATCH)])?;
    found
        .iter()
        .map(|row| Ok(TokenRevocation { request: row.parse(0)?, until: row.number(1)? }))
        .collect()
}

/// Notes that the key server was told.
pub(super) fn delivered(tx: &Tx, request: &Digest) -> Result<(), StoreError> {
    tx.run("UPDATE token_revocation SET told = 1 WHERE request = $1", [text(request)]).map(drop)
}
