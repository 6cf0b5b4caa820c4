//! The small public listener: what is served without a client certificate.

mod log;

pub use log::PublicLog;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use datapact_core::token::Jwks;
use serde::{Deserialize, Serialize};

use crate::operation::operations;
use crate::problem::{Kind, Problem};

/// How long a reader may wait for the log to grow.
pub const LOG_WAIT_MAX: Duration = Duration::from_secs(20);

operations! {
    /// What a server tells everybody. The answer to what it does not have is `not-found`.
    pub open trait Public {
        /// Whether the server works.
        ///
        /// A problem says why not.
        get "/healthz" for Anybody;
        fn health() -> Health as Json;

        /// The keys that tokens are signed with (management).
        get "/.well-known/jwks.json" for Anybody;
        fn jwks() -> Jwks as Json {
            Err(Problem::not_found("this server signs no tokens"))
        }

        /// A file of the log (C2SP tlog-tiles).
        ///
        /// `checkpoint` or `tile/...`.
        get "/log/{*path}" for Anybody;
        fn log(path path: &str) -> Bytes as LogFile {
            Err(Problem::not_found(format!("this server has no log, so no `{path}`")))
        }

        /// How long the log is, once it is longer than `size` (management).
        ///
        /// Waits for that [`LOG_WAIT_MAX`] at most.
        get "/log-size" for Anybody;
        fn log_size(query longer_than: &LogSize) -> LogSize as Json {
            let LogSize { size } = longer_than;
            Err(Problem::not_found(format!("this server has no log, so none longer than {size}")))
        }

        /// The newest checkpoint that a witness has cosigned (key server, witness).
        ///
        /// `origin` is the SHA-256 of the log's origin (C2SP tlog-witness).
        get "/witness/{origin}/checkpoint" for Anybody;
        fn cosigned(path origin: &str) -> Bytes as LogFile {
            Err(Problem::not_found(format!("this server has cosigned no log `{origin}`")))
        }

        /// A realm's revocation lists (management).
        ///
        /// In PEM.
        get "/crl/{realm}" for Anybody;
        fn crl(path realm: &str) -> String as Pem {
            Err(Problem::not_found(format!("this server has no revocation list of `{realm}`")))
        }
    }
}

/// Whether a server works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", schemars(extend("additionalProperties" = true)))]
pub struct Health {
    /// The server's name.
    pub server: String,
    /// `management`, `key`, `storage` or `witness`.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("enum" = ["management", "key", "storage", "witness"]))
    )]
    pub role: String,
    /// The program's version.
    pub version: String,
}

/// How many entries the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogSize {
    /// So many.
    pub size: u64,
}

/// The routes of a public listener, and the answer to all other addresses.
pub fn router(service: Arc<dyn Public>) -> Router {
    routes(service)
        .fallback(|| async { Problem::not_found("this server has no such address") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Kind::MethodNotAllowed, "this address does not take this method")
        })
}
