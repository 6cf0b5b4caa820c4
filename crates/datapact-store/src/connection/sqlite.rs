//! SQLite, a file of this machine.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection as File, Error, OpenFlags, ToSql};

use super::{Connection, Role, STATEMENTS_MAX};
use crate::error::DatabaseError;
use crate::value::{Row, Value};

/// How long SQLite waits for the lock of another connection.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Up to which size a database is rewritten in memory, in bytes. A larger one takes a file that
/// SQLite unlinks as soon as it has opened it, in `SQLITE_TMPDIR` or the machine's usual place.
const REWRITTEN_IN_MEMORY_MAX: u64 = 256 << 20;

/// SQLite's result code for a lock that another connection holds.
const BUSY: i32 = 5;
/// The result codes of what may pass: BUSY, LOCKED, READONLY, IOERR, FULL and CANTOPEN.
const TEMPORARY: [i32; 6] = [BUSY, 6, 8, 10, 13, 14];

pub(super) struct Sqlite(File);

impl Sqlite {
    pub(super) fn open(path: &Path, role: Role) -> Result<Self, DatabaseError> {
        // Making a file one with a log ahead of it takes a lock for which SQLite does not wait:
        // another process may be doing the same.
        let end = Instant::now() + BUSY_TIMEOUT;
        loop {
            match open(path, role) {
                Err(error) if kind(&error) == Some(BUSY) && Instant::now() < end => {
                    std::thread::sleep(BUSY_PAUSE);
                }
                opened => return Ok(Self(opened?)),
            }
        }
    }

    /// Rewrites the file without what was deleted, and empties the log ahead of it.
    ///
    /// `secure_delete` alone does not do: SQLite leaves copies of rows that it has moved in the
    /// gaps of the pages where they were.
    pub(super) fn scrub(&mut self, path: &Path) -> Result<(), DatabaseError> {
        let size = std::fs::metadata(path).map(|file| file.len());
        if size.is_ok_and(|size| size > REWRITTEN_IN_MEMORY_MAX) {
            self.0.execute_batch("PRAGMA temp_store = FILE")?;
        }
        self.0.execute_batch("VACUUM")?;
        let is_busy = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        match self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], is_busy)? {
            0 => Ok(()),
            _ => Err(DatabaseError::temporary("a reader holds the log ahead of the database")),
        }
    }

    fn prepared(&self, sql: &str, values: &[Value]) -> Result<CachedStatement<'_>, Error> {
        let mut statement = self.0.prepare_cached(&numbered(sql))?;
        let count = statement.parameter_count();
        if count != values.len() {
            return Err(Error::InvalidParameterCount(values.len(), count));
        }
        for (index, value) in values.iter().enumerate() {
            statement.raw_bind_parameter(index + 1, value)?;
        }
        Ok(statement)
    }

    fn rows(&self, sql: &str, values: &[Value], first: bool) -> Result<Vec<Row>, Error> {
        let mut statement = self.prepared(sql, values)?;
        let width = statement.column_count();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let column = |index| owned(index, row.get_ref(index)?);
            found.push(Row::new((0..width).map(column).collect::<Result<_, Error>>()?));
            if first {
                break;
            }
        }
        Ok(found)
    }
}

fn open(path: &Path, role: Role) -> Result<File, Error> {
    // One thread uses it, so that SQLite need not lock.
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, role == Role::Make);
    let file = File::open_with_flags(path, flags)?;
    file.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    file.busy_timeout(BUSY_TIMEOUT)?;
    file.execute_batch(match role {
        // What was answered must survive a power cut: the log is flushed at every commit. What was
        // deleted is overwritten, and nothing is written to temporary files.
        Role::Make | Role::Write => {
            "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; \
             PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY"
        }
        // How the file is written stays as its writer said.
        Role::Read => {
            "PRAGMA foreign_keys = ON; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY"
        }
    })?;
    Ok(file)
}

/// `$1` as `?1`. SQLite takes the former for a name, numbers names as they come, and would have to
/// be asked for each one's number.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

impl Connection for Sqlite {
    fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        first: bool,
    ) -> Result<Vec<Row>, DatabaseError> {
        Ok(self.rows(sql, values, first)?)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DatabaseError> {
        Ok(self.prepared(sql, values)?.raw_execute()? as u64)
    }

    fn execute_all(&mut self, sql: &str) -> Result<(), DatabaseError> {
        Ok(self.0.execute_batch(sql)?)
    }
}

fn owned(column: usize, value: ValueRef<'_>) -> Result<Value, Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(text) => {
            Value::Text(std::str::from_utf8(text).map_err(|e| Error::Utf8Error(column, e))?.into())
        }
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        // No table has one.
        ValueRef::Real(_) => {
            let kind = rusqlite::types::Type::Real;
            return Err(Error::InvalidColumnType(column, String::new(), kind));
        }
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The kind of failure: the lowest byte of SQLite's result code.
fn kind(error: &Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code & 0xff)
}

impl From<Error> for DatabaseError {
    fn from(error: Error) -> Self {
        match kind(&error) {
            Some(kind) if TEMPORARY.contains(&kind) => Self::temporary(error.to_string()),
            _ => Self::new(error.to_string()),
        }
    }
}
