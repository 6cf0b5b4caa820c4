//! The enrolment in the database.

use datapact_core::enrolment::{Enrolment, Version};
use datapact_core::id::Digest;
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_store::{Db, Migration, Row, StoreError, Tx, json, number, text};

/// The tables of the published versions and of signatures on the next.
pub(crate) const SCHEMA: Migration =
    Migration { module: "enrolment", version: 1, sql: include_str!("schema_1.sql") };

type Result<T> = std::result::Result<T, StoreError>;

/// At most `limit` published versions behind `after`, oldest first.
pub(super) fn page(db: &Db, after: u64, limit: u64) -> Result<Vec<Version>> {
    let sql = "SELECT signatures FROM enrolment WHERE version > $1 ORDER BY version LIMIT $2";
    db.rows(sql, [number(after), number(limit)])?.iter().map(read).collect()
}

/// All published versions.
pub(super) fn all(db: &Db) -> Result<Vec<Version>> {
    page(db, 0, i64::MAX.unsigned_abs())
}

/// The version with this number.
pub(super) fn version(db: &Db, version: u32) -> Result<Option<Version>> {
    let sql = "SELECT signatures FROM enrolment WHERE version = $1";
    db.row(sql, [number(version.into())])?.as_ref().map(read).transpose()
}

/// The newest published version.
pub(super) fn newest(db: &Db) -> Result<Option<Version>> {
    let sql = "SELECT signatures FROM enrolment ORDER BY version DESC LIMIT 1";
    db.row(sql, [])?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Version> {
    row.json(0)
}

/// Publishes a version; signatures on what it was not are dropped.
pub(super) fn publish(tx: &Tx, version: u32, signatures: &Version) -> Result<()> {
    tx.insert(
        "enrolment (version, signatures)",
        vec![[number(version.into()), json(signatures)?]],
    )?;
    tx.run("DELETE FROM enrolment_signature", [])?;
    Ok(())
}

/// Keeps an administrator's signature on the next version, in place of an earlier one.
pub(super) fn sign(tx: &Tx, fingerprint: &Digest, document: &Signed<Enrolment>) -> Result<()> {
    erase(tx, document.signer())?;
    let row = [text(document.signer()), text(fingerprint), text(document.as_str())];
    tx.insert("enrolment_signature (signer, fingerprint, document)", vec![row])?;
    Ok(())
}

/// The signatures on the next version that have this fingerprint, by signer.
pub(super) fn signatures(db: &Db, fingerprint: &Digest) -> Result<Version> {
    let sql = "SELECT document FROM enrolment_signature WHERE fingerprint = $1 ORDER BY signer";
    let damaged = |e| StoreError::Damaged(format!("a signature on an enrolment: {e}"));
    let found = db.rows(sql, [text(fingerprint)])?;
    let parsed = found.iter().map(|row| Signed::parse(&row.text(0)?).map_err(damaged));
    parsed.collect::<Result<_>>().map(Version)
}

/// Drops what a user has signed of the next version. Published versions keep their signers.
pub(crate) fn erase(tx: &Tx, signer: &Identity) -> Result<()> {
    tx.run("DELETE FROM enrolment_signature WHERE signer = $1", [text(signer)])?;
    Ok(())
}
