//! The key server's public listener, and what its operator sees.

use async_trait::async_trait;
use bytes::Bytes;
use datapact_api::problem::{Problem, Result};
use datapact_api::public::{Health, Public};
use datapact_ledger::tables;
use datapact_log::witness::origin_hash;
use datapact_store::Db;

use super::custody;
use super::server::KeyServer;
use crate::operator::metrics::Reading;
use crate::operator::{Check, Operated, clock_is_sane};

#[async_trait]
impl Public for KeyServer {
    /// Whether keys can be released: the copy of the ledger is believed and can be confirmed.
    async fn health(&self) -> Result<Health> {
        self.base.replica.confirm().await?;
        Ok(crate::health(&self.name, "key"))
    }

    /// From the key server's own copy: management is restored from it.
    async fn log(&self, path: &str) -> Result<Bytes> {
        let found = self.base.replica.read(path).await?;
        found.map(Bytes::from).ok_or_else(|| Problem::not_found("the log has no such file"))
    }

    /// Not confirmed first: the cosignature tells when it was made.
    async fn cosigned(&self, origin: &str) -> Result<Bytes> {
        let found = match origin_hash(&self.log) == origin {
            true => self.base.replica.cosigned().await?,
            false => None,
        };
        let missing = || Problem::not_found("this key server has cosigned no such log");
        found.map(Bytes::from).ok_or_else(missing)
    }
}

#[async_trait]
impl Operated for KeyServer {
    async fn checks(&self) -> Vec<Check> {
        let ledger = async { Public::health(self).await.map(drop) };
        let clock = async {
            let newest = self.base.store.read(tables::newest_time).await;
            clock_is_sane((self.base.clock)(), newest.map_err(|error| error.to_string())?)
        };
        vec![
            Check::of("database", self.base.store.check()).await,
            Check::of("ledger", ledger).await,
            Check::of("clock", clock).await,
        ]
    }

    async fn readings(&self) -> Vec<Reading> {
        let help = "Jobs that wait for the database's writer";
        let waiting = self.base.store.waiting() as u64;
        let mut readings = vec![Reading::count("datapact_write_queue", help, waiting)];
        let (help, size) = ("Entries of the ledger, all replayed", self.base.replica.size());
        readings.push(Reading::count("datapact_ledger_entries", help, size));
        if let Some(age) = self.base.replica.confirmed() {
            let help = "Since when the copy of the ledger was last confirmed to be current";
            let name = "datapact_follower_confirmed_seconds";
            readings.push(Reading::gauge(name, help, age.as_secs_f64()));
        }
        readings.extend(self.base.store.read(stored).await.unwrap_or_default());
        readings
    }
}

/// The figures that are in the database.
fn stored(db: &Db) -> std::result::Result<Vec<Reading>, datapact_store::StoreError> {
    let (registered, stored) = custody::table::totals(db)?;
    Ok(vec![
        Reading::count(
            "datapact_ledger_cosigned_entries",
            "Entries under the newest checkpoint that was cosigned",
            tables::cosigned_size(db)?.unwrap_or(0),
        ),
        Reading::count(
            "datapact_ledger_newest_timestamp_seconds",
            "The time of the ledger's newest entry, in seconds since 1970",
            tables::newest_time(db)?,
        ),
        Reading::count("datapact_keys", "Keys stored", stored),
        Reading::count(
            "datapact_keys_unfilled",
            "Registrations that wait for their keys",
            registered.saturating_sub(stored),
        ),
    ])
}
