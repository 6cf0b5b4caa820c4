//! The configuration file of each server: TOML, one file a server, unknown keys are errors.
//!
//! Relative paths are relative to the file's folder.

mod key;
mod limits;
mod management;
mod network;
mod storage;
mod webhooks;
mod witness;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use datapact_api::endpoint::Endpoint;
use datapact_api::gate::Pattern;
use datapact_store::Location;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::operator::traces::TracesConfig;
use crate::secret_file::SecretFileError;
use crate::security_log::SecurityLogConfig;
use crate::stores::DatabaseConfig;
pub use key::{KeyServerConfig, OwnManagement};
pub(crate) use limits::BURST_SECONDS;
pub use limits::{Deadlines, Limits};
pub use management::{LedgerConfig, ManagementConfig, Peer, Witness};
pub(crate) use network::Network;
pub use storage::StorageServerConfig;
pub use webhooks::WebhooksConfig;
pub use witness::WitnessConfig;

/// The longest retention, in days.
const RETENTION_DAYS_MAX: u32 = 3650;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{path}`: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, std::io::Error),
    /// The file is not as specified.
    #[error("the configuration `{path}` is wrong: {detail}", path = .0.display(), detail = .1)]
    Wrong(PathBuf, String),
}

/// What every server has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// The address of this server, `https://NAME:PORT`; its certificate must bear NAME.
    pub url: String,
    /// Where to listen for clients with certificates; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where to listen without client certificates, for health, keys, revocation lists and the log.
    pub public_listen: SocketAddr,
    /// What it shows others in a handshake, and whom it believes.
    pub tls: TlsFiles,
    /// The folder with all of this server's state.
    pub data: PathBuf,
    /// PostgreSQL instead of a database file in `data`.
    #[serde(default)]
    pub database: Option<DatabaseConfig>,
    /// What its operator sees.
    #[serde(default)]
    pub operator: Operator,
    /// What callers may take of it at once, and how long for it.
    #[serde(default)]
    pub limits: Limits,
    /// Whom it admits.
    pub access: Access,
}

/// The files for TLS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// The private key, PEM (PKCS#8), 0600.
    pub private_key: PathBuf,
    /// The trust configuration.
    pub trust: PathBuf,
}

impl TlsFiles {
    fn paths_mut(&mut self) -> [&mut PathBuf; 3] {
        [&mut self.certificate, &mut self.private_key, &mut self.trust]
    }
}

/// What a server's operator sees of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operator {
    /// Where it answers about health, readiness and figures; port 0 takes a free one, and nowhere
    /// if not given. It is plain HTTP without authentication, so that probes and Prometheus reach
    /// it, and therefore only on this machine unless configured otherwise.
    pub listen: Option<SocketAddr>,
    /// Whether `listen` may be an address that other machines reach, for a container's network,
    /// say.
    pub beyond_this_machine: bool,
    /// Where traces of the calls that it answers are sent. Nowhere if not given.
    pub traces: Option<TracesConfig>,
    /// Where it writes down who was refused and what administrators did.
    pub security_log: SecurityLogConfig,
}

impl Operator {
    fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let traces = self.traces.iter_mut().flat_map(|traces| &mut traces.ca);
        traces.chain(self.security_log.paths_mut())
    }

    fn validate(&self) -> Result<(), String> {
        self.traces.as_ref().map_or(Ok(()), TracesConfig::validate)?;
        self.security_log.validate()?;
        if self.beyond_this_machine || self.listen.is_none_or(|at| at.ip().is_loopback()) {
            return Ok(());
        }
        Err("`operator.listen` is not a loopback address; anybody there could read the figures. \
             Set `operator.beyond_this_machine = true` if only its operator reaches that network"
            .to_owned())
    }
}

/// An access list: realms (`clinic`) or identities (`clinic:CN=alice`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Admitted.
    pub allow: Vec<String>,
    /// Refused, even if admitted by `allow`.
    #[serde(default)]
    pub deny: Vec<String>,
}

impl Access {
    /// The list, parsed.
    pub fn parse(&self) -> Result<datapact_api::gate::AccessList, String> {
        let parse = |lines: &[String]| {
            lines
                .iter()
                .map(|line| {
                    line.parse::<Pattern>().map_err(|e| format!("access list: `{line}`: {e}"))
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(datapact_api::gate::AccessList { allow: parse(&self.allow)?, deny: parse(&self.deny)? })
    }
}

/// A configuration that knows its common part.
pub trait ServerConfig: DeserializeOwned {
    /// What every server has.
    fn common(&self) -> &Common;
    /// The same, to make paths absolute.
    fn common_mut(&mut self) -> &mut Common;
    /// Paths beyond the common ones.
    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }
    /// What of the content cannot be.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Reads and checks a configuration file.
pub fn load<C: ServerConfig>(path: &Path) -> Result<C, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
    let wrong = |detail: String| ConfigError::Wrong(path.to_owned(), detail);
    let mut config: C = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let absolute = |path: &mut PathBuf| *path = folder.join(&*path);
    config.paths_mut().into_iter().for_each(absolute);
    let common = config.common_mut();
    std::iter::once(&mut common.data)
        .chain(common.tls.paths_mut())
        .chain(common.database.iter_mut().flat_map(DatabaseConfig::paths_mut))
        .chain(common.operator.paths_mut())
        .for_each(absolute);
    config.common().access.parse().map_err(wrong)?;
    config.common().name().map_err(wrong)?;
    config.common().operator.validate().map_err(wrong)?;
    config.common().limits.validate().map_err(wrong)?;
    config.validate().map_err(wrong)?;
    Ok(config)
}

impl Common {
    /// The name that the certificate must bear.
    pub fn name(&self) -> Result<String, String> {
        let endpoint = Endpoint { url: self.url.clone(), connect: None };
        endpoint.name().map(str::to_owned).map_err(|e| format!("`url`: {e}"))
    }

    /// Where the server's database is: `file` in its data folder, unless the configuration names a
    /// database.
    ///
    /// # Errors
    /// The file with the database's password cannot be used.
    pub fn database(&self, file: &str) -> Result<Location, SecretFileError> {
        match &self.database {
            Some(database) => database.location(),
            None => Ok(Location::Sqlite(self.data.join(file))),
        }
    }
}

fn retention_days() -> u32 {
    90
}

fn registration_hours() -> u32 {
    24
}

fn check_registration_hours(hours: u32) -> Result<(), String> {
    if (1..=720).contains(&hours) {
        Ok(())
    } else {
        Err("`registration_hours` must be 1 to 720".to_owned())
    }
}
