//! The tables of keys, and of the versions of the key-encryption key.

use std::collections::{HashMap, HashSet};

use datapact_core::id::{Digest, KeyId, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, Row, StoreError, Tx, number, text};

use crate::erasures::secret::Subject;
use crate::erasures::{self, Erased};
use crate::key::policy::table::{self as policy, PolicyRow};

type Result<T> = std::result::Result<T, StoreError>;

/// The tables of keys.
pub(in crate::key) const SCHEMA: Migration =
    Migration { module: "key", version: 1, sql: include_str!("schema_1.sql") };

/// A key's columns, and how many these are.
const COLUMNS: &str = "e.id, e.owner, e.registered, e.share, e.package, e.sealed, e.kek";
const WIDTH: usize = 7;
/// How many keys a page holds.
const PAGE: u64 = 200;

/// A registered key, filled or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::key) struct KeyEntry {
    pub(in crate::key) id: KeyId,
    pub(in crate::key) owner: String,
    pub(in crate::key) registered: Timestamp,
    pub(in crate::key) stored: Option<StoredKey>,
}

/// What fills a key's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::key) struct StoredKey {
    pub(in crate::key) share: ShareId,
    pub(in crate::key) package: Digest,
    /// The version of the key-encryption key.
    pub(in crate::key) kek: u32,
    /// Under that.
    pub(in crate::key) sealed: String,
}

impl StoredKey {
    /// Whether both are one key, be it under two versions of the key-encryption key: what fills an
    /// entry is never replaced.
    pub(in crate::key) fn is(&self, other: &Self) -> bool {
        (self.share, self.package) == (other.share, other.package)
    }
}

/// A key, with the policies that its owner has signed for its share.
pub(in crate::key) type KeyAndPolicies = (KeyEntry, Vec<PolicyRow>);

pub(in crate::key) fn key(db: &Db, id: &KeyId) -> Result<Option<KeyEntry>> {
    let sql = format!("SELECT {COLUMNS} FROM key_entry e WHERE e.id = $1");
    db.row(sql, [text(id)])?.as_ref().map(entry).transpose()
}

fn entry(row: &Row) -> Result<KeyEntry> {
    let stored = match row.optional_parse(3)? {
        None => None,
        Some(share) => Some(StoredKey {
            share,
            package: row.parse(4)?,
            kek: version(row, 6)?,
            sealed: row.text(5)?,
        }),
    };
    Ok(KeyEntry { id: row.parse(0)?, owner: row.text(1)?, registered: row.number(2)?, stored })
}

/// Keys, each with the policies that its owner has signed for its share.
pub(in crate::key) fn keys_and_policies(
    db: &Db,
    ids: impl Iterator<Item = KeyId>,
) -> Result<HashMap<KeyId, KeyAndPolicies>> {
    let ids: HashSet<KeyId> = ids.collect();
    let sql = format!(
        "SELECT {COLUMNS}, {} FROM key_entry e LEFT JOIN key_policy p \
         ON p.share = e.share AND p.owner = e.owner WHERE e.id IN",
        policy::COLUMNS
    );
    let mut found = HashMap::new();
    for row in db.rows_of(&sql, ids.iter().map(text))? {
        let entry = entry(&row)?;
        let (_, policies) = found.entry(entry.id).or_insert_with(|| (entry, Vec::new()));
        if row.optional_text(WIDTH)?.is_some() {
            policies.push(policy::policy(&row, WIDTH)?);
        }
    }
    Ok(found)
}

/// Whether `owner` keeps a key of `share` here.
pub(in crate::key) fn owns_key(db: &Db, owner: &str, share: &ShareId) -> Result<bool> {
    let sql = "SELECT 1 FROM key_entry WHERE owner = $1 AND share = $2 LIMIT 1";
    Ok(db.row(sql, [text(owner), text(share)])?.is_some())
}

pub(super) fn insert(tx: &Tx, id: &KeyId, owner: &str, now: Timestamp) -> Result<()> {
    let row = [text(id), text(owner), number(now)];
    tx.insert("key_entry (id, owner, registered)", vec![row])
}

pub(super) fn fill(tx: &Tx, id: &KeyId, stored: &StoredKey) -> Result<()> {
    let sql = "UPDATE key_entry SET share = $2, package = $3, kek = $4, sealed = $5 WHERE id = $1";
    let values = [
        text(id),
        text(stored.share),
        text(stored.package),
        number(stored.kek.into()),
        text(&stored.sealed),
    ];
    tx.run(sql, values).map(drop)
}

/// Destroys a key, and notes it if it was stored.
pub(super) fn delete(tx: &Tx, id: &KeyId, now: Timestamp) -> Result<()> {
    let stored = "SELECT 1 FROM key_entry WHERE id = $1 AND sealed IS NOT NULL";
    if tx.row(stored, [text(id)])?.is_some() {
        erasures::note(tx, &Erased::Key(*id), &Subject::Key(*id), now)?;
    }
    forget(tx, id).map(drop)
}

/// Deletes a key's row; whether there was one.
pub(in crate::key) fn forget(tx: &Tx, id: &KeyId) -> Result<bool> {
    Ok(tx.run("DELETE FROM key_entry WHERE id = $1", [text(id)])? == 1)
}

/// How many keys `owner` has registered: unfilled ones, and filled ones.
pub(super) fn counts_of(db: &Db, owner: &str) -> Result<(u64, u64)> {
    let (registered, filled) =
        counts(db, "SELECT COUNT(*), COUNT(share) FROM key_entry WHERE owner = $1", Some(owner))?;
    Ok((registered.saturating_sub(filled), filled))
}

/// How many keys are registered, and how many of them stored.
pub(in crate::key) fn totals(db: &Db) -> Result<(u64, u64)> {
    counts(db, "SELECT COUNT(*), COUNT(sealed) FROM key_entry", None)
}

fn counts(db: &Db, sql: &str, owner: Option<&str>) -> Result<(u64, u64)> {
    let row = db.row(sql, owner.map(text))?;
    row.map_or(Ok((0, 0)), |row| Ok((row.number(0)?, row.number(1)?)))
}

/// Forgets registrations made before `before` that no policy was shown for: the share was not made.
pub(in crate::key) fn forget_unpublished(tx: &Tx, before: Timestamp) -> Result<()> {
    let sql =
        "DELETE FROM key_entry WHERE registered < $1 AND id NOT IN (SELECT key FROM key_policy)";
    tx.run(sql, [number(before)]).map(drop)
}

/// The registrations of `owner` behind `after`, by identifier, a page of them.
pub(super) fn entries_of(db: &Db, owner: &str, after: Option<&KeyId>) -> Result<Vec<KeyEntry>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM key_entry e WHERE e.owner = $1 AND e.id > $2 \
         ORDER BY e.id LIMIT {PAGE}"
    );
    let after = after.map(ToString::to_string).unwrap_or_default();
    db.rows(sql, [text(owner), text(after)])?.iter().map(entry).collect()
}

/// The filled keys of `owner` on `share`.
pub(super) fn keys_of_share(db: &Db, share: &ShareId, owner: &str) -> Result<Vec<KeyId>> {
    let sql = "SELECT id FROM key_entry WHERE share = $1 AND owner = $2";
    db.rows(sql, [text(share), text(owner)])?.iter().map(|row| row.parse(0)).collect()
}

/// Shares, with their owners, that keep a key here and may have ended, or replaced a key, before
/// `before`.
pub(super) fn maybe_ended(db: &Db, before: Timestamp) -> Result<Vec<(ShareId, String)>> {
    let sql = "SELECT DISTINCT p.share, p.owner FROM key_policy p \
               WHERE (p.expires <= $1 OR p.version > 1) AND EXISTS \
               (SELECT 1 FROM key_entry e WHERE e.share = p.share AND e.owner = p.owner)";
    let rows = db.rows(sql, [number(before)])?;
    rows.iter().map(|row| Ok((row.parse(0)?, row.text(1)?))).collect()
}

/// Destroys the keys of an erased user.
pub(in crate::key) fn erase(tx: &Tx, owner: &Identity) -> Result<()> {
    tx.run("DELETE FROM key_entry WHERE owner = $1", [text(owner)]).map(drop)
}

/// What proves each version of the key-encryption key that this database is encrypted with. The
/// greatest is the one in use.
pub(super) fn kek_proofs(db: &Db) -> Result<Vec<(u32, String)>> {
    let rows = db.rows("SELECT version, sealed FROM key_kek ORDER BY version", [])?;
    rows.iter().map(|row| Ok((version(row, 0)?, row.text(1)?))).collect()
}

/// The version of the key-encryption key in use; 0 in a new database.
pub(super) fn kek_in_use(db: &Db) -> Result<u32> {
    let row = db.row("SELECT COALESCE(MAX(version), 0) FROM key_kek", [])?;
    row.map_or(Ok(0), |row| version(&row, 0))
}

pub(super) fn write_kek_proof(tx: &Tx, version: u32, sealed: &str) -> Result<()> {
    tx.insert("key_kek (version, sealed)", vec![[number(version.into()), text(sealed)]])
}

/// Up to `max` keys under versions of the key-encryption key before `version`.
pub(super) fn keys_before_kek(db: &Db, version: u32, max: u64) -> Result<Vec<(KeyId, StoredKey)>> {
    let sql = format!("SELECT {COLUMNS} FROM key_entry e WHERE e.kek < $1 LIMIT $2");
    let mut keys = Vec::new();
    for row in db.rows(sql, [number(version.into()), number(max)])? {
        let KeyEntry { id, stored, .. } = entry(&row)?;
        keys.extend(stored.map(|stored| (id, stored)));
    }
    Ok(keys)
}

/// Puts a key that was encrypted again in its place.
pub(super) fn rekey(tx: &Tx, id: &KeyId, kek: u32, sealed: &str) -> Result<()> {
    let sql = "UPDATE key_entry SET kek = $2, sealed = $3 WHERE id = $1";
    tx.run(sql, [text(id), number(kek.into()), text(sealed)]).map(drop)
}

/// Forgets the versions of the key-encryption key before `version`: nothing is under them any more.
pub(super) fn forget_keks(tx: &Tx, version: u32) -> Result<()> {
    tx.run("DELETE FROM key_kek WHERE version < $1", [number(version.into())]).map(drop)
}

fn version(row: &Row, column: usize) -> Result<u32> {
    u32::try_from(row.number(column)?)
        .map_err(|_| StoreError::Damaged("a version of the key-encryption key".to_owned()))
}
