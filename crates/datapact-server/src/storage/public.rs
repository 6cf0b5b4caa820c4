//! The storage server's public listener, and what its operator sees.

use async_trait::async_trait;
use datapact_api::problem::Result;
use datapact_api::public::{Health, Public};

use super::registry::table;
use super::server::StorageServer;
use crate::operator::metrics::Reading;
use crate::operator::{Check, Operated, clock_is_sane};

#[async_trait]
impl Public for StorageServer {
    async fn health(&self) -> Result<Health> {
        self.base.registry.read(table::check).await?;
        self.base.objects.check().await?;
        Ok(crate::health(&self.name, "storage"))
    }
}

#[async_trait]
impl Operated for StorageServer {
    async fn checks(&self) -> Vec<Check> {
        let clock = async {
            let newest = self.store.read(table::newest).await;
            clock_is_sane((self.base.clock)(), newest.map_err(|error| error.to_string())?)
        };
        vec![
            Check::of("database", self.store.check()).await,
            Check::of("objects", self.base.objects.check()).await,
            Check::of("clock", clock).await,
        ]
    }

    async fn readings(&self) -> Vec<Reading> {
        let help = "Jobs that wait for the database's writer";
        let waiting = self.store.waiting() as u64;
        let mut readings = vec![Reading::count("datapact_write_queue", help, waiting)];
        if let Ok(totals) = self.store.read(table::totals).await {
            let help = "Registrations that wait for their packages";
            let unfilled = totals.registered.saturating_sub(totals.stored);
            readings.extend([
                Reading::count("datapact_packages_unfilled", help, unfilled),
                Reading::count("datapact_packages", "Packages stored", totals.stored),
                Reading::count("datapact_package_bytes", "Bytes of packages stored", totals.bytes),
            ]);
        }
        readings
    }
}
