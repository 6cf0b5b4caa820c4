//! Sending publications to webhooks: from an outbox that is filled with a cursor in one
//! transaction, so that nothing is left out; what was sent when the process was killed is sent
//! again under the same id.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use datapact_api::management::CatalogEntry;
use datapact_api::management::CatalogFilter;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use serde::Serialize;
use tokio::task::JoinSet;

use super::Server;
use super::failure::{Failure, Result};
use super::schema::{number, row, rows, run, text};
use super::search::Matcher;
use crate::webhook::{Delivery, Secret, TIMEOUT, Webhooks};

/// How many publications are put into the outbox at once.
const BATCH: u64 = 50;
/// How many deliveries are under way at once; one for each subscription.
const DELIVERIES_MAX: usize = 32;
/// How many publications wait for one webhook at most; the oldest go then.
const WAITING_MAX: u64 = 10_000;
/// How long a delivery is one process's alone, in seconds: longer than it may take.
const LEASE_SECONDS: u64 = 2 * TIMEOUT.as_secs();
/// How long dead letters are kept, in seconds.
const DEAD_SECONDS: u64 = 30 * 24 * 60 * 60;
/// How often the outbox is looked at for what has become due.
const EVERY: Duration = Duration::from_millis(500);
/// How long to rest after a failure of the database.
const REST: Duration = Duration::from_secs(2);
/// The longest pause between two attempts, in seconds.
const PAUSE_SECONDS_MAX: u64 = 12 * 60 * 60;

/// A CloudEvent (1.0, structured mode in JSON).
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: String,
    datacontenttype: &'static str,
    subscription: &'a str,
    data: &'a CatalogEntry,
}

/// One publication for one subscription, claimed by this process.
struct Claimed {
    subscription: String,
    event: u64,
    attempts: u64,
    url: String,
    secret: String,
    entry: Option<CatalogEntry>,
}

/// Fills the outbox and empties it, for as long as the server lives.
pub(super) async fn run_webhooks(server: Arc<Server>, webhooks: Arc<Webhooks>) {
    if let Err(Failure(problem)) = server.unlease().await {
        tracing::warn!(%problem, "deliveries that were interrupted go on only when their time is over");
    }
    let mut published = server.published.subscribe();
    let mut under_way: JoinSet<(String, Result<()>)> = JoinSet::new();
    let mut busy: HashSet<String> = HashSet::new();
    loop {
        published.borrow_and_update();
        if let Err(Failure(problem)) = server.step(&webhooks, &mut under_way, &mut busy).await {
            tracing::warn!(%problem, "webhooks cannot be served for the moment");
            tokio::time::sleep(REST).await;
        }
        tokio::select! {
            Some(done) = under_way.join_next() => match done {
                Ok((subscription, outcome)) => {
                    busy.remove(&subscription);
                    if let Err(Failure(problem)) = outcome {
                        tracing::warn!(%problem, "what became of a delivery cannot be noted; it is made again");
                    }
                }
                // It cannot be told whose it was; all of them are free again once their leases end.
                Err(_) => busy.clear(),
            },
            _ = published.changed() => {}
            () = server.deliver_now.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Server {
    /// After a restart nobody else holds what this process had claimed.
    async fn unlease(&self) -> Result<()> {
        if self.store.location().is_shared() {
            return Ok(());
        }
        let now = self.now();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE webhook_delivery SET leased = 0, due = $1 WHERE leased = 1";
                    run(tx, sql, [number(now)]).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn step(
        self: &Arc<Self>,
        webhooks: &Arc<Webhooks>,
        under_way: &mut JoinSet<(String, Result<()>)>,
        busy: &mut HashSet<String>,
    ) -> Result<()> {
        while self.fill_outbox().await? {}
        // The oldest that is due of each subscription: in order as long as the receiver takes them.
        let sql = "SELECT d.subscription, MIN(d.event) FROM webhook_delivery d \
                   JOIN subscription s ON s.id = d.subscription JOIN account a ON a.identity = s.holder \
                   WHERE d.dead = 0 AND d.due <= $1 AND a.active = 1 GROUP BY d.subscription \
                   ORDER BY MIN(d.due) LIMIT $2";
        let values = [number(self.now()), number(2 * DELIVERIES_MAX as u64)];
        for row in rows(self.store.read(), sql, values).await? {
            let (subscription, event) = (row.text(0)?, row.number(1)?);
            if under_way.len() >= DELIVERIES_MAX || busy.contains(&subscription) {
                continue;
            }
            busy.insert(subscription.clone());
            let (server, webhooks) = (Arc::clone(self), Arc::clone(webhooks));
            under_way.spawn(async move {
                let outcome = server.deliver(&webhooks, &subscription, event).await;
                (subscription, outcome)
            });
        }
        Ok(())
    }

    /// Puts the next publications into the outbox, for whom they are; whether there were any.
    async fn fill_outbox(&self) -> Result<bool> {
        let on = self.store.read();
        let cursor = row(on, "SELECT event FROM webhook_cursor WHERE id = 1", []).await?;
        let from = cursor.map(|row| row.number(0)).transpose()?.unwrap_or(0);
        if from >= *self.published.borrow() {
            return Ok(false);
        }
        let sql = "SELECT event, entry FROM publication WHERE event > $1 ORDER BY event LIMIT $2";
        let found = rows(on, sql, [number(from), number(BATCH)]).await?;
        let Some(last) = found.last() else { return Ok(false) };
        let to = last.number(0)?;
        let sql = "SELECT s.id, s.after, s.filter FROM subscription s JOIN account a ON a.identity = s.holder \
                   WHERE s.webhook IS NOT NULL AND a.active = 1";
        let mut subscribers: Vec<(String, u64, Matcher)> = Vec::new();
        for row in rows(on, sql, []).await? {
            let filter: CatalogFilter = row.json(2)?;
            subscribers.push((row.text(0)?, row.number(1)?, Matcher::of(&filter)?));
        }
        let mut deliveries: Vec<(String, u64)> = Vec::new();
        for row in &found {
            let (event, entry): (u64, CatalogEntry) = (row.number(0)?, row.json(1)?);
            if subscribers.is_empty() {
                break;
            }
            // A provider who was erased since has published nothing.
            let Some(policy): Option<Signed<SharingPolicy>> = self.policy(&entry.policy).await?
            else {
                continue;
            };
            for (id, after, matcher) in &subscribers {
                if event > *after && matcher.matches(&entry, policy.body()) {
                    deliveries.push((id.clone(), event));
                }
            }
        }
        let now = self.now();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    // Another process may have done it.
                    let sql = "UPDATE webhook_cursor SET event = $2 WHERE id = 1 AND event = $1";
                    if run(tx, sql, [number(from), number(to)]).await? == 0 {
                        return Ok(());
                    }
                    for (subscription, event) in deliveries {
                        let sql = "INSERT INTO webhook_delivery \
                                   (subscription, event, attempts, due, leased, dead, time, error) \
                                   VALUES ($1, $2, 0, $3, 0, 0, $3, '') ON CONFLICT DO NOTHING";
                        run(tx, sql, [text(&subscription), number(event), number(now)]).await?;
                        let sql = "DELETE FROM webhook_delivery WHERE subscription = $1 AND event <= \
                                   (SELECT event FROM webhook_delivery WHERE subscription = $1 \
                                   ORDER BY event DESC LIMIT 1 OFFSET $2)";
                        run(tx, sql, [text(&subscription), number(WAITING_MAX)]).await?;
                    }
                    let old = number(now.saturating_sub(DEAD_SECONDS));
                    run(tx, "DELETE FROM webhook_delivery WHERE dead = 1 AND time < $1", [old]).await?;
                    Ok::<_, Failure>(())
                })
            })
            .await?;
        Ok(true)
    }

    /// Makes one delivery and notes what became of it. What is killed in between is made again.
    async fn deliver(&self, webhooks: &Webhooks, subscription: &str, event: u64) -> Result<()> {
        let Some(claimed) = self.claim(subscription, event).await? else { return Ok(()) };
        let outcome = match &claimed.entry {
            Some(entry) => self.send(webhooks, &claimed, entry).await,
            // Its provider was erased: there is nothing to send any more.
            None => Ok(()),
        };
        let Claimed { subscription, attempts, .. } = claimed;
        let (now, last) = (self.now(), attempts >= u64::from(webhooks.attempts));
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let error = match outcome {
                        Ok(()) => {
                            let sql = "DELETE FROM webhook_delivery WHERE subscription = $1 AND event = $2";
                            run(tx, sql, [text(&subscription), number(event)]).await?;
                            return Ok(());
                        }
                        Err(error) => error,
                    };
                    let due = now.saturating_add(pause(attempts));
                    let sql = "UPDATE webhook_delivery SET leased = 0, due = $3, dead = $4, time = $5, error = $6 \
                               WHERE subscription = $1 AND event = $2 AND dead = 0";
                    let values = [
                        text(&subscription),
                        number(event),
                        number(due),
                        number(last.into()),
                        number(now),
                        text(error),
                    ];
                    run(tx, sql, values).await?;
                    Ok::<_, Failure>(())
                })
            })
            .await
    }

    async fn claim(&self, subscription: &str, event: u64) -> Result<Option<Claimed>> {
        let (subscription, now) = (subscription.to_owned(), self.now());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE webhook_delivery SET attempts = attempts + 1, leased = 1, due = $3 \
                               WHERE subscription = $1 AND event = $2 AND dead = 0 AND due <= $4";
                    let until = now.saturating_add(LEASE_SECONDS);
                    let values = [text(&subscription), number(event), number(until), number(now)];
                    if run(tx, sql, values).await? == 0 {
                        return Ok(None);
                    }
                    let sql = "SELECT d.attempts, s.webhook, s.secret, p.entry FROM webhook_delivery d \
                               JOIN subscription s ON s.id = d.subscription \
                               LEFT JOIN publication p ON p.event = d.event \
                               WHERE d.subscription = $1 AND d.event = $2";
                    let found = row(tx, sql, [text(&subscription), number(event)]).await?;
                    let Some(found) = found else { return Ok(None) };
                    let (Some(url), Some(secret)) = (found.optional(1)?, found.optional(2)?) else {
                        return Ok(None);
                    };
                    let entry = if found.optional(3)?.is_some() { Some(found.json(3)?) } else { None };
                    let attempts = found.number(0)?;
                    Ok::<_, Failure>(Some(Claimed { subscription, event, attempts, url, secret, entry }))
                })
            })
            .await
    }

    async fn send(
        &self,
        webhooks: &Webhooks,
        claimed: &Claimed,
        entry: &CatalogEntry,
    ) -> std::result::Result<(), String> {
        let secret = Secret::parse(&claimed.secret)?;
        let id = format!("{}-{}", claimed.subscription, claimed.event);
        let event = CloudEvent {
            specversion: "1.0",
            id: &id,
            source: self.management.url.clone(),
            kind: "datapact.publication",
            subject: entry.share.to_string(),
            datacontenttype: "application/json",
            subscription: &claimed.subscription,
            data: entry,
        };
        let body = serde_json::to_string(&event).map_err(|e| e.to_string())?;
        webhooks
            .deliver(&Delivery {
                url: &claimed.url,
                secret: &secret,
                id: &id,
                time: self.now(),
                body,
            })
            .await
    }
}

/// How long to wait after so many attempts, in seconds: 1, then five times as long each time.
fn pause(attempts: u64) -> u64 {
    let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    5u64.checked_pow(exponent).unwrap_or(PAUSE_SECONDS_MAX).min(PAUSE_SECONDS_MAX)
}
