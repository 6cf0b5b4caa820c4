//! The one projector: has the ledger's events applied to what users read and are told, each exactly
//! once. What follows from an event, the [`Projection`] knows.

use std::sync::Arc;
use std::time::Duration;

use datapact_core::contract::{Documents, Receipt};
use datapact_core::id::{Digest, Timestamp};
use datapact_ledger::port::Event;
use datapact_store::{Db, Tx, text};

use super::cursor::Cursor;
use super::{Path, Projection, Submit, intent};
use crate::management::failure::{Failure, Result};

/// The most events that are applied in one transaction.
const EVENTS_MAX: usize = 256;
/// How long the projector sleeps at most when nothing happens.
const IDLE: Duration = Duration::from_secs(5);
/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// An event of the ledger with what it takes to apply it.
pub(crate) struct DocumentedEvent {
    pub(crate) event: Event,
    /// The contract's address.
    pub(crate) contract: String,
    /// The documents behind the call, unless they are still to be read from the intent.
    pub(crate) documents: Option<Arc<Documents>>,
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
    let projection = Arc::clone(&submit.projection);
    let apply = move |tx: &Tx| apply(tx, &*projection, events, now);
    let cursor = submit.store.write(apply).await?;
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

fn apply(
    tx: &Tx,
    projection: &dyn Projection,
    mut events: Vec<DocumentedEvent>,
    now: Timestamp,
) -> Result<Cursor> {
    let cursor = Cursor::read(tx)?;
    // Another process may have applied some of them since they were read.
    events.retain(|documented| documented.event.position >= cursor.next);
    read_documents(tx, &mut events)?;
    apply_from(tx, projection, cursor, events, now)
}

/// Applies the events that follow the cursor, and moves it in the same transaction.
pub(super) fn apply_from(
    tx: &Tx,
    projection: &dyn Projection,
    mut cursor: Cursor,
    events: Vec<DocumentedEvent>,
    now: Timestamp,
) -> Result<Cursor> {
    cursor.next = events.last().map_or(cursor.next, |last| last.event.position + 1);
    let done = events.iter().map(|documented| text(document_of(&documented.event.receipt)));
    let done: Vec<_> = done.collect();
    projection.apply(tx, &mut cursor, events, now)?;
    tx.delete_of("DELETE FROM intent WHERE id IN", done)?;
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
