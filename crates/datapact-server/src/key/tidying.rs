//! Forgetting what is no longer needed.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::problem::Problem;
use datapact_core::token::TOKEN_SECONDS_MAX;
use datapact_log::clock::Clock;
use datapact_store::{Store, StoreError};

use super::base::Base;
use super::replica::Replica;
use super::{custody, release};
use crate::config::KeyServerConfig;
use crate::erasures::Erasures;

/// How often what is no longer needed is forgotten.
const EVERY: Duration = Duration::from_secs(600);
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// Forgets registrations that no policy names, dead revocations and sealed keys whose tokens are
/// dead; destroys keys whose retention is over.
pub(super) struct Tidying {
    store: Store,
    replica: Arc<Replica>,
    clock: Clock,
    erasures: Erasures,
    /// How long a registration lives that no policy names.
    registration_seconds: u64,
    /// How long the key of an ended share lives.
    retention_seconds: u64,
}

impl Tidying {
    pub(super) fn new(base: &Base, config: &KeyServerConfig) -> Self {
        Self {
            store: base.store.clone(),
            replica: Arc::clone(&base.replica),
            clock: Arc::clone(&base.clock),
            erasures: base.erasures.clone(),
            registration_seconds: u64::from(config.registration_hours) * HOUR,
            retention_seconds: u64::from(config.key_retention_days) * DAY,
        }
    }

    pub(super) async fn run(self) {
        let mut every = tokio::time::interval(EVERY);
        loop {
            every.tick().await;
            let now = (self.clock)();
            if let Err(error) = self.forget(now.saturating_sub(self.registration_seconds)).await {
                tracing::warn!(%error, "old registrations and releases could not be tidied");
            }
            let ended = now.saturating_sub(self.retention_seconds);
            let destroyed =
                custody::retention::destroy_ended(&self.store, &self.replica, ended, now);
            if let Err(failure) = destroyed.await {
                let problem = Problem::from(failure);
                tracing::warn!(%problem, "keys of ended shares could not be destroyed");
            }
            self.erasures.settle().await;
        }
    }

    async fn forget(&self, oldest_unpublished: u64) -> Result<(), StoreError> {
        let now = (self.clock)();
        let forget = self.store.write(move |tx| {
            custody::table::forget_unpublished(tx, oldest_unpublished)?;
            release::table::forget_revocations(tx, now)?;
            release::table::forget_sealed(tx, now.saturating_sub(2 * TOKEN_SECONDS_MAX))
        });
        forget.await
    }
}
