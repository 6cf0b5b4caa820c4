//! What management tells its operator: whether it has what it needs, and its figures.

use async_trait::async_trait;
use datapact_api::public::Public as _;
use datapact_ledger::tables::{cosigned_size, newest_time, size};
use datapact_store::{Db, StoreError};

use super::server::ManagementServer;
use crate::operator::metrics::Reading;
use crate::operator::{Check, Operated, clock_is_sane};

/// What waits, by name: tables that are empty when all is done.
const WAITING: [(&str, &str, &str); 5] = [
    (
        "datapact_intents",
        "Calls to the ledger that are not applied yet",
        "SELECT COUNT(*) FROM intent",
    ),
    (
        "datapact_notifications_waiting",
        "Notifications that their users have not acknowledged",
        "SELECT COUNT(*) FROM notification WHERE acknowledged = 0",
    ),
    (
        "datapact_notices_waiting",
        "Changes of users that another server was not told of yet",
        "SELECT COUNT(*) FROM notice",
    ),
    (
        "datapact_webhook_deliveries_waiting",
        "Publications that a webhook has not taken yet",
        "SELECT COUNT(*) FROM webhook_delivery WHERE dead = 0",
    ),
    (
        "datapact_webhook_deliveries_dead",
        "Publications that a webhook would not take",
        "SELECT COUNT(*) FROM webhook_delivery WHERE dead = 1",
    ),
];

#[async_trait]
impl Operated for ManagementServer {
    async fn checks(&self) -> Vec<Check> {
        let store = &self.base.store;
        let clock = async {
            let newest = store.read(newest_time).await.map_err(|error| error.to_string())?;
            clock_is_sane((self.base.clock)(), newest)
        };
        let ledger = async { self.health().await.map(drop) };
        vec![
            Check::of("database", store.check()).await,
            Check::of("ledger", ledger).await,
            Check::of("clock", clock).await,
        ]
    }

    async fn readings(&self) -> Vec<Reading> {
        let waiting = self.base.store.waiting() as u64;
        let readers = self.publications.readers() as u64;
        let mut readings = vec![
            Reading::count(
                "datapact_write_queue",
                "Jobs that wait for the database's writer",
                waiting,
            ),
            Reading::count("datapact_subscribers", "Clients that follow publications", readers),
        ];
        // The positions of a chain do not count entries.
        if self.submit.kind() == "embedded"
            && let Ok(lag) = self.submit.lag().await
        {
            let help = "Entries of the ledger that are not applied yet";
            readings.push(Reading::count("datapact_projection_lag_entries", help, lag));
        }
        let stored = self.base.store.read(|db| Ok::<_, StoreError>(stored(db)));
        readings.extend(stored.await.unwrap_or_default());
        readings
    }
}

/// The figures that are read from the database, without those that cannot be read.
fn stored(db: &Db) -> Vec<Reading> {
    let mut readings = Vec::new();
    if let Ok(entries) = size(db) {
        readings.push(Reading::count("datapact_ledger_entries", "Entries of the log", entries));
        if let Ok(cosigned) = cosigned_size(db) {
            let lag = entries.saturating_sub(cosigned.unwrap_or(0));
            let help = "Entries that no key server has cosigned yet";
            readings.push(Reading::count("datapact_follower_lag_entries", help, lag));
        }
    }
    if let Ok(time) = newest_time(db) {
        let help = "The time of the ledger's newest entry, in seconds since 1970";
        readings.push(Reading::count("datapact_ledger_newest_timestamp_seconds", help, time));
    }
    for (name, help, sql) in WAITING {
        if let Ok(Some(row)) = db.row(sql, [])
            && let Ok(count) = row.number(0)
        {
            readings.push(Reading::count(name, help, count));
        }
    }
    readings
}
