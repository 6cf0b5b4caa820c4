//! The traits over HTTP: one file a server, with its routes and its client side by side.

mod client;
mod key_server;
mod management;
mod public;
mod storage_server;

pub use client::{Http, TlsFailure, as_one_call};
pub use key_server::{KeyServerClient, KeyServerService, key_server_router};
pub use management::{ManagementClient, ManagementService, management_router};
pub use public::{Health, LOG_WAIT_MAX, Public, PublicClient, public_router};
pub use storage_server::{StorageServerClient, StorageServerService, storage_server_router};

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::middleware;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::gate::{Gate, pass};
use crate::problem::{Kind, Problem, Result};

/// What stands around every route behind the gate.
fn gated(router: Router, gate: Arc<Gate>) -> Router {
    router
        .fallback(|| async { Problem::not_found("there is no such address here") })
        .method_not_allowed_fallback(|| async {
            Problem::malformed("this address does not take this method")
        })
        .layer(middleware::from_fn_with_state(gate, pass))
}

/// The routes without the gate and the fallbacks, to compare them with the OpenAPI documents.
#[cfg(test)]
pub(crate) mod ungated {
    pub(crate) use super::key_server::routes as key_server;
    pub(crate) use super::management::routes as management;
    pub(crate) use super::public::routes as public;
    pub(crate) use super::storage_server::routes as storage_server;
}

/// Reads a JSON body.
fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|e| Problem::malformed(format!("the body is not as specified: {e}")))
}

/// Where a page begins: behind this identifier.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Behind<T> {
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    after: Option<T>,
}

/// A path parameter, refused as a problem.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
struct Path<T>(T);

/// A query, refused as a problem.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
struct Query<T>(T);

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Kind::Malformed, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Kind::Malformed, rejection.body_text())
    }
}
