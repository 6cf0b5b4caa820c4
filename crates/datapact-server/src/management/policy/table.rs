//! The tables of policies and shares.

use std::collections::BTreeMap;

use datapact_api::management::{CatalogEntry, OwnShare, PolicyReceipt};
use datapact_api::problem::Problem;
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingPolicy};
use datapact_store::{Db, Migration, Row, Tx, Value, json, number, text};

use crate::management::failure::Result;
use crate::management::salt;
use crate::management::stored::signed;
use crate::management::submit::Submit;

/// The tables of policies and shares.
pub(crate) const SCHEMA: Migration =
    Migration { module: "policy", version: 1, sql: include_str!("schema_1.sql") };

/// How many shares a page holds.
const PAGE: u64 = 200;
/// A share and its newest policy, as [`own_share`] reads them.
const OWN: &str = "SELECT p.id, p.position, p.document, s.event, s.accesses \
                   FROM share s JOIN policy p ON p.id = s.policy";

/// Selects the shares under which no access can be granted any more; takes [`ended_values`].
pub(crate) const ENDED: &str = "SELECT id FROM share WHERE state = $1 OR expires <= $2";

/// The values of [`ENDED`] at time `now`.
pub(crate) fn ended_values(now: Timestamp) -> [Value; 2] {
    [text(state_name(ShareState::Revoked)), number(now)]
}

/// A state's name in the database.
pub(crate) fn state_name(state: ShareState) -> &'static str {
    match state {
        ShareState::Active => "active",
        ShareState::Suspended => "suspended",
        ShareState::Revoked => "revoked",
    }
}

/// Whether a share whose state has this name may give access again.
pub(crate) fn is_live(state: &str) -> bool {
    state != state_name(ShareState::Revoked)
}

/// Adds a version.
pub(crate) fn insert(tx: &Tx, policy: &Signed<SharingPolicy>, position: u64) -> Result<()> {
    let body = policy.body();
    let row = [
        text(policy.id()),
        text(body.share),
        number(body.version.into()),
        text(policy.signer()),
        number(position),
        text(policy.as_str()),
    ];
    tx.insert("policy (id, share, version, provider, position, document)", vec![row])?;
    Ok(())
}

/// Sets the newest version of a share, which the ledger recorded at `time`.
pub(crate) fn set_share(tx: &Tx, entry: &CatalogEntry, time: Timestamp) -> Result<()> {
    let sql = "INSERT INTO share (id, provider, policy, event, state, expires, entry, changed, \
               accesses) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0) ON CONFLICT (id) DO UPDATE SET \
               policy = excluded.policy, event = excluded.event, state = excluded.state, \
               expires = excluded.expires, entry = excluded.entry, \
               changed = excluded.changed, package_gone = 0";
    let values = [
        text(entry.share),
        text(&entry.provider),
        text(entry.policy),
        number(entry.event),
        text(state_name(entry.state)),
        number(entry.expires),
        json(entry)?,
        number(time),
    ];
    tx.run(sql, values)?;
    Ok(())
}

/// Adds to the counts of shares' accesses.
pub(crate) fn count_accesses(tx: &Tx, counts: &BTreeMap<ShareId, u64>) -> Result<()> {
    for (share, count) in counts {
        let sql = "UPDATE share SET accesses = accesses + $2 WHERE id = $1";
        tx.run(sql, [text(share), number(*count)])?;
    }
    Ok(())
}

/// A share's provider, if the share is there and the provider was not erased.
pub(crate) fn provider(db: &Db, share: &ShareId) -> Result<Option<Identity>> {
    let row = db.row("SELECT provider FROM share WHERE id = $1", [text(share)])?;
    Ok(row.map(|row| row.parse(0)).transpose()?)
}

/// The signed policy `id`.
pub(crate) fn policy(db: &Db, id: &Digest) -> Result<Option<Signed<SharingPolicy>>> {
    let row = db.row("SELECT document FROM policy WHERE id = $1", [text(id)])?;
    Ok(row.map(|row| signed(&row, 0)).transpose()?)
}

/// What the provider gets for the policy `id`, once it is applied.
pub(super) fn receipt(db: &Db, id: &Digest, submit: &Submit) -> Result<Option<PolicyReceipt>> {
    let sql = "SELECT id, position, document FROM policy WHERE id = $1";
    let row = db.row(sql, [text(id)])?;
    row.map(|row| Ok(receipt_and_policy(db, &row, submit)?.0)).transpose()
}

/// The provider's shares behind the event `after`, by their newest event: a share that changes
/// between two pages comes again on a later page, and none is missed.
pub(super) fn own_shares(
    db: &Db,
    provider: &Identity,
    after: u64,
    submit: &Submit,
) -> Result<Vec<OwnShare>> {
    let sql = format!("{OWN} WHERE s.provider = $1 AND s.event > $2 ORDER BY s.event LIMIT $3");
    let found = db.rows(sql, [text(provider), number(after), number(PAGE)])?;
    found.iter().map(|row| own_share_of(db, row, submit)).collect()
}

/// The provider's share `id`.
pub(super) fn own_share(
    db: &Db,
    provider: &Identity,
    id: &ShareId,
    submit: &Submit,
) -> Result<Option<OwnShare>> {
    let sql = format!("{OWN} WHERE s.id = $1 AND s.provider = $2");
    let row = db.row(sql, [text(id), text(provider)])?;
    row.map(|row| own_share_of(db, &row, submit)).transpose()
}

/// From a row of [`OWN`].
fn own_share_of(db: &Db, row: &Row, submit: &Submit) -> Result<OwnShare> {
    let (receipt, policy) = receipt_and_policy(db, row, submit)?;
    Ok(OwnShare { event: row.number(3)?, receipt, policy, accesses: row.number(4)? })
}

/// From a row of id, position and document.
fn receipt_and_policy(
    db: &Db,
    row: &Row,
    submit: &Submit,
) -> Result<(PolicyReceipt, Signed<SharingPolicy>)> {
    let policy: Signed<SharingPolicy> = signed(row, 2)?;
    let body = policy.body();
    let owner = salt::opening(db, &body.share, policy.signer())?;
    let missing = || Problem::internal(format!("the share {} lacks its owner's salt", body.share));
    let owner = owner.ok_or_else(missing)?;
    // The salts of erased users are gone. A new one would not open what is on the ledger.
    let mut users = Vec::with_capacity(body.terms.users.len());
    for user in &body.terms.users {
        users.extend(salt::opening(db, &body.share, user)?);
    }
    let receipt = PolicyReceipt {
        share: body.share,
        version: body.version,
        policy: row.parse(0)?,
        contract: submit.address(&body.share),
        position: row.number(1)?,
        owner,
        users,
    };
    Ok((receipt, policy))
}

/// Deletes the policies and shares of a provider. Their keys and packages are deleted by the other
/// servers.
pub(crate) fn erase(tx: &Tx, provider: &Identity) -> Result<()> {
    tx.run("DELETE FROM policy WHERE provider = $1", [text(provider)])?;
    tx.run("DELETE FROM share WHERE provider = $1", [text(provider)])?;
    Ok(())
}
