//! Traces: which calls on which servers belong to one piece of work. A call's `traceparent` goes
//! along to the servers that are called for it; spans are sent to a collector where the
//! configuration names one, and hold nothing that names a person or a share.

#[cfg(feature = "otel")]
pub(crate) mod otlp;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use datapact_api::trace::{HEADER, Traceparent, within};
use serde::Deserialize;

use crate::stores::is_local;

/// Where traces are sent: OTLP over HTTP, in Protocol Buffers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// The collector, `https://HOST` or `http://` on this machine; `/v1/traces` is added.
    pub endpoint: String,
    /// The roots that its certificate must come from, PEM; this machine's usual ones if not given.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

impl TracesConfig {
    /// What of it cannot be.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.endpoint.starts_with("https://") || is_local(&self.endpoint) {
            return Ok(());
        }
        Err(format!(
            "`traces.endpoint`: `{}` must begin with https://, \
             or with http:// and an address of this machine",
            self.endpoint
        ))
    }
}

/// The spans of one server, and where they go.
pub(crate) struct Traces {
    #[cfg(feature = "otel")]
    exporter: Option<otlp::Exporter>,
}

impl Traces {
    /// Begins to send spans of the server `name` to where `config` says; keeps none without it.
    #[cfg(feature = "otel")]
    pub(crate) fn start(
        config: Option<&TracesConfig>,
        role: &str,
        name: &str,
    ) -> Result<Arc<Self>, String> {
        let exporter = config.map(|config| otlp::Exporter::start(config, role, name)).transpose();
        let exporter = exporter.map_err(|why| format!("`traces`: {why}"))?;
        Ok(Arc::new(Self { exporter }))
    }

    /// Refuses to send what this program cannot.
    #[cfg(not(feature = "otel"))]
    pub(crate) fn start(
        config: Option<&TracesConfig>,
        _role: &str,
        _name: &str,
    ) -> Result<Arc<Self>, String> {
        match config {
            None => Ok(Arc::new(Self {})),
            Some(_) => Err("this program was built without traces, which `traces` asks for; \
                            build it with `--features otel`, or use a release"
                .to_owned()),
        }
    }

    /// Sends what is left.
    pub(crate) async fn end(&self) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = &self.exporter {
            exporter.end().await;
        }
    }
}

/// The middleware that makes a call a step of its caller's trace.
pub(crate) async fn trace(
    State(traces): State<Arc<Traces>>,
    request: Request,
    next: Next,
) -> Response {
    let parent = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    let parent = parent.and_then(|text| text.parse::<Traceparent>().ok());
    #[cfg(feature = "otel")]
    if let Some(exporter) = &traces.exporter {
        return exporter.record(parent, request, next).await;
    }
    #[cfg(not(feature = "otel"))]
    drop(traces);
    match parent {
        Some(parent) => within(parent, next.run(request)).await,
        None => next.run(request).await,
    }
}
