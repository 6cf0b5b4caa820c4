//! The table of policies.

use datapact_core::contract::SetPolicy;
use datapact_core::id::{Digest, KeyId, PackageId, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::policy::{ShareState, SharingPolicy};
use datapact_store::{Db, Migration, Row, StoreError, Tx, json, number, text};

type Result<T> = std::result::Result<T, StoreError>;

/// The table of policies.
pub(in crate::key) const SCHEMA: Migration =
    Migration { module: "policy", version: 1, sql: include_str!("schema_1.sql") };

/// A policy's columns, of `key_policy p`.
pub(in crate::key) const COLUMNS: &str = "p.policy, p.share, p.owner, p.version, p.state, \
    p.expires, p.signed, p.key, p.package, p.package_id, p.call, p.withheld";

/// The key and the package that a policy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::key) struct DataReference {
    pub(in crate::key) key: KeyId,
    pub(in crate::key) package: PackageId,
    /// The package's digest.
    pub(in crate::key) digest: Digest,
}

/// A policy version that the provider signed: shown by management, or brought by the provider to
/// withhold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::key) struct PolicyRow {
    pub(in crate::key) policy: Digest,
    pub(in crate::key) share: ShareId,
    pub(in crate::key) owner: String,
    pub(in crate::key) version: u32,
    pub(in crate::key) state: ShareState,
    pub(in crate::key) expires: Timestamp,
    /// The document's own time.
    pub(in crate::key) signed: Timestamp,
    pub(in crate::key) data: DataReference,
    /// What the ledger must say of it; none until management has shown it.
    pub(in crate::key) call: Option<SetPolicy>,
    /// Whether the provider brought it to withhold the key.
    pub(in crate::key) withheld: bool,
}

impl PolicyRow {
    pub(in crate::key) fn new(
        policy: &SharingPolicy,
        id: Digest,
        owner: &Identity,
        signed: Timestamp,
    ) -> Self {
        Self {
            policy: id,
            share: policy.share,
            owner: owner.to_string(),
            version: policy.version,
            state: policy.state,
            expires: policy.permission.expires,
            signed,
            data: DataReference {
                key: policy.information.key.id,
                package: policy.information.package.id,
                digest: policy.information.package.digest,
            },
            call: None,
            withheld: false,
        }
    }
}

/// All that `owner` has signed for `share`, oldest version first.
pub(in crate::key) fn policies(db: &Db, share: &ShareId, owner: &str) -> Result<Vec<PolicyRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM key_policy p WHERE p.share = $1 AND p.owner = $2 \
         ORDER BY p.version, p.policy"
    );
    db.rows(sql, [text(share), text(owner)])?.iter().map(|row| policy(row, 0)).collect()
}

/// Writes a policy. One that is there keeps its call, and stays withheld.
pub(in crate::key) fn put(tx: &Tx, row: &PolicyRow) -> Result<()> {
    let into = "key_policy (policy, share, owner, version, state, expires, signed, key, package, \
                package_id, call, withheld)";
    let on_conflict = "ON CONFLICT (policy) DO UPDATE SET \
                       call = COALESCE(key_policy.call, excluded.call), \
                       withheld = CASE WHEN key_policy.withheld > excluded.withheld \
                       THEN key_policy.withheld ELSE excluded.withheld END";
    let values = [
        text(row.policy),
        text(row.share),
        text(&row.owner),
        number(row.version.into()),
        json(&row.state)?,
        number(row.expires),
        number(row.signed),
        text(row.data.key),
        text(row.data.digest),
        text(row.data.package),
        row.call.as_ref().map(json).transpose()?.into(),
        row.withheld.into(),
    ];
    tx.insert_or(into, vec![values], on_conflict)
}

pub(in crate::key) fn delete(tx: &Tx, policy: &Digest) -> Result<()> {
    tx.run("DELETE FROM key_policy WHERE policy = $1", [text(policy)]).map(drop)
}

/// Destroys the policies of an erased user.
pub(in crate::key) fn erase(tx: &Tx, owner: &Identity) -> Result<()> {
    tx.run("DELETE FROM key_policy WHERE owner = $1", [text(owner)]).map(drop)
}

/// A policy whose [`COLUMNS`] begin at `first`.
pub(in crate::key) fn policy(row: &Row, first: usize) -> Result<PolicyRow> {
    let damaged = |_| StoreError::Damaged("a policy's version".to_owned());
    Ok(PolicyRow {
        policy: row.parse(first)?,
        share: row.parse(first + 1)?,
        owner: row.text(first + 2)?,
        version: u32::try_from(row.number(first + 3)?).map_err(damaged)?,
        state: row.json(first + 4)?,
        expires: row.number(first + 5)?,
        signed: row.number(first + 6)?,
        data: DataReference {
            key: row.parse(first + 7)?,
            digest: row.parse(first + 8)?,
            package: row.parse(first + 9)?,
        },
        call: row.optional_text(first + 10)?.map(|_| row.json(first + 10)).transpose()?,
        withheld: row.number(first + 11)? != 0,
    })
}
