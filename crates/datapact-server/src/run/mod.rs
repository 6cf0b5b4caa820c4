//! Running a server: its files, its listeners, its reloads and its end.

mod access;
mod headers;
mod host;
mod listening;
mod public;
mod witness;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datapact_api::gate::{AccessList, gated};
use datapact_api::problem::Problem;
use datapact_api::{key_server, storage_server, trust_file};
use serde::Serialize;

use crate::config::{
    self, ConfigError, KeyServerConfig, ManagementConfig, Peer, ServerConfig, StorageServerConfig,
};
use crate::key::KeyServer;
pub use crate::management::ADMINISTRATORS_INVITATION;
use crate::management::ManagementServer;
use crate::memory;
use crate::storage::StorageServer;
use host::Host;
pub use witness::serve_witness;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The trust configuration.
    #[error(transparent)]
    Trust(#[from] trust_file::TrustFileError),
    /// A file that it needs.
    #[error("`{path}`: {detail}", path = .0.display(), detail = .1)]
    File(PathBuf, String),
    /// Core dumps, which would hold keys, cannot be forbidden.
    #[error("cannot forbid core dumps, which would hold keys: {0}")]
    Dumps(std::io::Error),
    /// Its security log.
    #[error("{0}")]
    SecurityLog(String),
    /// An address that it cannot listen on, or something else of the system.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The storage server itself.
    #[error("{0}")]
    Storage(Problem),
    /// Management itself.
    #[error(transparent)]
    Management(#[from] crate::management::OpenError),
    /// The key server itself.
    #[error(transparent)]
    Key(#[from] crate::key::OpenError),
    /// The witness itself.
    #[error(transparent)]
    Witness(#[from] crate::witness::OpenError),
}

impl From<Problem> for ServeError {
    fn from(problem: Problem) -> Self {
        Self::Storage(problem)
    }
}

/// A server that listens.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// `management`, `key`, `storage` or `witness`.
    pub role: &'static str,
    /// Its address for clients.
    pub url: String,
    /// Where it listens for clients with certificates; a witness has but one listener.
    pub listen: SocketAddr,
    /// Where it listens without.
    pub public_listen: SocketAddr,
    /// Where it listens for its operator, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_listen: Option<SocketAddr>,
}

/// Serves management until `shutdown`.
pub async fn serve_management(
    path: &Path,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let config: ManagementConfig = config::load(path)?;
    let peers = config.key_servers.iter().chain(&config.storage_servers);
    let own: Vec<_> = peers.map(Peer::endpoint).collect();
    let own: Vec<_> = own.iter().collect();
    let access = access_of::<ManagementConfig>;
    let host = Host::load(path, &config.server, "management", access, &own)?;
    let mut key_servers: BTreeMap<String, Arc<dyn key_server::KeyServer>> = BTreeMap::new();
    for peer in &config.key_servers {
        let http = host.client(&peer.endpoint())?;
        key_servers.insert(http.name().to_owned(), Arc::new(http));
    }
    let mut storage_servers: BTreeMap<String, Arc<dyn storage_server::StorageServer>> =
        BTreeMap::new();
    for peer in &config.storage_servers {
        let http = host.client(&peer.endpoint())?;
        storage_servers.insert(http.name().to_owned(), Arc::new(http));
    }
    let (trust, clock) = (host.trust.source(), Arc::clone(&host.clock));
    let server =
        ManagementServer::open(&config, trust, &key_servers, &storage_servers, clock).await?;
    let router = gated(server.router(), host.gate(&[]));
    let reloaded = Arc::clone(&server);
    let reload = move || {
        if let Err(error) = reloaded.reload() {
            let kept = "the other servers' certificates were not read; the previous ones are used";
            tracing::error!(%error, "{kept}");
        }
    };
    let peers = config.key_servers.iter().chain(&config.storage_servers);
    let peers = peers.filter_map(|peer| {
        Some((peer.endpoint().name().ok()?.to_owned(), peer.certificate.clone()))
    });
    let peers = peers.collect();
    host.run(router, server, peers, reload, ready, shutdown).await
}

/// Serves a key server until `shutdown`.
pub async fn serve_key(
    path: &Path,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let config: KeyServerConfig = config::load(path)?;
    // Before any key is read.
    if let Err(why) = memory::lock() {
        tracing::warn!(%why, "memory is not locked: keys may get into swap");
    }
    let (own, access) = (config.management.endpoint(), access_of::<KeyServerConfig>);
    let host = Host::load(path, &config.server, "key", access, &[&own])?;
    let public = Arc::new(host.client(&config.management_public)?);
    let management = Arc::new(host.client(&own)?);
    let signer = Arc::new(host.signer()?);
    let (trust, clock) = (host.trust.source(), Arc::clone(&host.clock));
    let directory = Arc::clone(&management);
    let server =
        KeyServer::open(&config, trust, signer, public, management, directory, clock).await?;
    let router = gated(server.router(), host.gate(&[]));
    host.run(router, server, Vec::new(), || (), ready, shutdown).await
}

/// Serves a storage server until `shutdown`.
pub async fn serve_storage(
    path: &Path,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let config: StorageServerConfig = config::load(path)?;
    let (own, access) = ([&config.management], access_of::<StorageServerConfig>);
    let host = Host::load(path, &config.server, "storage", access, &own)?;
    let (trust, clock) = (host.trust.source(), Arc::clone(&host.clock));
    let management = Arc::new(host.client(&config.management)?);
    let server = StorageServer::open(&config, trust, management, clock).await?;
    let router = gated(server.router(), host.gate(storage_server::upload::OPERATIONS));
    host.run(router, server, Vec::new(), || (), ready, shutdown).await
}

fn access_of<C: ServerConfig>(path: &Path) -> Result<AccessList, ConfigError> {
    let config: C = config::load(path)?;
    config.common().access.parse().map_err(|e| ConfigError::Wrong(path.to_owned(), e))
}
