//! A witness's configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use datapact_api::endpoint::Endpoint;
use datapact_log::note::{KeyKind, VerifyingKey};
use serde::Deserialize;

use super::ConfigError;

/// A witness's configuration. It has one listener, which asks for no client certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Its address, `https://NAME:PORT`; its certificate bears NAME, and so does its key.
    pub url: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate chain, PEM, leaf first.
    pub certificate: PathBuf,
    /// The private key, PEM (PKCS#8), 0600.
    pub private_key: PathBuf,
    /// The folder with its key and its database.
    pub data: PathBuf,
    /// The logs that it cosigns: verifier keys (C2SP signed-note `vkey`), which name their logs.
    pub logs: Vec<String>,
}

impl WitnessConfig {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
        let wrong = |detail: String| ConfigError::Wrong(path.to_owned(), detail);
        let mut config: Self = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for path in [&mut config.certificate, &mut config.private_key, &mut config.data] {
            *path = folder.join(&*path);
        }
        config.name().map_err(wrong)?;
        config.logs().map_err(wrong)?;
        Ok(config)
    }

    /// The name that certificate and key bear.
    pub fn name(&self) -> Result<String, String> {
        let endpoint = Endpoint { url: self.url.clone(), connect: None };
        endpoint.name().map(str::to_owned).map_err(|e| format!("`url`: {e}"))
    }

    /// The keys of the logs.
    pub fn logs(&self) -> Result<Vec<VerifyingKey>, String> {
        let mut keys: Vec<VerifyingKey> = Vec::new();
        for line in &self.logs {
            let key: VerifyingKey = line.parse().map_err(|e| format!("`logs`: `{line}`: {e}"))?;
            if key.kind() != KeyKind::Log {
                return Err(format!("`logs`: `{line}` is not the key of a log"));
            }
            if keys.iter().any(|other| other.name() == key.name()) {
                return Err(format!("`logs`: `{}` is there twice", key.name()));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}
