//! Where a store's database is.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

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
    /// The roots that the server's certificate must come from, PEM; this machine's usual public
    /// ones if not given.
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
}
