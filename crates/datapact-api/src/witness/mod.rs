//! Logs, their witnesses, and those who watch both: C2SP tlog-witness over HTTP.
//!
//! Nothing here needs an authenticated peer. A checkpoint is signed by its log and a cosignature by
//! its witness, with its time; what else answers can only be away, late or wrong, and is found out.

mod client;
mod url;

pub use client::{Added, WitnessClient};
pub use url::{UrlError, WitnessUrl};

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use datapact_log::witness::{AddCheckpoint, REQUEST_BYTES_MAX, Refusal};
use http::{StatusCode, header};

use crate::problem::{Kind, Problem, Result};

/// Where our servers have both the submission and the monitoring prefix.
pub const PREFIX: &str = "/witness";
/// Where a log submits its checkpoints, below the submission prefix.
const ADD_CHECKPOINT: &str = "/add-checkpoint";
/// The media type of a conflict's answer (C2SP tlog-witness).
const SIZE_TYPE: &str = "text/x.tlog.size";
/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Who cosigns checkpoints.
#[async_trait]
pub trait Witness: Send + Sync {
    /// The signature lines of the witness under the checkpoint, or why it does not cosign it.
    ///
    /// # Errors
    /// A problem when the witness itself fails.
    async fn add_checkpoint(
        &self,
        request: AddCheckpoint,
    ) -> Result<std::result::Result<String, Refusal>>;
}

/// The route by which logs submit checkpoints, for a public listener.
pub fn routes(witness: Arc<dyn Witness>) -> Router {
    Router::new()
        .route(&format!("{PREFIX}{ADD_CHECKPOINT}"), post(add_checkpoint))
        .with_state(witness)
}

async fn add_checkpoint(State(witness): State<Arc<dyn Witness>>, body: Body) -> Response {
    let arriving = axum::body::to_bytes(body, REQUEST_BYTES_MAX);
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, arriving).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let detail = format!("the request is longer than {REQUEST_BYTES_MAX} bytes");
            return Problem::new(Kind::TooLarge, detail).into_response();
        }
        Err(_) => return Problem::malformed("the request did not arrive in time").into_response(),
    };
    let answer = match AddCheckpoint::parse(&bytes) {
        Ok(request) => witness.add_checkpoint(request).await,
        Err(refusal) => Ok(Err(refusal)),
    };
    match answer {
        Ok(Ok(lines)) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response()
        }
        Ok(Err(refusal)) => refused(&refusal),
        Err(problem) => problem.into_response(),
    }
}

/// The answer that C2SP tlog-witness has for a refusal.
fn refused(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Malformed => StatusCode::BAD_REQUEST,
        Refusal::UnknownLog => StatusCode::NOT_FOUND,
        Refusal::Unsigned => StatusCode::FORBIDDEN,
        Refusal::Conflict(size) => {
            let headers = [(header::CONTENT_TYPE, SIZE_TYPE)];
            return (StatusCode::CONFLICT, headers, format!("{size}\n")).into_response();
        }
        Refusal::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY,
    };
    (status, format!("{refusal}\n")).into_response()
}
