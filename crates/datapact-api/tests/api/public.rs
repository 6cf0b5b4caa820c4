//! The public listener: it asks callers for no certificate, and tells nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use datapact_api::problem::{Problem, Result};
use datapact_api::public::{self, Health, LogSize, Public};
use http::{Request, StatusCode};
use tower::ServiceExt as _;

use crate::common::Answer;

/// A server with a log of one checkpoint and one tile.
struct Log;

#[async_trait]
impl Public for Log {
    async fn health(&self) -> Result<Health> {
        Ok(Health { server: "a.example".into(), role: "management".into(), version: "0".into() })
    }

    async fn log(&self, path: &str) -> Result<Bytes> {
        match path {
            "checkpoint" | "tile/0/000" | "tile/0/001.p/5" => Ok(Bytes::from(path.to_owned())),
            _ => Err(Problem::not_found("there is no such file in the log")),
        }
    }

    async fn log_size(&self, longer_than: &LogSize) -> Result<LogSize> {
        Ok(LogSize { size: longer_than.size + 1 })
    }
}

async fn get(target: &str) -> Answer {
    let request = Request::get(target).body(Body::empty()).unwrap();
    Answer::of(public::router(Arc::new(Log)).oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn full_tiles_may_be_kept_and_checkpoints_may_not() {
    for (path, media_type, cache) in [
        ("checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("tile/0/000", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("tile/0/001.p/5", "application/octet-stream", "no-cache"),
    ] {
        let answer = get(&format!("/log/{path}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), media_type, "{path}");
        assert_eq!(answer.header("cache-control"), cache, "{path}");
        assert_eq!(answer.body, path);
    }
}

#[tokio::test]
async fn health_and_length_are_json() {
    assert_eq!(get("/healthz").await.json()["role"], "management");
    assert_eq!(get("/log-size?size=41").await.json(), serde_json::json!({ "size": 42 }));
    for wrong in ["/log-size", "/log-size?size=-1", "/log-size?size=1&more=2"] {
        get(wrong).await.is_problem("malformed", "");
    }
}

#[tokio::test]
async fn everything_else_is_not_found() {
    for target in ["/", "/v1/info", "/log/tile/0/002", "/crl/clinic", "/.well-known/jwks.json"] {
        let answer = get(target).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
        answer.is_problem("not-found", "");
    }
}
