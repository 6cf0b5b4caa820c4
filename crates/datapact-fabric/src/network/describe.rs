//! The files that describe a network as a ledger, one for each organisation: its own peer, and a
//! user of its own.

use std::path::{Path, PathBuf};

use datapact_local::{Result, replace};

use super::nodes::{Node, Orderers, Organisation};
use super::{CHAINCODE, CHANNEL, Network, ORDERER_DOMAIN};
use crate::gateway::FabricConfig;
use crate::gateway::config::{Consensus, IdentityConfig, KIND, NodeConfig};

impl Network {
    /// Writes both organisations' ledger files, with paths relative to the folder.
    pub(super) fn describe(&self) -> Result<()> {
        for (organisation, path) in
            Organisation::ALL.into_iter().zip([self.ledger_file(), self.key_ledger_file()])
        {
            let keeps_trust = organisation == Organisation::Key;
            let config = FabricConfig {
                kind: KIND.to_owned(),
                channel: CHANNEL.to_owned(),
                chaincode: CHAINCODE.to_owned(),
                consensus: match self.record.orderers {
                    Orderers::Raft => Consensus::Raft,
                    Orderers::Bft => Consensus::Bft,
                },
                identity: self.identity(organisation, "User1"),
                administrator: keeps_trust.then(|| self.identity(organisation, "Admin")),
                tls: None,
                peers: vec![
                    self.described(Node::Peer(organisation), &self.peer_tls_ca(organisation)),
                ],
                orderers: (1..=self.record.orderers.number())
                    .map(|at| self.described(Node::Orderer(at), &self.orderer_tls_ca()))
                    .collect(),
            };
            replace(&path, config.to_text().as_bytes())?;
        }
        Ok(())
    }

    fn described(&self, node: Node, tls_ca: &Path) -> NodeConfig {
        NodeConfig {
            address: self.url(node),
            tls_ca_file: Some(self.relative(tls_ca)),
            server_name: None,
        }
    }

    fn identity(&self, organisation: Organisation, user: &str) -> IdentityConfig {
        let msp = self.user_crypto(organisation, user).join("msp");
        let certificate = format!("signcerts/{user}@{}-cert.pem", organisation.domain());
        IdentityConfig {
            msp_id: organisation.msp().to_owned(),
            certificate_file: self.relative(&msp.join(certificate)),
            key_file: self.relative(&msp.join("keystore/priv_sk")),
        }
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.dir()).unwrap_or(path).to_owned()
    }

    /// The CA of an organisation's peers' TLS certificates.
    pub(super) fn peer_tls_ca(&self, organisation: Organisation) -> PathBuf {
        let domain = organisation.domain();
        self.organisation_dir(organisation).join(format!("tlsca/tlsca.{domain}-cert.pem"))
    }

    /// The CA of the orderers' TLS certificates.
    pub(super) fn orderer_tls_ca(&self) -> PathBuf {
        self.orderers_dir().join(format!("tlsca/tlsca.{ORDERER_DOMAIN}-cert.pem"))
    }
}
