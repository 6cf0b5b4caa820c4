//! Management's public listener: health, the keys of its tokens, its log, the revocation lists.

use async_trait::async_trait;
use bytes::Bytes;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::public::{Health, LOG_WAIT_MAX, LogSize, Public};
use datapact_core::token::Jwks;

use super::keys::to_pem;
use super::server::ManagementServer;

/// How many entries the projector may be behind while the server counts as working.
const LAG_MAX: u64 = 10_000;
/// The longest path of a file of the log, in bytes.
const PATH_BYTES_MAX: usize = 200;

#[async_trait]
impl Public for ManagementServer {
    async fn health(&self) -> Result<Health> {
        let not = |why: String| Problem::new(Kind::Unavailable, why);
        if let Some(why) = self.submit.stuck() {
            return Err(not(format!("the ledger's events cannot be applied: {why}")));
        }
        if self.tasks.iter().any(tokio::task::JoinHandle::is_finished) {
            return Err(not("a task of the server has ended; restart it".to_owned()));
        }
        let lag = self.submit.lag().await?;
        if lag > LAG_MAX {
            return Err(not(format!("the projection is {lag} entries behind the ledger")));
        }
        Ok(crate::health(self.issuer.name(), "management"))
    }

    async fn jwks(&self) -> Result<Jwks> {
        Ok(self.issuer.jwks())
    }

    async fn log(&self, path: &str) -> Result<Bytes> {
        let missing = || Problem::not_found("the log has no such file");
        if path.len() > PATH_BYTES_MAX {
            return Err(missing());
        }
        let found = self.services.log.read(path).await?;
        found.map(Bytes::from).ok_or_else(missing)
    }

    async fn log_size(&self, longer_than: &LogSize) -> Result<LogSize> {
        let size = self.services.log.longer_than(longer_than.size, LOG_WAIT_MAX).await?;
        Ok(LogSize { size })
    }

    async fn crl(&self, realm: &str) -> Result<String> {
        let trust = (self.base.trust)();
        if !trust.realms().any(|known| known == realm) {
            return Err(Problem::not_found(format!("no realm `{realm}` is trusted here")));
        }
        Ok(trust.crls(realm).map(|der| to_pem("X509 CRL", der).to_string()).collect())
    }
}
