//! The one projector: applies the ledger's events to what users read and are told, each exactly once.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use datapact_api::management::{CatalogEntry, NotificationEvent};
use datapact_core::contract::{AccessRecord, Documents, Receipt, ShareRecord, UsageRecord};
use datapact_core::document::{AccessRequest, UsageReport};
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingPolicy};
use datapact_ledger::Store;
use datapact_ledger::port::Event;
use datapact_ledger::store::StoreError;
use sea_orm::ConnectionTrait;

use super::Server;
use super::failure::{Failure, Result};
use super::publication::NotificationBody;
use super::retention;
use super::schema::{json, number, row, run, text};
use super::search;

/// The most events that are applied in one transaction.
const EVENTS_MAX: usize = 256;
/// How long the projector sleeps at the longest when nothing happens.
const IDLE: Duration = Duration::from_secs(5);
/// How long it rests after a failure.
const REST: Duration = Duration::from_millis(500);
/// How long notifications that were acknowledged are kept.
const NOTIFICATION_SECONDS: u64 = 90 * 24 * 60 * 60;

/// Where the projector stands, and what numbers it has given out.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    next: u64,
    event: u64,
    sequence: u64,
}

/// The next position to apply, and the newest publication.
pub(super) async fn position(store: &Store) -> std::result::Result<(u64, u64), StoreError> {
    let cursor = Cursor::read(store.read()).await?;
    Ok((cursor.next, cursor.event))
}

/// Applies the next events, if there are any.
async fn step(server: &Server) -> Result<bool> {
    let from = *server.projected.borrow();
    let events = server.ledger.events(from, EVENTS_MAX).await?;
    if events.is_empty() {
        return Ok(false);
    }
    let contract = events.iter().map(|event| server.ledger.address(event.receipt.share())).collect();
    let oldest = server.now().saturating_sub(NOTIFICATION_SECONDS);
    let cursor = server
        .store
        .write(move |tx| Box::pin(async move { apply_all(tx, events, contract, oldest).await }))
        .await?;
    server.projected.send_replace(cursor.next);
    server.published.send_if_modified(|event| std::mem::replace(event, cursor.event) != cursor.event);
    Ok(true)
}

/// Applies events for as long as the server lives.
pub(super) async fn project(server: Arc<Server>) {
    loop {
        let outcome = match step(&server).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let from = *server.projected.borrow();
                server.ledger.wait(from, IDLE).await.map(drop).map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        let failed = outcome.is_err();
        let why = outcome.err().map(|failure| failure.0.to_string());
        if let Some(why) = &why {
            tracing::error!(%why, "the ledger's events cannot be applied; trying again");
        }
        *server.stuck.lock().unwrap_or_else(PoisonError::into_inner) = why;
        if failed {
            tokio::time::sleep(REST).await;
        }
    }
}

async fn apply_all(
    on: &impl ConnectionTrait,
    events: Vec<Event>,
    contracts: Vec<String>,
    oldest: Timestamp,
) -> Result<Cursor> {
    let mut cursor = Cursor::read(on).await?;
    for (event, contract) in events.into_iter().zip(contracts) {
        if event.position < cursor.next {
            continue;
        }
        let next = event.position + 1;
        apply(on, &mut cursor, event, contract).await?;
        cursor.next = next;
    }
    run(on, "DELETE FROM notification WHERE time < $1 AND acknowledged = 1", [number(oldest)]).await?;
    cursor.write(on).await?;
    Ok(cursor)
}

async fn apply(on: &impl ConnectionTrait, cursor: &mut Cursor, event: Event, contract: String) -> Result<()> {
    let (position, time) = (event.position, event.time);
    let id = match &event.receipt {
        Receipt::Policy(record) => record.policy.policy,
        Receipt::Access(record) => record.request.request,
        Receipt::Usage(record) => record.usage.report,
    };
    let documents = row(on, "SELECT documents FROM intent WHERE id = $1", [text(id)]).await?;
    let documents = documents.map(|row| row.json::<Documents>(0)).transpose()?;
    match (&event.receipt, documents) {
        (Receipt::Policy(record), Some(Documents::Policy { policy, .. })) => {
            set_policy(on, cursor, position, time, record, &policy, contract).await?;
        }
        (Receipt::Access(record), Some(Documents::Access { request, .. })) => {
            add_access(on, cursor, position, record, &request).await?;
        }
        (Receipt::Usage(record), Some(Documents::Usage { report, .. })) => {
            add_usage(on, cursor, position, record, &report).await?;
        }
        // Somebody else wrote to the ledger. Users go on; the operator is told.
        _ => tracing::error!(position, "this management has no documents for an entry of the ledger"),
    }
    run(on, "DELETE FROM intent WHERE id = $1", [text(id)]).await?;
    Ok(())
}

async fn set_policy(
    on: &impl ConnectionTrait,
    cursor: &mut Cursor,
    position: u64,
    time: Timestamp,
    record: &ShareRecord,
    policy: &Signed<SharingPolicy>,
    contract: String,
) -> Result<()> {
    let (body, provider) = (policy.body(), policy.signer());
    let (share, version, state) = (body.share, body.version, record.policy.state);
    cursor.event += 1;
    let entry = CatalogEntry {
        event: cursor.event,
        share,
        version,
        policy: policy.id(),
        contract: contract.clone(),
        state,
        provider: provider.clone(),
        information: body.information.clone(),
        expires: body.permission.expires,
    };
    let sql = "INSERT INTO policy (id, share, version, provider, position, document) VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [
        text(policy.id()),
        text(share),
        number(version.into()),
        text(provider),
        number(position),
        text(policy.as_str()),
    ];
    run(on, sql, values).await?;
    retention::replaced(on, &entry, time).await?;
    let sql = "INSERT INTO share (id, provider, realm, policy, event, state, expires, words, entry, changed, \
               accesses) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0) ON CONFLICT (id) DO UPDATE SET \
               policy = excluded.policy, event = excluded.event, state = excluded.state, \
               expires = excluded.expires, entry = excluded.entry, \
               changed = excluded.changed, package_gone = 0";
    let values = [
        text(share),
        text(provider),
        text(&provider.realm),
        text(policy.id()),
        number(cursor.event),
        text(state_name(state)),
        number(entry.expires),
        text(""),
        json(&entry)?,
        number(time),
    ];
    run(on, sql, values).await?;
    search::index(on, &entry, body).await?;
    let sql = "INSERT INTO publication (event, entry, share) VALUES ($1, $2, $3)";
    run(on, sql, [number(cursor.event), json(&entry)?, text(share)]).await?;
    let event = NotificationEvent::PolicySet { version, state, contract };
    cursor.notify(on, provider, None, time, share, event).await
}

async fn add_access(
    on: &impl ConnectionTrait,
    cursor: &mut Cursor,
    position: u64,
    record: &AccessRecord,
    request: &Signed<AccessRequest>,
) -> Result<()> {
    let (share, consumer) = (record.request.share, request.signer());
    let Some(provider) = provider_of(on, &share).await? else { return Ok(()) };
    let sql = "INSERT INTO access (request, share, provider, consumer, position, record, document) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let (id, document) = (request.id(), request.as_str());
    run(on, sql, record_row(id, share, &provider, consumer, position, json(record)?, document)).await?;
    run(on, "UPDATE share SET accesses = accesses + 1 WHERE id = $1", [text(share)]).await?;
    let event = NotificationEvent::AccessGranted {
        request: request.id(),
        consumer: consumer.clone(),
        access: record.access,
    };
    if provider != *consumer {
        cursor.notify(on, consumer, None, record.time, share, event.clone()).await?;
    }
    cursor.notify(on, &provider, Some(consumer), record.time, share, event).await
}

async fn add_usage(
    on: &impl ConnectionTrait,
    cursor: &mut Cursor,
    position: u64,
    record: &UsageRecord,
    report: &Signed<UsageReport>,
) -> Result<()> {
    let (share, consumer) = (record.usage.share, report.signer());
    let Some(provider) = provider_of(on, &share).await? else { return Ok(()) };
    let sql = "INSERT INTO usage (report, share, provider, consumer, position, record, document) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let (id, document) = (report.id(), report.as_str());
    run(on, sql, record_row(id, share, &provider, consumer, position, json(record)?, document)).await?;
    let event = NotificationEvent::UsageReported {
        request: record.usage.request,
        consumer: consumer.clone(),
        action: report.body().action,
    };
    cursor.notify(on, &provider, Some(consumer), record.time, share, event).await
}

fn record_row(
    id: Digest,
    share: ShareId,
    provider: &Identity,
    consumer: &Identity,
    position: u64,
    record: sea_orm::Value,
    document: &str,
) -> [sea_orm::Value; 7] {
    [text(id), text(share), text(provider), text(consumer), number(position), record, text(document)]
}

/// A share's provider. None when its policies were lost with a disk: only the ledger knows of it then.
async fn provider_of(on: &impl ConnectionTrait, share: &ShareId) -> Result<Option<Identity>> {
    let found = row(on, "SELECT provider FROM share WHERE id = $1", [text(share)]).await?;
    if found.is_none() {
        tracing::error!(%share, "this management has no policy of a share on the ledger");
    }
    Ok(found.map(|row| row.parse(0)).transpose()?)
}

/// A state's name in the database.
pub(super) fn state_name(state: ShareState) -> &'static str {
    match state {
        ShareState::Active => "active",
        ShareState::Suspended => "suspended",
        ShareState::Revoked => "revoked",
    }
}

impl Cursor {
    async fn read(on: &impl ConnectionTrait) -> std::result::Result<Self, StoreError> {
        let row = row(on, "SELECT next, event, sequence FROM projection WHERE id = 1", []).await?;
        let row = row.ok_or_else(|| StoreError::Damaged("the projection has no cursor".to_owned()))?;
        Ok(Self { next: row.number(0)?, event: row.number(1)?, sequence: row.number(2)? })
    }

    async fn write(&self, on: &impl ConnectionTrait) -> Result<()> {
        let sql = "UPDATE projection SET next = $1, event = $2, sequence = $3 WHERE id = 1";
        run(on, sql, [number(self.next), number(self.event), number(self.sequence)]).await?;
        Ok(())
    }

    async fn notify(
        &mut self,
        on: &impl ConnectionTrait,
        holder: &Identity,
        subject: Option<&Identity>,
        time: Timestamp,
        share: ShareId,
        event: NotificationEvent,
    ) -> Result<()> {
        self.sequence += 1;
        let body = NotificationBody { share, event };
        let sql =
            "INSERT INTO notification (sequence, holder, time, body, subject) VALUES ($1, $2, $3, $4, $5)";
        let subject = subject.map(ToString::to_string).into();
        run(on, sql, [number(self.sequence), text(holder), number(time), json(&body)?, subject]).await?;
        Ok(())
    }
}
