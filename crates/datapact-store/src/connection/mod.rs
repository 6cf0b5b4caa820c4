//! One connection to a database, used by the thread that made it.

#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;
#[cfg(feature = "postgres")]
mod tls;

use std::path::Path;
use std::time::Duration;

use crate::error::{DatabaseError, StoreError};
use crate::location::Location;
use crate::value::{Row, Value};

/// How many prepared statements a connection keeps.
const STATEMENTS_MAX: usize = 256;

/// What the two databases have in common.
pub(crate) trait Connection {
    /// The rows that one statement gives; at most one if `first`.
    fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        first: bool,
    ) -> Result<Vec<Row>, DatabaseError>;

    /// Runs one statement, and says how many rows it changed.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DatabaseError>;

    /// Runs statements without parameters, separated by `;`.
    fn execute_all(&mut self, sql: &str) -> Result<(), DatabaseError>;
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Writes, to a file that is made where there is none.
    Make,
    /// Writes, to a database that must exist.
    Write,
    /// Cannot write.
    Read,
}

/// Connects to the database at `location`.
///
/// # Errors
/// Temporary ones, but for [`StoreError::NotBuilt`]: an operator may mend what prevents it.
pub(crate) fn connect(location: &Location, role: Role) -> Result<Box<dyn Connection>, StoreError> {
    match location {
        Location::Sqlite(path) => {
            let opened = sqlite::Sqlite::open(path, role);
            Ok(Box::new(opened.map_err(DatabaseError::at_connecting)?))
        }
        #[cfg(feature = "postgres")]
        Location::Postgres(at) => {
            let connected = postgres::Connected::open(at, role);
            Ok(Box::new(connected.map_err(DatabaseError::at_connecting)?))
        }
        #[cfg(not(feature = "postgres"))]
        Location::Postgres(_) => Err(StoreError::NotBuilt),
    }
}

/// How long a reading job waits for a connection; then its caller is told.
pub(crate) fn patience(location: &Location) -> Duration {
    match location {
        Location::Sqlite(_) => sqlite::BUSY_TIMEOUT,
        #[cfg(feature = "postgres")]
        Location::Postgres(_) => postgres::CONNECT_TIMEOUT,
        #[cfg(not(feature = "postgres"))]
        Location::Postgres(_) => Duration::ZERO,
    }
}

/// Takes what was deleted out of the files of the database at `location`. PostgreSQL rewrites only
/// `tables`.
pub(crate) fn scrub(location: &Location, tables: &[&str]) -> Result<(), StoreError> {
    match location {
        Location::Sqlite(path) => {
            let opened = sqlite::Sqlite::open(path, Role::Write);
            Ok(opened.map_err(DatabaseError::at_connecting)?.scrub(path)?)
        }
        Location::Postgres(_) => {
            let mut connection = connect(location, Role::Write)?;
            for table in tables {
                connection.execute_all(&format!("VACUUM (FULL) {table}"))?;
            }
            Ok(())
        }
    }
}

/// Writes a consistent copy of the SQLite file at `path` to `target`, and flushes it to the disk.
pub(crate) fn copy_file(path: &Path, target: &Path) -> Result<(), StoreError> {
    let unusable =
        |why: &dyn std::fmt::Display| DatabaseError::new(format!("`{}`: {why}", target.display()));
    let name = target.to_str().ok_or_else(|| unusable(&"the path is not UTF-8"))?;
    let mut connection = connect(&Location::Sqlite(path.to_owned()), Role::Write)?;
    connection.execute("VACUUM INTO $1", &[name.into()])?;
    let synced = std::fs::File::open(target).and_then(|file| file.sync_all());
    Ok(synced.map_err(|e| unusable(&e))?)
}
