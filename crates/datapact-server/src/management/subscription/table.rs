//! The table of subscriptions.

use datapact_api::management::{CatalogFilter, NewSubscription, Subscription};
use datapact_api::problem::{Kind, Problem};
use datapact_core::id::{SubscriptionId, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, Row, StoreError, Tx, Value, json, number, text};

use crate::management::failure::Result;

/// The tables of subscriptions and of the outbox of webhooks.
pub(crate) const SCHEMA: Migration =
    Migration { module: "subscription", version: 1, sql: include_str!("schema_1.sql") };

/// How many subscriptions a user has at most.
const SUBSCRIPTIONS_MAX: u64 = 100;
/// How many of all users have a webhook at most.
const WEBHOOKS_MAX: u64 = 10_000;

const COLUMNS: &str = "s.id, s.filter, s.webhook, s.created, s.after, \
     (SELECT COUNT(*) FROM webhook_delivery d WHERE d.subscription = s.id AND d.dead = 0), \
     (SELECT COUNT(*) FROM webhook_delivery d WHERE d.subscription = s.id AND d.dead = 1)";

/// The subscriptions of `holder`, oldest first.
pub(super) fn of_holder(db: &Db, holder: &Identity) -> Result<Vec<Subscription>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM subscription s WHERE s.holder = $1 ORDER BY s.created, s.id"
    );
    Ok(db
        .rows(sql, [text(holder)])?
        .iter()
        .map(subscription)
        .collect::<std::result::Result<_, _>>()?)
}

/// One of them.
pub(super) fn get(db: &Db, id: &SubscriptionId, holder: &Identity) -> Result<Subscription> {
    let sql = format!("SELECT {COLUMNS} FROM subscription s WHERE s.id = $1 AND s.holder = $2");
    let found = db.row(sql, [text(id), text(holder)])?;
    Ok(subscription(&found.ok_or_else(|| missing(id))?)?)
}

/// The filter of a subscription, while it is there.
pub(super) fn filter(db: &Db, id: &SubscriptionId) -> Result<CatalogFilter> {
    let found = db.row("SELECT filter FROM subscription WHERE id = $1", [text(id)])?;
    Ok(found.ok_or_else(|| missing(id))?.json(0)?)
}

/// Adds a subscription behind the newest publication, or replaces what one says.
///
/// # Errors
/// [`Kind::Conflict`] when another user has one under this id, [`Kind::Busy`] when there are too
/// many.
pub(super) fn set(
    tx: &Tx,
    id: &SubscriptionId,
    holder: &Identity,
    new: &NewSubscription,
    now: Timestamp,
) -> Result<Subscription> {
    match tx.row("SELECT holder FROM subscription WHERE id = $1", [text(id)])? {
        Some(row) if row.parse::<Identity>(0)? != *holder => {
            let problem = Problem::new(Kind::Conflict, "another subscription has this id");
            return Err(problem.hint("draw another id at random").into());
        }
        Some(_) => {}
        None => check_bounds(tx, holder)?,
    }
    let sql = "INSERT INTO subscription (id, holder, filter, webhook, secret, created, after) \
               SELECT $1, $2, $3, $4, $5, CAST($6 AS BIGINT), event FROM projection WHERE id = 1 \
               ON CONFLICT (id) DO UPDATE SET filter = excluded.filter, \
               webhook = excluded.webhook, secret = excluded.secret";
    let webhook = new.webhook.as_ref();
    let values = [
        text(id),
        text(holder),
        json(&new.filter)?,
        webhook.map_or(Value::Null, |webhook| text(&webhook.url)),
        webhook.map_or(Value::Null, |webhook| text(webhook.secret.as_str())),
        number(now),
    ];
    tx.run(sql, values)?;
    if webhook.is_none() {
        tx.run("DELETE FROM webhook_delivery WHERE subscription = $1", [text(id)])?;
    }
    get(tx, id, holder)
}

fn check_bounds(db: &Db, holder: &Identity) -> Result<()> {
    let count = |sql: &str, values: Vec<Value>| match db.row(sql, values)? {
        Some(row) => row.number(0),
        None => Ok(0),
    };
    let own = "SELECT COUNT(*) FROM subscription WHERE holder = $1";
    if count(own, vec![text(holder)])? >= SUBSCRIPTIONS_MAX {
        let problem =
            Problem::new(Kind::Busy, format!("you have {SUBSCRIPTIONS_MAX} subscriptions already"));
        return Err(problem.hint("delete one of them").into());
    }
    let all = "SELECT COUNT(*) FROM subscription WHERE webhook IS NOT NULL";
    if count(all, Vec::new())? >= WEBHOOKS_MAX {
        return Err(Problem::new(Kind::Busy, "there are too many webhooks").into());
    }
    Ok(())
}

/// Deletes one subscription of `holder`, with what waits to be sent.
pub(super) fn delete(tx: &Tx, id: &SubscriptionId, holder: &Identity) -> Result<()> {
    get(tx, id, holder)?;
    tx.run("DELETE FROM webhook_delivery WHERE subscription = $1", [text(id)])?;
    tx.run("DELETE FROM subscription WHERE id = $1", [text(id)])?;
    Ok(())
}

/// Erases a user's subscriptions with the user.
pub(crate) fn erase(tx: &Tx, holder: &Identity) -> std::result::Result<(), StoreError> {
    let own = "(SELECT id FROM subscription WHERE holder = $1)";
    let sql = format!("DELETE FROM webhook_delivery WHERE subscription IN {own}");
    tx.run(sql, [text(holder)])?;
    tx.run("DELETE FROM subscription WHERE holder = $1", [text(holder)]).map(drop)
}

fn missing(id: &SubscriptionId) -> Problem {
    Problem::not_found(format!("you have no subscription `{id}`"))
        .hint("`datapact subscription list` shows them")
}

fn subscription(row: &Row) -> std::result::Result<Subscription, StoreError> {
    Ok(Subscription {
        id: row.parse(0)?,
        filter: row.json(1)?,
        webhook: row.optional_text(2)?,
        created: row.number(3)?,
        after: row.number(4)?,
        waiting: row.number(5)?,
        dead: row.number(6)?,
    })
}
