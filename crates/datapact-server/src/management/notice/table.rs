//! The notices about users in the database.

use datapact_api::user::UserNotice;
use datapact_core::identity::Identity;
use datapact_store::{Db, StoreError, Tx, json, number, text};

/// How many notices are read at once.
const BATCH: u64 = 100;

/// Puts a notice for each of `servers` into the outbox, in place of an older one about the same
/// user.
pub(crate) fn post(tx: &Tx, servers: &[String], notice: &UserNotice) -> Result<(), StoreError> {
    insert(
        tx,
        servers,
        notice,
        "ON CONFLICT (server, identity) DO UPDATE SET status = excluded.status, \
         sequence = excluded.sequence, authorisation = excluded.authorisation",
    )
}

/// Puts a notice for each of `servers` into the outbox, unless one about the same user is there.
pub(crate) fn post_if_none(
    tx: &Tx,
    servers: &[String],
    notice: &UserNotice,
) -> Result<(), StoreError> {
    insert(tx, servers, notice, "ON CONFLICT (server, identity) DO NOTHING")
}

fn insert(
    tx: &Tx,
    servers: &[String],
    notice: &UserNotice,
    on_conflict: &str,
) -> Result<(), StoreError> {
    let (identity, status) = (text(&notice.identity), json(&notice.status)?);
    let (sequence, authorisation) = (number(notice.sequence), json(&notice.authorisation)?);
    let row = |server: &String| {
        let (status, sequence) = (status.clone(), sequence.clone());
        [text(server), identity.clone(), status, sequence, authorisation.clone()]
    };
    let rows = servers.iter().map(row).collect();
    let into = "notice (server, identity, status, sequence, authorisation)";
    tx.insert_or(into, rows, on_conflict)
}

/// The servers that are still to be told of `identity`.
pub(super) fn untold(db: &Db, identity: &Identity) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT server FROM notice WHERE identity = $1 ORDER BY server";
    db.rows(sql, [text(identity)])?.iter().map(|row| row.text(0)).collect()
}

/// The oldest notices for `server`.
pub(super) fn waiting(db: &Db, server: &str) -> Result<Vec<UserNotice>, StoreError> {
    let sql = "SELECT identity, status, sequence, authorisation FROM notice WHERE server = $1 \
               ORDER BY sequence LIMIT $2";
    let found = db.rows(sql, [text(server), number(BATCH)])?;
    found
        .iter()
        .map(|row| {
            let (identity, status) = (row.parse(0)?, row.json(1)?);
            let (sequence, authorisation) = (row.number(2)?, row.json(3)?);
            Ok(UserNotice { identity, status, sequence, authorisation })
        })
        .collect()
}

/// Takes a notice out, unless a newer one is in its place.
pub(super) fn delivered(tx: &Tx, server: &str, notice: &UserNotice) -> Result<(), StoreError> {
    let sql = "DELETE FROM notice WHERE server = $1 AND identity = $2 AND sequence = $3";
    let values = [text(server), text(&notice.identity), number(notice.sequence)];
    tx.run(sql, values).map(drop)
}
