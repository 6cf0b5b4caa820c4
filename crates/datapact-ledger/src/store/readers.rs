//! Connections that only read.
//!
//! They are kept here, not in sqlx's pool: that asks a connection for a sign of life whenever it is
//! put back, and of PostgreSQL whenever it is taken, which costs as much as a short query. Here a
//! connection on which something failed, or whose query was cut off, is not put back, and what was
//! asked of a kept one that has gone is asked again on another.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sea_orm::sqlx::{
    self, AssertSqlSafe, Connection as _, Database, Error, Executor, IntoArguments,
};
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    Statement,
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;

use super::StoreError;

/// The most connections that read at once.
const READERS_MAX: usize = 8;

/// A pool of connections that cannot write. Each statement sees the newest commit.
#[derive(Clone, Debug)]
pub struct Readers(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Sqlite(Arc<Connections<sqlx::Sqlite>>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<Connections<sqlx::Postgres>>),
}

/// How a connection is made.
type Connect<D> =
    dyn Fn() -> BoxFuture<'static, Result<<D as Database>::Connection, Error>> + Send + Sync;

/// The connections to one database.
struct Connections<D: Database> {
    idle: Mutex<Vec<D::Connection>>,
    /// One for each connection that may be in use.
    turns: Semaphore,
    connect: Box<Connect<D>>,
    /// How long a query waits for its turn and a connection.
    patience: Duration,
}

impl Readers {
    pub(super) async fn sqlite(
        connect: impl Fn() -> BoxFuture<'static, Result<sqlx::SqliteConnection, Error>>
        + Send
        + Sync
        + 'static,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        Ok(Self(Kept::Sqlite(Connections::open(Box::new(connect), patience).await?)))
    }

    #[cfg(feature = "postgres")]
    pub(super) async fn postgres(
        connect: impl Fn() -> BoxFuture<'static, Result<sqlx::PgConnection, Error>>
        + Send
        + Sync
        + 'static,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        Ok(Self(Kept::Postgres(Connections::open(Box::new(connect), patience).await?)))
    }

    /// Ends all connections.
    pub async fn close(self) {
        match self.0 {
            Kept::Sqlite(connections) => connections.close().await,
            #[cfg(feature = "postgres")]
            Kept::Postgres(connections) => connections.close().await,
        }
    }

    async fn query(&self, statement: &Statement, one: bool) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Kept::Sqlite(connections) => connections.query(statement, one).await,
            #[cfg(feature = "postgres")]
            Kept::Postgres(connections) => connections.query(statement, one).await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Readers {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            Kept::Sqlite(_) => DbBackend::Sqlite,
            #[cfg(feature = "postgres")]
            Kept::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, _: Statement) -> Result<ExecResult, DbErr> {
        Err(only_reads())
    }

    async fn execute_unprepared(&self, _: &str) -> Result<ExecResult, DbErr> {
        Err(only_reads())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query(&statement, true).await?.pop())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.query(&statement, false).await
    }
}

fn only_reads() -> DbErr {
    DbErr::Custom("this connection only reads".to_owned())
}

impl<D: Database> Connections<D> {
    /// With a first connection, which shows that there can be any.
    async fn open(connect: Box<Connect<D>>, patience: Duration) -> Result<Arc<Self>, StoreError> {
        let (idle, turns) = (Mutex::default(), Semaphore::new(READERS_MAX));
        let connections = Self { idle, turns, connect, patience };
        let first = connections.connected().await?;
        connections.keep(first);
        Ok(Arc::new(connections))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<D::Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connected(&self) -> Result<D::Connection, DbErr> {
        let connected =
            tokio::time::timeout(self.patience, (self.connect)()).await.map_err(late)?;
        connected.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))
    }

    fn keep(&self, connection: D::Connection) {
        self.idle().push(connection);
    }

    async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // What was read was read.
            let _ = connection.close().await;
        }
    }
}

impl<D: Database> Connections<D>
where
    SqlxValues: IntoArguments<D>,
    QueryResult: From<D::Row>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    async fn query(&self, statement: &Statement, one: bool) -> Result<Vec<QueryResult>, DbErr> {
        let turn = tokio::time::timeout(self.patience, self.turns.acquire()).await.map_err(late)?;
        let _turn = turn.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))?;
        loop {
            let kept = self.idle().pop();
            let is_new = kept.is_none();
            let mut connection = match kept {
                Some(kept) => kept,
                None => self.connected().await?,
            };
            let values = statement.values.clone().unwrap_or(sea_orm::Values(Vec::new()));
            let query = sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values));
            let rows: Result<Vec<D::Row>, Error> = match one {
                true => {
                    query.fetch_optional(&mut connection).await.map(|row| row.into_iter().collect())
                }
                false => query.fetch_all(&mut connection).await,
            };
            match rows {
                Ok(rows) => {
                    self.keep(connection);
                    return Ok(rows.into_iter().map(Into::into).collect());
                }
                // The database was away meanwhile: so may be what the others are connected to.
                Err(error) if !is_new && is_gone(&error) => {}
                Err(error) => return Err(DbErr::Query(RuntimeErr::SqlxError(error.into()))),
            }
        }
    }
}

/// Whether the connection is gone, and not only the query failed: what takes too long is not asked
/// again.
fn is_gone(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        // PostgreSQL's class of lost connections, and a server that is shutting down, has crashed,
        // or is starting.
        Error::Database(error) => error.code().is_some_and(|code| {
            code.len() == 5
                && (code.starts_with("08") || ["57P01", "57P02", "57P03"].contains(&code.as_ref()))
        }),
        _ => false,
    }
}

fn late(_: Elapsed) -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}

impl<D: Database> fmt::Debug for Connections<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("idle", &self.idle().len()).finish_non_exhaustive()
    }
}
