//! The tables of releases, and of what speaks against one.

use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, Row, StoreError, Tx, number, text};

use super::record::Release;

type Result<T> = std::result::Result<T, StoreError>;

/// The tables of releases.
pub(in crate::key) const SCHEMA: Migration =
    Migration { module: "release", version: 1, sql: include_str!("schema_1.sql") };

/// A release's columns, in the order of [`ReleaseRow`].
const COLUMNS: &str = "key_request, request, share, owner, consumer, time, sealed, \
                       signed_release, signed_request";
/// How many releases a page holds.
const PAGE: u64 = 200;

/// A release that has been made durable.
#[derive(Debug, Clone)]
pub(super) struct ReleaseRow {
    pub(super) key_request: Digest,
    pub(super) request: Digest,
    pub(super) share: ShareId,
    pub(super) owner: String,
    /// Who signed the key request.
    pub(super) consumer: String,
    pub(super) time: Timestamp,
    /// The sealed key as JSON; none when a token for it can no longer live.
    pub(super) sealed: Option<String>,
    pub(super) signed_release: String,
    pub(super) signed_request: String,
}

/// What is on record before a release.
pub(super) struct Earlier {
    /// The access's tokens were revoked.
    pub(super) is_revoked: bool,
    /// The consumer has accessed the share by an account that was erased.
    pub(super) is_erased: bool,
    /// The one commitment by which the consumer has been known on the share.
    pub(super) commitment: Option<Commitment>,
    /// How often keys were released for the access.
    pub(super) count: u64,
    /// The release that answered the same key request.
    pub(super) release: Option<ReleaseRow>,
}

/// What is on record before each of `releases`, in their order, read by one statement.
pub(super) fn earlier(db: &Db, releases: &[Release]) -> Result<Vec<Earlier>> {
    let sql = "SELECT n, \
        (SELECT COUNT(*) FROM key_revocation r WHERE r.request = given.request), \
        (SELECT COUNT(*) FROM key_tombstone t \
         WHERE t.share = given.share AND t.mark = given.mark), \
        (SELECT commitment FROM key_consumer c \
         WHERE c.share = given.share AND c.identity = given.consumer), \
        (SELECT COUNT(*) FROM key_release r WHERE r.request = given.request), \
        (SELECT COUNT(*) FROM key_release r WHERE r.key_request = given.key_request) FROM given";
    let given = releases.iter().zip(0..).map(|(Release { mark, row, .. }, n)| {
        let (request, key_request) = (text(row.request), text(row.key_request));
        [number(n), request, key_request, text(row.share), text(&row.consumer), text(mark)]
    });
    let given: Vec<_> = given.collect();
    let table = "given (n, request, key_request, share, consumer, mark)";
    let mut found: Vec<Option<Earlier>> = releases.iter().map(|_| None).collect();
    for row in db.rows_joined(table, &given, sql)? {
        let n = usize::try_from(row.number(0)?).ok();
        let place = n.and_then(|n| found.get_mut(n).zip(releases.get(n)));
        let Some((place, of)) = place else { continue };
        *place = Some(Earlier {
            is_revoked: row.number(1)? > 0,
            is_erased: row.number(2)? > 0,
            commitment: row.optional_parse(3)?,
            count: row.number(4)?,
            release: if row.number(5)? > 0 { release(db, &of.row.key_request)? } else { None },
        });
    }
    let missing = || StoreError::Damaged("a row that was given did not come back".to_owned());
    found.into_iter().map(|earlier| earlier.ok_or_else(missing)).collect()
}

/// The release that answered a key request.
fn release(db: &Db, key_request: &Digest) -> Result<Option<ReleaseRow>> {
    let sql = format!("SELECT {COLUMNS} FROM key_release WHERE key_request = $1");
    db.row(sql, [text(key_request)])?.as_ref().map(release_row).transpose()
}

/// The releases of `owner`'s keys on `share`, by key request behind `after`, a page of them.
pub(super) fn releases_of(
    db: &Db,
    share: &ShareId,
    owner: &str,
    after: Option<&Digest>,
) -> Result<Vec<ReleaseRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM key_release WHERE share = $1 AND owner = $2 AND key_request > $3 \
         ORDER BY key_request LIMIT {PAGE}"
    );
    let after = after.map(ToString::to_string).unwrap_or_default();
    db.rows(sql, [text(share), text(owner), text(after)])?.iter().map(release_row).collect()
}

pub(super) fn insert(tx: &Tx, rows: Vec<ReleaseRow>) -> Result<()> {
    let values = |row: ReleaseRow| {
        [
            text(row.key_request),
            text(row.request),
            text(row.share),
            row.owner.into(),
            row.consumer.into(),
            number(row.time),
            row.sealed.into(),
            row.signed_release.into(),
            row.signed_request.into(),
        ]
    };
    let rows = rows.into_iter().map(values).collect();
    tx.insert(&format!("key_release ({COLUMNS})"), rows)
}

pub(super) fn insert_commitments(tx: &Tx, new: &[((ShareId, String), Commitment)]) -> Result<()> {
    let row = |((share, identity), commitment): &((ShareId, String), Commitment)| {
        [text(share), text(identity), text(commitment)]
    };
    tx.insert("key_consumer (share, identity, commitment)", new.iter().map(row).collect())
}

/// Revokes the tokens of an access.
pub(super) fn revoke(tx: &Tx, request: &Digest, until: Timestamp) -> Result<()> {
    let row = [text(request), number(until)];
    tx.insert_or("key_revocation (request, until)", vec![row], "ON CONFLICT (request) DO NOTHING")
}

/// Forgets the revocations of tokens that are dead by time `now`.
pub(in crate::key) fn forget_revocations(tx: &Tx, now: Timestamp) -> Result<()> {
    tx.run("DELETE FROM key_revocation WHERE until <= $1", [number(now)]).map(drop)
}

/// Forgets the sealed keys of releases before `before`; that they were released stays.
pub(in crate::key) fn forget_sealed(tx: &Tx, before: Timestamp) -> Result<()> {
    let sql = "UPDATE key_release SET sealed = NULL WHERE time < $1 AND sealed IS NOT NULL";
    tx.run(sql, [number(before)]).map(drop)
}

/// Destroys the releases to an erased user, and those of its keys. `mark` makes its mark on a
/// share, which stays on each that it has accessed.
pub(in crate::key) fn erase(
    tx: &Tx,
    identity: &Identity,
    mark: impl Fn(&ShareId) -> String,
) -> Result<()> {
    let sql = "SELECT share FROM key_consumer WHERE identity = $1";
    let mut marks = Vec::new();
    for row in tx.rows(sql, [text(identity)])? {
        let share: ShareId = row.parse(0)?;
        marks.push([text(share), text(mark(&share))]);
    }
    tx.insert_or("key_tombstone (share, mark)", marks, "ON CONFLICT DO NOTHING")?;
    tx.run("DELETE FROM key_consumer WHERE identity = $1", [text(identity)])?;
    let sql = "DELETE FROM key_release WHERE consumer = $1 OR owner = $1";
    tx.run(sql, [text(identity)]).map(drop)
}

fn release_row(row: &Row) -> Result<ReleaseRow> {
    Ok(ReleaseRow {
        key_request: row.parse(0)?,
        request: row.parse(1)?,
        share: row.parse(2)?,
        owner: row.text(3)?,
        consumer: row.text(4)?,
        time: row.number(5)?,
        sealed: row.optional_text(6)?,
        signed_release: row.text(7)?,
        signed_request: row.text(8)?,
    })
}
