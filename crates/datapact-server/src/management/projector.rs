//! The one projector: applies the ledger's events to what users read and are told, each exactly
//! once.

use std::collections::{BTreeMap, HashMap};
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
use sea_orm::{ConnectionTrait, Value};
use tokio::sync::watch;

use super::Server;
use super::failure::{Failure, Result};
use super::publication::NotificationBody;
use super::retention;
use super::schema::{delete_of, insert, json, number, row, rows_of, run, text};
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
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    /// The next position to apply.
    pub(super) next: u64,
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
    if server.together.is_some() && server.log.size() <= from {
        return Ok(false);
    }
    let events = server.ledger.events(from, EVENTS_MAX).await?;
    if events.is_empty() {
        return Ok(false);
    }
    let event = |event: Event| {
        let contract = server.ledger.address(event.receipt.share());
        let documents = server.at_hand.get(&document_of(&event.receipt));
        Told { event, contract, documents }
    };
    let events = events.into_iter().map(event).collect();
    let now = server.now();
    let cursor = server
        .store
        .write(move |tx| Box::pin(async move { apply_all(tx, events, now).await }))
        .await?;
    server.projected_to(&cursor);
    Ok(true)
}

impl Server {
    /// What the cursor says is durable.
    pub(super) fn projected_to(&self, cursor: &Cursor) {
        let raise = |watched: &watch::Sender<u64>, value: u64| {
            watched.send_if_modified(|newest| std::mem::replace(newest, value.max(*newest)) < value)
        };
        raise(&self.projected, cursor.next);
        raise(&self.published, cursor.event);
    }
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

/// An event with what is known of it.
pub(super) struct Told {
    event: Event,
    /// The contract's address.
    contract: String,
    /// As they stand in the intent, unless that has to be read.
    documents: Option<Arc<Documents>>,
}

impl Told {
    pub(super) fn new(event: Event, contract: String, documents: Arc<Documents>) -> Self {
        Self { event, contract, documents: Some(documents) }
    }
}

/// The document that the call was made for.
fn document_of(receipt: &Receipt) -> Digest {
    match receipt {
        Receipt::Policy(record) => record.policy.policy,
        Receipt::Access(record) => record.request.request,
        Receipt::Usage(record) => record.usage.report,
    }
}

async fn apply_all(
    on: &impl ConnectionTrait,
    mut events: Vec<Told>,
    now: Timestamp,
) -> Result<Cursor> {
    let cursor = Cursor::read(on).await?;
    // Another process may have applied some of them meanwhile.
    events.retain(|told| told.event.position >= cursor.next);
    read_documents(on, &mut events).await?;
    apply_from(on, cursor, events, now).await
}

/// Applies the events that come next after the cursor.
pub(super) async fn apply_from(
    on: &impl ConnectionTrait,
    cursor: Cursor,
    events: Vec<Told>,
    now: Timestamp,
) -> Result<Cursor> {
    let mut applied = Applied { cursor, ..Applied::default() };
    for told in events {
        applied.cursor.next = told.event.position + 1;
        applied.intents.push(text(document_of(&told.event.receipt)));
        applied.apply(on, told).await?;
    }
    let cursor = applied.write(on).await?;
    let oldest = now.saturating_sub(NOTIFICATION_SECONDS);
    run(on, "DELETE FROM notification WHERE time < $1 AND acknowledged = 1", [number(oldest)])
        .await?;
    cursor.write(on).await?;
    Ok(cursor)
}

/// Reads from the intents what is not at hand.
async fn read_documents(on: &impl ConnectionTrait, events: &mut [Told]) -> Result<()> {
    let missing = events.iter().filter(|told| told.documents.is_none());
    let ids: Vec<_> = missing.map(|told| text(document_of(&told.event.receipt))).collect();
    let mut found = HashMap::new();
    for row in rows_of(on, "SELECT documents, id FROM intent WHERE id IN", ids).await? {
        found.insert(row.parse::<Digest>(1)?, Arc::new(row.json::<Documents>(0)?));
    }
    for told in events.iter_mut().filter(|told| told.documents.is_none()) {
        told.documents = found.get(&document_of(&told.event.receipt)).cloned();
    }
    Ok(())
}

/// What follows from a batch of events, gathered to be written together.
#[derive(Default)]
struct Applied {
    cursor: Cursor,
    /// Providers of shares, as far as they were looked up.
    providers: HashMap<ShareId, Option<Identity>>,
    accesses: Vec<[Value; 7]>,
    usages: Vec<[Value; 7]>,
    notifications: Vec<[Value; 5]>,
    /// New accesses of each share.
    counts: BTreeMap<ShareId, u64>,
    intents: Vec<Value>,
}

impl Applied {
    async fn apply(&mut self, on: &impl ConnectionTrait, told: Told) -> Result<()> {
        let Told { event, contract, documents } = told;
        let (position, time) = (event.position, event.time);
        match (&event.receipt, documents.as_deref()) {
            (Receipt::Policy(record), Some(Documents::Policy { policy, .. })) => {
                self.providers.remove(&policy.body().share);
                set_policy(on, self, position, time, record, policy, contract).await?;
            }
            (Receipt::Access(record), Some(Documents::Access { request, .. })) => {
                self.add_access(on, position, record, request).await?;
            }
            (Receipt::Usage(record), Some(Documents::Usage { report, .. })) => {
                self.add_usage(on, position, record, report).await?;
            }
            // Somebody else wrote to the ledger. Users go on; the operator is told.
            _ => tracing::error!(
                position,
                "this management has no documents for an entry of the ledger"
            ),
        }
        Ok(())
    }

    async fn add_access(
        &mut self,
        on: &impl ConnectionTrait,
        position: u64,
        record: &AccessRecord,
        request: &Signed<AccessRequest>,
    ) -> Result<()> {
        let (share, consumer) = (record.request.share, request.signer());
        let Some(provider) = self.provider_of(on, &share).await? else { return Ok(()) };
        let (id, document) = (request.id(), request.as_str());
        self.accesses.push(record_row(
            id,
            share,
            &provider,
            consumer,
            position,
            json(record)?,
            document,
        ));
        *self.counts.entry(share).or_default() += 1;
        let event = NotificationEvent::AccessGranted {
            request: request.id(),
            consumer: consumer.clone(),
            access: record.access,
        };
        if provider != *consumer {
            self.notify(consumer, None, record.time, share, event.clone())?;
        }
        self.notify(&provider, Some(consumer), record.time, share, event)
    }

    async fn add_usage(
        &mut self,
        on: &impl ConnectionTrait,
        position: u64,
        record: &UsageRecord,
        report: &Signed<UsageReport>,
    ) -> Result<()> {
        let (share, consumer) = (record.usage.share, report.signer());
        let Some(provider) = self.provider_of(on, &share).await? else { return Ok(()) };
        let (id, document) = (report.id(), report.as_str());
        self.usages.push(record_row(
            id,
            share,
            &provider,
            consumer,
            position,
            json(record)?,
            document,
        ));
        let event = NotificationEvent::UsageReported {
            request: record.usage.request,
            consumer: consumer.clone(),
            action: report.body().action,
        };
        self.notify(&provider, Some(consumer), record.time, share, event)
    }

    /// A share's provider. None when its policies were lost with a disk: only the ledger knows of
    /// it then.
    async fn provider_of(
        &mut self,
        on: &impl ConnectionTrait,
        share: &ShareId,
    ) -> Result<Option<Identity>> {
        if let Some(provider) = self.providers.get(share) {
            return Ok(provider.clone());
        }
        let found = row(on, "SELECT provider FROM share WHERE id = $1", [text(share)]).await?;
        if found.is_none() {
            tracing::error!(%share, "this management has no policy of a share on the ledger");
        }
        let provider: Option<Identity> = found.map(|row| row.parse(0)).transpose()?;
        self.providers.insert(*share, provider.clone());
        Ok(provider)
    }

    fn notify(
        &mut self,
        holder: &Identity,
        subject: Option<&Identity>,
        time: Timestamp,
        share: ShareId,
        event: NotificationEvent,
    ) -> Result<()> {
        self.cursor.sequence += 1;
        let body = json(&NotificationBody { share, event })?;
        let subject = subject.map(ToString::to_string).into();
        self.notifications.push([
            number(self.cursor.sequence),
            text(holder),
            number(time),
            body,
            subject,
        ]);
        Ok(())
    }

    async fn write(self, on: &impl ConnectionTrait) -> Result<Cursor> {
        let columns = "(request, share, provider, consumer, position, record, document)";
        insert(on, &format!("access {columns}"), self.accesses).await?;
        let columns = "(report, share, provider, consumer, position, record, document)";
        insert(on, &format!("usage {columns}"), self.usages).await?;
        for (share, count) in self.counts {
            let sql = "UPDATE share SET accesses = accesses + $2 WHERE id = $1";
            run(on, sql, [text(share), number(count)]).await?;
        }
        insert(on, "notification (sequence, holder, time, body, subject)", self.notifications)
            .await?;
        delete_of(on, "DELETE FROM intent WHERE id IN", self.intents).await?;
        Ok(self.cursor)
    }
}

async fn set_policy(
    on: &impl ConnectionTrait,
    applied: &mut Applied,
    position: u64,
    time: Timestamp,
    record: &ShareRecord,
    policy: &Signed<SharingPolicy>,
    contract: String,
) -> Result<()> {
    let (body, provider) = (policy.body(), policy.signer());
    let (share, version, state) = (body.share, body.version, record.policy.state);
    applied.cursor.event += 1;
    let event = applied.cursor.event;
    let entry = CatalogEntry {
        event,
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
        number(event),
        text(state_name(state)),
        number(entry.expires),
        text(""),
        json(&entry)?,
        number(time),
    ];
    run(on, sql, values).await?;
    search::index(on, &entry, body).await?;
    let sql = "INSERT INTO publication (event, entry, share) VALUES ($1, $2, $3)";
    run(on, sql, [number(event), json(&entry)?, text(share)]).await?;
    let event = NotificationEvent::PolicySet { version, state, contract };
    applied.notify(provider, None, time, share, event)
}

fn record_row(
    id: Digest,
    share: ShareId,
    provider: &Identity,
    consumer: &Identity,
    position: u64,
    record: Value,
    document: &str,
) -> [Value; 7] {
    [
        text(id),
        text(share),
        text(provider),
        text(consumer),
        number(position),
        record,
        text(document),
    ]
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
    pub(super) async fn read(on: &impl ConnectionTrait) -> std::result::Result<Self, StoreError> {
        let row = row(on, "SELECT next, event, sequence FROM projection WHERE id = 1", []).await?;
        let row =
            row.ok_or_else(|| StoreError::Damaged("the projection has no cursor".to_owned()))?;
        Ok(Self { next: row.number(0)?, event: row.number(1)?, sequence: row.number(2)? })
    }

    async fn write(&self, on: &impl ConnectionTrait) -> Result<()> {
        let sql = "UPDATE projection SET next = $1, event = $2, sequence = $3 WHERE id = 1";
        run(on, sql, [number(self.next), number(self.event), number(self.sequence)]).await?;
        Ok(())
    }
}
