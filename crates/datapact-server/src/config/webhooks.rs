//! The configuration of webhooks.

use std::path::PathBuf;

use serde::Deserialize;

use super::Network;

/// The configuration of webhooks. Without it, management calls only its own servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Networks outside the global Internet that may be called all the same: `10.1.0.0/16`,
    /// `127.0.0.1`.
    #[serde(default)]
    pub allow_networks: Vec<String>,
    /// Whether receivers may be called without TLS.
    #[serde(default)]
    pub allow_http: bool,
    /// The roots that receivers' certificates must come from, PEM; this machine's usual ones if not
    /// given.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// How often a delivery is tried, 1 to 20; 10 if not given, which takes some 30 hours.
    #[serde(default = "attempts")]
    pub attempts: u32,
}

fn attempts() -> u32 {
    10
}

impl WebhooksConfig {
    /// What of it cannot be.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if !(1..=20).contains(&self.attempts) {
            return Err("`webhooks.attempts` must be 1 to 20".to_owned());
        }
        self.networks().map(drop)
    }

    /// The networks that may be called besides the global Internet.
    ///
    /// # Errors
    /// Names the first entry that is not a network.
    pub(crate) fn networks(&self) -> Result<Vec<Network>, String> {
        let parse =
            |line: &String| line.parse().map_err(|e| format!("`webhooks.allow_networks`: {e}"));
        self.allow_networks.iter().map(parse).collect()
    }
}
