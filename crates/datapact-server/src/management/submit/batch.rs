//! Calls on the embedded ledger, which is in management's own database: salt, entry and projection
//! are written in one transaction, for all calls that wait. No crash can leave one without the
//! others, so no intent has to be stored first.

use std::sync::Arc;

use datapact_core::id::Timestamp;
use datapact_ledger::embedded::{Decided, EmbeddedLedger};
use datapact_ledger::port::Event;
use datapact_ledger::{LedgerError, LedgerReceipt};
use datapact_log::clock::Clock;
use datapact_store::{Group, Store, Tx};

use super::cursor::Cursor;
use super::projector::{self, DocumentedEvent};
use super::{Executed, Projection, Submission, Submit, intent};
use crate::management::failure::{Failure, Result};
use crate::management::salt;
use crate::users::disabled;

/// Executes calls, all that wait in one transaction.
pub(super) type Batch = Group<Submission, Outcome, Failure>;

/// What became of a call.
pub(super) enum Outcome {
    /// The ledger holds it.
    OnLedger(Box<LedgerReceipt>, Arc<Written>),
    /// It was applied before.
    Applied,
    /// Another salt was drawn for the consumer in the meantime.
    SaltTaken,
}

/// What a transaction has written.
pub(super) struct Written {
    decided: Decided,
    /// Up to where the projection is written; none where the projector has to apply other events
    /// first.
    cursor: Option<Cursor>,
}

/// The group that writes to `store`, which also holds `log`.
pub(super) fn batch(
    store: Store,
    log: Arc<EmbeddedLedger>,
    projection: Arc<dyn Projection>,
    clock: Clock,
) -> Batch {
    let write = move |tx: &Tx, submissions| write_all(tx, &log, &*projection, submissions, clock());
    Group::writing(store, write)
}

fn write_all(
    tx: &Tx,
    log: &EmbeddedLedger,
    projection: &dyn Projection,
    submissions: Vec<Submission>,
    now: Timestamp,
) -> Result<Vec<Result<Outcome>>> {
    let applied = projection.applied(tx, &submissions)?;
    let inactive = projection.inactive(tx, &submissions)?;
    // An outcome for each submission; none for those that the ledger decides.
    let mut outcomes = Vec::with_capacity(submissions.len());
    let mut to_decide = Vec::with_capacity(submissions.len());
    for submission in submissions {
        let outcome = if applied.contains(&submission.id) {
            Some(Ok(Outcome::Applied))
        } else if inactive.contains(submission.signer()) {
            Some(Err(disabled().into()))
        } else if let Some(opening) = &submission.drawn
            && salt::settle(tx, submission.call.share(), opening)? != opening.salt
        {
            Some(Ok(Outcome::SaltTaken))
        } else {
            to_decide.push(submission);
            None
        };
        outcomes.push(outcome);
    }
    let calls = to_decide.iter().map(|submission| submission.call.clone()).collect();
    let (decided, answers) = log.decide_in(tx, calls)?;
    let cursor = project(tx, projection, &decided, &to_decide, &answers, now)?;
    let written = Arc::new(Written { decided, cursor });
    let mut answers = answers.into_iter().map(|answer| match answer {
        Ok(receipt) => Ok(Outcome::OnLedger(Box::new(receipt), Arc::clone(&written))),
        Err(error) => Err(Failure::from(error)),
    });
    Ok(outcomes.into_iter().filter_map(|outcome| outcome.or_else(|| answers.next())).collect())
}

/// Applies the entries just decided, and gives the cursor behind them. None where events before
/// them are not applied yet: then the projector applies these in their turn, and finds their
/// documents in intents.
fn project(
    tx: &Tx,
    projection: &dyn Projection,
    decided: &Decided,
    submissions: &[Submission],
    answers: &[std::result::Result<LedgerReceipt, LedgerError>],
    now: Timestamp,
) -> Result<Option<Cursor>> {
    let cursor = Cursor::read(tx)?;
    let is_behind = cursor.next != decided.before;
    let (mut events, mut intents) = (Vec::new(), Vec::new());
    for (submission, answer) in submissions.iter().zip(answers) {
        let Ok(LedgerReceipt { address, position, receipt }) = answer else { continue };
        // The receipt of a repeat is that of an older entry.
        if *position < decided.before {
            continue;
        }
        let Submission { id, call, documents, .. } = submission;
        if is_behind {
            intents.push(intent::columns(*id, call, documents)?);
        } else {
            let event =
                Event { position: *position, time: decided.time(), receipt: receipt.clone() };
            let (contract, documents) = (address.clone(), Some(Arc::clone(documents)));
            events.push(DocumentedEvent { event, contract, documents });
        }
    }
    intent::insert_all(tx, intents)?;
    match (is_behind, events.is_empty()) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(cursor)),
        (false, false) => projector::apply_from(tx, projection, cursor, events, now).map(Some),
    }
}

impl Submit {
    /// Announces what a transaction has written, now that it is durable.
    pub(super) async fn announce(&self, outcome: Outcome) -> Result<Executed> {
        let (receipt, written) = match outcome {
            Outcome::Applied => return Ok(Executed::Applied(None)),
            Outcome::SaltTaken => return Ok(Executed::SaltTaken),
            Outcome::OnLedger(receipt, written) => (receipt, written),
        };
        // The cursor first: who hears of a new entry finds it applied, and the projector does not
        // look for what there is none of.
        if let Some(cursor) = &written.cursor {
            self.progress.raise(cursor);
        }
        self.log.committed(&written.decided);
        if written.cursor.is_none() {
            self.wait_applied(receipt.position).await?;
        }
        Ok(Executed::Applied(Some(receipt)))
    }
}
