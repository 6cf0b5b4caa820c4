//! The files that describe a network as a ledger, one for each organisation: its own peer, and a user of its own.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    CHAINCODE, CHANNEL, Network, NetworkError, Node, ORDERER_DOMAIN, Orderers, Organisation, Result,
};

/// A `ledger.toml`, with paths relative to its folder.
#[derive(Serialize)]
struct LedgerFile {
    kind: &'static str,
    channel: &'static str,
    chaincode: &'static str,
    consensus: Orderers,
    peers: Vec<NodeEntry>,
    orderers: Vec<NodeEntry>,
    identity: Identity,
    #[serde(skip_serializing_if = "Option::is_none")]
    administrator: Option<Identity>,
}

#[derive(Serialize)]
struct Identity {
    msp_id: &'static str,
    certificate_file: PathBuf,
    key_file: PathBuf,
}

#[derive(Serialize)]
struct NodeEntry {
    address: String,
    tls_ca_file: PathBuf,
}

impl Network {
    /// Writes both organisations' ledger files.
    pub(super) fn describe(&self) -> Result<()> {
        for (organisation, path) in
            Organisation::ALL.into_iter().zip([self.ledger_file(), self.key_ledger_file()])
        {
            let keeps_trust = organisation == Organisation::Key;
            let file = LedgerFile {
                kind: super::KIND,
                channel: CHANNEL,
                chaincode: CHAINCODE,
                consensus: self.record.orderers,
                peers: vec![self.entry(Node::Peer(organisation), &self.peer_tls_ca(organisation))],
                orderers: (1..=self.record.orderers.number())
                    .map(|at| self.entry(Node::Orderer(at), &self.orderer_tls_ca()))
                    .collect(),
                identity: self.identity(organisation, "User1"),
                administrator: keeps_trust.then(|| self.identity(organisation, "Admin")),
            };
            let text = toml::to_string(&file).map_err(|e| NetworkError::file(&path, e))?;
            self.write(&path, text.as_bytes())?;
        }
        Ok(())
    }

    fn entry(&self, node: Node, tls_ca: &Path) -> NodeEntry {
        NodeEntry { address: format!("grpcs://{}", self.address(node)), tls_ca_file: self.relative(tls_ca) }
    }

    fn identity(&self, organisation: Organisation, user: &str) -> Identity {
        let msp = self.user_crypto(organisation, user).join("msp");
        let certificate = format!("signcerts/{user}@{}-cert.pem", organisation.domain());
        Identity {
            msp_id: organisation.msp(),
            certificate_file: self.relative(&msp.join(certificate)),
            key_file: self.relative(&msp.join("keystore/priv_sk")),
        }
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.dir).unwrap_or(path).to_owned()
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
