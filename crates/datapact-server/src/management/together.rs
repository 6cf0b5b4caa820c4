//! Calls of the embedded ledger, which lies in management's own database: salt, entry and
//! projection are written in one transaction, for all that wait. Nothing is left between them, so
//! no intent has to be stored first.

use std::sync::Arc;

use datapact_core::id::Timestamp;
use datapact_ledger::embedded::{Decided, EmbeddedLedger};
use datapact_ledger::port::Event;
use datapact_ledger::store::Group;
use datapact_ledger::{LedgerReceipt, Store};
use sea_orm::DatabaseTransaction;

use super::Server;
use super::failure::{Failure, Result};
use super::intents::{self, New, Submitted};
use super::projector::{self, Cursor, Told};

/// Executes calls, all that wait together.
pub(super) type Together = Group<New, Outcome, Failure>;

/// What became of a call.
pub(super) enum Outcome {
    /// The ledger holds it.
    Recorded(Box<LedgerReceipt>, Arc<Written>),
    /// It was applied before.
    Applied,
    /// Somebody else has drawn another salt in the meantime.
    SaltTaken,
}

/// What a transaction has written.
pub(super) struct Written {
    decided: Decided,
    /// Where the projection stands; none where other events come first, which the projector
    /// applies.
    cursor: Option<Cursor>,
}

/// The group that writes to `store`, in which `log` lies.
pub(super) fn group(
    store: Store,
    log: Arc<EmbeddedLedger>,
    clock: datapact_log::clock::Clock,
) -> Together {
    Group::writing(store, move |tx, new| {
        let (log, clock) = (Arc::clone(&log), Arc::clone(&clock));
        Box::pin(async move { write_all(tx, &log, new, clock()).await })
    })
}

async fn write_all(
    on: &DatabaseTransaction,
    log: &EmbeddedLedger,
    new: Vec<New>,
    now: Timestamp,
) -> Result<Vec<Result<Outcome>>> {
    let applied = intents::applied(on, &new).await?;
    let mut outcomes = Vec::with_capacity(new.len());
    let mut deciding = Vec::with_capacity(new.len());
    for new in new {
        let known = if applied.contains(&new.id) {
            Some(Outcome::Applied)
        } else if let Some(opening) = &new.drawn
            && intents::salt_or(on, new.call.share(), opening).await? != opening.salt
        {
            Some(Outcome::SaltTaken)
        } else {
            deciding.push(new);
            None
        };
        outcomes.push(known.map(Ok));
    }
    let calls = deciding.iter().map(|new| new.call.clone()).collect();
    let (decided, answers) = log.decide_in(on, calls).await?;
    let cursor = Cursor::read(on).await?;
    // Behind what other ways have recorded, the projector goes on by itself, with the documents of
    // the intents.
    let behind = cursor.next != decided.before;
    let (mut told, mut left) = (Vec::new(), Vec::new());
    for (new, answer) in deciding.iter().zip(&answers) {
        let Ok(LedgerReceipt { address, position, receipt }) = answer else { continue };
        if behind && *position >= decided.before {
            left.push(intents::columns(new.id, &new.call, &new.documents)?);
        } else if !behind && *position >= decided.before {
            let event =
                Event { position: *position, time: decided.time(), receipt: receipt.clone() };
            told.push(Told::new(event, address.clone(), Arc::clone(&new.documents)));
        }
    }
    intents::insert_all(on, left).await?;
    let cursor = match (behind, told.is_empty()) {
        (true, _) => None,
        (false, true) => Some(cursor),
        (false, false) => Some(projector::apply_from(on, cursor, told, now).await?),
    };
    let written = Arc::new(Written { decided, cursor });
    let mut answers = answers.into_iter();
    let recorded = |answer: std::result::Result<LedgerReceipt, datapact_ledger::LedgerError>| {
        answer
            .map(|receipt| Outcome::Recorded(Box::new(receipt), Arc::clone(&written)))
            .map_err(Failure::from)
    };
    Ok(outcomes
        .into_iter()
        .filter_map(|known| known.or_else(|| answers.next().map(recorded)))
        .collect())
}

impl Server {
    /// Tells those who wait of what has been written, and gives what became of the call.
    pub(super) async fn finish(&self, outcome: Outcome) -> Result<Submitted> {
        let (receipt, written) = match outcome {
            Outcome::Applied => return Ok(Submitted::Applied(None)),
            Outcome::SaltTaken => return Ok(Submitted::SaltTaken),
            Outcome::Recorded(receipt, written) => (receipt, written),
        };
        if let Some(cursor) = &written.cursor {
            self.projected_to(cursor);
        }
        self.log.committed(&written.decided);
        if written.cursor.is_none() {
            self.applied(receipt.position).await?;
        }
        Ok(Submitted::Applied(Some(receipt)))
    }
}
