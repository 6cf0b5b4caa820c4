//! The public listener's side that all servers share.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::public::{Health, LogSize, Public};
use datapact_api::trust_file;
use datapact_core::token::Jwks;
use tokio::sync::watch;

/// A server's public side, with the revocation lists of its trust configuration. Callers that wait
/// for the log to grow are answered when the server stops.
pub(super) struct PublicSide<P> {
    pub(super) inner: Arc<P>,
    pub(super) trust: PathBuf,
    pub(super) stopped: watch::Receiver<bool>,
}

#[async_trait]
impl<P: Public> Public for PublicSide<P> {
    async fn health(&self) -> Result<Health> {
        self.inner.health().await
    }

    async fn jwks(&self) -> Result<Jwks> {
        self.inner.jwks().await
    }

    async fn log(&self, path: &str) -> Result<Bytes> {
        self.inner.log(path).await
    }

    async fn log_size(&self, longer_than: &LogSize) -> Result<LogSize> {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            longer = self.inner.log_size(longer_than) => longer,
            _ = stopped.wait_for(|stop| *stop) => {
                let problem = Problem::new(Kind::Unavailable, "the server is stopping");
                Err(problem.hint("try again in a moment"))
            }
        }
    }

    async fn cosigned(&self, origin: &str) -> Result<Bytes> {
        self.inner.cosigned(origin).await
    }

    async fn crl(&self, realm: &str) -> Result<String> {
        trust_file::revocation_lists(&self.trust, realm).map_err(Problem::internal)?.ok_or_else(
            || Problem::not_found(format!("there is no revocation list of `{realm}` here")),
        )
    }
}
