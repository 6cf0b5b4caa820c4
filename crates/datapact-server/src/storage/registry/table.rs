//! The table of packages: which is whose, and which object holds it.

use std::collections::HashSet;

use datapact_core::id::{Digest, PackageId, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, Row, StoreError, Tx, Value, number, text};

type Result<T> = std::result::Result<T, StoreError>;

/// The table of packages.
pub(in crate::storage) const SCHEMA: Migration =
    Migration { module: "storage", version: 1, sql: include_str!("schema_1.sql") };

/// How many registrations a page holds.
const PAGE: u64 = 200;

/// A registration.
pub(in crate::storage) struct Registration {
    pub(in crate::storage) id: PackageId,
    pub(in crate::storage) provider: Identity,
    pub(in crate::storage) stored: Option<Stored>,
}

/// What fills a registration.
#[derive(Clone)]
pub(in crate::storage) struct Stored {
    pub(in crate::storage) object: String,
    pub(in crate::storage) digest: Digest,
    pub(in crate::storage) size: u64,
}

/// How many registrations there are, and what fills them.
pub(in crate::storage) struct Totals {
    pub(in crate::storage) registered: u64,
    pub(in crate::storage) stored: u64,
    pub(in crate::storage) bytes: u64,
}

/// Registers a package, unless it is registered already.
pub(in crate::storage) fn register(
    tx: &Tx,
    id: &PackageId,
    provider: &Identity,
    now: Timestamp,
) -> Result<()> {
    let [realm, subject] = parts(provider);
    let row = [text(id), realm, subject, number(now)];
    let on_conflict = "ON CONFLICT (id) DO NOTHING";
    tx.insert_or("package (id, realm, subject, registered)", vec![row], on_conflict)
}

pub(in crate::storage) fn registration(db: &Db, id: &PackageId) -> Result<Option<Registration>> {
    let sql = "SELECT id, realm, subject, object, digest, size FROM package WHERE id = $1";
    db.row(sql, [text(id)])?.as_ref().map(read).transpose()
}

/// A provider's registrations behind `after`, by identifier, a page of them.
pub(in crate::storage) fn registrations_of(
    db: &Db,
    provider: &Identity,
    after: Option<&PackageId>,
) -> Result<Vec<Registration>> {
    let sql = "SELECT id, realm, subject, object, digest, size FROM package \
               WHERE realm = $1 AND subject = $2 AND id > $3 ORDER BY id LIMIT $4";
    let [realm, subject] = parts(provider);
    let after = after.map(ToString::to_string).unwrap_or_default();
    db.rows(sql, [realm, subject, text(after), number(PAGE)])?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Registration> {
    let stored = match row.optional_text(3)? {
        None => None,
        Some(object) => Some(Stored { object, digest: row.parse(4)?, size: row.number(5)? }),
    };
    let provider = Identity { realm: row.text(1)?, subject: row.text(2)? };
    Ok(Registration { id: row.parse(0)?, provider, stored })
}

/// Fills a registration that is empty, unless the provider would then have more than `bytes_max`.
/// One statement, so that two uploads do not both find room for one.
pub(in crate::storage) fn fill(
    tx: &Tx,
    id: &PackageId,
    stored: &Stored,
    bytes_max: u64,
) -> Result<bool> {
    let sql = "UPDATE package SET object = $1, digest = $2, size = $3 \
               WHERE id = $4 AND object IS NULL AND $3 + ( \
               SELECT CAST(COALESCE(SUM(COALESCE(other.size, other.announced)), 0) AS BIGINT) \
               FROM package other WHERE other.realm = package.realm \
               AND other.subject = package.subject AND other.id <> $4) <= $5";
    let (object, digest) = (text(&stored.object), text(stored.digest));
    let values = [object, digest, number(stored.size), text(id), number(bytes_max)];
    Ok(tx.run(sql, values)? == 1)
}

/// Sets aside room for an upload to a registration that is empty, unless the provider would then
/// have more than `bytes_max`.
pub(in crate::storage) fn announce(
    tx: &Tx,
    id: &PackageId,
    size: u64,
    bytes_max: u64,
) -> Result<bool> {
    let sql = "UPDATE package SET announced = $1 WHERE id = $2 AND object IS NULL AND $1 + ( \
               SELECT CAST(COALESCE(SUM(COALESCE(other.size, other.announced)), 0) AS BIGINT) \
               FROM package other WHERE other.realm = package.realm \
               AND other.subject = package.subject AND other.id <> $2) <= $3";
    Ok(tx.run(sql, [number(size), text(id), number(bytes_max)])? == 1)
}

/// Gives back the room that was set aside for an upload, but for the `kept` bytes that have
/// arrived.
pub(in crate::storage) fn give_back(tx: &Tx, id: &PackageId, kept: u64) -> Result<()> {
    let sql = "UPDATE package SET announced = $2 WHERE id = $1 AND object IS NULL";
    tx.run(sql, [text(id), (kept > 0).then(|| number(kept)).into()]).map(drop)
}

/// Gives back the room of all uploads but those that something has arrived of.
pub(in crate::storage) fn forget_announced(tx: &Tx, begun: &[PackageId]) -> Result<()> {
    let sql = "SELECT id FROM package WHERE announced IS NOT NULL AND object IS NULL";
    for row in tx.rows(sql, [])? {
        let id: PackageId = row.parse(0)?;
        if !begun.contains(&id) {
            give_back(tx, &id, 0)?;
        }
    }
    Ok(())
}

/// Forgets a registration; the object that it named.
pub(in crate::storage) fn delete(tx: &Tx, id: &PackageId) -> Result<Option<String>> {
    let row = tx.row("SELECT object FROM package WHERE id = $1", [text(id)])?;
    tx.run("DELETE FROM package WHERE id = $1", [text(id)])?;
    Ok(row.map(|row| row.optional_text(0)).transpose()?.flatten())
}

/// Forgets the registrations of an erased user; the objects that they named.
pub(in crate::storage) fn erase(tx: &Tx, provider: &Identity) -> Result<Vec<String>> {
    let sql = "SELECT object FROM package \
               WHERE realm = $1 AND subject = $2 AND object IS NOT NULL";
    let rows = tx.rows(sql, parts(provider))?;
    tx.run("DELETE FROM package WHERE realm = $1 AND subject = $2", parts(provider))?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Who has registered packages.
pub(in crate::storage) fn providers(db: &Db) -> Result<Vec<Identity>> {
    let rows = db.rows("SELECT DISTINCT realm, subject FROM package", [])?;
    let provider = |row: &Row| Ok(Identity { realm: row.text(0)?, subject: row.text(1)? });
    rows.iter().map(provider).collect()
}

/// Remembers that management asked for a stored package: a policy is about to name it.
pub(in crate::storage) fn confirm(tx: &Tx, id: &PackageId) -> Result<()> {
    let sql = "UPDATE package SET confirmed = 1 \
               WHERE id = $1 AND object IS NOT NULL AND confirmed = 0";
    tx.run(sql, [text(id)]).map(drop)
}

/// Forgets what was registered before a moment and is either not filled or never asked for by
/// management.
pub(in crate::storage) fn forget_unconfirmed(tx: &Tx, before: Timestamp) -> Result<()> {
    let sql = "DELETE FROM package WHERE confirmed = 0 AND registered < $1";
    tx.run(sql, [number(before)]).map(drop)
}

/// The objects that registrations name, each with who provides it.
pub(crate) fn objects_and_providers(db: &Db) -> Result<Vec<(String, Identity)>> {
    let sql = "SELECT object, realm, subject FROM package WHERE object IS NOT NULL ORDER BY object";
    let read =
        |row: &Row| Ok((row.text(0)?, Identity { realm: row.text(1)?, subject: row.text(2)? }));
    db.rows(sql, [])?.iter().map(read).collect()
}

/// The objects that registrations name.
pub(crate) fn objects(db: &Db) -> Result<HashSet<String>> {
    let rows = db.rows("SELECT object FROM package WHERE object IS NOT NULL", [])?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Whether the database answers, asked so that it costs little: the server's health is public.
pub(in crate::storage) fn check(db: &Db) -> Result<()> {
    db.row("SELECT 1 FROM package LIMIT 1", []).map(drop)
}

/// How many registrations of a provider wait to be filled.
pub(in crate::storage) fn unfilled(db: &Db, provider: &Identity) -> Result<u64> {
    let sql = "SELECT COUNT(*) FROM package \
               WHERE realm = $1 AND subject = $2 AND object IS NULL";
    db.row(sql, parts(provider))?.map_or(Ok(0), |row| row.number(0))
}

/// When the newest registration was made; 0 without any.
pub(in crate::storage) fn newest(db: &Db) -> Result<Timestamp> {
    let row = db.row("SELECT COALESCE(MAX(registered), 0) FROM package", [])?;
    row.map_or(Ok(0), |row| row.number(0))
}

pub(in crate::storage) fn totals(db: &Db) -> Result<Totals> {
    let sql = "SELECT COUNT(*), COUNT(object), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM package";
    let row = db.row(sql, [])?.ok_or_else(|| StoreError::Damaged("no totals".to_owned()))?;
    Ok(Totals { registered: row.number(0)?, stored: row.number(1)?, bytes: row.number(2)? })
}

/// The columns `realm` and `subject`.
fn parts(identity: &Identity) -> [Value; 2] {
    [text(&identity.realm), text(&identity.subject)]
}
