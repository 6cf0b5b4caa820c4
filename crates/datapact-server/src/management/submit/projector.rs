//! The one projector: applies the ledger's events to what users read and are told, each exactly
//! once. What it writes belongs to the nouns; here is decided what follows from which event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datapact_api::management::{CatalogEntry, NotificationEvent};
use datapact_core::contract::{AccessRecord, Documents, Receipt, ShareRecord, UsageRecord};
use datapact_core::document::{AccessRequest, UsageReport};
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use datapact_ledger::port::Event;
use datapact_store::{Db, Tx, Value, text};

use super::cursor::Cursor;
use super::{Path, Submit, intent};
use crate::management::access::table::{self as access_table, NewRecord};
use crate::management::catalog;
use crate::management::failure::{Failure, Result};
use crate::management::notification::table::{self as notification_table, NewNotification};
use crate::management::policy::{retention, table as policy_table};

/// The most events that are applied in one transaction.
const EVENTS_MAX: usize = 256;
/// How long the projector sleeps at most when nothing happens.
const IDLE: Duration = Duration::from_secs(5);
/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// An event of the ledger with what it takes to apply it.
pub(super) struct DocumentedEvent {
    pub(super) event: Event,
    /// The contract's address.
    pub(super) contract: String,
    /// The documents behind the call, unless they are still to be read from the intent.
    pub(super) documents: Option<Arc<Documents>>,
}

/// Applies events for as long as the server lives.
pub(super) async fn project(submit: Arc<Submit>) {
    loop {
        let outcome = match step(&submit).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let from = submit.progress.next();
                submit.ledger.wait(from, IDLE).await.map(drop).map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        let why = outcome.err().map(|failure| failure.0.to_string());
        let failed = why.is_some();
        if let Some(why) = &why {
            tracing::error!(%why, "the ledger's events cannot be applied; trying again");
        }
        submit.progress.set_stuck(why);
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Applies the next events, if there are any.
async fn step(submit: &Submit) -> Result<bool> {
    let from = submit.progress.next();
    // Batches apply what they write themselves, so the database is only asked for what came by
    // other ways.
    if matches!(submit.path, Path::Batch(_)) && submit.log.size() <= from {
        return Ok(false);
    }
    let events = submit.ledger.events(from, EVENTS_MAX).await?;
    if events.is_empty() {
        return Ok(false);
    }
    let documented = |event: Event| DocumentedEvent {
        contract: submit.ledger.address(event.receipt.share()),
        documents: submit.in_memory.get(&document_of(&event.receipt)),
        event,
    };
    let events = events.into_iter().map(documented).collect();
    let now = submit.now();
    let cursor = submit.store.write(move |tx| apply(tx, events, now)).await?;
    submit.progress.raise(&cursor);
    Ok(true)
}

/// The document that the call was made for.
fn document_of(receipt: &Receipt) -> Digest {
    match receipt {
        Receipt::Policy(record) => record.policy.policy,
        Receipt::Access(record) => record.request.request,
        Receipt::Usage(record) => record.usage.report,
    }
}

fn apply(tx: &Tx, mut events: Vec<DocumentedEvent>, now: Timestamp) -> Result<Cursor> {
    let cursor = Cursor::read(tx)?;
    // Another process may have applied some of them since they were read.
    events.retain(|documented| documented.event.position >= cursor.next);
    read_documents(tx, &mut events)?;
    apply_from(tx, cursor, events, now)
}

/// Applies the events that follow the cursor, and moves it in the same transaction.
pub(super) fn apply_from(
    tx: &Tx,
    cursor: Cursor,
    events: Vec<DocumentedEvent>,
    now: Timestamp,
) -> Result<Cursor> {
    let mut projection = Projection { cursor, ..Projection::default() };
    for documented in events {
        projection.cursor.next = documented.event.position + 1;
        projection.intents.push(text(document_of(&documented.event.receipt)));
        projection.apply(tx, documented)?;
    }
    let cursor = projection.write(tx)?;
    notification_table::forget_acknowledged(tx, now)?;
    cursor.write(tx)?;
    Ok(cursor)
}

/// Reads from the intents what is not in memory.
fn read_documents(db: &Db, events: &mut [DocumentedEvent]) -> Result<()> {
    let missing = events.iter().filter(|documented| documented.documents.is_none());
    let ids: Vec<_> = missing.map(|documented| document_of(&documented.event.receipt)).collect();
    let found = intent::documents(db, ids)?;
    for documented in events.iter_mut().filter(|documented| documented.documents.is_none()) {
        documented.documents = found.get(&document_of(&documented.event.receipt)).cloned();
    }
    Ok(())
}

/// What follows from a batch of events, gathered to be written with few statements.
#[derive(Default)]
struct Projection {
    cursor: Cursor,
    /// Providers of shares, as far as they were looked up.
    providers: HashMap<ShareId, Option<Identity>>,
    accesses: Vec<NewRecord>,
    usages: Vec<NewRecord>,
    notifications: Vec<NewNotification>,
    /// New accesses of each share.
    access_counts: BTreeMap<ShareId, u64>,
    /// The intents that are done.
    intents: Vec<Value>,
}

impl Projection {
    fn apply(&mut self, tx: &Tx, documented: DocumentedEvent) -> Result<()> {
        let DocumentedEvent { event, contract, documents } = documented;
        match (&event.receipt, documents.as_deref()) {
            (Receipt::Policy(record), Some(Documents::Policy { policy, .. })) => {
                self.set_policy(tx, &event, record, policy, contract)
            }
            (Receipt::Access(record), Some(Documents::Access { request, .. })) => {
                self.add_access(tx, event.position, record, request)
            }
            (Receipt::Usage(record), Some(Documents::Usage { report, .. })) => {
                self.add_usage(tx, event.position, record, report)
            }
            // Another program writes to the ledger with this management's key. Users go on, and
            // the operator is told.
            _ => {
                let position = event.position;
                tracing::error!(position, "this management has no documents of a ledger entry");
                Ok(())
            }
        }
    }

    fn set_policy(
        &mut self,
        tx: &Tx,
        event: &Event,
        record: &ShareRecord,
        policy: &Signed<SharingPolicy>,
        contract: String,
    ) -> Result<()> {
        let (body, provider) = (policy.body(), policy.signer());
        let (share, version, state) = (body.share, body.version, record.policy.state);
        self.providers.remove(&share);
        self.cursor.event += 1;
        let entry = CatalogEntry {
            event: self.cursor.event,
            share,
            version,
            policy: policy.id(),
            contract: contract.clone(),
            state,
            provider: provider.clone(),
            information: body.information.clone(),
            expires: body.permission.expires,
        };
        policy_table::insert(tx, policy, event.position)?;
        // Before the share's row is replaced, which still names the package of the version before.
        retention::note_replaced(tx, &entry, event.time)?;
        policy_table::set_share(tx, &entry, event.time)?;
        catalog::index::index(tx, &entry, body)?;
        catalog::publications::add(tx, &entry)?;
        let event_time = event.time;
        let event = NotificationEvent::PolicySet { version, state, contract };
        self.notify(provider, None, event_time, share, event);
        Ok(())
    }

    fn add_access(
        &mut self,
        db: &Db,
        position: u64,
        record: &AccessRecord,
        request: &Signed<AccessRequest>,
    ) -> Result<()> {
        let (share, consumer) = (record.request.share, request.signer());
        let Some(provider) = self.provider_of(db, &share)? else { return Ok(()) };
        self.accesses.push(NewRecord::of(request, share, &provider, position, record)?);
        *self.access_counts.entry(share).or_default() += 1;
        let event = NotificationEvent::AccessGranted {
            request: request.id(),
            consumer: consumer.clone(),
            access: record.access,
        };
        if provider != *consumer {
            self.notify(consumer, None, record.time, share, event.clone());
        }
        self.notify(&provider, Some(consumer), record.time, share, event);
        Ok(())
    }

    fn add_usage(
        &mut self,
        db: &Db,
        position: u64,
        record: &UsageRecord,
        report: &Signed<UsageReport>,
    ) -> Result<()> {
        let (share, consumer) = (record.usage.share, report.signer());
        let Some(provider) = self.provider_of(db, &share)? else { return Ok(()) };
        self.usages.push(NewRecord::of(report, share, &provider, position, record)?);
        let event = NotificationEvent::UsageReported {
            request: record.usage.request,
            consumer: consumer.clone(),
            action: report.body().action,
        };
        self.notify(&provider, Some(consumer), record.time, share, event);
        Ok(())
    }

    /// A share's provider. None where its policies were lost with a disk, so that only the ledger
    /// knows of it.
    fn provider_of(&mut self, db: &Db, share: &ShareId) -> Result<Option<Identity>> {
        if let Some(provider) = self.providers.get(share) {
            return Ok(provider.clone());
        }
        let provider = policy_table::provider(db, share)?;
        if provider.is_none() {
            tracing::error!(%share, "this management has no policy of a share on the ledger");
        }
        self.providers.insert(*share, provider.clone());
        Ok(provider)
    }

    /// Tells `holder` of an event; `subject` is the other user whom it names.
    fn notify(
        &mut self,
        holder: &Identity,
        subject: Option<&Identity>,
        time: Timestamp,
        share: ShareId,
        event: NotificationEvent,
    ) {
        self.cursor.sequence += 1;
        let (sequence, holder) = (self.cursor.sequence, holder.clone());
        let subject = subject.cloned();
        self.notifications.push(NewNotification { sequence, holder, subject, time, share, event });
    }

    fn write(self, tx: &Tx) -> Result<Cursor> {
        access_table::insert_accesses(tx, self.accesses)?;
        access_table::insert_usages(tx, self.usages)?;
        policy_table::count_accesses(tx, &self.access_counts)?;
        notification_table::insert(tx, self.notifications)?;
        tx.delete_of("DELETE FROM intent WHERE id IN", self.intents)?;
        Ok(self.cursor)
    }
}
