//! Where a server keeps its state: a SQLite file in its data folder, or a PostgreSQL database; for
//! packages a folder, or a bucket of S3-compatible storage. Chosen by configuration alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use datapact_api::problem::{Kind, Problem};
use datapact_store::{Location, Postgres, StoreError};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

/// The password of the database's role, where the configuration names no file with it.
pub const DATABASE_PASSWORD_VARIABLE: &str = "DATAPACT_DATABASE_PASSWORD";
/// The secret access key of the bucket, where the configuration names no file with it.
pub const SECRET_KEY_VARIABLE: &str = "DATAPACT_S3_SECRET_KEY";

/// A PostgreSQL database. Each server has its own, or its own role with a schema of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// A name or an address, or the folder of the server's socket, which begins with `/`. What
    /// leaves this machine is encrypted, and the server's certificate must bear this name.
    pub host: String,
    /// Its port.
    #[serde(default = "port")]
    pub port: u16,
    /// The database.
    pub name: String,
    /// The role to connect as.
    pub user: String,
    /// The file with the role's password, 0600; [`DATABASE_PASSWORD_VARIABLE`] if not given, and no
    /// password without either.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The roots that the server's certificate must come from, PEM; the usual public ones if not
    /// given.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

fn port() -> u16 {
    5432
}

impl DatabaseConfig {
    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.password_file.iter_mut().chain(&mut self.ca)
    }

    /// Where it is, with the password.
    pub(crate) fn location(&self) -> Result<Location, SecretFileError> {
        let password =
            secret(self.password_file.as_ref(), DATABASE_PASSWORD_VARIABLE, "a database password")?;
        Ok(Location::Postgres(Postgres {
            host: self.host.clone(),
            port: self.port,
            database: self.name.clone(),
            user: self.user.clone(),
            password,
            ca: self.ca.clone(),
        }))
    }
}

/// A bucket of S3-compatible storage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsConfig {
    /// Its name. It must exist, and nothing else must be in it, or not under `prefix`.
    pub bucket: String,
    /// Where it is, `https://HOST` or `http://` on this machine; Amazon's for the region if not
    /// given.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    #[serde(default = "region")]
    pub region: String,
    /// What every object's name begins with.
    #[serde(default)]
    pub prefix: Option<String>,
    /// The access key's identifier.
    pub access_key_id: String,
    /// The file with the secret access key, 0600; [`SECRET_KEY_VARIABLE`] if not given.
    #[serde(default)]
    pub secret_key_file: Option<PathBuf>,
    /// Roots that the storage's certificate may come from, PEM, beside the usual public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

fn region() -> String {
    "us-east-1".to_owned()
}

impl ObjectsConfig {
    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.secret_key_file.iter_mut().chain(&mut self.ca)
    }

    /// What of it cannot be.
    pub(crate) fn validate(&self) -> Result<(), String> {
        match self.endpoint.as_deref() {
            None => Ok(()),
            Some(url) if url.starts_with("https://") || self.is_local() => Ok(()),
            Some(url) => Err(format!("`objects.endpoint`: `{url}` must begin with https://")),
        }
    }

    /// Whether it is reached without TLS, which only this machine is.
    pub(crate) fn is_local(&self) -> bool {
        self.endpoint.as_deref().is_some_and(is_local)
    }

    /// The secret access key.
    #[cfg(feature = "s3")]
    pub(crate) fn secret_key(&self) -> Result<Option<Zeroizing<String>>, SecretFileError> {
        secret(self.secret_key_file.as_ref(), SECRET_KEY_VARIABLE, "a secret access key")
    }
}

/// Whether `url` leads to this machine without TLS.
pub(crate) fn is_local(url: &str) -> bool {
    let address =
        url.strip_prefix("http://").map(|host| host.trim_end_matches('/').parse::<SocketAddr>());
    address.is_some_and(|address| address.is_ok_and(|address| address.ip().is_loopback()))
}

/// A secret from its file, else from the environment.
fn secret(
    file: Option<&PathBuf>,
    variable: &str,
    what: &'static str,
) -> Result<Option<Zeroizing<String>>, SecretFileError> {
    let Some(path) = file else {
        return Ok(std::env::var(variable).ok().map(Zeroizing::new));
    };
    let text = secret_file::read(path)?.filter(|text| !text.is_empty());
    text.map(Some).ok_or_else(|| SecretFileError::Content(path.clone(), what))
}

/// A failed database, as the caller may see it; the server's log says more.
pub(crate) fn problem(error: StoreError) -> Problem {
    match error {
        StoreError::Closed => {
            Problem::new(Kind::Unavailable, "the server is shutting down").hint("try again")
        }
        error if error.is_temporary() => {
            tracing::error!(%error, "the database cannot be used");
            Problem::new(Kind::Unavailable, "the server's database cannot be used at the moment")
                .hint("try again later; the server's log says more")
        }
        error => Problem::internal(error),
    }
}
