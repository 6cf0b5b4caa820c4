//! The accounts in the database.

use std::collections::HashSet;

use datapact_api::management::Account;
use datapact_api::problem::Problem;
use datapact_api::user::Authorisation;
use datapact_core::id::{AccountId, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, Row, StoreError, Tx, json, number, text};

use crate::management::failure::Result;

/// The tables of accounts, invitations and actions.
pub(crate) const SCHEMA: Migration =
    Migration { module: "account", version: 1, sql: include_str!("schema_1.sql") };

/// How many accounts a page holds.
const PAGE: u64 = 200;

/// The columns that [`read`] takes.
pub(crate) const COLUMNS: &str = "id, identity, role, attributes, active, created, erase_at";

/// The account in a row of [`COLUMNS`].
pub(crate) fn read(row: &Row) -> std::result::Result<Account, StoreError> {
    Ok(Account {
        id: row.parse(0)?,
        identity: row.parse(1)?,
        role: row.json(2)?,
        attributes: row.json(3)?,
        active: row.number(4)? == 1,
        created: row.number(5)?,
        erase_at: row.optional_number(6)?,
    })
}

/// The account of `identity`.
pub(crate) fn find(
    db: &Db,
    identity: &Identity,
) -> std::result::Result<Option<Account>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE identity = $1");
    db.row(sql, [text(identity)])?.map(|row| read(&row)).transpose()
}

/// The account `id`.
///
/// # Errors
/// [`Problem::not_found`] for the caller.
pub(crate) fn by_id(db: &Db, id: &AccountId) -> Result<Account> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE id = $1");
    match db.row(sql, [text(id)])? {
        Some(row) => Ok(read(&row)?),
        None => {
            let problem = Problem::not_found(format!("there is no account `{id}`"));
            Err(problem.hint("`datapact account list` shows them").into())
        }
    }
}

/// Whether the account `id` may do anything at all.
pub(crate) fn is_active(db: &Db, id: &AccountId) -> std::result::Result<bool, StoreError> {
    Ok(db.row("SELECT 1 FROM account WHERE id = $1 AND active = 1", [text(id)])?.is_some())
}

/// Those of `identities` whose accounts are active.
pub(crate) fn active_of<'a>(
    db: &Db,
    identities: impl Iterator<Item = &'a Identity>,
) -> std::result::Result<HashSet<Identity>, StoreError> {
    let sql = "SELECT identity FROM account WHERE active = 1 AND identity IN";
    db.rows_of(sql, identities.map(text))?.iter().map(|row| row.parse(0)).collect()
}

/// The accounts behind `after`, by identifier.
pub(super) fn page(db: &Db, after: Option<AccountId>) -> Result<Vec<Account>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let sql = format!("SELECT {COLUMNS} FROM account WHERE id > $1 ORDER BY id LIMIT $2");
    let found = db.rows(sql, [text(after), number(PAGE)])?;
    Ok(found.iter().map(read).collect::<std::result::Result<_, _>>()?)
}

/// How many accounts there are.
pub(super) fn count(db: &Db) -> Result<u64> {
    let row = db.row("SELECT COUNT(*) FROM account", [])?;
    Ok(row.map_or(Ok(0), |row| row.number(0))?)
}

/// Adds an account.
pub(super) fn insert(tx: &Tx, account: &Account) -> Result<()> {
    let row = [
        text(account.id),
        text(&account.identity),
        json(&account.role)?,
        json(&account.attributes)?,
        account.active.into(),
        number(account.created),
    ];
    Ok(tx.insert("account (id, identity, role, attributes, active, created)", vec![row])?)
}

/// Writes what may change about an account.
pub(super) fn update(tx: &Tx, account: &Account) -> Result<()> {
    let sql =
        "UPDATE account SET role = $2, attributes = $3, active = $4, erase_at = $5 WHERE id = $1";
    let values = [
        text(account.id),
        json(&account.role)?,
        json(&account.attributes)?,
        account.active.into(),
        account.erase_at.map(number).into(),
    ];
    tx.run(sql, values)?;
    Ok(())
}

/// Those of `ids` that are accounts.
pub(crate) fn present(db: &Db, ids: &[AccountId]) -> Result<Vec<AccountId>> {
    let found = db.rows_of("SELECT id FROM account WHERE id IN", ids.iter().map(text))?;
    Ok(found.iter().map(|row| row.parse(0)).collect::<std::result::Result<_, _>>()?)
}

/// Disables an account that is to be erased at once.
pub(crate) fn condemn(tx: &Tx, id: &AccountId) -> Result<()> {
    tx.run("UPDATE account SET active = 0, erase_at = 0 WHERE id = $1", [text(id)])?;
    Ok(())
}

/// Deletes an account, and what else only this noun knows of its holder.
pub(crate) fn delete(tx: &Tx, id: &AccountId) -> Result<()> {
    tx.run("DELETE FROM invitation WHERE account = $1", [text(id)])?;
    tx.run("UPDATE action SET statement = NULL WHERE actor = $1", [text(id)])?;
    tx.run("DELETE FROM account WHERE id = $1", [text(id)])?;
    Ok(())
}

/// The accounts that are to be erased by `now`.
pub(crate) fn due(db: &Db, now: Timestamp) -> Result<Vec<AccountId>> {
    let sql = "SELECT id FROM account WHERE erase_at IS NOT NULL AND erase_at <= $1";
    let found = db.rows(sql, [number(now)])?;
    Ok(found.iter().map(|row| row.parse(0)).collect::<std::result::Result<_, _>>()?)
}

/// The sequence of the last notice about the account; 0 if there was none.
pub(crate) fn noticed(db: &Db, id: &AccountId) -> Result<u64> {
    let row = db.row("SELECT noticed FROM account WHERE id = $1", [text(id)])?;
    Ok(row.map_or(Ok(0), |row| row.number(0))?)
}

/// Sets the sequence of the last notice about the account.
pub(super) fn set_noticed(tx: &Tx, id: &AccountId, sequence: u64) -> Result<()> {
    tx.run("UPDATE account SET noticed = $2 WHERE id = $1", [text(id), number(sequence)])?;
    Ok(())
}

/// By which statement the account is to be erased.
pub(crate) fn authorisation(
    db: &Db,
    id: &AccountId,
) -> std::result::Result<Option<Authorisation>, StoreError> {
    let row = db.row("SELECT authorisation FROM account WHERE id = $1", [text(id)])?;
    row.map_or(Ok(None), |row| row.json(0))
}

/// Sets by which statement the account is to be erased.
pub(super) fn set_authorisation(
    tx: &Tx,
    id: &AccountId,
    authorisation: Option<&Authorisation>,
) -> Result<()> {
    let sql = "UPDATE account SET authorisation = $2 WHERE id = $1";
    tx.run(sql, [text(id), json(&authorisation)?])?;
    Ok(())
}

/// Who is disabled, with the sequence of the last notice about each.
pub(super) fn disabled(db: &Db) -> std::result::Result<Vec<(Identity, u64)>, StoreError> {
    let sql = "SELECT identity, noticed FROM account WHERE active = 0 AND noticed > 0";
    db.rows(sql, [])?.iter().map(|row| Ok((row.parse(0)?, row.number(1)?))).collect()
}
