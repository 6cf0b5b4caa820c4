//! Sending publications to webhooks: from an outbox that is filled with a cursor in one
//! transaction, so that none is left out. What was being sent when the process was killed is sent
//! again under the same id.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use datapact_api::management::CatalogEntry;
use datapact_log::clock::Clock;
use datapact_store::{Store, StoreError};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::outbox::{self, Claimed, Failed};
use super::webhook::{Delivery, Secret, Webhooks};
use crate::management::base::Base;
use crate::management::catalog::{self, Matcher};
use crate::management::failure::{Failure, Result};
use crate::management::policy::SignedPolicies;

/// How many publications are put into the outbox at once.
const BATCH: u64 = 50;
/// How many deliveries are under way at once; one for each subscription.
const DELIVERIES_MAX: usize = 32;
/// How often the outbox is searched for what has become due.
const EVERY: Duration = Duration::from_millis(500);
/// How long to wait after a failure of the database.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between two attempts, in seconds.
const RETRY_SECONDS_MAX: u64 = 12 * 60 * 60;

/// A CloudEvent (1.0, structured mode in JSON).
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: String,
    datacontenttype: &'static str,
    subscription: &'a str,
    data: &'a CatalogEntry,
}

/// Fills and empties the outbox of webhooks.
pub(super) struct Deliveries {
    store: Store,
    clock: Clock,
    policies: Arc<SignedPolicies>,
    webhooks: Arc<Webhooks>,
    /// Management's address, the source of the events.
    url: String,
    published: watch::Receiver<u64>,
    /// Something is to be sent at once.
    wake: Notify,
}

impl Deliveries {
    pub(super) fn new(
        base: &Base,
        policies: Arc<SignedPolicies>,
        webhooks: Arc<Webhooks>,
        url: String,
        published: watch::Receiver<u64>,
    ) -> Self {
        let Base { store, clock, .. } = base.clone();
        Self { store, clock, policies, webhooks, url, published, wake: Notify::new() }
    }

    pub(super) fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// Looks into the outbox at once.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Fills the outbox and empties it, for as long as the server lives.
    pub(super) async fn run(self: Arc<Self>) {
        if let Err(error) = self.free().await {
            tracing::warn!(%error, "interrupted deliveries go on only when their leases end");
        }
        let mut published = self.published.clone();
        let mut under_way: JoinSet<(String, Result<()>)> = JoinSet::new();
        // The subscriptions with a delivery under way: one at a time keeps their order.
        let mut busy: HashSet<String> = HashSet::new();
        loop {
            published.borrow_and_update();
            if let Err(Failure(problem)) = self.step(&mut under_way, &mut busy).await {
                tracing::warn!(%problem, "webhooks cannot be served; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            tokio::select! {
                Some(done) = under_way.join_next() => match done {
                    Ok((subscription, outcome)) => {
                        busy.remove(&subscription);
                        if let Err(Failure(problem)) = outcome {
                            tracing::warn!(%problem, "a delivery is not noted; it is made again");
                        }
                    }
                    // A task that panicked does not say whose it was; all are free again when
                    // their leases end.
                    Err(_) => busy.clear(),
                },
                _ = published.changed() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// After a restart no process holds what this one had claimed, unless several share the
    /// database.
    async fn free(&self) -> std::result::Result<(), StoreError> {
        if self.store.location().is_shared() {
            return Ok(());
        }
        let now = (self.clock)();
        self.store.write(move |tx| outbox::free(tx, now)).await
    }

    async fn step(
        self: &Arc<Self>,
        under_way: &mut JoinSet<(String, Result<()>)>,
        busy: &mut HashSet<String>,
    ) -> Result<()> {
        while self.fill().await? {}
        let now = (self.clock)();
        let due =
            self.store.read(move |db| outbox::due(db, now, 2 * DELIVERIES_MAX as u64)).await?;
        for (subscription, event) in due {
            if under_way.len() >= DELIVERIES_MAX || busy.contains(&subscription) {
                continue;
            }
            busy.insert(subscription.clone());
            let deliveries = Arc::clone(self);
            under_way.spawn(async move {
                let outcome = deliveries.deliver(subscription.clone(), event).await;
                (subscription, outcome)
            });
        }
        Ok(())
    }

    /// Puts the next publications into the outbox of each subscriber whose filter they fit; whether
    /// there were any.
    async fn fill(&self) -> Result<bool> {
        let read = self.store.read(|db| {
            let from = outbox::filled(db)?;
            let entries = catalog::table::publications(db, from, BATCH)?;
            // Nothing is new most of the time: then no filter is read.
            let subscribers =
                if entries.is_empty() { Vec::new() } else { outbox::subscribers(db)? };
            Ok::<_, StoreError>((from, entries, subscribers))
        });
        let (from, entries, subscribers) = read.await?;
        let Some(to) = entries.last().map(|entry| entry.event) else { return Ok(false) };
        let matcher = |subscriber: &outbox::Subscriber| Matcher::of(&subscriber.filter);
        let matchers: Vec<Matcher> = subscribers.iter().map(matcher).collect::<Result<_>>()?;
        let mut deliveries: Vec<(String, u64)> = Vec::new();
        if !subscribers.is_empty() {
            for entry in &entries {
                // What an erased provider published is gone.
                let Some(policy) = self.policies.get(&entry.policy).await? else { continue };
                for (subscriber, matcher) in subscribers.iter().zip(&matchers) {
                    if entry.event > subscriber.after && matcher.matches(entry, policy.body()) {
                        deliveries.push((subscriber.subscription.clone(), entry.event));
                    }
                }
            }
        }
        let now = (self.clock)();
        self.store.write(move |tx| outbox::fill(tx, from, to, &deliveries, now)).await?;
        Ok(true)
    }

    /// Makes one delivery and notes what became of it. When the process is killed in between, it is
    /// made again.
    async fn deliver(&self, subscription: String, event: u64) -> Result<()> {
        let now = (self.clock)();
        let claim = self.store.write(move |tx| outbox::claim(tx, subscription, event, now));
        let Some(claimed) = claim.await? else { return Ok(()) };
        let sent = match &claimed.entry {
            Some(entry) => self.send(&claimed, entry).await,
            // Its provider was erased: there is nothing to send.
            None => Ok(()),
        };
        let now = (self.clock)();
        let Claimed { subscription, attempts, .. } = claimed;
        let outcome = sent.map_err(|error| Failed {
            error,
            due: now.saturating_add(retry_seconds(attempts)),
            is_dead: attempts >= u64::from(self.webhooks.attempts),
        });
        let settle =
            self.store.write(move |tx| outbox::settle(tx, &subscription, event, outcome, now));
        Ok(settle.await?)
    }

    async fn send(
        &self,
        claimed: &Claimed,
        entry: &CatalogEntry,
    ) -> std::result::Result<(), String> {
        let secret = Secret::parse(&claimed.secret)?;
        let id = format!("{}-{}", claimed.subscription, claimed.event);
        let event = CloudEvent {
            specversion: "1.0",
            id: &id,
            source: &self.url,
            kind: "datapact.publication",
            subject: entry.share.to_string(),
            datacontenttype: "application/json",
            subscription: &claimed.subscription,
            data: entry,
        };
        let body = serde_json::to_string(&event).map_err(|e| e.to_string())?;
        let (url, time) = (&claimed.url, (self.clock)());
        self.webhooks.deliver(&Delivery { url, secret: &secret, id: &id, time, body }).await
    }
}

/// How long to wait after so many attempts, in seconds: 1, then five times as long each time.
fn retry_seconds(attempts: u64) -> u64 {
    let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    5u64.checked_pow(exponent).unwrap_or(RETRY_SECONDS_MAX).min(RETRY_SECONDS_MAX)
}
