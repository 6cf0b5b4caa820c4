//! The files that describe a network as a ledger, one for each organisation: its own peer, and a user of its own.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{CHAINCODE, CHANNEL, Network, NetworkError, Node, ORDERER_DOMAIN, Organisation, Result};

/// A `ledger.toml`, with paths relative to its folder.
#[derive(Serialize)]
struct LedgerFile {
    kind: &'static str,
    channel: &'static str,
    chaincode: &'static str,
    msp_id: &'static str,
    certificate: PathBuf,
    key: PathBuf,
    tls_ca: PathBuf,
    peers: [Peer; 1],
}

#[derive(Serialize)]
struct Peer {
    address: String,
    msp_id: &'static str,
}

impl Network {
    /// Writes both organisations' ledger files.
    pub(super) fn describe(&self) -> Result<()> {
        for (organisation, path) in
            Organisation::ALL.into_iter().zip([self.ledger_file(), self.key_ledger_file()])
        {
            let user = format!("User1@{}-cert.pem", organisation.domain());
            let msp = self.user_crypto(organisation, "User1").join("msp");
            let file = LedgerFile {
                kind: super::KIND,
                channel: CHANNEL,
                chaincode: CHAINCODE,
                msp_id: organisation.msp(),
                certificate: self.relative(&msp.join("signcerts").join(user)),
                key: self.relative(&msp.join("keystore/priv_sk")),
                tls_ca: self.relative(&self.peer_tls_ca(organisation)),
                peers: [Peer { address: self.address(Node::Peer(organisation)), msp_id: organisation.msp() }],
            };
            let text = toml::to_string(&file).map_err(|e| NetworkError::file(&path, e))?;
            self.write(&path, text.as_bytes())?;
        }
        Ok(())
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
