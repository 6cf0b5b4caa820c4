//! Bringing a database to the newest schema, and telling whose it is.

use crate::db::Tx;
use crate::error::StoreError;
use crate::value::{number, text};

/// One step of one module's schema. A module's versions count from 1; a step never changes once
/// released.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Whose tables: a short name such as `ledger`.
    pub module: &'static str,
    /// From 1.
    pub version: u32,
    /// Statements in the SQL that SQLite and PostgreSQL share, each ended by `;`.
    pub sql: &'static str,
}

/// Held while the tables are made, when there is no row to lock yet. Any number that others are
/// unlikely to use.
const LOCK_SCHEMA: &str = "SELECT pg_advisory_xact_lock(7233190438379807604)";

/// The tables of the store itself, as every version of it makes them.
const OWN: &str = "
    CREATE TABLE IF NOT EXISTS schema_version
        (module TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS store_head (id BIGINT NOT NULL PRIMARY KEY, owner TEXT);
    INSERT INTO store_head (id) VALUES (1) ON CONFLICT (id) DO NOTHING;
";

/// Runs the steps that are missing, in one transaction: all or none, and no two processes at once.
///
/// `owner` says whose the database is; the first owner given stays.
pub(crate) fn migrate(
    tx: &Tx,
    migrations: &[Migration],
    owner: Option<&str>,
) -> Result<(), StoreError> {
    tx.begin(LOCK_SCHEMA)?;
    tx.control(OWN)?;
    if let Some(owner) = owner {
        own(tx, owner)?;
    }
    let mut modules: Vec<&str> = migrations.iter().map(|m| m.module).collect();
    modules.sort_unstable();
    modules.dedup();
    for module in modules {
        forward(tx, module, migrations)?;
    }
    tx.control("COMMIT")
}

fn own(tx: &Tx, owner: &str) -> Result<(), StoreError> {
    let sql = "UPDATE store_head SET owner = $1 WHERE id = 1 AND (owner IS NULL OR owner = $1)";
    if tx.run(sql, [owner.into()])? == 1 {
        return Ok(());
    }
    let row = tx.row("SELECT owner FROM store_head WHERE id = 1", [])?;
    let found = row.map(|row| row.optional_text(0)).transpose()?.flatten();
    Err(StoreError::Foreign { found: found.unwrap_or_default(), expected: owner.to_owned() })
}

fn forward(tx: &Tx, module: &str, migrations: &[Migration]) -> Result<(), StoreError> {
    let mut steps: Vec<&Migration> = migrations.iter().filter(|m| m.module == module).collect();
    steps.sort_by_key(|m| m.version);
    if !steps.iter().map(|m| m.version).eq(1..=steps.len() as u32) {
        return Err(StoreError::Migrations(module.to_owned()));
    }
    let row = tx.row("SELECT version FROM schema_version WHERE module = $1", [text(module)])?;
    let found = row.map(|row| row.number(0)).transpose()?.unwrap_or(0) as u32;
    let known = steps.len() as u32;
    if found > known {
        return Err(StoreError::Newer { module: module.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    for step in steps.iter().filter(|m| m.version > found) {
        tx.control(step.sql)?;
    }
    let sql = "INSERT INTO schema_version (module, version) VALUES ($1, $2) \
               ON CONFLICT (module) DO UPDATE SET version = excluded.version";
    tx.run(sql, [text(module), number(known.into())])?;
    Ok(())
}
