//! Running a server: its files, its two listeners, its reloads and its end.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::Response;
use bytes::Bytes;
use datapact_api::client::Http;
use datapact_api::endpoint::Endpoint;
use datapact_api::gate::{AccessList, Gate, Source, gated};
use datapact_api::key_server::{self, KeyServer};
use datapact_api::management::{self, Invitation};
use datapact_api::openapi;
use datapact_api::problem::{Kind, Problem, Result as ApiResult};
use datapact_api::public::{self, Health, LogSize, Public};
use datapact_api::storage_server::{self, StorageServer};
use datapact_api::tls::client_config;
use datapact_api::trust_file::{self, POLL, ReloadableTrust};
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::permission::TIME_MAX;
use datapact_core::token::Jwks;
use datapact_log::clock::Clock;
use datapact_log::clock::system_clock;
use futures_util::StreamExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;

use crate::config::{
    self, Common, ConfigError, KeyServerConfig, ManagementConfig, ServerConfig, StorageServerConfig,
};
use crate::key::KeyService;
use crate::management::ManagementServer;
use crate::operator::expiry::Watched;
use crate::operator::metrics::{Metrics, Reading, count};
use crate::operator::traces::{Traces, trace};
use crate::operator::{self, Check, Operated, Panel};
use crate::storage::StorageService;
use crate::tls::{Limits, Listener};

/// How often a server tidies up what was left unfinished.
const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);

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
}

impl From<Problem> for ServeError {
    fn from(problem: Problem) -> Self {
        Self::Storage(problem)
    }
}

/// A server that listens.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// `management`, `key` or `storage`.
    pub role: &'static str,
    /// Its address for clients.
    pub url: String,
    /// Where it listens for clients with certificates.
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
    let frame = Frame::load(path, &config.server, "management", access_of::<ManagementConfig>)?;
    let mut key_servers: BTreeMap<String, Arc<dyn KeyServer>> = BTreeMap::new();
    for peer in &config.key_servers {
        let http = frame.client(&peer.endpoint())?;
        key_servers.insert(http.name().to_owned(), Arc::new(http));
    }
    let mut storage_servers: BTreeMap<String, Arc<dyn StorageServer>> = BTreeMap::new();
    for peer in &config.storage_servers {
        let http = frame.client(&peer.endpoint())?;
        storage_servers.insert(http.name().to_owned(), Arc::new(http));
    }
    let trust = frame.trust.source();
    let service =
        ManagementServer::open(&config, trust, &key_servers, &storage_servers, frame.clock.clone())
            .await?;
    write_administrators_invitation(&config, &service)?;
    let called = service.clone();
    let routes = management::routes(move |caller| called.called(caller));
    let router = gated(routes, frame.gate());
    let reloaded = service.clone();
    let reload = move || {
        if let Err(error) = reloaded.reload() {
            tracing::error!(%error, "the other servers' certificates were not read; the previous ones stay in force");
        }
    };
    let peers = config.key_servers.iter().chain(&config.storage_servers);
    let peers = peers.filter_map(|peer| {
        Some((peer.endpoint().name().ok()?.to_owned(), peer.certificate.clone()))
    });
    let peers = peers.collect();
    frame.run(router, service, peers, reload, ready, shutdown).await
}

/// Where the configured administrators find what they need to join: they have their accounts
/// already, so there is no code in it and it is no secret.
pub const ADMINISTRATORS_INVITATION: &str = "administrators.json";

fn write_administrators_invitation(
    config: &ManagementConfig,
    service: &ManagementServer,
) -> Result<(), ServeError> {
    let path = config.server.data.join(ADMINISTRATORS_INVITATION);
    let invitation =
        Invitation { code: String::new(), expires: TIME_MAX, enrolment: service.enrolment() };
    let failed = |detail: String| ServeError::File(path.clone(), detail);
    let json = serde_json::to_vec_pretty(&invitation).map_err(|e| failed(e.to_string()))?;
    // Several processes may share the folder.
    let partial = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&partial, json)
        .and_then(|()| std::fs::rename(&partial, &path))
        .map_err(|e| failed(e.to_string()))
}

/// Serves a key server until `shutdown`.
pub async fn serve_key(
    path: &Path,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let config: KeyServerConfig = config::load(path)?;
    let frame = Frame::load(path, &config.server, "key", access_of::<KeyServerConfig>)?;
    let public = Arc::new(frame.client(&config.management_public)?);
    let management = Arc::new(frame.client(&config.management)?);
    let signer = Arc::new(frame.signer()?);
    let trust = frame.trust.source();
    let service =
        KeyService::open(&config, trust, signer, public, management, frame.clock.clone()).await?;
    let called = service.clone();
    let routes = key_server::routes(move |caller| called.called(caller));
    let router = gated(routes, frame.gate());
    frame.run(router, service, Vec::new(), || (), ready, shutdown).await
}

/// Serves a storage server until `shutdown`.
pub async fn serve_storage(
    path: &Path,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let config: StorageServerConfig = config::load(path)?;
    let frame = Frame::load(path, &config.server, "storage", access_of::<StorageServerConfig>)?;
    let service = StorageService::open(&config, frame.trust.source(), frame.clock.clone()).await?;
    let tidied = service.clone();
    let tidy = tokio::spawn(async move {
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            if let Err(problem) = tidied.tidy().await {
                tracing::warn!(%problem, "tidying up failed; it is tried again in an hour");
            }
        }
    });
    let called = service.clone();
    let routes = storage_server::routes(move |caller| called.called(caller));
    let router = gated(routes, frame.gate());
    let result = frame.run(router, service, Vec::new(), || (), ready, shutdown).await;
    tidy.abort();
    result
}

#[async_trait]
impl Public for KeyService {
    async fn health(&self) -> ApiResult<Health> {
        KeyService::health(self).await.map(|()| crate::health(self.name(), "key"))
    }

    async fn log(&self, path: &str) -> ApiResult<Bytes> {
        self.read_log(path)
            .await?
            .map(Bytes::from)
            .ok_or_else(|| Problem::not_found("the log has no such file"))
    }
}

#[async_trait]
impl Operated for KeyService {
    async fn checks(&self) -> Vec<Check> {
        vec![
            Check::of("database", self.database().check()).await,
            Check::of("ledger", KeyService::health(self)).await,
            Check::of("clock", self.clock_is_sane()).await,
        ]
    }

    async fn readings(&self) -> Vec<Reading> {
        self.figures().await
    }
}

/// What all servers are made of.
struct Frame {
    role: &'static str,
    name: String,
    common: Common,
    trust: Arc<ReloadableTrust>,
    access: Arc<ReloadableAccess>,
    clock: Clock,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    traces: Arc<Traces>,
}

impl Frame {
    fn load(
        path: &Path,
        common: &Common,
        role: &'static str,
        read_access: fn(&Path) -> Result<AccessList, ConfigError>,
    ) -> Result<Self, ServeError> {
        let name = common.name().map_err(|e| ConfigError::Wrong(path.to_owned(), e))?;
        std::fs::create_dir_all(&common.data)
            .and_then(|()| {
                std::fs::set_permissions(&common.data, std::fs::Permissions::from_mode(0o700))
            })
            .map_err(|e| ServeError::File(common.data.clone(), e.to_string()))?;
        crate::backup::check_finished(&common.data, role)
            .map_err(|why| ServeError::File(common.data.clone(), why.to_owned()))?;
        let trust = ReloadableTrust::load(&common.trust)?;
        let wrong = |detail: &str| ServeError::File(common.certificate.clone(), detail.to_owned());
        let chain = CertificateDer::pem_file_iter(&common.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| wrong(&format!("no certificate chain in PEM: {e}")))?;
        let clock = system_clock();
        trust
            .current()
            .identify_server(&chain, &name, clock())
            .map_err(|e| wrong(&e.to_string()))?;
        let key = private_key(&common.private_key)?;
        let access = Arc::new(ReloadableAccess::load(path, read_access)?);
        let traces = Traces::start(common.traces.as_ref(), role, &name)
            .map_err(|e| ConfigError::Wrong(path.to_owned(), e))?;
        Ok(Self { role, name, common: common.clone(), trust, access, clock, chain, key, traces })
    }

    /// Calls to another server, with this server's certificate.
    fn client(&self, endpoint: &Endpoint) -> Result<Http, ServeError> {
        let certificate = (self.chain.clone(), self.key.clone_key());
        let config = client_config(self.trust.clone(), Some(certificate))
            .map_err(|e| ServeError::File(self.common.private_key.clone(), e.to_string()))?;
        Http::new(endpoint, config, None, self.clock.clone())
            .map_err(|e| ServeError::File(self.common.certificate.clone(), e.to_string()))
    }

    /// What signs as this server.
    fn signer(&self) -> Result<Signer, ServeError> {
        let wrong = |detail: String| ServeError::File(self.common.private_key.clone(), detail);
        Signer::new(self.key.secret_der(), self.chain.clone(), Identity::server(&self.name))
            .map_err(|e| wrong(e.to_string()))
    }

    fn gate(&self) -> Arc<Gate> {
        let access = self.access.clone();
        let access: Source<AccessList> = Arc::new(move || access.current());
        Arc::new(Gate::new(&self.name, self.trust.source(), access, self.clock.clone()))
    }

    async fn run<S: Public + Operated>(
        self,
        router: Router,
        service: Arc<S>,
        peers: Vec<(String, PathBuf)>,
        reload: impl Fn() + Send + 'static,
        ready: impl FnOnce(Ready),
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let metrics = Arc::new(Metrics::new(self.role));
        let watched =
            Watched::new(&self.name, &self.chain, self.trust.clone(), peers, self.clock.clone());
        let watched = Arc::new(watched);
        let stopping = Arc::new(AtomicBool::new(false));
        let panel = Panel {
            server: self.name.clone(),
            role: self.role,
            operated: service.clone(),
            metrics: Arc::clone(&metrics),
            watched: Arc::clone(&watched),
            clock: self.clock.clone(),
            data: self.common.data.clone(),
            stopping: Arc::clone(&stopping),
            asking: tokio::sync::Mutex::default(),
        };
        let counted = |router: Router, listener| {
            router.layer(middleware::from_fn_with_state((Arc::clone(&metrics), listener), count))
        };
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let trust = self.common.trust.clone();
        let public: Arc<dyn Public> =
            Arc::new(PublicSide { inner: service, trust, stopped: stopped.clone() });
        let failed = |address: SocketAddr| move |e: std::io::Error| ServeError::Listen(address, e);
        let (listen, public_listen) = (self.common.listen, self.common.public_listen);
        let main = Listener::bind(
            listen,
            self.chain.clone(),
            self.key.clone_key(),
            Some(self.trust.clone()),
            Limits::default(),
        )
        .await
        .map_err(failed(listen))?;
        let open = Listener::bind(
            public_listen,
            self.chain.clone(),
            self.key.clone_key(),
            None,
            Limits::default(),
        )
        .await
        .map_err(failed(public_listen))?;
        let operated = match &self.common.operator {
            Some(operator) => {
                let listener = Listener::bind_plain(operator.listen, Limits::operator()).await;
                Some(listener.map_err(failed(operator.listen))?)
            }
            None => None,
        };
        let watches = [
            tokio::spawn(self.trust.clone().watch()),
            tokio::spawn(self.access.clone().watch(reload)),
            tokio::spawn(watched.warn()),
        ];
        let ended = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        ready(Ready {
            role: self.role,
            url: self.common.url.clone(),
            listen: main.local_addr().map_err(failed(listen))?,
            public_listen: open.local_addr().map_err(failed(public_listen))?,
            operator_listen: operated
                .as_ref()
                .map(|listener| listener.local_addr().map_err(failed(public_listen)))
                .transpose()?,
        });
        tracing::info!(role = self.role, name = %self.name, "listening");
        let signal = tokio::spawn(async move {
            shutdown.await;
            stopping.store(true, Ordering::Relaxed);
            let _ = stop.send(true);
        });
        // The operator sees the end of the server, too: its listener goes last.
        let panel = operated.map(|listener| {
            tokio::spawn(listener.serve(operator::router(Arc::new(panel)), std::future::pending()))
        });
        let description = openapi::router(match self.role {
            "management" => openapi::Role::Management,
            "key" => openapi::Role::Key,
            _ => openapi::Role::Storage,
        });
        let router = router
            .layer(middleware::from_fn_with_state(stopped.clone(), end_events))
            .layer(middleware::from_fn_with_state(Arc::clone(&self.traces), trace));
        tokio::join!(
            main.serve(counted(router, "main"), ended(stopped.clone())),
            open.serve(
                counted(public::router(public).merge(description), "public"),
                ended(stopped)
            )
        );
        panel.iter().for_each(tokio::task::JoinHandle::abort);
        signal.abort();
        watches.iter().for_each(tokio::task::JoinHandle::abort);
        self.traces.end().await;
        tracing::info!(role = self.role, "stopped");
        Ok(())
    }
}

/// Reads a private key (PKCS#8, PEM) that nobody else may read.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ServeError> {
    let failed = |detail: String| ServeError::File(path.to_owned(), detail);
    let mode = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(failed(format!(
            "others may read this private key (mode {:o}); use `chmod 600`",
            mode & 0o777
        )));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|e| failed(format!("no private key in PEM: {e}")))
}

fn access_of<C: ServerConfig>(path: &Path) -> Result<AccessList, ConfigError> {
    let config: C = config::load(path)?;
    config.common().access.parse().map_err(|e| ConfigError::Wrong(path.to_owned(), e))
}

/// The access list of a configuration file, read again when the file changes.
struct ReloadableAccess {
    path: PathBuf,
    read: fn(&Path) -> Result<AccessList, ConfigError>,
    current: RwLock<Arc<AccessList>>,
}

impl ReloadableAccess {
    fn load(
        path: &Path,
        read: fn(&Path) -> Result<AccessList, ConfigError>,
    ) -> Result<Self, ConfigError> {
        Ok(Self { path: path.to_owned(), read, current: RwLock::new(Arc::new(read(path)?)) })
    }

    fn current(&self) -> Arc<AccessList> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn changed(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.path).and_then(|meta| meta.modified()).ok()
    }

    /// Reads the list again on SIGHUP and when the file has changed, and calls `reload` then.
    async fn watch(self: Arc<Self>, reload: impl Fn() + Send) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut seen = self.changed();
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            let forced = tokio::select! {
                () = hung_up => true,
                () = tokio::time::sleep(POLL) => false,
            };
            let now = self.changed();
            if now == seen && !forced {
                continue;
            }
            seen = now;
            reload();
            match (self.read)(&self.path) {
                Ok(list) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
                    tracing::info!("the access list was read again");
                }
                Err(error) => {
                    tracing::error!(%error, "the access list was not read; the previous one stays in force")
                }
            }
        }
    }
}

/// Ends a stream of events when the server stops: it has no end of its own, and whoever follows it
/// comes again.
async fn end_events(
    State(mut stopped): State<tokio::sync::watch::Receiver<bool>>,
    request: Request,
    next: Next,
) -> Response {
    let answer = next.run(request).await;
    if answer.headers().get(header::CONTENT_TYPE).is_none_or(|of| of != "text/event-stream") {
        return answer;
    }
    let stopped = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    answer.map(|events| Body::from_stream(events.into_data_stream().take_until(stopped)))
}

/// A server's public side, with the revocation lists of its trust configuration. Nobody who waits
/// for entries keeps it from ending.
struct PublicSide<P> {
    inner: Arc<P>,
    trust: PathBuf,
    stopped: tokio::sync::watch::Receiver<bool>,
}

#[async_trait]
impl<P: Public> Public for PublicSide<P> {
    async fn health(&self) -> ApiResult<Health> {
        self.inner.health().await
    }

    async fn jwks(&self) -> ApiResult<Jwks> {
        self.inner.jwks().await
    }

    async fn log(&self, path: &str) -> ApiResult<Bytes> {
        self.inner.log(path).await
    }

    async fn log_size(&self, longer_than: &LogSize) -> ApiResult<LogSize> {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            longer = self.inner.log_size(longer_than) => longer,
            _ = stopped.wait_for(|stop| *stop) => {
                Err(Problem::new(Kind::Unavailable, "the server is stopping").hint("try again in a moment"))
            }
        }
    }

    async fn crl(&self, realm: &str) -> ApiResult<String> {
        trust_file::revocation_lists(&self.trust, realm).map_err(Problem::internal)?.ok_or_else(
            || Problem::not_found(format!("there is no revocation list of `{realm}` here")),
        )
    }
}
