//! The storage server's routes and client.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use datapact_core::id::PackageId;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, Method, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::client::{Http, with_query};
use super::{Behind, Path, Query, gated, json};
use crate::administration::UserNotice;
use crate::gate::{Caller, Gate, OCTET_STREAM};
use crate::problem::{Kind, Problem, Result};
use crate::storage_server::*;

/// Makes the storage server as one caller sees it.
pub trait StorageServerService: Send + Sync + 'static {
    /// For `caller`, who has passed the gate.
    fn session(self: Arc<Self>, caller: Caller) -> Box<dyn StorageServer>;
}

type App = State<Arc<dyn StorageServerService>>;
type Who = Extension<Caller>;

/// The routes of a storage server.
pub fn storage_server_router(service: Arc<dyn StorageServerService>, gate: Arc<Gate>) -> Router {
    gated(routes(service), gate)
}

pub(crate) fn routes(service: Arc<dyn StorageServerService>) -> Router {
    Router::new()
        .route(
            "/v1/packages",
            post(async |State(s): App, Extension(c): Who| {
                s.session(c).register_package().await.map(Json)
            })
            .get(
                async |State(s): App, Extension(c): Who, Query(query): Query<Behind<PackageId>>| {
                    s.session(c).packages(query.after.as_ref()).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/packages/{id}",
            get(download).put(upload).delete(
                async |State(s): App, Extension(c): Who, Path(id): Path<PackageId>| {
                    s.session(c).delete_package(&id).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/packages/{id}/upload",
            get(async |State(s): App, Extension(c): Who, Path(id): Path<PackageId>| {
                s.session(c).upload_offset(&id).await.map(Json)
            })
            .patch(append),
        )
        .route(
            "/v1/packages/{id}/status",
            get(async |State(s): App, Extension(c): Who, Path(id): Path<PackageId>| {
                s.session(c).package_status(&id).await.map(Json)
            }),
        )
        .route(
            "/v1/users",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).set_user(&json(&body)?).await.map(Json)
            }),
        )
        .with_state(service)
}

/// Where a part of an upload belongs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    offset: u64,
    size: u64,
}

async fn append(
    State(s): App,
    Extension(c): Who,
    Path(id): Path<PackageId>,
    Query(part): Query<Part>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PackageStatus>> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|value| value != OCTET_STREAM) {
        return Err(Problem::malformed(format!("a package is uploaded as `{OCTET_STREAM}`")));
    }
    let bytes = body.into_data_stream().map_err(io::Error::other).boxed();
    s.session(c).append(&id, part.offset, part.size, bytes).await.map(Json)
}

async fn upload(
    State(s): App,
    Extension(c): Who,
    Path(id): Path<PackageId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PackageStatus>> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|value| value != OCTET_STREAM) {
        return Err(Problem::malformed(format!("a package is uploaded as `{OCTET_STREAM}`")));
    }
    let size =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let size = size.ok_or_else(|| Problem::malformed("an upload says its `Content-Length`"))?;
    let bytes = body.into_data_stream().map_err(io::Error::other).boxed();
    s.session(c).upload(&id, size, bytes).await.map(Json)
}

async fn download(
    State(s): App,
    Extension(c): Who,
    Path(id): Path<PackageId>,
    headers: HeaderMap,
) -> Result<Response> {
    let range = headers.get(header::RANGE).map(|value| value.to_str().ok().and_then(parse_range));
    let range = match range {
        Some(None) => {
            return Err(Problem::malformed("`Range` must be `bytes=FIRST-` or `bytes=FIRST-LAST`"));
        }
        Some(Some(range)) => Some(range),
        None => None,
    };
    let download = s.session(c).download(&id, range).await?;
    let mut response = Body::from_stream(download.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(OCTET_STREAM));
    headers.insert(header::ACCEPT_RANGES, http::HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, download.length.into());
    if range.is_some() {
        let last = download.first.saturating_add(download.length.saturating_sub(1));
        let value = format!("bytes {}-{last}/{}", download.first, download.size);
        let value = http::HeaderValue::try_from(value).map_err(Problem::internal)?;
        headers.insert(header::CONTENT_RANGE, value);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

fn parse_range(value: &str) -> Option<ByteRange> {
    // RFC 9110 has digits only; Rust's integers would take a sign as well.
    let number = |text: &str| -> Option<u64> {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let first = number(first)?;
    let last =
        if last.is_empty() { None } else { Some(number(last).filter(|last| *last >= first)?) };
    Some(ByteRange { first, last })
}

/// A storage server over HTTP.
#[derive(Clone)]
pub struct StorageServerClient(pub Http);

#[async_trait]
impl StorageServer for StorageServerClient {
    async fn register_package(&self) -> Result<PackageAddress> {
        self.0.call(Method::POST, "/v1/packages", None).await
    }

    async fn upload(&self, id: &PackageId, size: u64, bytes: ByteStream) -> Result<PackageStatus> {
        let request = self
            .0
            .request(Method::PUT, &format!("/v1/packages/{id}"), None)
            .header(header::CONTENT_TYPE, OCTET_STREAM)
            .header(header::CONTENT_LENGTH, size)
            .body(reqwest::Body::wrap_stream(bytes));
        let response = self.0.send(request).await?;
        let answer = self.0.read(response, 64 * 1024).await?;
        serde_json::from_slice(&answer).map_err(|e| {
            Problem::new(Kind::Untrusted, format!("a malformed answer to an upload: {e}"))
        })
    }

    async fn upload_offset(&self, id: &PackageId) -> Result<UploadOffset> {
        self.0.get(&format!("/v1/packages/{id}/upload")).await
    }

    async fn append(
        &self,
        id: &PackageId,
        offset: u64,
        size: u64,
        bytes: ByteStream,
    ) -> Result<PackageStatus> {
        let target = with_query(&format!("/v1/packages/{id}/upload"), &Part { offset, size })?;
        let request = self
            .0
            .request(Method::PATCH, &target, None)
            .header(header::CONTENT_TYPE, OCTET_STREAM)
            .header(header::CONTENT_LENGTH, size.saturating_sub(offset))
            .body(reqwest::Body::wrap_stream(bytes));
        let response = self.0.send(request).await?;
        let answer = self.0.read(response, 64 * 1024).await?;
        serde_json::from_slice(&answer).map_err(|e| {
            Problem::new(Kind::Untrusted, format!("a malformed answer to an upload: {e}"))
        })
    }

    async fn package_status(&self, id: &PackageId) -> Result<PackageStatus> {
        self.0.get(&format!("/v1/packages/{id}/status")).await
    }

    async fn download(&self, id: &PackageId, range: Option<ByteRange>) -> Result<Download> {
        let mut request = self.0.request(Method::GET, &format!("/v1/packages/{id}"), None);
        if let Some(range) = range {
            let last = range.last.map(|last| last.to_string()).unwrap_or_default();
            request = request.header(header::RANGE, format!("bytes={}-{last}", range.first));
        }
        let response = self.0.send(request).await?;
        let untrusted = || {
            Problem::new(Kind::Untrusted, "the storage server sent another range than asked for")
        };
        let length = response.content_length().ok_or_else(untrusted)?;
        let (first, size) = match range {
            None => (0, length),
            Some(range) => {
                let (first, size) = content_range(response.headers()).ok_or_else(untrusted)?;
                if response.status() != StatusCode::PARTIAL_CONTENT || first != range.first {
                    return Err(untrusted());
                }
                (first, size)
            }
        };
        Ok(Download {
            size,
            first,
            length,
            bytes: response.bytes_stream().map_err(io::Error::other).boxed(),
        })
    }

    async fn packages(&self, after: Option<&PackageId>) -> Result<Vec<PackageStatus>> {
        self.0.get(&with_query("/v1/packages", &Behind { after: after.copied() })?).await
    }

    async fn delete_package(&self, id: &PackageId) -> Result<()> {
        self.0.call(Method::DELETE, &format!("/v1/packages/{id}"), None).await
    }

    async fn set_user(&self, notice: &UserNotice) -> Result<()> {
        self.0.post("/v1/users", notice).await
    }
}

/// First byte and whole size, of `bytes FIRST-LAST/SIZE`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}
