//! The configuration file of each server: TOML, one file a server, unknown keys are errors.
//!
//! Relative paths are relative to the file's folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use datapact_api::endpoint::Endpoint;
use datapact_api::gate::Pattern;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::management::WebhooksConfig;
use crate::operator::traces::TracesConfig;
use crate::stores::{DatabaseConfig, ObjectsConfig};

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
    /// The certificate chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// The private key, PEM (PKCS#8), 0600.
    pub private_key: PathBuf,
    /// The trust configuration.
    pub trust: PathBuf,
    /// Where this server keeps everything it keeps.
    pub data: PathBuf,
    /// PostgreSQL instead of a database file in `data`.
    #[serde(default)]
    pub database: Option<DatabaseConfig>,
    /// The operator's listener: health, readiness and metrics. None if not given.
    #[serde(default)]
    pub operator: Option<Operator>,
    /// Where traces of the calls that it answers are sent. Nowhere if not given.
    #[serde(default)]
    pub traces: Option<TracesConfig>,
    /// Whom it admits.
    pub access: Access,
}

/// The operator's listener: plain HTTP without authentication, so that probes and Prometheus reach
/// it, and therefore on this machine only unless it is said otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines reach, for a container's network,
    /// say.
    #[serde(default)]
    pub beyond_this_machine: bool,
}

impl Operator {
    fn validate(&self) -> Result<(), String> {
        if self.beyond_this_machine || self.listen.ip().is_loopback() {
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

/// Management's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagementConfig {
    /// What every server has.
    pub server: Common,
    /// Its own public listener as others reach it.
    pub public: Endpoint,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// The life of an access token, in seconds, 30 to 600.
    #[serde(default = "token_seconds")]
    pub token_seconds: u64,
    /// How many days a deleted account waits, disabled, until it is erased: 30 if not given, at
    /// most 3650.
    #[serde(default = "account_retention_days")]
    pub account_retention_days: u32,
    /// How many days after a share has ended, or its package was replaced, the package is deleted:
    /// 90 if not given, at most 3650.
    #[serde(default = "retention_days")]
    pub package_retention_days: u32,
    /// Calling subscribers' webhooks; nobody's are called without it.
    #[serde(default)]
    pub webhooks: Option<WebhooksConfig>,
    /// The identities that are administrators from the start: `realm:subject`.
    pub administrators: Vec<String>,
    /// Key servers, the first is the default.
    pub key_servers: Vec<Peer>,
    /// Storage servers, the first is the default.
    pub storage_servers: Vec<Peer>,
}

/// Another server, with the certificate that consumers are told to expect of it (AX-11).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// `https://NAME:PORT`.
    pub url: String,
    /// Where to connect when NAME is not in the DNS.
    #[serde(default)]
    pub connect: Option<SocketAddr>,
    /// Its certificate chain, PEM; read again whenever the servers' configuration is reloaded.
    pub certificate: PathBuf,
}

impl Peer {
    /// Where it is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { url: self.url.clone(), connect: self.connect }
    }
}

fn token_seconds() -> u64 {
    300
}

fn account_retention_days() -> u32 {
    30
}

fn retention_days() -> u32 {
    90
}

/// The longest retention, in days.
const RETENTION_DAYS_MAX: u32 = 3650;

/// The ledger's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Its id, the log's origin: a name and a path without a scheme,
    /// `management.clinic.example/ledger`.
    pub id: String,
    /// Verifier keys of the witnesses (the key servers), C2SP signed-note `vkey` lines.
    #[serde(default)]
    pub witnesses: Vec<String>,
    /// How many witnesses must have cosigned before a client accepts a proof; all of them if not
    /// given.
    #[serde(default)]
    pub quorum: Option<u32>,
    /// The `ledger.toml` of the chain that decides and records, and that the log mirrors; without
    /// it the log is the ledger. Chosen once: a ledger never becomes another's mirror.
    #[serde(default)]
    pub chain: Option<PathBuf>,
}

/// A key server's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyServerConfig {
    /// What every server has.
    pub server: Common,
    /// Management.
    pub management: Endpoint,
    /// Management's public listener, where the log is followed.
    pub management_public: Endpoint,
    /// The ledger's id.
    pub ledger: String,
    /// The log's verifier key (C2SP signed-note `vkey`).
    pub log_key: String,
    /// The `ledger.toml` of this key server's own node, when management's ledger is a chain.
    #[serde(default)]
    pub chain: Option<PathBuf>,
    /// The file with the key-encryption key, 0600; made at the first start (`docs/operations.md`).
    pub kek: PathBuf,
    /// How old the copy of the ledger may be when a key is released, in seconds, 1 to 60.
    #[serde(default = "current_seconds")]
    pub current_seconds: u64,
    /// How many days after a share has ended, or its key was replaced, the key is destroyed: 90 if
    /// not given, at most 3650.
    #[serde(default = "retention_days")]
    pub key_retention_days: u32,
    /// How many hours a registration, filled or not, waits for a policy that names it: 24 if not
    /// given, 1 to 720.
    #[serde(default = "registration_hours")]
    pub registration_hours: u32,
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

fn current_seconds() -> u64 {
    5
}

/// A storage server's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageServerConfig {
    /// What every server has.
    pub server: Common,
    /// Management, which may ask what is stored.
    pub management: Endpoint,
    /// S3-compatible storage instead of a folder in `data`.
    #[serde(default)]
    pub objects: Option<ObjectsConfig>,
    /// The largest package, in bytes; 1 TiB if not given.
    #[serde(default = "package_bytes_max")]
    pub package_bytes_max: u64,
    /// What one provider may store, in bytes; 1 TiB if not given. An upload under way counts as it
    /// is announced.
    #[serde(default = "package_bytes_max")]
    pub provider_bytes_max: u64,
    /// How many hours a registration, filled or not, waits for a policy that names it: 24 if not
    /// given, 1 to 720.
    #[serde(default = "registration_hours")]
    pub registration_hours: u32,
}

fn package_bytes_max() -> u64 {
    1 << 40
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
    [&mut common.certificate, &mut common.private_key, &mut common.trust, &mut common.data]
        .into_iter()
        .chain(common.database.iter_mut().flat_map(DatabaseConfig::paths_mut))
        .chain(common.traces.iter_mut().flat_map(|traces| &mut traces.ca))
        .for_each(absolute);
    config.common().access.parse().map_err(wrong)?;
    config.common().name().map_err(wrong)?;
    config.common().operator.as_ref().map_or(Ok(()), Operator::validate).map_err(wrong)?;
    config.common().traces.as_ref().map_or(Ok(()), TracesConfig::validate).map_err(wrong)?;
    config.validate().map_err(wrong)?;
    Ok(config)
}

impl Common {
    /// The name that the certificate must bear.
    pub fn name(&self) -> Result<String, String> {
        let endpoint = Endpoint { url: self.url.clone(), connect: None };
        endpoint.name().map(str::to_owned).map_err(|e| format!("`url`: {e}"))
    }
}

fn peers(kind: &str, peers: &[Peer]) -> Result<(), String> {
    if peers.is_empty() {
        return Err(format!("`{kind}` must name at least one"));
    }
    peers
        .iter()
        .try_for_each(|peer| peer.endpoint().name().map(drop).map_err(|e| format!("`{kind}`: {e}")))
}

impl ServerConfig for ManagementConfig {
    fn common(&self) -> &Common {
        &self.server
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.server
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.key_servers
            .iter_mut()
            .chain(&mut self.storage_servers)
            .map(|peer| &mut peer.certificate)
            .chain(&mut self.ledger.chain)
            .chain(self.webhooks.iter_mut().flat_map(|webhooks| &mut webhooks.ca))
            .collect()
    }

    fn validate(&self) -> Result<(), String> {
        peers("key_servers", &self.key_servers)?;
        peers("storage_servers", &self.storage_servers)?;
        self.public.name().map_err(|e| format!("`public`: {e}"))?;
        if !(30..=datapact_core::token::TOKEN_SECONDS_MAX).contains(&self.token_seconds) {
            return Err("`token_seconds` must be 30 to 600".to_owned());
        }
        let longest = self.account_retention_days.max(self.package_retention_days);
        if longest > RETENTION_DAYS_MAX {
            return Err(
                "`account_retention_days` and `package_retention_days` must be at most 3650"
                    .to_owned(),
            );
        }
        self.webhooks.as_ref().map_or(Ok(()), WebhooksConfig::validate)?;
        for line in &self.administrators {
            line.parse::<datapact_core::identity::Identity>()
                .map_err(|e| format!("`administrators`: `{line}`: {e}"))?;
        }
        let quorum = self.ledger.quorum.unwrap_or(0);
        if usize::try_from(quorum).is_ok_and(|quorum| quorum > self.ledger.witnesses.len()) {
            return Err("`ledger.quorum` is larger than the number of witnesses".to_owned());
        }
        Ok(())
    }
}

impl ServerConfig for KeyServerConfig {
    fn common(&self) -> &Common {
        &self.server
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.server
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        std::iter::once(&mut self.kek).chain(&mut self.chain).collect()
    }

    fn validate(&self) -> Result<(), String> {
        self.management.name().map_err(|e| format!("`management`: {e}"))?;
        self.management_public.name().map_err(|e| format!("`management_public`: {e}"))?;
        if !(1..=60).contains(&self.current_seconds) {
            return Err("`current_seconds` must be 1 to 60".to_owned());
        }
        if self.key_retention_days > RETENTION_DAYS_MAX {
            return Err("`key_retention_days` must be at most 3650".to_owned());
        }
        check_registration_hours(self.registration_hours)
    }
}

impl ServerConfig for StorageServerConfig {
    fn common(&self) -> &Common {
        &self.server
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.server
    }

    fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        self.objects.iter_mut().flat_map(ObjectsConfig::paths_mut).collect()
    }

    fn validate(&self) -> Result<(), String> {
        self.management.name().map_err(|e| format!("`management`: {e}"))?;
        check_registration_hours(self.registration_hours)?;
        self.objects.as_ref().map_or(Ok(()), ObjectsConfig::validate)
    }
}
