//! The key and storage servers that go with this management.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::KeyServer;
use datapact_api::storage_server::StorageServer;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::failure::OpenError;
use super::keys::to_pem;
use crate::config::{self, ManagementConfig};

/// Key servers by name, as management calls them.
pub type KeyServers = BTreeMap<String, Arc<dyn KeyServer>>;
/// Storage servers by name, as management calls them.
pub type StorageServers = BTreeMap<String, Arc<dyn StorageServer>>;

/// The configured servers, in the order of the configuration.
pub(super) struct Peers {
    key_servers: Vec<Peer<dyn KeyServer>>,
    storage_servers: Vec<Peer<dyn StorageServer>>,
}

/// A configured server.
pub(super) struct Peer<T: ?Sized> {
    pub(super) endpoint: Endpoint,
    pub(super) name: String,
    pub(super) client: Arc<T>,
    certificate_file: PathBuf,
    /// The chain in that file; replaced when the configuration is reloaded.
    certificate: RwLock<Arc<str>>,
}

impl Peers {
    /// The servers that `config` names, with a client for each name.
    ///
    /// # Errors
    /// [`OpenError::Configuration`] when a client is missing or a certificate cannot be read.
    pub(super) fn open(
        config: &ManagementConfig,
        key_servers: &KeyServers,
        storage_servers: &StorageServers,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            key_servers: open_all(&config.key_servers, key_servers)?,
            storage_servers: open_all(&config.storage_servers, storage_servers)?,
        })
    }

    pub(super) fn key_servers(&self) -> &[Peer<dyn KeyServer>] {
        &self.key_servers
    }

    pub(super) fn storage_servers(&self) -> &[Peer<dyn StorageServer>] {
        &self.storage_servers
    }

    /// The key server that the key at `address` is on.
    pub(super) fn key_server(&self, address: &str) -> Option<&Peer<dyn KeyServer>> {
        self.key_servers.iter().find(|server| server.endpoint.serves(address))
    }

    /// The storage server that the package at `address` is on.
    pub(super) fn storage_server(&self, address: &str) -> Option<&Peer<dyn StorageServer>> {
        self.storage_servers.iter().find(|server| server.endpoint.serves(address))
    }

    /// Where the key servers are.
    pub(super) fn key_server_endpoints(&self) -> Vec<Endpoint> {
        self.key_servers.iter().map(|server| server.endpoint.clone()).collect()
    }

    /// Where the storage servers are.
    pub(super) fn storage_server_endpoints(&self) -> Vec<Endpoint> {
        self.storage_servers.iter().map(|server| server.endpoint.clone()).collect()
    }

    /// Reads the certificates again.
    ///
    /// # Errors
    /// [`OpenError::Configuration`] names the file that cannot be read; that server keeps the
    /// certificate that it had.
    pub(super) fn reload(&self) -> Result<(), OpenError> {
        self.key_servers.iter().try_for_each(Peer::reload)?;
        self.storage_servers.iter().try_for_each(Peer::reload)
    }
}

fn open_all<T: ?Sized>(
    configured: &[config::Peer],
    clients: &BTreeMap<String, Arc<T>>,
) -> Result<Vec<Peer<T>>, OpenError> {
    let open = |configured: &config::Peer| {
        let endpoint = configured.endpoint();
        let name = endpoint.name().map_err(|e| OpenError::Configuration(e.to_string()))?.to_owned();
        let client = clients.get(&name).cloned().ok_or_else(|| {
            OpenError::Configuration(format!("the server `{name}` has no client"))
        })?;
        let certificate_file = configured.certificate.clone();
        let certificate = RwLock::new(Arc::from(""));
        let peer = Peer { endpoint, name, client, certificate_file, certificate };
        peer.reload()?;
        Ok(peer)
    };
    configured.iter().map(open).collect()
}

impl<T: ?Sized> Peer<T> {
    /// The certificate chain that callers are told to expect, PEM.
    pub(super) fn pem(&self) -> String {
        self.certificate.read().unwrap_or_else(PoisonError::into_inner).to_string()
    }

    fn reload(&self) -> Result<(), OpenError> {
        let wrong = |detail: String| {
            OpenError::Configuration(format!(
                "the certificate of `{}` in `{}`: {detail}",
                self.name,
                self.certificate_file.display()
            ))
        };
        let text =
            std::fs::read_to_string(&self.certificate_file).map_err(|e| wrong(e.to_string()))?;
        let chain = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| wrong(e.to_string()))?;
        if chain.is_empty() {
            return Err(wrong("it holds no PEM certificate".to_owned()));
        }
        // Only the certificates are passed on: the file may hold a private key, too.
        let pem: String = chain.iter().map(|der| to_pem("CERTIFICATE", der).to_string()).collect();
        *self.certificate.write().unwrap_or_else(PoisonError::into_inner) = pem.into();
        Ok(())
    }
}
