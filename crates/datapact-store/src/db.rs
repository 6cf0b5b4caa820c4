//! What jobs do with their connection: statements in the SQL that both databases share.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::ops::Deref;

use crate::connection::{Connection, Role, connect};
use crate::error::{DatabaseError, StoreError};
use crate::location::Location;
use crate::value::{Row, Value};

/// The most values of one list after `IN`.
const LIST_MAX: usize = 1024;
/// The most values of one `INSERT`; either database takes several times as many.
const INSERT_MAX: usize = 4096;

/// A connection that reads: what queries take. Of a reader's, each statement sees the newest
/// commit; inside of a [`Tx`], what the transaction sees.
pub struct Db {
    location: Location,
    role: Role,
    /// None before a reader's first statement, and after one failed.
    connection: RefCell<Option<Box<dyn Connection>>>,
    /// Whether a statement of the transaction failed.
    has_failed: Cell<bool>,
}

impl Db {
    /// A reader of the database at `location`, which is connected to when it is first asked.
    pub(crate) fn reader(location: Location) -> Self {
        Self {
            location,
            role: Role::Read,
            connection: RefCell::default(),
            has_failed: Cell::default(),
        }
    }

    /// The rows that a statement gives.
    ///
    /// # Errors
    /// [`StoreError::Database`], as of all statements; in a transaction, the job has to fail then.
    pub fn rows(
        &self,
        sql: impl AsRef<str>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.query(sql.as_ref(), &collected(values), false)
    }

    /// The first row that a statement gives, if it gives any.
    ///
    /// # Errors
    /// As [`Db::rows`].
    pub fn row(
        &self,
        sql: impl AsRef<str>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql.as_ref(), &collected(values), true)?.pop())
    }

    /// The rows in which a column is one of `values`: the statement ends with `IN`, and its list is
    /// added. It has no other parameters. Rows come in no particular order.
    ///
    /// The list is made as long as a power of two, by repeating the last value, which a query does
    /// not mind. So few texts occur, and the database finds again what it has prepared for them.
    ///
    /// # Errors
    /// As [`Db::rows`].
    pub fn rows_of(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        for list in collected(values).chunks(LIST_MAX) {
            let (sql, values) = self.with_list(sql, list);
            found.extend(self.query(&sql, &values, false)?);
        }
        Ok(found)
    }

    /// The rows that a statement gives that reads `given` as a table, whose name and columns are
    /// `table`, as in `asked (n, id)`. It has no other parameters. A row may be given repeatedly,
    /// so the statement must not count them; see [`Db::rows_of`].
    ///
    /// # Errors
    /// As [`Db::rows`].
    pub fn rows_joined<const N: usize>(
        &self,
        table: &str,
        given: &[[Value; N]],
        sql: &str,
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::new();
        for rows in given.chunks((LIST_MAX / N).max(1)) {
            let mut rows = rows.to_vec();
            if let Some(last) = rows.last().cloned() {
                rows.resize(rows.len().next_power_of_two(), last);
            }
            let list = self.placeholders(rows.len(), N);
            let sql = format!("WITH {table} AS (VALUES {list}) {sql}");
            found.extend(self.query(&sql, &collected(rows.into_iter().flatten()), false)?);
        }
        Ok(found)
    }

    /// The statement with its list, and the list padded.
    fn with_list(&self, sql: &str, list: &[Value]) -> (String, Vec<Value>) {
        let mut values = list.to_vec();
        if let Some(last) = list.last() {
            values.resize(list.len().next_power_of_two(), last.clone());
        }
        (format!("{sql} {}", self.placeholders(1, values.len())), values)
    }

    /// `(?, ?), (?, ?)`, or `($1, $2), ($3, $4)` where the database wants numbers: placeholders for
    /// `rows` rows of `columns` columns. SQLite looks for a numbered one among all of them, so that
    /// hundreds take long. There are no others in the same statement.
    fn placeholders(&self, rows: usize, columns: usize) -> String {
        let is_numbered = self.location.is_shared();
        let mut text = String::with_capacity(rows * columns * 6);
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..columns {
                if column > 0 {
                    text.push_str(", ");
                }
                if is_numbered {
                    // Writing to a string does not fail.
                    let _ = write!(text, "${}", row * columns + column + 1);
                } else {
                    text.push('?');
                }
            }
            text.push(')');
        }
        text
    }

    fn query(&self, sql: &str, values: &[Value], first: bool) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.connection.borrow_mut();
        if self.role != Role::Read {
            // A transaction ends with its connection.
            let connection = connection.as_mut().ok_or(StoreError::Closed)?;
            let found = connection.query(sql, values, first);
            self.has_failed.set(self.has_failed.get() || found.is_err());
            return Ok(found?);
        }
        loop {
            let used_before = connection.take();
            let is_new = used_before.is_none();
            let mut on = match used_before {
                Some(on) => on,
                None => connect(&self.location, Role::Read)?,
            };
            match on.query(sql, values, first) {
                Ok(rows) => {
                    *connection = Some(on);
                    return Ok(rows);
                }
                // The database was away meanwhile, so another connection is asked.
                Err(error) if error.is_gone() && !is_new => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn collected(values: impl IntoIterator<Item = Value>) -> Vec<Value> {
    values.into_iter().collect()
}

/// A job's transaction. It reads as [`Db`] does, and writes.
pub struct Tx(Db);

impl Deref for Tx {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.0
    }
}

impl Tx {
    /// The connection that writes to the database at `location`.
    pub(crate) fn connect(location: &Location, role: Role) -> Result<Self, StoreError> {
        let connection = connect(location, role)?;
        let (location, connection) = (location.clone(), RefCell::new(Some(connection)));
        Ok(Self(Db { location, role, connection, has_failed: Cell::default() }))
    }

    /// Runs a statement, and returns how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Database`]; the job has to fail then.
    pub fn run(
        &self,
        sql: impl AsRef<str>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        // Before the connection is borrowed: the values may come from its rows.
        let values = collected(values);
        self.on(|on| on.execute(sql.as_ref(), &values))
    }

    /// Inserts `rows` into `into`, which is `table (columns)`, many with one statement.
    ///
    /// # Errors
    /// As [`Tx::run`].
    pub fn insert<const N: usize>(
        &self,
        into: &str,
        rows: Vec<[Value; N]>,
    ) -> Result<(), StoreError> {
        self.insert_or(into, rows, "")
    }

    /// The same, with what follows the rows: `ON CONFLICT (...) DO ...`.
    ///
    /// # Errors
    /// As [`Tx::run`].
    pub fn insert_or<const N: usize>(
        &self,
        into: &str,
        rows: Vec<[Value; N]>,
        on_conflict: &str,
    ) -> Result<(), StoreError> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let chunk: Vec<[Value; N]> = rows.by_ref().take((INSERT_MAX / N).max(1)).collect();
            let list = self.placeholders(chunk.len(), N);
            let sql = format!("INSERT INTO {into} VALUES {list} {on_conflict}");
            self.run(sql, chunk.into_iter().flatten())?;
        }
        Ok(())
    }

    /// Runs a statement for rows in which a column is one of `values`: it ends with `IN`, as in
    /// [`Db::rows_of`].
    ///
    /// # Errors
    /// As [`Tx::run`].
    pub fn delete_of(&self, sql: &str, values: Vec<Value>) -> Result<(), StoreError> {
        for list in values.chunks(LIST_MAX) {
            let (sql, values) = self.with_list(sql, list);
            self.run(sql, values)?;
        }
        Ok(())
    }

    /// Begins a transaction that writes from its first statement on, so that it never has to be
    /// upgraded. In a database that others write to as well, `lock` keeps them waiting until it
    /// ends.
    pub(crate) fn begin(&self, lock: &str) -> Result<(), StoreError> {
        self.0.has_failed.set(false);
        match self.location.is_shared() {
            true => self.control(&format!("BEGIN; {lock}")),
            false => self.run("BEGIN IMMEDIATE", []).map(drop),
        }
    }

    /// Whether the database has given up the transaction, and would roll it back: PostgreSQL does
    /// after a statement failed.
    pub(crate) fn is_aborted(&self) -> bool {
        self.location.is_shared() && self.0.has_failed.get()
    }

    /// Runs statements without parameters.
    pub(crate) fn control(&self, sql: &str) -> Result<(), StoreError> {
        self.on(|on| on.execute_all(sql))
    }

    fn on<T>(
        &self,
        work: impl FnOnce(&mut dyn Connection) -> Result<T, DatabaseError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.0.connection.borrow_mut();
        let done = work(connection.as_mut().ok_or(StoreError::Closed)?.as_mut());
        self.0.has_failed.set(self.0.has_failed.get() || done.is_err());
        Ok(done?)
    }
}
