//! What is tidied up for as long as management runs.

use std::sync::Arc;
use std::time::Duration;

use super::catalog::CatalogService;
use super::erasure::Eraser;
use super::failure::Failure;
use super::policy::SignedPolicies;
use super::policy::retention::Retention;

/// How often what is due is erased.
const EVERY: Duration = Duration::from_secs(60);

/// What has something to tidy up.
pub(super) struct Tidying {
    pub(super) eraser: Arc<Eraser>,
    pub(super) catalog: Arc<CatalogService>,
    pub(super) policies: Arc<SignedPolicies>,
    pub(super) retention: Retention,
}

impl Tidying {
    /// Runs until it is aborted.
    pub(super) async fn run(self) {
        let mut every = tokio::time::interval(EVERY);
        loop {
            every.tick().await;
            // Another process may have erased some of those that are kept in memory.
            self.policies.forget();
            if let Err(Failure(problem)) = self.eraser.erase_due().await {
                tracing::warn!(%problem, "accounts that are due cannot be erased; trying again");
            }
            if let Err(Failure(problem)) = self.catalog.forget_expired().await {
                tracing::warn!(%problem, "expired shares cannot be taken out of the index");
            }
            if let Err(Failure(problem)) = self.retention.delete_packages().await {
                tracing::warn!(%problem, "packages that are due cannot be deleted; trying again");
            }
        }
    }
}
