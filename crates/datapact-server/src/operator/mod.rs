//! What an operator sees of a running server, on a listener of its own: whether the process lives
//! (`/healthz`), whether it can work (`/readyz`), and its figures (`/metrics`). Nothing there names
//! a person or a share. `docs/operations.md` explains all of it.

pub mod expiry;
pub(crate) mod metrics;
mod process;
pub mod traces;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use datapact_api::problem::Problem;
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_core::id::Timestamp;
use datapact_log::clock::Clock;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;

pub use process::space;

use crate::tls::Occupancy;
use expiry::Watched;
use metrics::{Metrics, Reading};

/// How long a check may take; what takes longer does not work.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// One thing that a server needs, and whether it has it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Check {
    /// Asks, but not for longer than five seconds.
    pub(crate) async fn of<E: std::fmt::Display>(
        name: &'static str,
        check: impl Future<Output = Result<(), E>>,
    ) -> Self {
        let detail = match tokio::time::timeout(CHECK_TIMEOUT, check).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} seconds", CHECK_TIMEOUT.as_secs())),
        };
        Self { name, ok: detail.is_none(), detail }
    }

    /// What was found.
    pub(crate) fn outcome(self) -> Result<(), String> {
        self.detail.map_or(Ok(()), Err)
    }
}

/// What the newest record says of the clock: it cannot be of the future.
pub(crate) fn clock_is_sane(now: Timestamp, newest: Timestamp) -> Result<(), String> {
    if now.saturating_add(CLOCK_SKEW_SECONDS_MAX) >= newest {
        return Ok(());
    }
    let ahead = newest - now;
    Err(format!("this machine's clock is {ahead} seconds behind the newest record; set it right"))
}

/// A server, as its operator sees it.
#[async_trait]
pub(crate) trait Operated: Send + Sync + 'static {
    /// What it needs.
    async fn checks(&self) -> Vec<Check>;
    /// Its figures now, without those that cannot be read.
    async fn readings(&self) -> Vec<Reading>;
}

/// What the operator's listener shows.
pub(crate) struct Panel {
    pub(crate) server: String,
    pub(crate) role: &'static str,
    pub(crate) operated: Arc<dyn Operated>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) watched: Arc<Watched>,
    pub(crate) clock: Clock,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Who occupies each of the listeners for callers.
    pub(crate) listeners: [(&'static str, Arc<Occupancy>); 2],
    /// Set when the server has begun to end.
    pub(crate) stopping: Arc<AtomicBool>,
    /// Held while the checks or the readings are made, so that many callers cost no more than one.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    server: &'a str,
    role: &'static str,
    version: &'static str,
    checks: Vec<Check>,
}

/// The routes of the operator's listener.
pub(crate) fn router(panel: Arc<Panel>) -> Router {
    Router::new()
        .route("/healthz", get(async || ([(CACHE_CONTROL, "no-store")], "the process lives\n")))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .fallback(async || Problem::not_found("here are /healthz, /readyz and /metrics"))
        .with_state(panel)
}

async fn ready(State(panel): State<Arc<Panel>>) -> Response {
    let asking = panel.asking.lock().await;
    let mut checks = panel.operated.checks().await;
    drop(asking);
    let certificate = async { panel.watched.server_certificate_is_valid((panel.clock)()) };
    checks.push(Check::of("certificate", certificate).await);
    let going_on = async {
        let stopping = panel.stopping.load(Ordering::Relaxed);
        if stopping { Err("the server is ending") } else { Ok(()) }
    };
    checks.push(Check::of("running", going_on).await);
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        ready,
        server: &panel.server,
        role: panel.role,
        version: env!("CARGO_PKG_VERSION"),
        checks,
    };
    (status, [(CACHE_CONTROL, "no-store")], Json(readiness)).into_response()
}

/// How many connections a listener has, and how many its limits have ended or refused.
fn connections(listener: &'static str, of: &Occupancy) -> Vec<Reading> {
    let now = of.connections().into_iter().map(|(state, count)| {
        let (name, help) = ("datapact_connections", "Connections, by what they are there for");
        Reading::count(name, help, count as u64).of("listener", listener).of("state", state)
    });
    let hits = of.hits().into_iter().map(|(limit, count)| {
        let help = "Connections that a limit has ended or refused";
        let hits = Reading::counter("datapact_connections_limited", help, count as f64);
        hits.of("listener", listener).of("limit", limit)
    });
    now.chain(hits).collect()
}

async fn figures(State(panel): State<Arc<Panel>>) -> Response {
    let asking = panel.asking.lock().await;
    let mut readings =
        tokio::time::timeout(CHECK_TIMEOUT, panel.operated.readings()).await.unwrap_or_default();
    drop(asking);
    readings.extend(panel.watched.readings());
    readings.extend(process::readings());
    readings.extend(process::disk(&panel.data));
    readings.extend(panel.listeners.iter().flat_map(|(listener, of)| connections(listener, of)));
    let text = match panel.metrics.render(readings) {
        Ok(text) => text,
        Err(error) => return Problem::internal(error).into_response(),
    };
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-store")], text).into_response()
}
