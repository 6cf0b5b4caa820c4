//! A server's listeners, from the first call to the end.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::Response;
use datapact_api::openapi;
use datapact_api::operation::Operation;
use datapact_api::public::{self, Public};
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::headers;
use super::host::Host;
use super::public::PublicSide;
use super::{Ready, ServeError};
use crate::operator::expiry::Watched;
use crate::operator::metrics::{Metrics, count};
use crate::operator::traces::trace;
use crate::operator::{self, Operated, Panel};
use crate::security_log::{self, Event, Kind, SecurityLog, Watch, watch_trust};
use crate::tls::{Bounds, Listener, Occupancy};

/// The listeners of one server, bound.
struct Listeners {
    /// For clients with certificates.
    main: Listener,
    /// For those without.
    open: Listener,
    operator: Option<Listener>,
}

impl Listeners {
    async fn bind(host: &Host) -> Result<Self, ServeError> {
        let limits = host.common.limits;
        let bounds = Bounds { limits, own_servers: host.own_servers.clone() };
        let bind = async |address: SocketAddr, clients| {
            let (chain, key) = (host.chain.clone(), host.key.clone_key());
            let bound = Listener::bind(address, chain, key, clients, &bounds).await;
            bound.map_err(|e| ServeError::Listen(address, e))
        };
        let operator = match host.common.operator.listen {
            Some(address) => {
                let bound = Listener::bind_plain(address).await;
                Some(bound.map_err(|e| ServeError::Listen(address, e))?)
            }
            None => None,
        };
        Ok(Self {
            main: bind(host.common.listen, Some(Arc::clone(&host.trust))).await?,
            open: bind(host.common.public_listen, None).await?,
            operator,
        })
    }

    /// Who occupies the main and the public listener.
    fn occupancies(&self) -> [(&'static str, Arc<Occupancy>); 2] {
        [("main", self.main.occupancy()), ("public", self.open.occupancy())]
    }

    fn ready(&self, host: &Host) -> Result<Ready, ServeError> {
        let (listen, public_listen) = (host.common.listen, host.common.public_listen);
        let at = |listener: &Listener, configured| {
            listener.local_addr().map_err(|e| ServeError::Listen(configured, e))
        };
        let operator = self.operator.as_ref();
        Ok(Ready {
            role: host.role,
            url: host.common.url.clone(),
            listen: at(&self.main, listen)?,
            public_listen: at(&self.open, public_listen)?,
            operator_listen: operator.map(|listener| at(listener, public_listen)).transpose()?,
        })
    }
}

impl Host {
    /// Serves `router` behind the main listener, and `server` to the public and to its operator,
    /// until `shutdown` completes.
    ///
    /// `peers` are other servers' names and certificates, whose end is watched; `reload` is called
    /// whenever the configuration is read again.
    pub(super) async fn run<S: Public + Operated>(
        self,
        router: Router,
        server: Arc<S>,
        peers: Vec<(String, PathBuf)>,
        reload: impl Fn() + Send + 'static,
        ready: impl FnOnce(Ready),
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let metrics = Arc::new(Metrics::new(self.role));
        let (trust, clock) = (Arc::clone(&self.trust), Arc::clone(&self.clock));
        let watched = Arc::new(Watched::new(&self.name, &self.chain, trust, peers, clock));
        let stopping = Arc::new(AtomicBool::new(false));
        let (log, writing) = SecurityLog::open(
            &self.common.operator.security_log,
            self.common.data.join(security_log::FILE),
            &self.name,
            self.role,
            Arc::clone(&self.clock),
        )
        .map_err(ServeError::SecurityLog)?;
        let operations = operations(self.role);
        let watch = Arc::new(Watch { log: log.clone(), operations });
        let counted = |router: Router, listener| {
            let watch = Arc::clone(&watch);
            let router = router.layer(middleware::from_fn_with_state(watch, security_log::watch));
            router.layer(middleware::from_fn_with_state((Arc::clone(&metrics), listener), count))
        };
        let (stop, stopped) = watch::channel(false);
        let mut listeners = Listeners::bind(&self).await?;
        listeners.main.report_to(log.clone());
        let reported = log.clone();
        let reload = move || {
            reported.report(Event::new(Kind::ConfigurationRead));
            reload();
        };
        let panel = Panel {
            server: self.name.clone(),
            role: self.role,
            operated: Arc::clone(&server) as _,
            metrics: Arc::clone(&metrics),
            watched: Arc::clone(&watched),
            clock: Arc::clone(&self.clock),
            data: self.common.data.clone(),
            stopping: Arc::clone(&stopping),
            listeners: listeners.occupancies(),
            asking: tokio::sync::Mutex::default(),
        };
        let watches = [
            tokio::spawn(watch_trust(log.clone(), self.trust.source())),
            tokio::spawn(Arc::clone(&self.trust).watch()),
            tokio::spawn(Arc::clone(&self.access).watch(reload)),
            tokio::spawn(watched.warn()),
        ];
        ready(listeners.ready(&self)?);
        log.report(Event::new(Kind::Started));
        tracing::info!(role = self.role, name = %self.name, "listening");
        let signal = tokio::spawn(async move {
            shutdown.await;
            stopping.store(true, Ordering::Relaxed);
            let _ = stop.send(true);
        });
        // The operator sees the end of the server, too: its listener goes last.
        let panel = listeners.operator.map(|listener| {
            tokio::spawn(listener.serve(operator::router(Arc::new(panel)), std::future::pending()))
        });
        let router = router
            .layer(middleware::from_fn_with_state(stopped.clone(), end_events))
            .layer(middleware::from_fn(headers::guard))
            .layer(middleware::from_fn_with_state(Arc::clone(&self.traces), trace));
        let trust = self.common.tls.trust.clone();
        let public = PublicSide { inner: server, trust, stopped: stopped.clone() };
        let public = public::router(Arc::new(public))
            .merge(description(self.role))
            .layer(middleware::from_fn(headers::guard));
        let ended = |mut stopped: watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        tokio::join!(
            listeners.main.serve(counted(router, "main"), ended(stopped.clone())),
            listeners.open.serve(counted(public, "public"), ended(stopped))
        );
        panel.iter().for_each(tokio::task::JoinHandle::abort);
        signal.abort();
        watches.iter().for_each(tokio::task::JoinHandle::abort);
        log.report(Event::new(Kind::Stopped));
        writing.end().await;
        self.traces.end().await;
        tracing::info!(role = self.role, "stopped");
        Ok(())
    }
}

/// The OpenAPI document of a server.
fn description(role: &str) -> Router {
    openapi::router(api_of(role))
}

/// All that a server offers.
fn operations(role: &str) -> Vec<&'static Operation> {
    api_of(role).operations().collect()
}

fn api_of(role: &str) -> openapi::Role {
    match role {
        "management" => openapi::Role::Management,
        "key" => openapi::Role::Key,
        _ => openapi::Role::Storage,
    }
}

/// Ends a stream of events when the server stops: it has no end of its own, and its follower
/// connects again.
async fn end_events(
    State(mut stopped): State<watch::Receiver<bool>>,
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
