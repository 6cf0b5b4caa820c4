//! A `ledger.toml` from a connection profile: Fabric's common description of a network for its
//! clients, JSON or YAML. The profile says where the own organisation's peers are; the channel
//! itself, asked through them, who its orderers are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datapact_ledger::LedgerError;
use datapact_local::replace;
use datapact_log::clock::Clock;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::channel_config::ChannelOrderers;
use super::client::Gateway;
use super::config::{FabricConfig, IdentityConfig, KIND, NodeConfig, TlsConfig};

/// The longest profile, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// A connection profile, as far as it is needed. What else it has is left aside.
#[derive(Debug, Deserialize)]
pub struct Profile {
    #[serde(skip)]
    path: PathBuf,
    #[serde(default)]
    client: Option<Client>,
    #[serde(default)]
    channels: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    organizations: BTreeMap<String, Organization>,
    #[serde(default)]
    peers: BTreeMap<String, Node>,
    #[serde(default)]
    orderers: BTreeMap<String, Node>,
}

#[derive(Debug, Deserialize)]
struct Client {
    #[serde(default)]
    organization: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Organization {
    mspid: String,
    #[serde(default)]
    peers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    url: String,
    #[serde(default, rename = "tlsCACerts")]
    tls_ca_certs: Option<Certificates>,
    #[serde(default)]
    grpc_options: Option<GrpcOptions>,
}

/// One of both.
#[derive(Debug, Deserialize)]
struct Certificates {
    #[serde(default)]
    pem: Option<Pem>,
    #[serde(default)]
    path: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Pem {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct GrpcOptions {
    #[serde(default, rename = "ssl-target-name-override")]
    target_name: Option<String>,
    #[serde(default, rename = "hostnameOverride")]
    hostname: Option<String>,
}

/// What the profile does not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// The channel; the profile's, if it has one only.
    pub channel: Option<String>,
    /// The own organisation, by its name in the profile; the client's, or the profile's only one.
    pub organization: Option<String>,
    /// The chaincode's name on the channel.
    pub chaincode: String,
    /// Who asks: a folder with `signcerts` and `keystore`, as Fabric's CA client and cryptogen make
    /// one.
    pub msp: PathBuf,
    /// Who keeps the channel's trust configuration, if this server is to.
    pub administrator_msp: Option<PathBuf>,
    /// The client's TLS certificate, where the network asks for one.
    pub tls: Option<TlsConfig>,
}

impl Profile {
    /// Reads the profile at `path`.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] says what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, LedgerError> {
        let wrong = |detail: &dyn std::fmt::Display| {
            LedgerError::Misconfigured(format!(
                "the connection profile `{}`: {detail}",
                path.display()
            ))
        };
        if fs::metadata(path).map_err(|e| wrong(&e))?.len() > BYTES_MAX {
            return Err(wrong(&format_args!("it is longer than {BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|e| wrong(&e))?;
        // JSON is YAML, too.
        let profile: Self = serde_saphyr::from_str(&text).map_err(|e| wrong(&e))?;
        Ok(Self { path: path.to_owned(), ..profile })
    }

    /// Describes the channel in a `ledger.toml` at `output`, with the nodes' TLS CAs in a folder
    /// beside it: asks the own organisation's peers who the channel's orderers are.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] says what is missing or wrong; [`LedgerError::Unavailable`]
    /// that no peer answers.
    pub async fn describe(
        &self,
        options: &Options,
        clock: Clock,
        output: &Path,
    ) -> Result<FabricConfig, LedgerError> {
        let (name, organization) = self.organization(options.organization.as_deref())?;
        let mut files = Files::beside(output)?;
        let mut peers = Vec::new();
        for peer in &organization.peers {
            let node = self.peers.get(peer).ok_or_else(|| {
                self.wrong(format_args!("`peers` has no `{peer}`, which `{name}` names"))
            })?;
            peers.push(self.node(peer, node, &mut files)?);
        }
        if peers.is_empty() {
            return Err(self.wrong(format_args!("`organizations` names no peers of `{name}`")));
        }
        let identity = |msp: &Path| identity(&organization.mspid, msp);
        let mut config = FabricConfig {
            kind: KIND.to_owned(),
            channel: self.channel(options.channel.as_deref())?,
            chaincode: options.chaincode.clone(),
            consensus: Default::default(),
            identity: identity(&options.msp)?,
            administrator: options.administrator_msp.as_deref().map(identity).transpose()?,
            tls: options
                .tls
                .clone()
                .map(|tls| -> Result<_, LedgerError> {
                    Ok(TlsConfig {
                        certificate_file: absolute(&tls.certificate_file)?,
                        key_file: absolute(&tls.key_file)?,
                    })
                })
                .transpose()?,
            peers,
            orderers: Vec::new(),
        };
        files.write()?;
        let ChannelOrderers { consensus, orderers } =
            Gateway::new(config.clone(), Arc::clone(&clock)).orderers().await?;
        config.consensus = consensus;
        for orderer in orderers {
            let host =
                orderer.address.rsplit_once(':').map_or(orderer.address.as_str(), |(host, _)| host);
            // As the profile reaches it, where it knows better than the channel.
            let known = self.orderers.get(&orderer.address).or_else(|| self.orderers.get(host));
            config.orderers.push(match known {
                Some(node) => self.node(host, node, &mut files)?,
                None if orderer.tls_cas.is_empty() => NodeConfig {
                    address: format!("grpc://{}", orderer.address),
                    tls_ca_file: None,
                    server_name: None,
                },
                None => NodeConfig {
                    address: format!("grpcs://{}", orderer.address),
                    tls_ca_file: Some(files.add(&orderer.address, orderer.tls_cas)),
                    server_name: None,
                },
            });
        }
        files.write()?;
        let described = config.relative_to(&files.folder);
        replace(output, described.to_text().as_bytes())
            .map_err(|e| LedgerError::Misconfigured(e.detail))?;
        Ok(config)
    }

    fn wrong(&self, detail: impl std::fmt::Display) -> LedgerError {
        LedgerError::Misconfigured(format!(
            "the connection profile `{}`: {detail}",
            self.path.display()
        ))
    }

    fn organization(&self, given: Option<&str>) -> Result<(&str, &Organization), LedgerError> {
        let clients = self.client.as_ref().and_then(|client| client.organization.as_deref());
        if let Some(name) = given.or(clients) {
            let found = self.organizations.get_key_value(name);
            return found
                .map(|(name, organization)| (name.as_str(), organization))
                .ok_or_else(|| self.wrong(format_args!("`organizations` has no `{name}`")));
        }
        let mut all = self.organizations.iter();
        match (all.next(), all.next()) {
            (Some((name, organization)), None) => Ok((name, organization)),
            _ => Err(self.wrong(
                "it does not say which organisation is yours; name it with `--organization`",
            )),
        }
    }

    fn channel(&self, given: Option<&str>) -> Result<String, LedgerError> {
        let mut all = self.channels.keys().map(String::as_str);
        match (given, all.next(), all.next()) {
            (Some(name), ..) | (None, Some(name), None) => Ok(name.to_owned()),
            _ => {
                Err(self.wrong("it does not say which channel is meant; name it with `--channel`"))
            }
        }
    }

    fn node(&self, name: &str, node: &Node, files: &mut Files) -> Result<NodeConfig, LedgerError> {
        let address = if node.url.contains("://") {
            node.url.clone()
        } else {
            format!("grpcs://{}", node.url)
        };
        let server_name = node.grpc_options.as_ref().and_then(|options| {
            options
                .target_name
                .clone()
                .or_else(|| options.hostname.clone())
                .filter(|name| !name.is_empty())
        });
        if address.starts_with("grpc://") {
            return Ok(NodeConfig { address, tls_ca_file: None, server_name: None });
        }
        let missing = || self.wrong(format_args!("`{name}` has TLS, and no `tlsCACerts`"));
        let certificates = node.tls_ca_certs.as_ref().ok_or_else(missing)?;
        let tls_ca_file = match (&certificates.pem, &certificates.path) {
            (Some(Pem::One(pem)), _) if !pem.trim().is_empty() => {
                files.add(name, pem.as_bytes().to_vec())
            }
            (Some(Pem::Many(all)), _) if !all.is_empty() => {
                files.add(name, all.join("\n").into_bytes())
            }
            (_, Some(path)) => absolute(&self.path.parent().unwrap_or(Path::new(".")).join(path))?,
            _ => return Err(missing()),
        };
        Ok(NodeConfig { address, tls_ca_file: Some(tls_ca_file), server_name })
    }
}

/// CA certificates to be written beside a `ledger.toml`.
struct Files {
    /// The folder of the `ledger.toml`.
    folder: PathBuf,
    beside: PathBuf,
    content: BTreeMap<PathBuf, Vec<u8>>,
}

impl Files {
    fn beside(output: &Path) -> Result<Self, LedgerError> {
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = absolute(folder.unwrap_or(Path::new(".")))?;
        let stem = output.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Self { beside: folder.join(format!("{stem}-tls")), folder, content: BTreeMap::new() })
    }

    fn add(&mut self, name: &str, pem: Vec<u8>) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
        let path = self.beside.join(format!("{}.pem", name.chars().map(plain).collect::<String>()));
        self.content.insert(path.clone(), pem);
        path
    }

    fn write(&self) -> Result<(), LedgerError> {
        let mut all = self.content.iter();
        all.try_for_each(|(path, pem)| replace(path, pem))
            .map_err(|e| LedgerError::Misconfigured(e.detail))
    }
}

fn absolute(path: &Path) -> Result<PathBuf, LedgerError> {
    path.canonicalize()
        .map_err(|e| LedgerError::Misconfigured(format!("`{}`: {e}", path.display())))
}

/// The only certificate and the only key of an MSP folder.
fn identity(msp_id: &str, msp: &Path) -> Result<IdentityConfig, LedgerError> {
    let only = |folder: &str| {
        let folder = msp.join(folder);
        let wrong = |what: &dyn std::fmt::Display| {
            LedgerError::Misconfigured(format!("`{}`: {what}", folder.display()))
        };
        let files = fs::read_dir(&folder).map_err(|e| wrong(&e))?;
        let mut files =
            files.filter_map(Result::ok).map(|file| file.path()).filter(|path| path.is_file());
        match (files.next(), files.next()) {
            (Some(file), None) => absolute(&file),
            _ => Err(wrong(&"one file is expected there, as in an MSP folder that was enrolled")),
        }
    };
    Ok(IdentityConfig {
        msp_id: msp_id.to_owned(),
        certificate_file: only("signcerts")?,
        key_file: only("keystore")?,
    })
}

#[cfg(test)]
mod tests;
