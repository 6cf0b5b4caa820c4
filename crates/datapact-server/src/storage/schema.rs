//! The storage server's table: which package is whose, and which object holds it.

use std::collections::HashSet;

use datapact_api::problem::{Problem, Result};
use datapact_api::user::{UserNotice, UserStatus};
use datapact_core::id::{Digest, PackageId, Timestamp};
use datapact_core::identity::Identity;
use datapact_ledger::store::{Migration, Store, StoreError, statement};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::users::Users;

pub(super) const MIGRATIONS: &[Migration] = &[FIRST, ANNOUNCED];

/// The size of an upload in parts, announced with its first part.
const ANNOUNCED: Migration = Migration {
    module: "storage",
    version: 2,
    statements: &["ALTER TABLE package ADD COLUMN announced BIGINT"],
};

const FIRST: Migration = Migration {
    module: "storage",
    version: 1,
    statements: &[
        "CREATE TABLE package (
            id TEXT NOT NULL PRIMARY KEY,
            realm TEXT NOT NULL,
            subject TEXT NOT NULL,
            registered BIGINT NOT NULL,
            confirmed BIGINT NOT NULL DEFAULT 0,
            object TEXT,
            digest TEXT,
            size BIGINT
        )",
        "CREATE INDEX package_provider ON package (realm, subject)",
    ],
};

/// A registration.
pub(super) struct Row {
    pub(super) provider: Identity,
    pub(super) stored: Option<Stored>,
}

/// What fills a registration.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) object: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

fn failed(error: impl Into<StoreError>) -> Problem {
    crate::stores::problem(error.into())
}

/// What a writing job fails with.
struct Failed(Problem);

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(failed(error))
    }
}

impl From<DbErr> for Failed {
    fn from(error: DbErr) -> Self {
        Self(failed(error))
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) async fn register(
    store: &Store,
    id: PackageId,
    provider: Identity,
    now: Timestamp,
) -> Result<()> {
    let job = store.write(move |tx| {
        Box::pin(async move {
            let sql = "INSERT INTO package (id, realm, subject, registered) VALUES ($1, $2, $3, $4) \
                       ON CONFLICT (id) DO NOTHING";
            let values =
                [id.to_string().into(), provider.realm.into(), provider.subject.into(), signed(now).into()];
            tx.execute_raw(statement(tx, sql, values)).await?;
            Ok::<_, Failed>(())
        })
    });
    job.await.map_err(|Failed(problem)| problem)
}

pub(super) async fn row(store: &Store, id: &PackageId) -> Result<Option<Row>> {
    let sql = "SELECT realm, subject, object, digest, size FROM package WHERE id = $1";
    let row =
        store.read().query_one_raw(statement(store.read(), sql, [id.to_string().into()])).await;
    row.map_err(failed)?.map(|row| parse(&row).map_err(failed)).transpose()
}

/// How many registrations a page holds.
const PAGE: u64 = 200;

/// A provider's registrations behind `after`, by identifier.
pub(super) async fn rows_of(
    store: &Store,
    provider: &Identity,
    after: Option<&PackageId>,
) -> Result<Vec<(PackageId, Row)>> {
    let sql = "SELECT id, realm, subject, object, digest, size FROM package \
               WHERE realm = $1 AND subject = $2 AND id > $3 ORDER BY id LIMIT $4";
    let after = after.map(ToString::to_string).unwrap_or_default();
    let values = [
        provider.realm.clone().into(),
        provider.subject.clone().into(),
        after.into(),
        signed(PAGE).into(),
    ];
    let rows =
        store.read().query_all_raw(statement(store.read(), sql, values)).await.map_err(failed)?;
    let entry = |row: &QueryResult| {
        let id: String = row.try_get("", "id").map_err(failed)?;
        let id =
            id.parse().map_err(|_| failed(DbErr::Custom("a damaged package id".to_owned())))?;
        Ok((id, parse(row).map_err(failed)?))
    };
    rows.iter().map(entry).collect()
}

fn parse(row: &QueryResult) -> std::result::Result<Row, DbErr> {
    let damaged = |e: &dyn std::fmt::Display| DbErr::Custom(format!("a damaged row: {e}"));
    let object: Option<String> = row.try_get("", "object")?;
    let stored = match object {
        None => None,
        Some(object) => {
            let digest: String = row.try_get("", "digest")?;
            let size: i64 = row.try_get("", "size")?;
            let digest = digest.parse().map_err(|e| damaged(&e))?;
            Some(Stored { object, digest, size: u64::try_from(size).map_err(|e| damaged(&e))? })
        }
    };
    let provider =
        Identity { realm: row.try_get("", "realm")?, subject: row.try_get("", "subject")? };
    Ok(Row { provider, stored })
}

/// Fills a registration that is empty, unless the provider would then have more than
/// `provider_bytes_max`.
pub(super) async fn fill(
    store: &Store,
    id: PackageId,
    stored: Stored,
    provider_bytes_max: u64,
) -> Result<bool> {
    let job = store.write(move |tx| {
        Box::pin(async move {
            let sql = "UPDATE package SET object = $1, digest = $2, size = $3
                WHERE id = $4 AND object IS NULL AND $3 + (
                    SELECT CAST(COALESCE(SUM(COALESCE(other.size, other.announced)), 0) AS BIGINT)
                    FROM package other WHERE other.realm = package.realm
                    AND other.subject = package.subject AND other.id <> $4) <= $5";
            let values = [
                stored.object.into(),
                stored.digest.to_string().into(),
                signed(stored.size).into(),
                id.to_string().into(),
                signed(provider_bytes_max).into(),
            ];
            let result = tx.execute_raw(statement(tx, sql, values)).await?;
            Ok::<_, Failed>(result.rows_affected() == 1)
        })
    });
    job.await.map_err(|Failed(problem)| problem)
}

/// Sets aside room for an upload in parts to a registration that is empty, unless the provider
/// would then have more than `provider_bytes_max`.
pub(super) async fn announce(
    store: &Store,
    id: PackageId,
    size: u64,
    provider_bytes_max: u64,
) -> Result<bool> {
    let job = store.write(move |tx| {
        Box::pin(async move {
            let sql = "UPDATE package SET announced = $1
                WHERE id = $2 AND object IS NULL AND $1 + (
                    SELECT CAST(COALESCE(SUM(COALESCE(other.size, other.announced)), 0) AS BIGINT)
                    FROM package other WHERE other.realm = package.realm
                    AND other.subject = package.subject AND other.id <> $2) <= $3";
            let values =
                [signed(size).into(), id.to_string().into(), signed(provider_bytes_max).into()];
            let result = tx.execute_raw(statement(tx, sql, values)).await?;
            Ok::<_, Failed>(result.rows_affected() == 1)
        })
    });
    job.await.map_err(|Failed(problem)| problem)
}

/// Forgets a registration; the object that it named.
pub(super) async fn delete(store: &Store, id: PackageId) -> Result<Option<String>> {
    let job = store.write(move |tx| {
        Box::pin(async move {
            let id = id.to_string();
            let sql = "SELECT object FROM package WHERE id = $1";
            let row = tx.query_one_raw(statement(tx, sql, [id.clone().into()])).await?;
            tx.execute_raw(statement(tx, "DELETE FROM package WHERE id = $1", [id.into()])).await?;
            let object = match row {
                Some(row) => row.try_get::<Option<String>>("", "object")?,
                None => None,
            };
            Ok::<_, Failed>(object)
        })
    });
    job.await.map_err(|Failed(problem)| problem)
}

/// Takes management's word about a user; the objects of an erased one, whose registrations are gone
/// with it.
pub(super) async fn set_user(
    store: &Store,
    mark: String,
    notice: UserNotice,
) -> Result<Vec<String>> {
    let job = store.write(move |tx| {
        Box::pin(async move {
            if !Users::take(tx, &mark, &notice).await? || notice.status != UserStatus::Erased {
                return Ok(Vec::new());
            }
            let provider = [notice.identity.realm, notice.identity.subject];
            let sql = "SELECT object FROM package WHERE realm = $1 AND subject = $2 AND object IS NOT NULL";
            let rows = tx.query_all_raw(statement(tx, sql, provider.clone().map(Into::into))).await?;
            let sql = "DELETE FROM package WHERE realm = $1 AND subject = $2";
            tx.execute_raw(statement(tx, sql, provider.map(Into::into))).await?;
            rows.iter().map(|row| Ok::<String, Failed>(row.try_get("", "object")?)).collect()
        })
    });
    job.await.map_err(|Failed(problem)| problem)
}

/// Remembers that management asked for a stored package: a policy is about to name it.
pub(super) async fn confirm(store: &Store, id: PackageId) -> Result<()> {
    let job = store.write(move |tx| {
        Box::pin(async move {
            let sql =
                "UPDATE package SET confirmed = 1 WHERE id = $1 AND object IS NOT NULL AND confirmed = 0";
            tx.execute_raw(statement(tx, sql, [id.to_string().into()])).await?;
            Ok::<_, Failed>(())
        })
    });
    job.await.map_err(|Failed(problem)| problem)
}

/// Forgets what was registered before a moment and is either not filled or never asked for by
/// management.
pub(super) async fn forget_unconfirmed(store: &Store, before: Timestamp) -> Result<()> {
    let job = store.write(move |tx| {
        Box::pin(async move {
            let sql = "DELETE FROM package WHERE confirmed = 0 AND registered < $1";
            tx.execute_raw(statement(tx, sql, [signed(before).into()])).await?;
            Ok::<_, Failed>(())
        })
    });
    job.await.map_err(|Failed(problem)| problem)
}

/// The objects that registrations name.
pub(super) async fn objects(store: &Store) -> Result<HashSet<String>> {
    let sql = "SELECT object FROM package WHERE object IS NOT NULL";
    let rows =
        store.read().query_all_raw(statement(store.read(), sql, [])).await.map_err(failed)?;
    rows.iter().map(|row| row.try_get("", "object").map_err(failed)).collect()
}

/// Whether the database answers, asked so that it costs little: anybody may ask for the server's
/// health.
pub(super) async fn check(store: &Store) -> Result<()> {
    let sql = "SELECT 1 FROM package LIMIT 1";
    store.read().query_one_raw(statement(store.read(), sql, [])).await.map(drop).map_err(failed)
}

/// How many registrations of a provider wait to be filled.
pub(super) async fn unfilled(store: &Store, provider: &Identity) -> Result<u64> {
    let sql =
        "SELECT COUNT(*) AS n FROM package WHERE realm = $1 AND subject = $2 AND object IS NULL";
    number(store, sql, provider).await
}

/// How many bytes a provider has stored or is uploading, but for the package `id`.
pub(super) async fn used(store: &Store, provider: &Identity, id: &PackageId) -> Result<u64> {
    let sql = "SELECT CAST(COALESCE(SUM(COALESCE(size, announced)), 0) AS BIGINT) AS n FROM package \
               WHERE realm = $1 AND subject = $2 AND id <> $3";
    let values =
        vec![provider.realm.clone().into(), provider.subject.clone().into(), id.to_string().into()];
    one_number(store, sql, values).await
}

async fn number(store: &Store, sql: &str, provider: &Identity) -> Result<u64> {
    let values = vec![provider.realm.clone().into(), provider.subject.clone().into()];
    one_number(store, sql, values).await
}

async fn one_number(store: &Store, sql: &str, values: Vec<sea_orm::Value>) -> Result<u64> {
    let row =
        store.read().query_one_raw(statement(store.read(), sql, values)).await.map_err(failed)?;
    let number: i64 = row.map_or(Ok(0), |row| row.try_get("", "n")).map_err(failed)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// When the newest registration was made; 0 without any.
pub(super) async fn newest(store: &Store) -> Result<Timestamp> {
    let [newest] = numbers(store, "SELECT COALESCE(MAX(registered), 0) FROM package").await?;
    Ok(newest)
}

/// How many registrations there are, how many are filled, and with how many bytes.
pub(super) async fn totals(store: &Store) -> Result<(u64, u64, u64)> {
    let sql = "SELECT COUNT(*), COUNT(object), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM package";
    let [registered, stored, bytes] = numbers(store, sql).await?;
    Ok((registered, stored, bytes))
}

async fn numbers<const N: usize>(store: &Store, sql: &str) -> Result<[u64; N]> {
    let row = store.read().query_one_raw(statement(store.read(), sql, [])).await.map_err(failed)?;
    let mut numbers = [0; N];
    for (index, number) in numbers.iter_mut().enumerate() {
        let found = row.as_ref().map(|row| row.try_get_by_index::<i64>(index)).transpose();
        *number = u64::try_from(found.map_err(failed)?.unwrap_or(0)).unwrap_or(0);
    }
    Ok(numbers)
}
