//! The outbox of webhooks: what is to be sent to which subscription, and what could not be.

use std::collections::BTreeSet;

use datapact_api::management::{CatalogEntry, CatalogFilter, DeadLetter};
use datapact_api::problem::Problem;
use datapact_core::id::{SubscriptionId, Timestamp};
use datapact_store::{Db, Row, StoreError, Tx, Value, number, text};

use super::webhook::TIMEOUT;
use crate::management::failure::Result;

type Stored<T> = std::result::Result<T, StoreError>;

/// How many dead letters a page holds, and a call sends again.
const PAGE: u64 = 200;
/// How many publications wait for one webhook at most; the oldest go then.
const WAITING_MAX: u64 = 10_000;
/// How long a delivery belongs to one process, in seconds: longer than it may take.
const LEASE_SECONDS: u64 = 2 * TIMEOUT.as_secs();
/// How long dead letters are kept, in seconds.
const DEAD_SECONDS: u64 = 30 * 24 * 60 * 60;

/// One publication for one subscription, claimed by this process.
pub(super) struct Claimed {
    pub(super) subscription: String,
    pub(super) event: u64,
    /// How often it was tried, this time included.
    pub(super) attempts: u64,
    pub(super) url: String,
    pub(super) secret: String,
    /// The publication; none when its provider was erased.
    pub(super) entry: Option<CatalogEntry>,
}

/// An active subscriber with a webhook.
pub(super) struct Subscriber {
    pub(super) subscription: String,
    /// It is about the publications that follow this one.
    pub(super) after: u64,
    pub(super) filter: CatalogFilter,
}

/// Up to which publication the outbox is filled.
pub(super) fn filled(db: &Db) -> Stored<u64> {
    let row = db.row("SELECT event FROM webhook_cursor WHERE id = 1", [])?;
    row.map_or(Ok(0), |row| row.number(0))
}

/// The subscribers with a webhook whose accounts are active.
pub(super) fn subscribers(db: &Db) -> Stored<Vec<Subscriber>> {
    let sql = "SELECT s.id, s.after, s.filter FROM subscription s \
               JOIN account a ON a.identity = s.holder \
               WHERE s.webhook IS NOT NULL AND a.active = 1";
    let subscriber = |row: &Row| {
        let (subscription, after) = (row.text(0)?, row.number(1)?);
        Ok(Subscriber { subscription, after, filter: row.json(2)? })
    };
    db.rows(sql, [])?.iter().map(subscriber).collect()
}

/// Puts deliveries, by subscription and event, into the outbox and moves its cursor from `from` to
/// `to`; nothing when another process has done it.
pub(super) fn fill(
    tx: &Tx,
    from: u64,
    to: u64,
    deliveries: &[(String, u64)],
    now: Timestamp,
) -> Stored<()> {
    let sql = "UPDATE webhook_cursor SET event = $2 WHERE id = 1 AND event = $1";
    if tx.run(sql, [number(from), number(to)])? == 0 {
        return Ok(());
    }
    for (subscription, event) in deliveries {
        let sql = "INSERT INTO webhook_delivery \
                   (subscription, event, attempts, due, leased, dead, time, error) \
                   VALUES ($1, $2, 0, $3, 0, 0, $3, '') ON CONFLICT DO NOTHING";
        tx.run(sql, [text(subscription), number(*event), number(now)])?;
        let sql = "DELETE FROM webhook_delivery WHERE subscription = $1 AND event <= \
                   (SELECT event FROM webhook_delivery WHERE subscription = $1 \
                   ORDER BY event DESC LIMIT 1 OFFSET $2)";
        tx.run(sql, [text(subscription), number(WAITING_MAX)])?;
    }
    let old = number(now.saturating_sub(DEAD_SECONDS));
    tx.run("DELETE FROM webhook_delivery WHERE dead = 1 AND time < $1", [old]).map(drop)
}

/// Of each subscription the oldest delivery that is due, so that a receiver gets them in order as
/// long as it takes them.
pub(super) fn due(db: &Db, now: Timestamp, count: u64) -> Stored<Vec<(String, u64)>> {
    let sql = "SELECT d.subscription, MIN(d.event) FROM webhook_delivery d \
               JOIN subscription s ON s.id = d.subscription \
               JOIN account a ON a.identity = s.holder \
               WHERE d.dead = 0 AND d.due <= $1 AND a.active = 1 GROUP BY d.subscription \
               ORDER BY MIN(d.due) LIMIT $2";
    let found = db.rows(sql, [number(now), number(count)])?;
    found.iter().map(|row| Ok((row.text(0)?, row.number(1)?))).collect()
}

/// Claims a delivery for this process; none when it is not due any more.
pub(super) fn claim(
    tx: &Tx,
    subscription: String,
    event: u64,
    now: Timestamp,
) -> Stored<Option<Claimed>> {
    let sql = "UPDATE webhook_delivery SET attempts = attempts + 1, leased = 1, due = $3 \
               WHERE subscription = $1 AND event = $2 AND dead = 0 AND due <= $4";
    let until = now.saturating_add(LEASE_SECONDS);
    let values = [text(&subscription), number(event), number(until), number(now)];
    if tx.run(sql, values)? == 0 {
        return Ok(None);
    }
    let sql = "SELECT d.attempts, s.webhook, s.secret, p.entry FROM webhook_delivery d \
               JOIN subscription s ON s.id = d.subscription \
               LEFT JOIN publication p ON p.event = d.event \
               WHERE d.subscription = $1 AND d.event = $2";
    let found = tx.row(sql, [text(&subscription), number(event)])?;
    let Some(found) = found else { return Ok(None) };
    let (Some(url), Some(secret)) = (found.optional_text(1)?, found.optional_text(2)?) else {
        return Ok(None);
    };
    let is_published = found.optional_text(3)?.is_some();
    let entry = is_published.then(|| found.json(3)).transpose()?;
    let attempts = found.number(0)?;
    Ok(Some(Claimed { subscription, event, attempts, url, secret, entry }))
}

/// What becomes of a delivery that failed.
pub(super) struct Failed {
    pub(super) error: String,
    /// When it is tried again.
    pub(super) due: Timestamp,
    /// Whether it is given up.
    pub(super) is_dead: bool,
}

/// Notes what became of a delivery.
pub(super) fn settle(
    tx: &Tx,
    subscription: &str,
    event: u64,
    outcome: std::result::Result<(), Failed>,
    now: Timestamp,
) -> Stored<()> {
    let done = match outcome {
        Ok(()) => {
            let sql = "DELETE FROM webhook_delivery WHERE subscription = $1 AND event = $2";
            tx.run(sql, [text(subscription), number(event)])
        }
        Err(failed) => {
            let sql = "UPDATE webhook_delivery \
                       SET leased = 0, due = $3, dead = $4, time = $5, error = $6 \
                       WHERE subscription = $1 AND event = $2 AND dead = 0";
            let values = [
                text(subscription),
                number(event),
                number(failed.due),
                failed.is_dead.into(),
                number(now),
                text(failed.error),
            ];
            tx.run(sql, values)
        }
    };
    done.map(drop)
}

/// Frees what this process had claimed before it was restarted.
pub(super) fn free(tx: &Tx, now: Timestamp) -> Stored<()> {
    let sql = "UPDATE webhook_delivery SET leased = 0, due = $1 WHERE leased = 1";
    tx.run(sql, [number(now)]).map(drop)
}

/// The dead letters of a subscription behind the event `after`.
pub(super) fn dead_letters(db: &Db, id: &SubscriptionId, after: u64) -> Result<Vec<DeadLetter>> {
    let sql = "SELECT event, time, attempts, error FROM webhook_delivery \
               WHERE subscription = $1 AND dead = 1 AND event > $2 ORDER BY event LIMIT $3";
    let found = db.rows(sql, [text(id), number(after), number(PAGE)])?;
    let letter = |row: &Row| {
        let (event, time) = (row.number(0)?, row.number(1)?);
        Ok(DeadLetter { event, time, attempts: row.number(2)?, error: row.text(3)? })
    };
    found.iter().map(letter).collect()
}

/// Makes dead letters due again: those of `events`, or all. Each of `events` must be a dead letter,
/// or wait already, as after the same call before.
pub(super) fn redeliver(
    tx: &Tx,
    id: &SubscriptionId,
    events: &[u64],
    now: Timestamp,
) -> Result<()> {
    if events.len() as u64 > PAGE {
        return Err(Problem::malformed(format!("at most {PAGE} at a time")).into());
    }
    let mut which = "subscription = $1".to_owned();
    let mut values: Vec<Value> = vec![text(id)];
    if !events.is_empty() {
        let mut names = Vec::new();
        for event in events {
            values.push(number(*event));
            names.push(format!("${}", values.len()));
        }
        which.push_str(&format!(" AND event IN ({})", names.join(", ")));
        let sql = format!("SELECT event FROM webhook_delivery WHERE {which}");
        let found = tx.rows(sql, values.clone())?;
        let found: BTreeSet<u64> = found.iter().map(|row| row.number(0)).collect::<Stored<_>>()?;
        if let Some(event) = events.iter().find(|event| !found.contains(event)) {
            return Err(not_dead(id, *event).into());
        }
    }
    values.push(number(now));
    let sql = format!(
        "UPDATE webhook_delivery SET dead = 0, attempts = 0, due = ${}, leased = 0 \
         WHERE {which} AND dead = 1",
        values.len()
    );
    tx.run(sql, values)?;
    Ok(())
}

fn not_dead(id: &SubscriptionId, event: u64) -> Problem {
    let detail =
        format!("event {event} is not a dead letter of `{id}`; it may have been sent since");
    Problem::not_found(detail).hint(format!("`datapact subscription dead {id}` lists them"))
}
