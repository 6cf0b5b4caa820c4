//! What Fabric's programs read: keys and certificates, the channel's first block, and each node's
//! settings. The settings are written as JSON, which is YAML too and needs no quoting of paths by
//! hand.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use datapact_local::{NetworkError, Result, replace};

use super::nodes::{Node, Organisation};
use super::program::{command, run};
use super::settings::PROFILE;
use super::{CHANNEL, Network, ORDERER_DOMAIN, Programs};

/// Every node is on this machine.
pub(super) const HOST: &str = "127.0.0.1";

/// The builder for chaincode as a service: the peer asks it what the package is, and where the
/// chaincode listens.
const BUILDER: [(&str, &str); 3] = [
    (
        "detect",
        "#!/bin/sh\n# detect SOURCE METADATA\n\
         grep -q '\"type\" *: *\"ccaas\"' \"$2/metadata.json\"\n",
    ),
    (
        "build",
        "#!/bin/sh\n# build SOURCE METADATA OUTPUT\n\
         cp \"$1/connection.json\" \"$3/connection.json\"\n",
    ),
    (
        "release",
        "#!/bin/sh\n# release OUTPUT RELEASE\n\
         mkdir -p \"$2/chaincode/server\" && \
         cp \"$1/connection.json\" \"$2/chaincode/server/connection.json\"\n",
    ),
];

impl Network {
    /// Everything that is needed before a node starts. What is there and must stay the same is left
    /// as it is.
    pub(super) async fn write_files(&self, programs: &Programs) -> Result<()> {
        self.make_crypto(programs).await?;
        for (name, script) in BUILDER {
            let path = self.dir().join("builder/bin").join(name);
            replace(&path, script.as_bytes())?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
                .map_err(|e| NetworkError::file(&path, e))?;
        }
        for node in self.nodes() {
            let settings = match node {
                Node::Orderer(at) => ("orderer.yaml", self.orderer_settings(at)),
                Node::Peer(organisation) => {
                    ("core.yaml", self.peer_settings(organisation, programs))
                }
                Node::Chaincode(_) => continue,
            };
            self.write_settings(&self.node_dir(node).join(settings.0), &settings.1)?;
        }
        self.make_block(programs).await
    }

    /// The keys and certificates of all, once.
    async fn make_crypto(&self, programs: &Programs) -> Result<()> {
        let path = self.crypto();
        if path.exists() {
            return Ok(());
        }
        let node = |name: String| json!({ "Hostname": name, "SANS": [HOST, "localhost"] });
        let orderers = (1..=self.record.orderers.number()).map(|at| node(format!("orderer-{at}")));
        let organisation = |organisation: Organisation| {
            json!({
                "Name": organisation.name(), "Domain": organisation.domain(), "EnableNodeOUs": true,
                "Specs": [node("peer".to_owned())], "Users": { "Count": 1 },
            })
        };
        let config = self.dir().join("crypto-config.yaml");
        self.write_settings(
            &config,
            &json!({
                "OrdererOrgs": [{
                    "Name": "orderers", "Domain": ORDERER_DOMAIN, "EnableNodeOUs": true,
                    "Specs": orderers.collect::<Vec<_>>(),
                }],
                "PeerOrgs": Organisation::ALL.map(organisation),
            }),
        )?;
        let partial = self.dir().join("crypto.new");
        remove(&partial)?;
        let mut command = command(&programs.cryptogen);
        command.arg("generate").arg("--config").arg(&config).arg("--output").arg(&partial);
        run(command).await?;
        fs::rename(&partial, &path).map_err(|e| NetworkError::file(&path, e))
    }

    /// The channel's first block, once for the ports that it names.
    async fn make_block(&self, programs: &Programs) -> Result<()> {
        let path = self.block();
        if path.exists() {
            return Ok(());
        }
        self.write_settings(&self.dir().join("configtx.yaml"), &self.channel_settings())?;
        let partial = path.with_extension("new");
        let mut command = command(&programs.configtxgen);
        command.args(["-profile", PROFILE, "-channelID", CHANNEL, "-configPath"]).arg(self.dir());
        command.arg("-outputBlock").arg(&partial);
        run(command).await?;
        fs::rename(&partial, &path).map_err(|e| NetworkError::file(&path, e))
    }

    fn crypto(&self) -> PathBuf {
        self.dir().join("crypto")
    }

    /// The channel's first block.
    pub(super) fn block(&self) -> PathBuf {
        self.dir().join("channel.block")
    }

    pub(super) fn orderers_dir(&self) -> PathBuf {
        self.crypto().join("ordererOrganizations").join(ORDERER_DOMAIN)
    }

    pub(super) fn orderer_crypto(&self, at: u16) -> PathBuf {
        self.orderers_dir().join(format!("orderers/orderer-{at}.{ORDERER_DOMAIN}"))
    }

    pub(super) fn organisation_dir(&self, organisation: Organisation) -> PathBuf {
        self.crypto().join("peerOrganizations").join(organisation.domain())
    }

    pub(super) fn peer_crypto(&self, organisation: Organisation) -> PathBuf {
        self.organisation_dir(organisation).join(format!("peers/peer.{}", organisation.domain()))
    }

    /// Keys and certificates of a user that cryptogen made: `Admin` or `User1`.
    pub(super) fn user_crypto(&self, organisation: Organisation, user: &str) -> PathBuf {
        self.organisation_dir(organisation).join(format!("users/{user}@{}", organisation.domain()))
    }

    fn write_settings(&self, path: &Path, settings: &Value) -> Result<()> {
        replace(path, format!("{settings:#}\n").as_bytes())
    }
}

/// Removes a file or folder, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(NetworkError::file(path, e)),
        _ => Ok(()),
    }
}
