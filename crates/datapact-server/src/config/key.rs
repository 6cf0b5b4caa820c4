//! A key server's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use datapact_api::endpoint::Endpoint;
use datapact_core::identity::Identity;
use serde::Deserialize;

use super::{
    Common, RETENTION_DAYS_MAX, ServerConfig, check_registration_hours, registration_hours,
    retention_days,
};

/// A key server's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyServerConfig {
    /// What every server has.
    pub server: Common,
    /// Management.
    pub management: OwnManagement,
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

fn current_seconds() -> u64 {
    5
}

/// Management, and whose orders it may hand on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnManagement {
    /// `https://NAME:PORT`.
    pub url: String,
    /// Where to connect when NAME is not in the DNS.
    #[serde(default)]
    pub connect: Option<SocketAddr>,
    /// The administrators, `realm:subject`, who may have other users erased here. Whom management
    /// takes for one is not asked.
    #[serde(default)]
    pub administrators: Vec<String>,
}

impl OwnManagement {
    /// Where it is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { url: self.url.clone(), connect: self.connect }
    }

    /// The administrators, parsed.
    pub(crate) fn administrators(&self) -> Result<Vec<Identity>, String> {
        let parse = |line: &String| {
            line.parse().map_err(|e| format!("`management.administrators`: `{line}`: {e}"))
        };
        self.administrators.iter().map(parse).collect()
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
        self.management.endpoint().name().map_err(|e| format!("`management`: {e}"))?;
        self.management_public.name().map_err(|e| format!("`management_public`: {e}"))?;
        self.management.administrators()?;
        if !(1..=60).contains(&self.current_seconds) {
            return Err("`current_seconds` must be 1 to 60".to_owned());
        }
        if self.key_retention_days > RETENTION_DAYS_MAX {
            return Err("`key_retention_days` must be at most 3650".to_owned());
        }
        check_registration_hours(self.registration_hours)
    }
}
