//! A server's state: one database, one writer.
//!
//! One task owns the only write connection. It takes up to [`BATCH_MAX`] waiting jobs at a time, runs each inside its
//! own savepoint, commits them together and answers after the commit: what was answered is durable, and many
//! callers share one flush to the disk. Reads use a pool of connections that cannot write.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use tokio::sync::{mpsc, oneshot};

/// The most jobs that share one commit.
pub const BATCH_MAX: usize = 256;
/// Jobs that may wait before callers of [`Store::write`] have to.
const QUEUE_MAX: usize = 4 * BATCH_MAX;
const READERS_MAX: u32 = 8;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the store could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    /// A newer program has written this database.
    #[error(
        "the database has version {found} of `{module}`, but this program knows only {known}; use the newer program"
    )]
    Newer {
        /// Whose tables.
        module: String,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The modules given at opening contradict each other.
    #[error("the migrations of `{0}` do not count 1, 2, 3 and so on")]
    Migrations(String),
    /// The writer has ended: the program is shutting down or the write connection is lost.
    #[error("the database's writer has ended; restart the server")]
    Closed,
    /// Something in the database is not what this program writes there.
    #[error("the database is damaged: {0}; restore it from a backup")]
    Damaged(String),
}

/// One step of one module's schema. A module's versions count from 1; a step never changes once released.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Whose tables: a short name such as `ledger`.
    pub module: &'static str,
    /// From 1.
    pub version: u32,
    /// Statements in the SQL that SQLite and PostgreSQL share.
    pub statements: &'static [&'static str],
}

/// A database with one writer and many readers.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Box<dyn Job>>,
    read: DatabaseConnection,
    path: PathBuf,
}

impl Store {
    /// Opens the database at `path`, making it where there is none, and brings it to the newest schema.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program has written it; nothing is changed then.
    pub async fn open(path: &Path, migrations: &[Migration]) -> Result<Self, StoreError> {
        let write = Database::connect(options(path, false)).await?;
        migrate(&write, migrations).await?;
        let read = Database::connect(options(path, true)).await?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write_jobs(write, queue));
        Ok(Self { jobs, read, path: path.to_owned() })
    }

    /// Runs `job` on the write connection and returns its answer once its writes are durable. A job that fails
    /// leaves nothing behind; those that share its commit are not touched. A job must not wait for another job.
    ///
    /// # Errors
    /// The job's own, or a [`StoreError`] when the database failed; then nothing was written.
    pub async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Typed { run: Some(job), result: None, reply });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// A pool of connections that only read. Each statement sees the newest commit.
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// Writes a consistent copy of the database to `target`, which must not exist, while the store is in use.
    pub async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        let target = target.to_str().ok_or_else(|| DbErr::Custom("the path is not UTF-8".to_owned()))?;
        // A reading connection may write nothing, not even elsewhere.
        let connection = Database::connect(options(&self.path, false)).await?;
        connection.execute_raw(statement(&connection, "VACUUM INTO $1", [target.into()])).await?;
        connection.close().await?;
        Ok(())
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A statement with `$1`-style parameters, for either database.
pub fn statement(
    on: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(on.get_database_backend(), sql, values)
}

/// `($1, $2), ($3, $4)`: placeholders for `rows` rows of `columns` columns.
pub(crate) fn placeholders(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            text.push('$');
            text.push_str(&(row * columns + column + 1).to_string());
        }
        text.push(')');
    }
    text
}

fn options(path: &Path, readers: bool) -> ConnectOptions {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(if readers { READERS_MAX } else { 1 })
        .min_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| {
            let options = options
                .filename(&path)
                .create_if_missing(!readers)
                .foreign_keys(true)
                .busy_timeout(BUSY_TIMEOUT)
                .statement_cache_capacity(256)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full);
            if readers { options.pragma("query_only", "ON") } else { options }
        });
    // The write connection lives as long as the store.
    if !readers {
        options.idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
    }
    options
}

async fn migrate(on: &DatabaseConnection, migrations: &[Migration]) -> Result<(), StoreError> {
    let tx = begin(on).await?;
    tx.execute_unprepared(
        "CREATE TABLE IF NOT EXISTS schema_version (module TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL)",
    )
    .await?;
    let mut modules: Vec<&str> = migrations.iter().map(|m| m.module).collect();
    modules.sort_unstable();
    modules.dedup();
    for module in modules {
        let mut steps: Vec<&Migration> = migrations.iter().filter(|m| m.module == module).collect();
        steps.sort_by_key(|m| m.version);
        if !steps.iter().map(|m| m.version).eq(1..=steps.len() as u32) {
            return Err(StoreError::Migrations(module.to_owned()));
        }
        let found = tx
            .query_one_raw(statement(
                &tx,
                "SELECT version FROM schema_version WHERE module = $1",
                [module.into()],
            ))
            .await?;
        let found = match found {
            Some(row) => row.try_get_by_index::<i32>(0)? as u32,
            None => 0,
        };
        let known = steps.len() as u32;
        if found > known {
            return Err(StoreError::Newer { module: module.to_owned(), found, known });
        }
        for step in steps.iter().filter(|m| m.version > found) {
            for sql in step.statements {
                tx.execute_unprepared(sql).await?;
            }
        }
        tx.execute_raw(statement(
            &tx,
            "INSERT INTO schema_version (module, version) VALUES ($1, $2) \
             ON CONFLICT (module) DO UPDATE SET version = excluded.version",
            [module.into(), (known as i32).into()],
        ))
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// A write transaction from its first statement on, so that it never has to be upgraded.
async fn begin(on: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    on.begin_with_options(TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    })
    .await
}

type JobFuture<'t, T> = Pin<Box<dyn Future<Output = T> + Send + 't>>;

/// A job whose type of answer is hidden from the writer.
trait Job: Send {
    /// Runs, keeps the answer, and says whether its writes are to be kept.
    fn run<'t>(&'t mut self, tx: &'t DatabaseTransaction) -> JobFuture<'t, bool>;
    /// Gives the answer: the job's own after a commit.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Typed<F, T, E> {
    run: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Typed<F, T, E>
where
    F: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, E>> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run<'t>(&'t mut self, tx: &'t DatabaseTransaction) -> JobFuture<'t, bool> {
        Box::pin(async move {
            if let Some(run) = self.run.take() {
                self.result = Some(run(tx).await);
            }
            matches!(self.result, Some(Ok(_)))
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            // A job that failed wrote nothing, whatever became of the commit.
            (_, Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(StoreError::Closed.into()),
            (Err(error), _) => Err(error.into()),
        };
        // A caller that no longer waits does not undo its job.
        let _ = self.reply.send(result);
    }
}

async fn write_jobs(on: DatabaseConnection, mut queue: mpsc::Receiver<Box<dyn Job>>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let committed = write_batch(&on, &mut batch).await.map_err(|error| {
            tracing::error!(%error, "a commit failed; nothing of it was written");
            StoreError::from(error)
        });
        for job in batch.drain(..) {
            job.answer(committed.clone());
        }
    }
}

async fn write_batch(on: &DatabaseConnection, batch: &mut [Box<dyn Job>]) -> Result<(), DbErr> {
    let tx = begin(on).await?;
    for job in batch {
        let savepoint = tx.begin().await?;
        if job.run(&savepoint).await {
            savepoint.commit().await?;
        } else {
            savepoint.rollback().await?;
        }
    }
    tx.commit().await
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const TABLE: Migration = Migration {
        module: "t",
        version: 1,
        statements: &["CREATE TABLE t (k BIGINT NOT NULL PRIMARY KEY)"],
    };

    async fn put(store: &Store, k: i64, fail: bool) -> Result<(), StoreError> {
        store
            .write(move |tx| {
                Box::pin(async move {
                    tx.execute_raw(statement(tx, "INSERT INTO t VALUES ($1)", [k.into()])).await?;
                    if fail { Err(StoreError::Damaged("on purpose".to_owned())) } else { Ok(()) }
                })
            })
            .await
    }

    async fn keys(store: &Store) -> Vec<i64> {
        let rows = store
            .read()
            .query_all_raw(statement(store.read(), "SELECT k FROM t ORDER BY k", []))
            .await
            .unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_failing_job_rolls_back_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), &[TABLE]).await.unwrap();
        let results = futures_util::future::join_all((0..600).map(|k| put(&store, k, k % 7 == 3))).await;
        for (k, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), k % 7 == 3, "{k}");
        }
        assert!(matches!(put(&store, 0, false).await, Err(StoreError::Database(_))));
        assert_eq!(keys(&store).await, (0..600).filter(|k| k % 7 != 3).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn migrations_go_forward_and_newer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let second =
            Migration { module: "t", version: 2, statements: &["ALTER TABLE t ADD COLUMN note TEXT"] };
        put(&Store::open(&path, &[TABLE]).await.unwrap(), 1, false).await.unwrap();
        let store = Store::open(&path, &[second, TABLE]).await.unwrap();
        assert_eq!(keys(&store).await, [1]);
        assert!(matches!(Store::open(&path, &[second]).await, Err(StoreError::Migrations(_))));
        let newer = Store::open(&path, &[TABLE]).await;
        assert!(matches!(newer, Err(StoreError::Newer { found: 2, known: 1, .. })));
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), &[TABLE]).await.unwrap();
        assert!(store.read().execute_unprepared("INSERT INTO t VALUES (1)").await.is_err());
        store.backup(&dir.path().join("copy")).await.unwrap();
    }
}
