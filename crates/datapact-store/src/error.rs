//! Why the store could not do what was asked.

use std::fmt;

/// Why the store could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] DatabaseError),
    /// A newer program has written this database.
    #[error(
        "the database has version {found} of `{module}`, but this program knows only {known}; \
         use the newer program"
    )]
    Newer {
        /// Whose tables.
        module: String,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The database belongs to another server.
    #[error(
        "the database belongs to `{found}`, not to `{expected}`; \
         give each server a database of its own"
    )]
    Foreign {
        /// Whose it is.
        found: String,
        /// Who wanted to use it.
        expected: String,
    },
    /// This program was built without PostgreSQL.
    #[error(
        "this program was built without PostgreSQL; \
         build it with `--features postgres`, or use a release"
    )]
    NotBuilt,
    /// What only a database file can do.
    #[error("this is a PostgreSQL database; use PostgreSQL's own tools, such as `pg_dump`")]
    NoFile,
    /// The migrations given at opening contradict each other.
    #[error("the migrations of `{0}` do not count 1, 2, 3 and so on")]
    Migrations(String),
    /// The writer has ended: the program is shutting down or a job panicked.
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
            Self::Database(error) => error.is_temporary,
            _ => false,
        }
    }
}

impl StoreError {
    /// Whether the connection is gone, so that another one may still work.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_gone())
    }
}

/// What the database, or the connection to it, said.
#[derive(Debug, Clone)]
pub struct DatabaseError {
    message: String,
    is_temporary: bool,
    is_gone: bool,
}

impl DatabaseError {
    /// A failure that a repeat would meet again.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_temporary: false, is_gone: false }
    }

    /// A failure that may pass.
    pub(crate) fn temporary(message: impl Into<String>) -> Self {
        Self { is_temporary: true, ..Self::new(message) }
    }

    /// The connection is gone; another one may still work.
    #[cfg(feature = "postgres")]
    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self { is_gone: true, ..Self::temporary(message) }
    }

    /// The same, as what prevented a connection. That may always pass: the operator can mend it
    /// while the server runs.
    pub(crate) fn at_connecting(self) -> Self {
        Self { is_temporary: true, ..self }
    }

    /// Whether the connection is gone, and not only the statement failed: what takes too long is
    /// not asked again.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DatabaseError {}
