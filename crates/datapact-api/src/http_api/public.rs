//! The small public listener: what is served without a client certificate.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use datapact_core::token::Jwks;
use http::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::client::{Http, with_query};
use super::{Path, Query};
use crate::problem::{Problem, Result};

/// How long a reader may wait for the log to grow.
pub const LOG_WAIT_MAX: Duration = Duration::from_secs(20);

/// What a server tells anybody. A server without a log or tokens answers not found.
#[async_trait]
pub trait Public: Send + Sync + 'static {
    /// Whether the server works; a problem says why not.
    async fn health(&self) -> Result<Health>;
    /// The keys that tokens are signed with.
    async fn jwks(&self) -> Result<Jwks> {
        Err(Problem::not_found("this server signs no tokens"))
    }
    /// A file of the log (C2SP tlog-tiles): `checkpoint`, `tile/...`.
    async fn log(&self, path: &str) -> Result<Bytes> {
        Err(Problem::not_found(format!("there is no `{path}` here")))
    }
    /// Waits until the log is longer than `size`, [`LOG_WAIT_MAX`] at most, and says how long it
    /// is.
    async fn log_longer_than(&self, size: u64) -> Result<u64> {
        Err(Problem::not_found(format!("there is no log here, nor one longer than {size}")))
    }
    /// A realm's revocation lists, PEM.
    async fn crl(&self, realm: &str) -> Result<String> {
        Err(Problem::not_found(format!("there is no revocation list of `{realm}` here")))
    }
}

/// Whether a server works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The server's name.
    pub server: String,
    /// `management`, `key` or `storage`.
    pub role: String,
    /// The program's version.
    pub version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LongerThan {
    size: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    size: u64,
}

type App = State<Arc<dyn Public>>;

/// The routes of a public listener.
pub fn public_router(public: Arc<dyn Public>) -> Router {
    routes(public).fallback(|| async { Problem::not_found("there is no such address here") })
}

pub(crate) fn routes(public: Arc<dyn Public>) -> Router {
    Router::new()
        .route("/healthz", get(async |State(s): App| s.health().await.map(Json)))
        .route("/.well-known/jwks.json", get(async |State(s): App| s.jwks().await.map(Json)))
        .route("/log/{*path}", get(log))
        .route(
            "/log-size",
            get(async |State(s): App, Query(query): Query<LongerThan>| {
                s.log_longer_than(query.size).await.map(|size| Json(Size { size }))
            }),
        )
        .route("/crl/{realm}", get(crl))
        .with_state(public)
}

async fn log(State(s): App, Path(path): Path<String>) -> Result<impl IntoResponse> {
    let text = path == "checkpoint";
    let media_type = if text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    // Full tiles never change; the checkpoint and partial tiles do.
    let fixed = !text && !path.contains(".p/");
    let cache = if fixed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let bytes = s.log(&path).await?;
    Ok(([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, cache)], bytes))
}

async fn crl(State(s): App, Path(realm): Path<String>) -> Result<impl IntoResponse> {
    let pem = s.crl(&realm).await?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/x-pem-file")], pem))
}

/// A public listener over HTTP.
#[derive(Clone)]
pub struct PublicClient(pub Http);

#[async_trait]
impl Public for PublicClient {
    async fn health(&self) -> Result<Health> {
        self.0.get("/healthz").await
    }

    async fn jwks(&self) -> Result<Jwks> {
        self.0.get("/.well-known/jwks.json").await
    }

    async fn log(&self, path: &str) -> Result<Bytes> {
        self.raw(&format!("/log/{path}")).await.map(Bytes::from)
    }

    async fn log_longer_than(&self, size: u64) -> Result<u64> {
        let answer: Size = self.0.get(&with_query("/log-size", &LongerThan { size })?).await?;
        Ok(answer.size)
    }

    async fn crl(&self, realm: &str) -> Result<String> {
        let bytes = self.raw(&format!("/crl/{realm}")).await?;
        String::from_utf8(bytes).map_err(|_| Problem::malformed("a revocation list is not text"))
    }
}

impl PublicClient {
    async fn raw(&self, target: &str) -> Result<Vec<u8>> {
        let request = self.0.request(Method::GET, target, None).timeout(Duration::from_secs(30));
        let response = self.0.send(request).await?;
        self.0.read(response, 32 * 1024 * 1024).await
    }
}
