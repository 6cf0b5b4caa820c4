//! Telling the key and storage servers what users are, and key servers which tokens are revoked:
//! from an outbox that is written with the change itself, so that a server which was away is told
//! as soon as it is back.

mod delivery;
pub(super) mod revocation;
pub(super) mod table;

use std::sync::Arc;
use std::time::Duration;

use datapact_api::problem::{Kind, Problem};
use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use datapact_log::clock::Clock;
use datapact_store::{Db, Migration, Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::failure::{Failure, Result};
use super::peers::Peers;
use crate::erasures::Erasures;

/// The outbox: notices about users, and revocations of tokens.
pub(super) const SCHEMA: Migration =
    Migration { module: "notice", version: 1, sql: include_str!("schema_1.sql") };

/// How long an answer waits until all servers are told.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many low bits of a sequence tell notices of one second apart.
const WITHIN_SECOND_BITS: u32 = 20;

/// What the other servers are still to be told.
pub(super) struct Outbox {
    store: Store,
    peers: Arc<Peers>,
    clock: Clock,
    erasures: Erasures,
    /// Wakes the tasks that deliver.
    posted: watch::Sender<()>,
    /// Wakes those who wait for a delivery.
    delivered: watch::Sender<()>,
}

/// The sequence of a notice that follows the one numbered `last` and tells of the action numbered
/// `action`, done at `now`.
///
/// It grows with the clock, because the numbers of actions begin again when an old backup is
/// restored, while the servers remember what they were told since. It grows by at least 1, because
/// the clocks of processes differ.
pub(super) fn sequence(last: u64, now: Timestamp, action: u64) -> u64 {
    let within = action & ((1 << WITHIN_SECOND_BITS) - 1);
    (last + 1).max((now << WITHIN_SECOND_BITS) | within)
}

/// The name of a key server in the outbox.
pub(super) fn key_server(name: &str) -> String {
    format!("key:{name}")
}

impl Outbox {
    pub(super) fn new(store: Store, peers: Arc<Peers>, clock: Clock, erasures: Erasures) -> Self {
        let (posted, delivered) = (watch::Sender::new(()), watch::Sender::new(()));
        Self { store, peers, clock, erasures, posted, delivered }
    }

    /// The servers that are told of users, by their names in the outbox.
    pub(super) fn servers(&self) -> Vec<String> {
        let keys = self.peers.key_servers().iter().map(|server| key_server(&server.name));
        let storage = self.peers.storage_servers().iter();
        keys.chain(storage.map(|server| format!("storage:{}", server.name))).collect()
    }

    /// Says that something new is in the outbox.
    pub(super) fn posted(&self) {
        self.posted.send_replace(());
    }

    /// Waits until every server has been told what `identity` is now.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when one of them is away; it is told as soon as it is back.
    pub(super) async fn tell(&self, identity: &Identity) -> Result<()> {
        self.deliver_now(table::untold, identity).await
    }

    /// Waits until the key server has been told that the token of the access by `request` is
    /// revoked.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it is away; it is told as soon as it is back.
    pub(super) async fn tell_revoked(&self, request: &Digest) -> Result<()> {
        self.deliver_now(revocation::untold, request).await
    }

    /// Waits until `untold`, which names the servers that are still to be told of `subject`, names
    /// none.
    async fn deliver_now<S: Clone + Send + 'static>(
        &self,
        untold: fn(&Db, &S) -> std::result::Result<Vec<String>, StoreError>,
        subject: &S,
    ) -> Result<()> {
        self.posted();
        let mut delivered = self.delivered.subscribe();
        let remaining = || {
            let subject = subject.clone();
            self.store.read(move |db| untold(db, &subject))
        };
        let told = tokio::time::timeout(PATIENCE, async {
            loop {
                // Before the look, so that a delivery after the look ends the wait.
                delivered.borrow_and_update();
                if remaining().await?.is_empty() {
                    return Ok::<_, Failure>(());
                }
                if delivered.changed().await.is_err() {
                    let problem = Problem::new(Kind::Unavailable, "management is shutting down");
                    return Err(problem.into());
                }
            }
        });
        if let Ok(outcome) = told.await {
            return outcome;
        }
        // Another process of this management may have told them meanwhile.
        let away = remaining().await?;
        if away.is_empty() {
            return Ok(());
        }
        let detail = format!("it is done here, but {} could not be told yet", away.join(" and "));
        let hint = "each is told as soon as it answers; repeat the call to see whether it was";
        Err(Problem::new(Kind::Unavailable, detail).hint(hint).into())
    }

    /// Starts a task for each server, so that a server which is away holds up no other.
    pub(super) fn deliver(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        delivery::start(self)
    }
}
