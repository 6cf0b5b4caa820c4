//! A server's state: one database, one writer.
//!
//! One task owns the only write connection. It takes up to [`BATCH_MAX`] waiting jobs at a time,
//! runs each inside its own savepoint, commits them together and answers after the commit: what was
//! answered is durable, and many callers share one flush to the disk. Reads use a pool of
//! connections that cannot write.
//!
//! Several processes may work on one PostgreSQL database. Each has its writing task, and each of
//! its transactions begins by locking the same row, so that a job sees everything that was
//! committed before it and nothing else changes while it runs: what holds for one process holds for
//! all.

mod group;
mod location;
mod migrate;
mod readers;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use tokio::sync::{mpsc, oneshot};

pub use group::Group;
pub use location::{Location, Postgres};
pub use readers::Readers;

/// The most jobs that share one commit.
pub const BATCH_MAX: usize = 256;
/// Jobs that may wait before callers of [`Store::write`] have to.
const QUEUE_MAX: usize = 4 * BATCH_MAX;

/// How long a failed connection may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The database belongs to somebody else.
    #[error(
        "the database is of `{found}`, not of `{expected}`; give each server a database of its own"
    )]
    Foreign {
        /// Whose it is.
        found: String,
        /// Who wanted to use it.
        expected: String,
    },
    /// This program was built without PostgreSQL.
    #[error(
        "this program was built without PostgreSQL; build it with `--features postgres`, or use a release"
    )]
    NotBuilt,
    /// What only a database file can do.
    #[error("this is a PostgreSQL database; use PostgreSQL's own tools, such as `pg_dump`")]
    NoFile,
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

impl StoreError {
    /// Whether the same call may well succeed later: the database is away, or its disk is full or
    /// read-only.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Database(error) => is_temporary(error),
            _ => false,
        }
    }
}

fn is_temporary(error: &DbErr) -> bool {
    use sea_orm::sqlx::Error;
    let error = match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => return true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            error
        }
        _ => return false,
    };
    match error.as_ref() {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => true,
        Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match code.parse::<u32>() {
                // SQLite's result codes, of which the lowest byte is the kind: BUSY, LOCKED,
                // READONLY, IOERR, FULL and CANTOPEN. PostgreSQL's codes have five digits or
                // letters.
                Ok(code_of_sqlite) if code.len() < 5 => {
                    [5, 6, 8, 10, 13, 14].contains(&(code_of_sqlite & 0xff))
                }
                // PostgreSQL's classes: connection, rollback, resources, operator intervention,
                // system; read-only and a lock that was not to be had.
                _ => {
                    ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                        || ["25006", "55P03"].contains(&code.as_ref())
                }
            }
        }
        _ => false,
    }
}

/// One step of one module's schema. A module's versions count from 1; a step never changes once
/// released.
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
    read: Readers,
    location: Location,
}

impl Store {
    /// Opens the SQLite database at `path`, making it where there is none, and brings it to the
    /// newest schema.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program has written it; nothing is changed then.
    pub async fn open(path: &Path, migrations: &[Migration]) -> Result<Self, StoreError> {
        Self::connect(&Location::Sqlite(path.to_owned()), None, migrations).await
    }

    /// Opens the database at `location` as `owner`'s, and brings it to the newest schema. Whose a
    /// database is was said when it was first opened with an owner.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program has written it, [`StoreError::Foreign`] when it
    /// is somebody else's; nothing is changed then.
    pub async fn connect(
        location: &Location,
        owner: Option<&str>,
        migrations: &[Migration],
    ) -> Result<Self, StoreError> {
        let write = location.writer(true).await?;
        migrate::migrate(&write, migrations, owner).await?;
        let read = location.readers().await?;
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write_jobs(location.clone(), write, queue));
        Ok(Self { jobs, read, location: location.clone() })
    }

    /// Runs `job` on the write connection and returns its answer once its writes are durable. A job
    /// that fails leaves nothing behind; those that share its commit are not touched. A job must
    /// not wait for another job.
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
    pub fn read(&self) -> &Readers {
        &self.read
    }

    /// Connections that only read the database at `location`, which another process may be using.
    pub async fn reader(location: &Location) -> Result<Readers, StoreError> {
        location.readers().await
    }

    /// Whether the database at `location` can be read; nothing is made or changed.
    ///
    /// # Errors
    /// Why not.
    pub async fn look(location: &Location) -> Result<(), StoreError> {
        let on = location.readers().await?;
        on.query_one_raw(statement(&on, "SELECT 1", [])).await?;
        on.close().await;
        Ok(())
    }

    /// Writes a consistent copy of the SQLite database at `path` to `target`, which must not exist.
    /// Another process may be using the database. The copy is on the disk when this returns.
    pub async fn snapshot(path: &Path, target: &Path) -> Result<(), StoreError> {
        let connection = Location::Sqlite(path.to_owned()).writer(false).await?;
        let text =
            target.to_str().ok_or_else(|| DbErr::Custom("the path is not UTF-8".to_owned()))?;
        connection.execute_raw(statement(&connection, "VACUUM INTO $1", [text.into()])).await?;
        connection.close().await?;
        let synced = std::fs::File::open(target).and_then(|file| file.sync_all());
        synced.map_err(|e| DbErr::Custom(format!("`{text}`: {e}")).into())
    }

    /// Writes a consistent copy of the database to `target`, which must not exist, while the store
    /// is in use.
    ///
    /// # Errors
    /// [`StoreError::NoFile`] for PostgreSQL, which has tools of its own for it.
    pub async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        match &self.location {
            Location::Sqlite(path) => Self::snapshot(path, target).await,
            Location::Postgres(_) => Err(StoreError::NoFile),
        }
    }

    /// Whether the database answers readers and takes a commit, which fails on a full or read-only
    /// disk.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.read.query_one_raw(statement(&self.read, "SELECT 1", [])).await?;
        self.write(|tx| {
            Box::pin(async move {
                // A row that nobody ever sees: SQLite writes no page for an update that changes
                // nothing.
                for sql in [
                    "INSERT INTO store_head (id) VALUES (0)",
                    "DELETE FROM store_head WHERE id = 0",
                ] {
                    tx.execute_raw(statement(tx, sql, [])).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// How many jobs wait for the writer.
    pub fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Where the database is.
    pub fn location(&self) -> &Location {
        &self.location
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

/// `(?, ?), (?, ?)`, or `($1, $2), ($3, $4)` where the database wants numbers: placeholders for
/// `rows` rows of `columns` columns. SQLite looks for a numbered one by its name, among all of
/// them, so that hundreds take long. There are no others in the same statement.
pub fn placeholders(on: &impl ConnectionTrait, rows: usize, columns: usize) -> String {
    let numbered = on.get_database_backend() == DbBackend::Postgres;
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            if numbered {
                text.push('$');
                text.push_str(&(row * columns + column + 1).to_string());
            } else {
                text.push('?');
            }
        }
        text.push(')');
    }
    text
}

/// What a query asks for, as many as a power of two: the last is repeated, which a query does not
/// mind. So few texts occur, and the database finds again what it has prepared for them.
pub fn padded<T: Clone>(mut asked: Vec<T>) -> Vec<T> {
    if let Some(last) = asked.last().cloned() {
        asked.resize(asked.len().next_power_of_two(), last);
    }
    asked
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

/// Commits waiting jobs together, for as long as there are callers.
async fn write_jobs(
    location: Location,
    connection: DatabaseConnection,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
) {
    let mut connection = Some(connection);
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let committed = write_or_reconnect(&location, &mut connection, &mut batch).await;
        if let Err(error) = &committed {
            tracing::error!(%error, "a commit failed; nothing of it was written");
        }
        for job in batch.drain(..) {
            job.answer(committed.clone());
        }
    }
}

/// A connection on which a transaction failed is not used again: the database may have ended the
/// transaction by itself, as SQLite does on a full disk, so that what is said of the next one would
/// not be so.
async fn write_or_reconnect(
    location: &Location,
    connection: &mut Option<DatabaseConnection>,
    batch: &mut [Box<dyn Job>],
) -> Result<(), StoreError> {
    let on = match connection.take() {
        Some(on) => on,
        None => location.writer(false).await?,
    };
    match write_batch(&on, batch).await {
        Ok(()) => {
            *connection = Some(on);
            Ok(())
        }
        Err(error) => {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, on.close()).await;
            Err(error.into())
        }
    }
}

async fn write_batch(on: &DatabaseConnection, batch: &mut [Box<dyn Job>]) -> Result<(), DbErr> {
    let tx = begin(on).await?;
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.query_one_raw(statement(&tx, migrate::LOCK_HEAD, [])).await?;
    }
    // One alone needs no savepoint: the transaction is its own.
    if let [job] = batch {
        return if job.run(&tx).await { tx.commit().await } else { tx.rollback().await };
    }
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
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
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

    #[cfg(feature = "postgres")]
    fn new_database(server: &datapact_local::testing::postgres::Server) -> Location {
        let new = server.database();
        Location::Postgres(Postgres {
            host: new.host,
            port: new.port,
            database: new.database,
            user: new.user,
            password: Some(new.password.into()),
            ca: None,
        })
    }

    async fn locations(dir: &tempfile::TempDir) -> Vec<Location> {
        let mut locations = vec![Location::Sqlite(dir.path().join("db"))];
        #[cfg(feature = "postgres")]
        if let Some(server) = datapact_local::testing::postgres::shared() {
            locations.push(new_database(server));
        }
        locations
    }

    async fn connect(location: &Location, migrations: &[Migration]) -> Result<Store, StoreError> {
        Store::connect(location, Some("t"), migrations).await
    }

    #[tokio::test]
    async fn a_failing_job_rolls_back_alone() {
        let dir = tempfile::tempdir().unwrap();
        for location in locations(&dir).await {
            let store = connect(&location, &[TABLE]).await.unwrap();
            let results =
                futures_util::future::join_all((0..600).map(|k| put(&store, k, k % 7 == 3))).await;
            for (k, result) in results.iter().enumerate() {
                assert_eq!(result.is_err(), k % 7 == 3, "{k}");
            }
            let again = put(&store, 0, false).await.unwrap_err();
            assert!(matches!(again, StoreError::Database(_)) && !again.is_temporary());
            assert_eq!(keys(&store).await, (0..600).filter(|k| k % 7 != 3).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn migrations_go_forward_and_newer_or_foreign_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let second = Migration {
            module: "t",
            version: 2,
            statements: &["ALTER TABLE t ADD COLUMN note TEXT"],
        };
        for location in locations(&dir).await {
            // Many at once, as when several processes start.
            let opened = (0..4).map(|_| connect(&location, &[TABLE]));
            for opened in futures_util::future::join_all(opened).await {
                opened.unwrap();
            }
            put(&connect(&location, &[TABLE]).await.unwrap(), 1, false).await.unwrap();
            let store = connect(&location, &[second, TABLE]).await.unwrap();
            assert_eq!(keys(&store).await, [1]);
            assert!(matches!(connect(&location, &[second]).await, Err(StoreError::Migrations(_))));
            let newer = connect(&location, &[TABLE]).await;
            assert!(matches!(newer, Err(StoreError::Newer { found: 2, known: 1, .. })));
            let foreign = Store::connect(&location, Some("u"), &[second, TABLE]).await;
            assert!(matches!(foreign, Err(StoreError::Foreign { found, .. }) if found == "t"));
        }
    }

    /// SQLite does not wait for the lock under which a file becomes one with a log ahead of it.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_new_file_is_opened_by_many_at_once() {
        for _ in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let location = Location::Sqlite(dir.path().join("db"));
            let opened = (0..4).map(|_| {
                let location = location.clone();
                tokio::spawn(async move { connect(&location, &[TABLE]).await })
            });
            for opened in futures_util::future::join_all(opened).await {
                opened.unwrap().unwrap();
            }
        }
    }

    #[tokio::test]
    async fn readers_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        for location in locations(&dir).await {
            let store = connect(&location, &[TABLE]).await.unwrap();
            let insert = statement(store.read(), "INSERT INTO t VALUES (1) RETURNING k", []);
            let refused = store.read().query_one_raw(insert).await.unwrap_err();
            assert!(refused.to_string().to_lowercase().contains("read"), "{refused}");
            assert!(store.read().execute_unprepared("INSERT INTO t VALUES (1)").await.is_err());
            let backup = store.backup(&dir.path().join("copy")).await;
            assert_eq!(backup.is_ok(), !location.is_shared());
        }
    }

    /// A job of one process that reads and then writes what it read is not disturbed by those of
    /// another.
    #[cfg(feature = "postgres")]
    #[tokio::test(flavor = "multi_thread")]
    async fn several_processes_write_one_after_the_other() {
        let Some(server) = datapact_local::testing::postgres::shared() else { return };
        let location = new_database(server);
        let stores = [
            connect(&location, &[TABLE]).await.unwrap(),
            connect(&location, &[TABLE]).await.unwrap(),
        ];
        let next = |store: &Store| {
            let store = store.clone();
            async move {
                store
                    .write(|tx| {
                        Box::pin(async move {
                            let sql = "SELECT COALESCE(MAX(k), 0) FROM t";
                            let row = tx.query_one_raw(statement(tx, sql, [])).await?.unwrap();
                            let next = row.try_get_by_index::<i64>(0)? + 1;
                            tx.execute_raw(statement(
                                tx,
                                "INSERT INTO t VALUES ($1)",
                                [next.into()],
                            ))
                            .await?;
                            Ok::<_, StoreError>(())
                        })
                    })
                    .await
            }
        };
        let work = (0..400).map(|i| next(&stores[i % 2]));
        for done in futures_util::future::join_all(work).await {
            done.unwrap();
        }
        assert_eq!(keys(&stores[0]).await, (1..=400).collect::<Vec<_>>());
    }

    /// What was answered is there after the server has crashed; nothing has to be restarted for it
    /// to go on.
    #[cfg(feature = "postgres")]
    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_that_was_away_is_used_again() {
        let Some(server) = datapact_local::testing::postgres::Server::start() else { return };
        let location = new_database(&server);
        let store = connect(&location, &[TABLE]).await.unwrap();
        put(&store, 1, false).await.unwrap();
        server.stop();
        let away = put(&store, 2, false).await.unwrap_err();
        assert!(away.is_temporary(), "{away:?}");
        let away = store.read().query_all_raw(statement(store.read(), "SELECT k FROM t", [])).await;
        assert!(StoreError::from(away.unwrap_err()).is_temporary());
        server.resume();
        put(&store, 3, false).await.unwrap();
        assert_eq!(keys(&store).await, [1, 3]);
    }
}
