//! Management's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use datapact_api::endpoint::Endpoint;
use datapact_api::witness::{UrlError, WitnessUrl};
use datapact_core::identity::Identity;
use datapact_core::token::TOKEN_SECONDS_MAX;
use serde::Deserialize;

use super::{Common, RETENTION_DAYS_MAX, ServerConfig, WebhooksConfig, retention_days};

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
    /// Calling subscribers' webhooks; none are called without it.
    #[serde(default)]
    pub webhooks: Option<WebhooksConfig>,
    /// Who administers from the start, and how many of them must agree.
    pub administrators: AdministratorsConfig,
    /// Key servers, the first is the default.
    pub key_servers: Vec<Peer>,
    /// Storage servers, the first is the default.
    pub storage_servers: Vec<Peer>,
}

/// The users who are administrators from the start: a list of identities, of whom one must sign a
/// new version of the enrolment, or `{ identities = [...], approvals = 2 }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "AdministratorsForm")]
pub struct AdministratorsConfig {
    /// Who: `realm:subject`.
    pub identities: Vec<String>,
    /// How many of them must sign the next version.
    pub approvals: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AdministratorsForm {
    List(Vec<String>),
    Table(AdministratorsTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdministratorsTable {
    identities: Vec<String>,
    approvals: u32,
}

impl From<AdministratorsForm> for AdministratorsConfig {
    fn from(form: AdministratorsForm) -> Self {
        match form {
            AdministratorsForm::List(identities) => Self { identities, approvals: 1 },
            AdministratorsForm::Table(AdministratorsTable { identities, approvals }) => {
                Self { identities, approvals }
            }
        }
    }
}

/// A witness that is asked to cosign, of whatever make.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Its verifier key, a C2SP signed-note `vkey` line.
    pub key: String,
    /// Its submission and monitoring prefix: `https://NAME:PORT/witness` of one of ours.
    pub url: String,
    /// Where to connect when its name is not in the DNS.
    #[serde(default)]
    pub connect: Option<SocketAddr>,
}

impl Witness {
    /// Where it is.
    ///
    /// # Errors
    /// When `url` is none.
    pub fn url(&self) -> Result<WitnessUrl, UrlError> {
        let connect = self.connect.map(|at| format!("#{at}")).unwrap_or_default();
        format!("{}{connect}", self.url).parse()
    }
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
    /// A key server's public listener, where audits ask for the newest checkpoint that it has
    /// cosigned. Without it they do not ask.
    #[serde(default)]
    pub public: Option<Endpoint>,
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

/// The ledger's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Its id, the log's origin: a name and a path without a scheme,
    /// `management.clinic.example/ledger`.
    pub id: String,
    /// Verifier keys of the key servers, which cosign what they replay: C2SP signed-note `vkey`
    /// lines.
    #[serde(default)]
    pub witnesses: Vec<String>,
    /// Further witnesses, which are asked to cosign (C2SP tlog-witness), best of other
    /// organisations.
    #[serde(default)]
    pub independent_witnesses: Vec<Witness>,
    /// How many witnesses of both kinds must have cosigned before a client accepts a proof; all of
    /// them if not given.
    #[serde(default)]
    pub quorum: Option<u32>,
    /// The `ledger.toml` of the chain that decides and records, and that the log mirrors; without
    /// it the log is the ledger. Chosen once: a ledger never becomes another's mirror.
    #[serde(default)]
    pub chain: Option<PathBuf>,
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
        if !(30..=TOKEN_SECONDS_MAX).contains(&self.token_seconds) {
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
        for line in &self.administrators.identities {
            line.parse::<Identity>().map_err(|e| format!("`administrators`: `{line}`: {e}"))?;
        }
        let AdministratorsConfig { identities, approvals } = &self.administrators;
        let enough = 1..=identities.len().max(1);
        if !usize::try_from(*approvals).is_ok_and(|approvals| enough.contains(&approvals)) {
            return Err("`approvals` must be 1 to the number of administrators".to_owned());
        }
        for witness in &self.ledger.independent_witnesses {
            witness.url().map_err(|e| format!("`ledger.independent_witnesses`: {e}"))?;
        }
        let witnesses = self.ledger.witnesses.len() + self.ledger.independent_witnesses.len();
        let quorum = self.ledger.quorum.unwrap_or(0);
        if usize::try_from(quorum).is_ok_and(|quorum| quorum > witnesses) {
            return Err("`ledger.quorum` is larger than the number of witnesses".to_owned());
        }
        Ok(())
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
