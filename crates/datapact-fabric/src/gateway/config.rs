//! `ledger.toml`: which channel and chaincode, whose peers and orderers, and who asks.

use std::path::{Path, PathBuf};

use datapact_ledger::LedgerError;
use serde::{Deserialize, Serialize};

/// What `kind` says in the `ledger.toml` of a ledger that this crate speaks to.
pub const KIND: &str = "fabric";

/// A channel, the chaincode on it, and how they are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FabricConfig {
    /// [`KIND`].
    pub kind: String,
    /// The channel.
    pub channel: String,
    /// The chaincode's name on the channel.
    #[serde(default = "chaincode")]
    pub chaincode: String,
    /// How the orderers agree: how many of them must answer before their newest block is believed
    /// to be that.
    #[serde(default)]
    pub consensus: Consensus,
    /// Who asks. Management's must be of the submitter's MSP.
    pub identity: IdentityConfig,
    /// Who replaces the channel's trust configuration when this server's has changed: an admin of
    /// one of the administrators' MSPs. Without it, another server does, or a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub administrator: Option<IdentityConfig>,
    /// The client's TLS certificate, where the network asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Peers of the own organisation, in the order in which they are asked. Each server has peers
    /// of its own.
    pub peers: Vec<NodeConfig>,
    /// The channel's orderers, all of them: they say which block is the newest.
    pub orderers: Vec<NodeConfig>,
}

fn chaincode() -> String {
    "datapact".to_owned()
}

/// How the orderers agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consensus {
    /// Raft: orderers may fail, and are believed. More than half of them must answer.
    #[default]
    Raft,
    /// BFT: up to a third of them may lie. A quorum must answer.
    Bft,
}

impl Consensus {
    /// How many of `orderers` must answer.
    pub fn quorum(self, orderers: usize) -> usize {
        match self {
            Self::Raft => orderers / 2 + 1,
            Self::Bft => {
                let faulty = orderers.saturating_sub(1) / 3;
                (orderers + faulty + 1).div_ceil(2)
            }
        }
    }
}

/// A member of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// The organisation.
    pub msp_id: String,
    /// The member's certificate, PEM; read again when it has changed.
    pub certificate_file: PathBuf,
    /// Its P-256 key, PEM, 0600; read again when it has changed.
    pub key_file: PathBuf,
}

/// A client's TLS certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, PEM.
    pub certificate_file: PathBuf,
    /// Its key, PEM.
    pub key_file: PathBuf,
}

/// A peer or an orderer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// `grpcs://HOST:PORT`, or `grpc://HOST:PORT` without TLS.
    pub address: String,
    /// Who certifies its TLS certificate, PEM; for `grpcs` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca_file: Option<PathBuf>,
    /// The name in its TLS certificate, where that is not the address's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl FabricConfig {
    /// Reads a `ledger.toml`; paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] says what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, LedgerError> {
        let wrong =
            |detail: String| LedgerError::Misconfigured(format!("`{}`: {detail}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let mut config: Self = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        config.check().map_err(wrong)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for file in config.files() {
            *file = folder.join(&file);
        }
        Ok(config)
    }

    /// As a `ledger.toml`.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("every member has a form in TOML")
    }

    /// The same, with the paths of files below `folder` relative to it.
    pub(crate) fn relative_to(&self, folder: &Path) -> Self {
        let mut config = self.clone();
        for file in config.files() {
            if let Ok(relative) = file.strip_prefix(folder) {
                *file = relative.to_owned();
            }
        }
        config
    }

    /// Checks what the types do not say: kind, addresses with or without TLS, names.
    fn check(&self) -> Result<(), String> {
        if self.kind != KIND {
            return Err(format!("`kind` is `{}`, not `{KIND}`", self.kind));
        }
        for (what, nodes) in [("peers", &self.peers), ("orderers", &self.orderers)] {
            if nodes.is_empty() {
                return Err(format!("`{what}`: name at least one"));
            }
            for node in nodes {
                // A CA without TLS, or TLS without a CA, is a mistake that would show only later.
                match (node.address.split_once("://"), &node.tls_ca_file) {
                    (Some(("grpcs", _)), Some(_)) | (Some(("grpc", _)), None) => {}
                    (Some(("grpcs", _)), None) => {
                        return Err(format!("`{what}`: `{}` needs a `tls_ca_file`", node.address));
                    }
                    (Some(("grpc", _)), Some(_)) => {
                        return Err(format!(
                            "`{what}`: `{}` has no TLS: write `grpcs://`",
                            node.address
                        ));
                    }
                    _ => {
                        return Err(format!(
                            "`{what}`: `{}` is neither `grpcs://HOST:PORT` nor `grpc://HOST:PORT`",
                            node.address
                        ));
                    }
                }
            }
        }
        let plain = |name: &str| {
            !name.is_empty()
                && name.len() <= 249
                && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
        };
        for (what, name) in [("channel", &self.channel), ("chaincode", &self.chaincode)] {
            if !plain(name) {
                return Err(format!("`{what}`: `{name}` cannot be the name of one"));
            }
        }
        Ok(())
    }

    fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let of_identities = [Some(&mut self.identity), self.administrator.as_mut()]
            .into_iter()
            .flatten()
            .flat_map(|it| [&mut it.certificate_file, &mut it.key_file]);
        let of_tls =
            self.tls.iter_mut().flat_map(|it| [&mut it.certificate_file, &mut it.key_file]);
        let nodes = self.peers.iter_mut().chain(&mut self.orderers);
        of_identities.chain(of_tls).chain(nodes.filter_map(|node| node.tls_ca_file.as_mut()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = r#"
        kind = "fabric"
        channel = "sharing"
        consensus = "bft"
        peers = [
            { address = "grpcs://127.0.0.1:7051", tls_ca_file = "ca.pem", server_name = "peer0" },
        ]
        orderers = [{ address = "grpc://127.0.0.1:7050" }]
        [identity]
        msp_id = "Org1MSP"
        certificate_file = "cert.pem"
        key_file = "/keys/key.pem"
    "#;

    fn load(text: &str) -> Result<FabricConfig, LedgerError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.toml");
        std::fs::write(&path, text).unwrap();
        let mut config = FabricConfig::load(&path)?;
        for file in config.files() {
            *file = file.strip_prefix(dir.path()).unwrap_or(file).to_owned();
        }
        Ok(config)
    }

    #[test]
    fn files_are_relative_to_the_folder_and_the_text_is_read_as_it_is_written() {
        let config = load(TEXT).unwrap();
        assert_eq!(config.chaincode, "datapact");
        assert_eq!(config.identity.certificate_file, Path::new("cert.pem"));
        assert_eq!(config.identity.key_file, Path::new("/keys/key.pem"));
        assert_eq!(load(&config.to_text()).unwrap(), config);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (from, to, said) in [
            ("\"fabric\"", "\"besu\"", "`kind` is `besu`"),
            ("grpcs://", "https://", "neither `grpcs://HOST:PORT` nor"),
            ("grpc://", "grpcs://", "needs a `tls_ca_file`"),
            ("\"sharing\"", "\"a/b\"", "`channel`: `a/b`"),
            ("consensus", "konsensus", "konsensus"),
            (
                "orderers = [{ address = \"grpc://127.0.0.1:7050\" }]",
                "orderers = []",
                "`orderers`: name",
            ),
        ] {
            let error = load(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(said), "`{error}` does not say `{said}`");
        }
    }

    #[test]
    fn a_quorum_of_four_that_may_lie_is_three() {
        let quorums = |consensus: Consensus| [1, 2, 3, 4, 5, 7].map(|n| consensus.quorum(n));
        assert_eq!(quorums(Consensus::Raft), [1, 2, 2, 3, 3, 4]);
        assert_eq!(quorums(Consensus::Bft), [1, 2, 2, 3, 4, 5]);
    }
}
