//! Spans to a collector, by OTLP over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use datapact_api::problem::Code;
use datapact_api::trace::{Traceparent, within};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

use super::TracesConfig;
use crate::foreign_tls;
use crate::operator::metrics::method;
use crate::stores::is_local;

/// How long a batch may take to be sent, and all that is left at the end.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// The most of a collector's answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Records the calls of a server and sends them in batches, later: a collector that is slow or away
/// costs spans and delays no call.
pub(super) struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Exporter {
    pub(super) fn start(config: &TracesConfig, role: &str, name: &str) -> Result<Self, String> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(config)?)
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|e| e.to_string())?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(role, name))
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("datapact");
        Ok(Self { provider, tracer })
    }

    /// Answers a call, as a step of `parent` or of a trace of its own.
    pub(super) async fn record(
        &self,
        parent: Option<Traceparent>,
        request: Request,
        next: Next,
    ) -> Response {
        // As with the figures: only what the program has named itself.
        let route = request
            .extensions()
            .get::<MatchedPath>()
            .map_or("unknown", MatchedPath::as_str)
            .to_owned();
        let method = method(request.method());
        let context = parent.map_or_else(Context::new, |parent| {
            let (trace, span) =
                (TraceId::from_bytes(parent.trace), SpanId::from_bytes(parent.span));
            let flags = TraceFlags::new(parent.flags);
            Context::new().with_remote_span_context(SpanContext::new(
                trace,
                span,
                flags,
                true,
                TraceState::default(),
            ))
        });
        let attributes = [
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.clone()),
        ];
        let builder = self.tracer.span_builder(format!("{method} {route}"));
        let builder = builder.with_kind(SpanKind::Server).with_attributes(attributes);
        // Dropped when the caller goes away, it ends all the same.
        let mut span = self.tracer.build_with_context(builder, &context);
        let own = span.span_context();
        let own = Traceparent {
            trace: own.trace_id().to_bytes(),
            span: own.span_id().to_bytes(),
            flags: own.trace_flags().to_u8(),
        };
        let response = within(own, next.run(request)).await;
        let status = response.status();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if let Some(code) = response.extensions().get::<Code>() {
            span.set_attribute(KeyValue::new("error.type", code.0));
        }
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        response
    }

    /// Sends what is left, unless that takes too long.
    pub(super) async fn end(&self) {
        let provider = self.provider.clone();
        let ended =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(TIMEOUT)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last traces were not sent");
        }
    }
}

/// What is told of a server with all that it sends.
pub(crate) fn resource(role: &str, name: &str) -> Resource {
    Resource::builder_empty()
        .with_service_name(format!("datapact-{role}"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", name.to_owned()))
        .build()
}

/// Sends on this server's runtime what the exporter's own thread wants sent.
#[derive(Debug)]
pub(crate) struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

impl Client {
    /// A client for the collector of `config`.
    pub(crate) fn new(config: &TracesConfig) -> Result<Self, String> {
        let tls =
            foreign_tls::client_config(config.ca.as_deref()).map_err(|e| format!("`ca`: {e}"))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!is_local(&config.endpoint))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self { client, runtime: Handle::current() })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: opentelemetry_http::Request<Bytes>,
    ) -> Result<opentelemetry_http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let mut body = Vec::new();
            while let Some(part) = answer.chunk().await? {
                if body.len() + part.len() > ANSWER_BYTES_MAX {
                    return Err("the collector gives too long an answer".into());
                }
                body.extend_from_slice(&part);
            }
            let mut response = opentelemetry_http::Response::new(Bytes::from(body));
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            Ok::<_, HttpError>(response)
        });
        sending.await?
    }
}
