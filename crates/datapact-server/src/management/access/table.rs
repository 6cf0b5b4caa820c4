//! The tables of accesses, usage reports, and what is left of erased ones.

use datapact_api::management::{AccessEntry, Erasure, RecordQuery, UsageEntry, UsageReceipt};
use datapact_api::problem::Problem;
use datapact_core::commitment::Opening;
use datapact_core::contract::AccessRecord;
use datapact_core::document::Body;
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_store::{Db, Migration, Row, StoreError, Tx, Value, json, number, text};
use serde::Serialize;

use crate::management::failure::Result;
use crate::management::policy::table as policy_table;
use crate::management::stored::signed;

/// The tables of accesses and usage reports.
pub(crate) const SCHEMA: Migration =
    Migration { module: "access", version: 1, sql: include_str!("schema_1.sql") };

/// How many records a page holds.
const PAGE: u64 = 200;
/// An access as [`access_entry`] reads it, from `access t` and the consumer's `salt s`.
const ACCESS_ENTRY: &str = "t.position, t.record, t.document, s.salt, t.consumer";

/// A row of `access` or `usage`: a recorded call and the document behind it.
pub(crate) struct NewRecord([Value; 7]);

impl NewRecord {
    /// The row of `document`, by a consumer, which the ledger recorded at `position`.
    pub(crate) fn of<B: Body>(
        document: &Signed<B>,
        share: ShareId,
        provider: &Identity,
        position: u64,
        record: &impl Serialize,
    ) -> Result<Self> {
        Ok(Self([
            text(document.id()),
            text(share),
            text(provider),
            text(document.signer()),
            number(position),
            json(record)?,
            text(document.as_str()),
        ]))
    }
}

/// Adds accesses.
pub(crate) fn insert_accesses(tx: &Tx, records: Vec<NewRecord>) -> Result<()> {
    let into = "access (request, share, provider, consumer, position, record, document)";
    Ok(tx.insert(into, rows(records))?)
}

/// Adds usage reports.
pub(crate) fn insert_usages(tx: &Tx, records: Vec<NewRecord>) -> Result<()> {
    let into = "usage (report, share, provider, consumer, position, record, document)";
    Ok(tx.insert(into, rows(records))?)
}

fn rows(records: Vec<NewRecord>) -> Vec<[Value; 7]> {
    records.into_iter().map(|record| record.0).collect()
}

/// The access that was granted to the request `id`, once it is applied.
pub(super) fn access(db: &Db, id: &Digest) -> Result<Option<AccessEntry>> {
    let sql = format!(
        "SELECT {ACCESS_ENTRY} FROM access t \
         JOIN salt s ON s.share = t.share AND s.identity = t.consumer WHERE t.request = $1"
    );
    Ok(db.row(sql, [text(id)])?.map(|row| access_entry(&row)).transpose()?)
}

/// The receipt of the usage report `id`, once it is applied.
pub(super) fn usage(db: &Db, id: &Digest) -> Result<Option<UsageReceipt>> {
    let row = db.row("SELECT position, record FROM usage WHERE report = $1", [text(id)])?;
    row.map(|row| Ok(UsageReceipt { position: row.number(0)?, record: row.json(1)? })).transpose()
}

/// A page of the accesses that are the user's own or to its shares (MG-13), oldest first.
pub(super) fn accesses(db: &Db, user: &Identity, query: &RecordQuery) -> Result<Vec<AccessEntry>> {
    let found = records(db, "access", ACCESS_ENTRY, user, query)?;
    Ok(found.iter().map(access_entry).collect::<std::result::Result<_, _>>()?)
}

/// A page of the usage reports that are the user's own or on its shares, oldest first.
pub(super) fn usages(db: &Db, user: &Identity, query: &RecordQuery) -> Result<Vec<UsageEntry>> {
    let found = records(db, "usage", "t.position, t.record, t.document", user, query)?;
    let entry = |row: &Row| {
        let (position, record) = (row.number(0)?, row.json(1)?);
        Ok(UsageEntry { position, record, report: signed(row, 2)? })
    };
    found.iter().map(entry).collect()
}

/// `table` and `columns` are this module's own text. An access whose salt was erased cannot be
/// shown, as no one can tell whose it was.
fn records(
    db: &Db,
    table: &str,
    columns: &str,
    user: &Identity,
    query: &RecordQuery,
) -> Result<Vec<Row>> {
    let from = match query.after {
        Some(after) => after
            .checked_add(1)
            .filter(|from| i64::try_from(*from).is_ok())
            .ok_or_else(|| Problem::malformed("`after` is larger than any position"))?,
        None => 0,
    };
    let mut values = vec![text(user), number(from), number(PAGE)];
    let of_share = share_condition(query, "t.share", &mut values);
    let sql = format!(
        "SELECT {columns} FROM {table} t \
         JOIN salt s ON s.share = t.share AND s.identity = t.consumer \
         WHERE (t.consumer = $1 OR t.provider = $1) AND t.position >= $2 {of_share} \
         ORDER BY t.position LIMIT $3"
    );
    Ok(db.rows(sql, values)?)
}

/// A page of the provider's erasures, oldest first.
pub(super) fn erasures(db: &Db, provider: &Identity, query: &RecordQuery) -> Result<Vec<Erasure>> {
    let from = query.after.map_or(0, |after| after.saturating_add(1));
    let mut values = vec![text(provider), number(from), number(PAGE)];
    let of_share = share_condition(query, "share", &mut values);
    let sql = format!(
        "SELECT position, time FROM erasure WHERE provider = $1 AND position >= $2 {of_share} \
         ORDER BY position LIMIT $3"
    );
    let erasure = |row: &Row| Ok(Erasure { position: row.number(0)?, time: row.number(1)? });
    db.rows(sql, values)?.iter().map(erasure).collect()
}

/// The condition that a query's share adds behind three values.
fn share_condition(query: &RecordQuery, column: &str, values: &mut Vec<Value>) -> String {
    match &query.share {
        Some(share) => {
            values.push(text(share));
            format!("AND {column} = $4")
        }
        None => String::new(),
    }
}

/// From a row of [`ACCESS_ENTRY`].
fn access_entry(row: &Row) -> std::result::Result<AccessEntry, StoreError> {
    Ok(AccessEntry {
        position: row.number(0)?,
        record: row.json(1)?,
        request: signed(row, 2)?,
        consumer: Opening { salt: row.parse(3)?, identity: row.parse(4)? },
    })
}

/// Whom an access concerns.
pub(crate) struct Parties {
    pub(crate) consumer: Identity,
    /// None if the provider was erased.
    pub(crate) provider: Option<Identity>,
    pub(crate) record: AccessRecord,
}

/// Whom the access by the request `id` concerns.
pub(crate) fn parties(db: &Db, id: &Digest) -> std::result::Result<Option<Parties>, StoreError> {
    let sql = "SELECT consumer, provider, record FROM access WHERE request = $1";
    let Some(row) = db.row(sql, [text(id)])? else { return Ok(None) };
    let (consumer, provider) = (row.parse(0)?, row.optional_parse(1)?);
    Ok(Some(Parties { consumer, provider, record: row.json(2)? }))
}

/// Notes that the user with this mark, who is being erased, has accessed the share.
pub(crate) fn add_tombstone(tx: &Tx, share: &ShareId, mark: &str) -> Result<()> {
    let sql = "INSERT INTO tombstone (share, mark) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.run(sql, [text(share), text(mark)])?;
    Ok(())
}

/// Deletes the tombstones on shares that have ended: they can grant no access any more.
pub(crate) fn erase_ended(tx: &Tx, now: Timestamp) -> Result<()> {
    let sql = format!("DELETE FROM tombstone WHERE share IN ({})", policy_table::ENDED);
    tx.run(sql, policy_table::ended_values(now))?;
    Ok(())
}

/// Deletes what a user signed, and the user's name from what others did on its shares; to be called
/// while these shares are still there. Consumers keep their own records.
pub(crate) fn erase(tx: &Tx, identity: &Identity, now: Timestamp) -> Result<()> {
    let sql = "DELETE FROM erasure WHERE share IN (SELECT id FROM share WHERE provider = $1)";
    tx.run(sql, [text(identity)])?;
    for table in ["access", "usage"] {
        let sql = format!("UPDATE {table} SET provider = NULL WHERE provider = $1");
        tx.run(sql, [text(identity)])?;
        // An erased provider need not be told. SQLite takes `ON CONFLICT` after a SELECT only
        // behind a WHERE.
        let sql = format!(
            "INSERT INTO erasure (position, share, provider, time) \
             SELECT position, share, provider, CAST($2 AS BIGINT) FROM {table} \
             WHERE consumer = $1 AND provider IS NOT NULL ON CONFLICT (position) DO NOTHING"
        );
        tx.run(sql, [text(identity), number(now)])?;
        tx.run(format!("DELETE FROM {table} WHERE consumer = $1"), [text(identity)])?;
    }
    Ok(())
}
