//! Where a store's database is, and how it is connected to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr, RuntimeErr};
use zeroize::Zeroizing;

use super::{Readers, StoreError};

const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// SQLite's result code.
const SQLITE_BUSY: u32 = 5;

/// Where a store's database is.
#[derive(Debug, Clone)]
pub enum Location {
    /// A SQLite file, made where there is none. One process at a time may write to it.
    Sqlite(PathBuf),
    /// A PostgreSQL database, which must exist; several processes may work on it.
    Postgres(Postgres),
}

/// A PostgreSQL database.
#[derive(Clone)]
pub struct Postgres {
    /// A name or an address, or the folder of the server's socket, which begins with `/`.
    pub host: String,
    /// Its port; with a socket, the number in the socket's name.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role to connect as; it must own the database's tables.
    pub user: String,
    /// The role's password, where the server asks for one.
    pub password: Option<Zeroizing<String>>,
    /// The roots that the server's certificate must come from, PEM; the usual public ones if not
    /// given.
    pub ca: Option<PathBuf>,
}

/// Without the password.
impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{} as {}", self.host, self.port, self.database, self.user)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(postgres) => write!(f, "{postgres:?}"),
        }
    }
}

impl Location {
    /// Whether several processes may work on it.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The one connection that writes; to a file that is made where there is none, if `make`.
    pub(crate) async fn writer(&self, make: bool) -> Result<DatabaseConnection, StoreError> {
        match self {
            Self::Sqlite(path) => {
                // Making a file one with a log ahead of it takes a lock for which SQLite does not
                // wait: somebody else may be doing the same.
                let patience = Instant::now() + BUSY_TIMEOUT;
                loop {
                    match Database::connect(sqlite_writer(path, make)).await {
                        Err(error) if is_busy(&error) && Instant::now() < patience => {
                            tokio::time::sleep(BUSY_PAUSE).await;
                        }
                        connected => return Ok(connected?),
                    }
                }
            }
            Self::Postgres(postgres) => postgres.writer().await,
        }
    }

    /// A pool of connections that cannot write.
    pub(super) async fn readers(&self) -> Result<Readers, StoreError> {
        match self {
            Self::Sqlite(path) => {
                // How a file is written stays as its writer said.
                let options = sqlite(SqliteConnectOptions::new(), path).pragma("query_only", "ON");
                let options = options.disable_statement_logging();
                let connect = move || {
                    let options = options.clone();
                    Box::pin(async move { options.connect().await }) as _
                };
                Readers::sqlite(connect, BUSY_TIMEOUT).await
            }
            Self::Postgres(postgres) => postgres.readers().await,
        }
    }
}

fn is_busy(error: &DbErr) -> bool {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error)) => {
            let code = error.as_database_error().and_then(|error| error.code());
            // The lowest byte is the kind.
            code.and_then(|code| code.parse::<u32>().ok())
                .is_some_and(|code| code & 0xff == SQLITE_BUSY)
        }
        _ => false,
    }
}

fn sqlite_writer(path: &Path, make: bool) -> ConnectOptions {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(1)
        .min_connections(1)
        // It lives as long as the store.
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false)
        // A file is not cut off: whether a connection still is one need not be asked before each
        // statement.
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(move |options| {
            sqlite(options, &path)
                .create_if_missing(make)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
        });
    options
}

fn sqlite(options: SqliteConnectOptions, path: &Path) -> SqliteConnectOptions {
    options
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(256)
}

#[cfg(not(feature = "postgres"))]
impl Postgres {
    async fn writer(&self) -> Result<DatabaseConnection, StoreError> {
        Err(StoreError::NotBuilt)
    }

    async fn readers(&self) -> Result<Readers, StoreError> {
        Err(StoreError::NotBuilt)
    }
}

#[cfg(feature = "postgres")]
mod connect {
    use std::io::ErrorKind;
    use std::net::IpAddr;
    use std::time::Duration;

    use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions, PgSslMode};
    use sea_orm::sqlx::{ConnectOptions as _, Error, Executor as _};
    use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector};

    use super::{Postgres, Readers, StoreError};

    /// How long a job waits for a database that is away; then its caller is told.
    const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
    const CONNECT_PAUSE: Duration = Duration::from_millis(100);
    /// What the server does by itself to a client that hangs, so that it does not hold up the
    /// others: milliseconds.
    const SETTINGS: [(&str, &str); 5] = [
        ("lock_timeout", "10000"),
        ("statement_timeout", "60000"),
        ("idle_in_transaction_session_timeout", "20000"),
        ("tcp_keepalives_idle", "20"),
        ("client_min_messages", "warning"),
    ];

    impl Postgres {
        pub(super) async fn writer(&self) -> Result<DatabaseConnection, StoreError> {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        // What was answered must be durable, whatever the server's default. A
                        // stricter one stays.
                        connection
                            .execute(
                                "SELECT set_config('synchronous_commit', 'on', false) \
                                 WHERE current_setting('synchronous_commit') = 'off'",
                            )
                            .await?;
                        Ok(())
                    })
                })
                .connect_with(self.options(false))
                .await
                .map_err(|e| DbErr::Conn(RuntimeErr::SqlxError(e.into())))?;
            Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
        }

        pub(super) async fn readers(&self) -> Result<Readers, StoreError> {
            let options = self.options(true);
            let connect = move || Box::pin(patiently(options.clone())) as _;
            Readers::postgres(connect, ACQUIRE_TIMEOUT).await
        }

        fn options(&self, readers: bool) -> PgConnectOptions {
            let mut options = PgConnectOptions::new_without_pgpass()
                .port(self.port)
                .username(&self.user)
                .database(&self.database)
                .application_name("datapact")
                .statement_cache_capacity(256)
                .options(SETTINGS)
                .disable_statement_logging();
            options = match self.host.starts_with('/') {
                true => options.socket(&self.host),
                false => options.host(&self.host).ssl_mode(self.ssl_mode()),
            };
            if readers {
                options = options.options([("default_transaction_read_only", "on")]);
            }
            if let Some(password) = &self.password {
                options = options.password(password);
            }
            if let Some(ca) = &self.ca {
                options = options.ssl_root_cert(ca);
            }
            options
        }

        /// Whatever leaves this machine is encrypted, to a server with the right certificate.
        fn ssl_mode(&self) -> PgSslMode {
            let loopback = self.host == "localhost"
                || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            if loopback && self.ca.is_none() { PgSslMode::Prefer } else { PgSslMode::VerifyFull }
        }
    }

    /// A connection, as soon as a server that is being restarted takes it; for as long as the
    /// caller waits.
    async fn patiently(options: PgConnectOptions) -> Result<PgConnection, Error> {
        loop {
            match options.connect().await {
                Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
                connected => return connected,
            }
        }
    }
}
