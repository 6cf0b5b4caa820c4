//! Deciding calls and appending what is granted: the task that does it, and the transaction.

use std::sync::Arc;

use datapact_core::contract::{CLOCK_SKEW_SECONDS_MAX, Call, Refusal, decide, keys};
use datapact_core::id::Timestamp;
use datapact_log::Position;
use datapact_log::clock::Clock;
use datapact_log::entry::{DISORDER_SECONDS_MAX, ENTRY_BYTES_MAX, Entry};
use datapact_log::note::SigningKey;
use datapact_store::{BATCH_MAX, Store, Tx};
use tokio::sync::{mpsc, oneshot};

use super::address;
use super::head::{Head, NewestHead};
use crate::port::{Event, LedgerError, LedgerReceipt};
use crate::tables::{self, Batch, Overlay};

/// What waits for the task.
pub(super) enum Job {
    /// Decide a call and append it.
    Call(Box<Pending>),
    /// Append what another ledger has decided.
    Mirror { events: ChainEvents, reply: oneshot::Sender<Result<(), LedgerError>> },
}

/// Events of the chain that this log mirrors.
pub(crate) struct ChainEvents {
    /// The chain.
    pub(crate) chain: String,
    /// In its order.
    pub(crate) events: Vec<Event>,
    /// The chain's position after them.
    pub(crate) next: Position,
}

pub(super) struct Pending {
    pub(super) call: Call,
    pub(super) reply: oneshot::Sender<Result<LedgerReceipt, LedgerError>>,
}

/// The task that appends what comes by the port, or from a chain.
pub(super) struct Decider {
    pub(super) store: Store,
    pub(super) key: Arc<SigningKey>,
    pub(super) clock: Clock,
    pub(super) newest: Arc<NewestHead>,
}

/// What became of calls, in their order.
pub type Answers = Vec<Result<LedgerReceipt, LedgerError>>;

/// What [`super::EmbeddedLedger::decide_in`] has written.
pub struct Decided {
    /// How many entries there were before: what is at this position or after it is new.
    pub before: u64,
    pub(super) head: Head,
}

impl Decided {
    /// The time of the entries that are new.
    pub fn time(&self) -> Timestamp {
        self.head.time
    }
}

impl Decider {
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        let mut pending = Vec::with_capacity(BATCH_MAX);
        while queue.recv_many(&mut jobs, BATCH_MAX).await > 0 {
            for job in jobs.drain(..) {
                match job {
                    Job::Call(call) => pending.push(*call),
                    Job::Mirror { events, reply } => {
                        let _ = reply.send(self.mirror(events).await);
                    }
                }
            }
            if pending.is_empty() {
                continue;
            }
            let calls = pending.iter().map(|p| p.call.clone()).collect();
            let answers = match self.decide(calls).await {
                Ok(answers) => answers,
                Err(error) => pending.iter().map(|_| Err(error.clone())).collect(),
            };
            for (pending, answer) in pending.drain(..).zip(answers) {
                // A caller that no longer waits will repeat its call, or not.
                let _ = pending.reply.send(answer);
            }
        }
    }

    /// Appends `events`, with the times that the chain gave them, under one checkpoint.
    async fn mirror(&self, events: ChainEvents) -> Result<(), LedgerError> {
        let (newest, key) = (Arc::clone(&self.newest), Arc::clone(&self.key));
        let written = self.store.write(move |tx| mirror_all(tx, newest.get(), &key, events));
        self.newest.committed(&written.await?);
        Ok(())
    }

    /// Decides `calls` one after the other and makes what was granted durable, all under one
    /// checkpoint.
    async fn decide(&self, calls: Vec<Call>) -> Result<Answers, LedgerError> {
        let (newest, key, clock) =
            (Arc::clone(&self.newest), Arc::clone(&self.key), Arc::clone(&self.clock));
        let decided = self.store.write(move |tx| decide_all(tx, newest.get(), &key, calls, &clock));
        let (decided, answers) = decided.await?;
        self.newest.committed(&decided.head);
        Ok(answers)
    }
}

/// Decides `calls` in `tx`, each after what the ones before it have written, and appends what is
/// granted under one new checkpoint.
pub(super) fn decide_all(
    tx: &Tx,
    head: Head,
    key: &SigningKey,
    calls: Vec<Call>,
    clock: &Clock,
) -> Result<(Decided, Answers), LedgerError> {
    let head = head.current(tx, key)?;
    let before = head.edge.size();
    // The time is that of the job's turn: however long it waited for the writer, or for other
    // processes' locks, its entries are not older than what followers have confirmed meanwhile.
    let now = clock();
    if head.time > now + CLOCK_SKEW_SECONDS_MAX {
        let ahead = head.time - now;
        return Err(LedgerError::Misconfigured(format!(
            "the newest entry is {ahead} s ahead of this machine's clock; set the clock"
        )));
    }
    let time = now.max(head.time);
    let overlay = Overlay::load(tx, calls.iter().flat_map(keys))?;
    let mut batch = Batch::new(head.edge.clone(), overlay);
    let answers: Answers =
        calls.into_iter().map(|call| append(&mut batch, key.public().name(), call, time)).collect();
    if batch.is_empty() {
        return Ok((Decided { before, head }, answers));
    }
    let note = key.checkpoint(batch.edge.size(), &batch.edge.root());
    let edge = batch.write(tx)?;
    tables::advance_checkpoint(tx, before, edge.size(), &note)?;
    Ok((Decided { before, head: Head { edge, time } }, answers))
}

/// Appends a chain's events in `tx`, each decided again, under one new checkpoint.
fn mirror_all(
    tx: &Tx,
    head: Head,
    key: &SigningKey,
    chain_events: ChainEvents,
) -> Result<Head, LedgerError> {
    let head = head.current(tx, key)?;
    let mut events = chain_events.events;
    // Another process may have mirrored some of them meanwhile.
    if let Some((chain, next)) = tables::mirror(tx)?
        && chain == chain_events.chain
    {
        events.retain(|event| event.position >= next);
    }
    if events.is_empty() {
        return Ok(head);
    }
    let calls: Vec<Call> = events.iter().map(|event| event.receipt.call()).collect();
    let overlay = Overlay::load(tx, calls.iter().flat_map(keys))?;
    let mut batch = Batch::new(head.edge.clone(), overlay);
    let mut newest = head.time;
    for (event, call) in events.into_iter().zip(calls) {
        let entry = Entry::new(call, event.time);
        let differs = |why: String| LedgerError::Corrupt {
            position: Some(event.position),
            reason: format!("the chain has recorded what these rules do not grant: {why}"),
        };
        let values = batch.overlay.values(&keys(&entry.call));
        let earliest = newest.saturating_sub(DISORDER_SECONDS_MAX);
        let outcome =
            entry.replay(earliest, &values).map_err(|fault| differs(fault.to_string()))?;
        if outcome.receipt != event.receipt {
            return Err(differs("its receipt differs".to_owned()));
        }
        let bytes = entry.to_bytes().ok_or_else(|| {
            differs(format!("its entry would be longer than {ENTRY_BYTES_MAX} bytes"))
        })?;
        newest = newest.max(event.time);
        batch.push(event.time, bytes, outcome);
    }
    let note = key.checkpoint(batch.edge.size(), &batch.edge.root());
    let edge = batch.write(tx)?;
    tables::advance_checkpoint(tx, head.edge.size(), edge.size(), &note)?;
    tables::write_mirror(tx, &chain_events.chain, chain_events.next)?;
    Ok(Head { edge, time: newest })
}

fn append(
    batch: &mut Batch,
    id: &str,
    call: Call,
    time: Timestamp,
) -> Result<LedgerReceipt, LedgerError> {
    let outcome = decide(&call, &batch.overlay.values(&keys(&call)), time)?;
    let receipt = outcome.receipt.clone();
    let address = address(id, receipt.share());
    let position = if outcome.writes.is_empty() {
        batch.overlay.recorded(&call).ok_or_else(|| LedgerError::Corrupt {
            position: None,
            reason: "a repeated call has no record".to_owned(),
        })?
    } else {
        let entry = Entry::new(call, time).to_bytes().ok_or_else(|| Refusal::Malformed {
            detail: format!("its entry would be longer than {ENTRY_BYTES_MAX} bytes"),
        })?;
        batch.push(time, entry, outcome)
    };
    Ok(LedgerReceipt { address, position, receipt })
}
