//! Subscriptions that are kept (MG-15): what a user wants to hear of, read as server-sent events or
//! sent to a webhook.

use std::collections::BTreeSet;

use datapact_api::management::CatalogEntry;
use datapact_api::management::{
    CatalogFilter, DeadLetter, NewSubscription, Redelivery, Subscription,
};
use datapact_api::problem::{self, Kind, Problem};
use datapact_core::id::SubscriptionId;
use datapact_core::identity::Identity;
use datapact_ledger::store::Migration;
use futures_util::stream::BoxStream;
use sea_orm::{ConnectionTrait, Value};

use super::Session;
use super::failure::{Failure, Result};
use super::schema::{Row, json, number, row, rows, run, text};
use super::search::Matcher;
use crate::webhook::Secret;

/// How many subscriptions a user has at most.
const SUBSCRIPTIONS_MAX: u64 = 100;
/// How many of all users have a webhook at most.
const WEBHOOKS_MAX: u64 = 10_000;
/// How many dead letters a page holds, and a call sends again.
const PAGE: u64 = 200;

/// Subscriptions, beside the tables of management. The name sorts after `management`.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    module: "management_subscription",
    version: 1,
    statements: &[
        "CREATE TABLE subscription (id TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, filter TEXT NOT NULL, \
         webhook TEXT, secret TEXT, created BIGINT NOT NULL, after BIGINT NOT NULL)",
        "CREATE INDEX subscription_holder ON subscription (holder, created)",
        // The outbox of webhooks: each publication that is still to be sent, or that could not be
        // (`dead`). One that is being sent is `leased` until `due`.
        "CREATE TABLE webhook_delivery (subscription TEXT NOT NULL, event BIGINT NOT NULL, attempts BIGINT NOT NULL, \
         due BIGINT NOT NULL, leased BIGINT NOT NULL, dead BIGINT NOT NULL, time BIGINT NOT NULL, error TEXT NOT NULL, \
         PRIMARY KEY (subscription, event))",
        "CREATE INDEX webhook_delivery_due ON webhook_delivery (dead, due)",
        // Up to which publication the outbox is filled.
        "CREATE TABLE webhook_cursor (id BIGINT NOT NULL PRIMARY KEY, event BIGINT NOT NULL)",
        "INSERT INTO webhook_cursor (id, event) SELECT 1, event FROM projection WHERE id = 1",
    ],
}];

const COLUMNS: &str = "s.id, s.filter, s.webhook, s.created, s.after, \
     (SELECT COUNT(*) FROM webhook_delivery d WHERE d.subscription = s.id AND d.dead = 0), \
     (SELECT COUNT(*) FROM webhook_delivery d WHERE d.subscription = s.id AND d.dead = 1)";

impl Session {
    pub(super) async fn own_subscriptions(&self) -> Result<Vec<Subscription>> {
        let account = self.active_account().await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM subscription s WHERE s.holder = $1 ORDER BY s.created, s.id"
        );
        let found = rows(self.service.store.read(), sql, [text(&account.identity)]).await?;
        found.iter().map(read).collect()
    }

    pub(super) async fn own_subscription(&self, id: &SubscriptionId) -> Result<Subscription> {
        let account = self.active_account().await?;
        find(self.service.store.read(), id, &account.identity).await
    }

    /// Makes the subscription, or replaces what it says; what it begins behind stays.
    pub(super) async fn keep_subscription(
        &self,
        id: &SubscriptionId,
        new: &NewSubscription,
    ) -> Result<Subscription> {
        let account = self.active_account().await?;
        Matcher::of(&new.filter)?;
        let (mut url, mut secret) = (None, None);
        if let Some(webhook) = &new.webhook {
            let webhooks = self.service.webhooks.as_ref().ok_or_else(|| {
                Problem::forbidden("webhooks are not switched on here")
                    .hint("follow the subscription by server-sent events, or ask the operator")
            })?;
            webhooks.check(&webhook.url).map_err(Problem::malformed)?;
            Secret::parse(&webhook.secret).map_err(Problem::malformed)?;
            (url, secret) = (Some(webhook.url.clone()), Some(webhook.secret.to_string()));
        }
        let (id, holder, now, filter) =
            (*id, account.identity, self.service.now(), new.filter.clone());
        self.service
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "SELECT holder FROM subscription WHERE id = $1";
                    match row(tx, sql, [text(id)]).await? {
                        Some(row) if row.parse::<Identity>(0)? != holder => {
                            let problem = Problem::new(Kind::Conflict, "this id is another subscription's");
                            return Err(Failure(problem.hint("draw another one at random")));
                        }
                        Some(_) => {}
                        None => bounded(tx, &holder).await?,
                    }
                    let sql = "INSERT INTO subscription (id, holder, filter, webhook, secret, created, after) \
                               SELECT $1, $2, $3, $4, $5, CAST($6 AS BIGINT), event FROM projection WHERE id = 1 \
                               ON CONFLICT (id) DO UPDATE SET filter = excluded.filter, \
                               webhook = excluded.webhook, secret = excluded.secret";
                    let values = [
                        text(id),
                        text(&holder),
                        json(&filter)?,
                        url.clone().into(),
                        secret.into(),
                        number(now),
                    ];
                    run(tx, sql, values).await?;
                    if url.is_none() {
                        run(tx, "DELETE FROM webhook_delivery WHERE subscription = $1", [text(id)]).await?;
                    }
                    find(tx, &id, &holder).await
                })
            })
            .await
    }

    pub(super) async fn drop_subscription(&self, id: &SubscriptionId) -> Result<()> {
        let account = self.active_account().await?;
        let id = *id;
        self.service
            .store
            .write(move |tx| {
                Box::pin(async move {
                    find(tx, &id, &account.identity).await?;
                    run(tx, "DELETE FROM webhook_delivery WHERE subscription = $1", [text(id)])
                        .await?;
                    run(tx, "DELETE FROM subscription WHERE id = $1", [text(id)]).await?;
                    Ok(())
                })
            })
            .await
    }

    /// The publications that the subscription is about, behind `after`, or from its own beginning.
    pub(super) async fn follow(
        &self,
        id: &SubscriptionId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, problem::Result<CatalogEntry>>> {
        let subscription = self.own_subscription(id).await?;
        self.publications_from(Some(after.unwrap_or(subscription.after)), Some(*id)).await
    }

    pub(super) async fn dead_letters_of(
        &self,
        id: &SubscriptionId,
        after: u64,
    ) -> Result<Vec<DeadLetter>> {
        self.own_subscription(id).await?;
        let sql = "SELECT event, time, attempts, error FROM webhook_delivery \
                   WHERE subscription = $1 AND dead = 1 AND event > $2 ORDER BY event LIMIT $3";
        let values = [text(id), number(after), number(PAGE)];
        let found = rows(self.service.store.read(), sql, values).await?;
        let letter = |row: &Row| {
            let (event, time) = (row.number(0)?, row.number(1)?);
            Ok(DeadLetter { event, time, attempts: row.number(2)?, error: row.text(3)? })
        };
        found.iter().map(letter).collect()
    }

    /// Sends dead letters again, as if they had never been tried. Of those named, each must be one,
    /// or wait already, as after the same call before.
    pub(super) async fn send_again(&self, id: &SubscriptionId, again: &Redelivery) -> Result<()> {
        self.own_subscription(id).await?;
        if again.events.len() as u64 > PAGE {
            return Err(Problem::malformed(format!("at most {PAGE} at a time")).into());
        }
        let (id, events, now) = (*id, again.events.clone(), self.service.now());
        self.service
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut which = "subscription = $1".to_owned();
                    let mut values: Vec<Value> = vec![text(id)];
                    if !events.is_empty() {
                        let mut names = Vec::new();
                        for event in &events {
                            values.push(number(*event));
                            names.push(format!("${}", values.len()));
                        }
                        which.push_str(&format!(" AND event IN ({})", names.join(", ")));
                        let sql = format!("SELECT event FROM webhook_delivery WHERE {which}");
                        let found = rows(tx, sql, values.clone()).await?;
                        let kept: BTreeSet<u64> = found
                            .iter()
                            .map(|row| row.number(0))
                            .collect::<std::result::Result<_, _>>()?;
                        if let Some(event) = events.iter().find(|event| !kept.contains(event)) {
                            return Err(not_dead(&id, *event).into());
                        }
                    }
                    values.push(number(now));
                    let sql = format!(
                        "UPDATE webhook_delivery SET dead = 0, attempts = 0, due = ${}, leased = 0 \
                         WHERE {which} AND dead = 1",
                        values.len()
                    );
                    run(tx, &sql, values).await?;
                    Ok::<_, Failure>(())
                })
            })
            .await?;
        self.service.deliver_now.notify_one();
        Ok(())
    }
}

/// The filter of a subscription, while it is there.
pub(super) async fn filter_of(
    on: &impl ConnectionTrait,
    id: &SubscriptionId,
) -> Result<CatalogFilter> {
    let found = row(on, "SELECT filter FROM subscription WHERE id = $1", [text(id)]).await?;
    Ok(found.ok_or_else(|| missing(id))?.json(0)?)
}

/// Erases a user's subscriptions with the user.
pub(super) async fn erase(on: &impl ConnectionTrait, identity: &Identity) -> Result<()> {
    let own = "(SELECT id FROM subscription WHERE holder = $1)";
    let sql = format!("DELETE FROM webhook_delivery WHERE subscription IN {own}");
    run(on, &sql, [text(identity)]).await?;
    run(on, "DELETE FROM subscription WHERE holder = $1", [text(identity)]).await?;
    Ok(())
}

async fn find(
    on: &impl ConnectionTrait,
    id: &SubscriptionId,
    holder: &Identity,
) -> Result<Subscription> {
    let sql = format!("SELECT {COLUMNS} FROM subscription s WHERE s.id = $1 AND s.holder = $2");
    let found = row(on, sql, [text(id), text(holder)]).await?;
    read(&found.ok_or_else(|| missing(id))?)
}

fn missing(id: &SubscriptionId) -> Problem {
    Problem::not_found(format!("you have no subscription `{id}`"))
        .hint("`datapact subscription list` shows them")
}

fn not_dead(id: &SubscriptionId, event: u64) -> Problem {
    Problem::not_found(format!(
        "event {event} is no dead letter of `{id}`; it may have been sent since"
    ))
    .hint(format!("`datapact subscription dead {id}` lists them"))
}

async fn bounded(on: &impl ConnectionTrait, holder: &Identity) -> Result<()> {
    let count = async |sql: &str, values: Vec<Value>| match row(on, sql, values).await? {
        Some(row) => Ok::<_, Failure>(row.number(0)?),
        None => Ok(0),
    };
    let own =
        count("SELECT COUNT(*) FROM subscription WHERE holder = $1", vec![text(holder)]).await?;
    if own >= SUBSCRIPTIONS_MAX {
        let problem =
            Problem::new(Kind::Busy, format!("you have {SUBSCRIPTIONS_MAX} subscriptions already"));
        return Err(problem.hint("delete one of them").into());
    }
    let all =
        count("SELECT COUNT(*) FROM subscription WHERE webhook IS NOT NULL", Vec::new()).await?;
    if all >= WEBHOOKS_MAX {
        return Err(Problem::new(Kind::Busy, "there are too many webhooks").into());
    }
    Ok(())
}

fn read(row: &Row) -> Result<Subscription> {
    Ok(Subscription {
        id: row.parse(0)?,
        filter: row.json(1)?,
        webhook: row.optional(2)?,
        created: row.number(3)?,
        after: row.number(4)?,
        waiting: row.number(5)?,
        dead: row.number(6)?,
    })
}
