//! Deleting what no registration names: a package without a share is not left for good.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::problem::{Problem, Result};
use datapact_log::clock::Clock;

use super::base::Base;
use super::objects::Objects;
use super::parts::Parts;
use super::registry::{Registry, table};
use crate::config::StorageServerConfig;
use crate::erasures::Erasures;

/// How often it is tidied up.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Tidies up what was left unfinished.
pub(super) struct Tidying {
    registry: Arc<Registry>,
    objects: Arc<Objects>,
    parts: Arc<Parts>,
    clock: Clock,
    erasures: Erasures,
    /// How long a registration lives that is not filled, or that management never asked for.
    registration_seconds: u64,
}

impl Tidying {
    pub(super) fn new(base: &Base, config: &StorageServerConfig) -> Self {
        let Base { registry, objects, parts, clock, erasures, .. } = base.clone();
        let registration_seconds = u64::from(config.registration_hours) * 60 * 60;
        Self { registry, objects, parts, clock, erasures, registration_seconds }
    }

    pub(super) async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(problem) = self.tidy().await {
                tracing::warn!(%problem, "tidying up failed; it is tried again in an hour");
            }
        }
    }

    /// Forgets registrations that within a configured time were not filled or whose package
    /// management never asked for, and deletes objects and uploads that no registration names.
    pub(super) async fn tidy(&self) -> Result<()> {
        self.erasures.settle().await;
        let before = (self.clock)().saturating_sub(self.registration_seconds);
        self.registry.write(move |tx| table::forget_unconfirmed(tx, before)).await?;
        self.forget_parts().await?;
        // Listed first: whatever is named later is not among them.
        let objects = self.objects.list(before).await?;
        let named = self.registry.read(table::objects).await?;
        for object in objects {
            if !named.contains(&object) && !self.objects.is_in_flight(&object) {
                self.objects.delete(&object).await?;
            }
        }
        Ok(())
    }

    /// Deletes what has arrived for registrations that are filled or gone.
    pub(super) async fn forget_parts(&self) -> Result<()> {
        for id in self.parts.begun().map_err(Problem::internal)? {
            let registration = self.registry.find(&id).await?;
            if registration.is_none_or(|registration| registration.stored.is_some()) {
                self.parts.forget(&id).await?;
            }
        }
        Ok(())
    }
}
