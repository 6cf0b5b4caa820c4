//! Bringing a database to the newest schema, and telling whose it is.

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend};

use super::{Migration, StoreError, begin, statement};

/// The one row that every writing transaction of a shared database locks first: so there is one
/// writer at a time, over all processes.
pub(super) const LOCK_HEAD: &str = "SELECT owner FROM store_head WHERE id = 1 FOR UPDATE";

/// Held while the tables are made, when there is no row to lock yet. Any number that others are
/// unlikely to use.
const MIGRATION_LOCK: i64 = 0x6461_7461_7061_6374;

/// Runs the steps that are missing, in one transaction: all or none, and no two processes at once.
///
/// `owner` says whose the database is; the first owner given stays.
pub(super) async fn migrate(
    on: &DatabaseConnection,
    migrations: &[Migration],
    owner: Option<&str>,
) -> Result<(), StoreError> {
    let tx = begin(on).await?;
    if tx.get_database_backend() == DbBackend::Postgres {
        let sql = "SELECT pg_advisory_xact_lock($1)";
        tx.query_one_raw(statement(&tx, sql, [MIGRATION_LOCK.into()])).await?;
    }
    for sql in [
        "CREATE TABLE IF NOT EXISTS schema_version (module TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS store_head (id BIGINT NOT NULL PRIMARY KEY, owner TEXT)",
        "INSERT INTO store_head (id) VALUES (1) ON CONFLICT (id) DO NOTHING",
    ] {
        tx.execute_unprepared(sql).await?;
    }
    if let Some(owner) = owner {
        own(&tx, owner).await?;
    }
    let mut modules: Vec<&str> = migrations.iter().map(|m| m.module).collect();
    modules.sort_unstable();
    modules.dedup();
    for module in modules {
        forward(&tx, module, migrations).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn own(tx: &DatabaseTransaction, owner: &str) -> Result<(), StoreError> {
    let sql = "UPDATE store_head SET owner = $1 WHERE id = 1 AND (owner IS NULL OR owner = $1)";
    if tx.execute_raw(statement(tx, sql, [owner.into()])).await?.rows_affected() == 1 {
        return Ok(());
    }
    let row =
        tx.query_one_raw(statement(tx, "SELECT owner FROM store_head WHERE id = 1", [])).await?;
    let found = row.map(|row| row.try_get_by_index::<Option<String>>(0)).transpose()?.flatten();
    Err(StoreError::Foreign { found: found.unwrap_or_default(), expected: owner.to_owned() })
}

async fn forward(
    tx: &DatabaseTransaction,
    module: &str,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let mut steps: Vec<&Migration> = migrations.iter().filter(|m| m.module == module).collect();
    steps.sort_by_key(|m| m.version);
    if !steps.iter().map(|m| m.version).eq(1..=steps.len() as u32) {
        return Err(StoreError::Migrations(module.to_owned()));
    }
    let sql = "SELECT version FROM schema_version WHERE module = $1";
    let found = match tx.query_one_raw(statement(tx, sql, [module.into()])).await? {
        Some(row) => row.try_get_by_index::<i32>(0)? as u32,
        None => 0,
    };
    let known = steps.len() as u32;
    if found > known {
        return Err(StoreError::Newer { module: module.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    for step in steps.iter().filter(|m| m.version > found) {
        for sql in step.statements {
            tx.execute_unprepared(sql).await?;
        }
    }
    let sql = "INSERT INTO schema_version (module, version) VALUES ($1, $2) \
               ON CONFLICT (module) DO UPDATE SET version = excluded.version";
    tx.execute_raw(statement(tx, sql, [module.into(), (known as i32).into()])).await?;
    Ok(())
}
