//! A log that mirrors a chain: the chain decides, and the log holds just its events, in its order
//! and with its times.
//!
//! Users, audits and key servers read one kind of proof on every ledger, the log's; what makes it
//! the chain's word is that each key server compares the log with its own node before it cosigns
//! ([`crate::follower`]), and that every event is decided again by [`datapact_core::contract`]
//! before it is mirrored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datapact_core::contract::{AccessRecord, Call, Counter, Documents, ShareRecord};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_log::Position;
use datapact_store::{Db, Reader, StoreError};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::embedded::{ChainEvents, EmbeddedLedger};
use crate::port::{ContractState, Event, Ledger, LedgerError, LedgerInfo, LedgerReceipt};
use crate::tables;

/// The most events that are mirrored under one checkpoint.
const BATCH: usize = 256;
/// How long the mirror waits for the chain at a time.
const IDLE: Duration = Duration::from_secs(30);
/// How long it rests after a failure.
const REST: Duration = Duration::from_millis(500);
/// How long an answer waits for its mirror image.
const PATIENCE: Duration = Duration::from_secs(20);

/// A chain, with a log of all that it records. Positions are the log's.
pub struct MirroredLedger {
    chain: Arc<dyn Ledger>,
    log: Arc<EmbeddedLedger>,
    state: Arc<State>,
    task: AbortHandle,
}

struct State {
    /// The chain's position after the newest event mirrored.
    next: watch::Sender<Position>,
    /// Whether the log was compared with the chain: before that, nothing is executed.
    is_compared: watch::Sender<bool>,
    /// Why the mirror does not go on, if it does not.
    trouble: Mutex<Option<LedgerError>>,
}

impl State {
    fn trouble(&self) -> MutexGuard<'_, Option<LedgerError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MirroredLedger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MirroredLedger {
    /// Lets `log`, an empty one or a mirror of the very same chain, mirror `chain` until this is
    /// dropped.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] when the log is a ledger of its own or another chain's
    /// mirror.
    pub async fn open(
        chain: Arc<dyn Ledger>,
        log: Arc<EmbeddedLedger>,
    ) -> Result<Self, LedgerError> {
        let origin = chain.origin();
        let read = log.store().read(move |db| {
            let origin = chain_of(db, origin)?;
            let next = tables::mirror(db)?.map_or(0, |(_, next)| next);
            Ok::<_, LedgerError>((origin, next))
        });
        let (origin, next) = read.await?;
        let state = Arc::new(State {
            next: watch::Sender::new(next),
            is_compared: watch::Sender::new(false),
            trouble: Mutex::default(),
        });
        let mirror = Mirror {
            chain: Arc::clone(&chain),
            log: Arc::clone(&log),
            origin,
            state: Arc::clone(&state),
        };
        let task = tokio::spawn(mirror.run()).abort_handle();
        Ok(Self { chain, log, state, task })
    }

    /// Waits until the log was compared with the chain; fails when the chain does not hold it.
    async fn held(&self) -> Result<(), LedgerError> {
        let late = "the log was not compared with the chain yet";
        self.reached(self.state.is_compared.subscribe(), |is_compared| *is_compared, late).await?;
        match self.state.trouble().clone() {
            Some(error @ LedgerError::Corrupt { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until the chain's event at `position` is mirrored.
    async fn mirrored(&self, position: Position) -> Result<(), LedgerError> {
        let late = "it is on the chain, but the log does not hold it yet";
        self.reached(self.state.next.subscribe(), |next| *next > position, late).await
    }

    async fn reached<T>(
        &self,
        mut state: watch::Receiver<T>,
        is_reached: impl FnMut(&T) -> bool,
        late: &str,
    ) -> Result<(), LedgerError> {
        let wait = state.wait_for(is_reached);
        if tokio::time::timeout(PATIENCE, wait).await.is_ok_and(|seen| seen.is_ok()) {
            return Ok(());
        }
        Err(self
            .state
            .trouble()
            .clone()
            .unwrap_or_else(|| LedgerError::Unavailable(late.to_owned())))
    }
}

/// The name of the chain `origin`, after checking that the log in `db` is empty or that chain's
/// mirror.
pub(crate) fn chain_of(db: &Db, origin: String) -> Result<String, LedgerError> {
    match tables::mirror(db)? {
        Some((known, _)) if known == origin => Ok(origin),
        Some((known, _)) => Err(LedgerError::Misconfigured(format!(
            "the log in this data folder mirrors `{known}`, and `{origin}` is configured; \
             use a new data folder, or put the former ledger's configuration back"
        ))),
        None if tables::size(db)? == 0 => Ok(origin),
        None => Err(LedgerError::Misconfigured(format!(
            "the log in this data folder is a ledger itself, not a mirror of `{origin}`; \
             use a new data folder"
        ))),
    }
}

/// Checks that `chain` still holds the newest event of the log that `reader` reads: after a start
/// only this event can tell whether the past has changed meanwhile.
///
/// # Errors
/// [`LedgerError::Corrupt`] when it does not; [`LedgerError::Unavailable`] when the node has not
/// come as far.
pub(crate) async fn is_held(reader: &Reader, chain: &dyn Ledger) -> Result<(), LedgerError> {
    let read = reader.read(|db| {
        let mirror = tables::mirror(db)?;
        let newest = tables::events(db, tables::size(db)?.saturating_sub(1), 1)?.pop();
        // Statements of a reader do not see one state: another process may write between them.
        let is_settled = tables::mirror(db)? == mirror;
        Ok::<_, StoreError>((mirror, newest, is_settled))
    });
    let (mirror, ours, is_settled) = read.await?;
    let Some(at) = mirror.and_then(|(_, next)| next.checked_sub(1)) else { return Ok(()) };
    if !is_settled {
        let reason = "another process goes on with the mirror; it is compared again";
        return Err(LedgerError::Unavailable(reason.to_owned()));
    }
    if chain.head().await? <= at {
        let reason = "the node of the chain is behind: it lacks what was recorded before";
        return Err(LedgerError::Unavailable(reason.to_owned()));
    }
    let theirs = chain.events(at, 1).await?.into_iter().find(|event| event.position == at);
    let same =
        |ours: &Event, theirs: &Event| ours.receipt == theirs.receipt && ours.time == theirs.time;
    match (&ours, &theirs) {
        (Some(ours), Some(theirs)) if same(ours, theirs) => Ok(()),
        _ => Err(LedgerError::Corrupt {
            position: Some(at),
            reason: "the chain does not hold any more what it had recorded as final: it was \
                     reorganised deeper than the confirmations configured, or the node is of \
                     another chain. Nothing is recorded or released until it holds that again"
                .to_owned(),
        }),
    }
}

/// Checks that the log in `db` mirrors no chain.
///
/// # Errors
/// [`LedgerError::Misconfigured`] when it does.
pub fn is_none(db: &Db) -> Result<(), LedgerError> {
    match tables::mirror(db)? {
        None => Ok(()),
        Some((known, _)) => Err(LedgerError::Misconfigured(format!(
            "the log in this data folder mirrors `{known}`, and no chain is configured; \
             put its `ledger.toml` back"
        ))),
    }
}

/// The task that mirrors.
struct Mirror {
    chain: Arc<dyn Ledger>,
    log: Arc<EmbeddedLedger>,
    origin: String,
    state: Arc<State>,
}

impl Mirror {
    async fn run(self) {
        let mut compared = false;
        let mut logged = None;
        loop {
            let outcome = self.step(&mut compared).await;
            let trouble = outcome.as_ref().err().map(ToString::to_string);
            if let Some(why) = &trouble
                && trouble != logged
            {
                tracing::error!(why, "the chain cannot be mirrored; trying again");
            }
            logged = trouble;
            let failed = outcome.is_err();
            let is_corrupt = matches!(outcome, Err(LedgerError::Corrupt { .. }));
            *self.state.trouble() = outcome.err();
            if is_corrupt {
                self.state.is_compared.send_replace(true);
            }
            if failed {
                // The chain is asked again, and its state compared, after whatever happened to it.
                compared = false;
                tokio::time::sleep(REST).await;
            }
        }
    }

    async fn step(&self, compared: &mut bool) -> Result<(), LedgerError> {
        if !*compared {
            // Another process may have mirrored more meanwhile.
            let mirrored = self.log.store().read(tables::mirror).await?.map_or(0, |(_, next)| next);
            self.state
                .next
                .send_if_modified(|next| std::mem::replace(next, mirrored.max(*next)) < mirrored);
            is_held(self.log.store().reader(), self.chain.as_ref()).await?;
            *compared = true;
            *self.state.trouble() = None;
            self.state.is_compared.send_replace(true);
        }
        let next = *self.state.next.borrow();
        let events = self.chain.events(next, BATCH).await?;
        let Some(last) = events.last() else {
            return self.chain.wait(next, IDLE).await.map(drop);
        };
        let next = last.position + 1;
        self.log.mirror(ChainEvents { chain: self.origin.clone(), events, next }).await?;
        self.state.next.send_replace(next);
        Ok(())
    }
}

#[async_trait]
impl ContractState for MirroredLedger {
    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        self.log.share(share).await
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        self.log.access(request).await
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        self.log.counter(share, consumer).await
    }

    fn address(&self, share: &ShareId) -> String {
        self.chain.address(share)
    }
}

#[async_trait]
impl Ledger for MirroredLedger {
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        self.held().await?;
        let LedgerReceipt { address, position, receipt } =
            self.chain.execute(call, documents).await?;
        self.mirrored(position).await?;
        let sought = receipt.clone();
        let read = self.log.store().read(move |db| tables::position_of(db, &sought));
        let mirrored = read.await?;
        let lost = || LedgerError::Corrupt {
            position: Some(position),
            reason: "what the chain has recorded is not in its mirror".to_owned(),
        };
        Ok(LedgerReceipt { address, position: mirrored.ok_or_else(lost)?, receipt })
    }

    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        self.log.events(from, max).await
    }

    async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError> {
        self.log.wait(from, timeout).await
    }

    async fn head(&self) -> Result<Position, LedgerError> {
        if let Some(trouble) = self.state.trouble().clone() {
            return Err(trouble);
        }
        self.held().await?;
        self.chain.head().await?;
        self.log.head().await
    }

    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        let log = self.log.info().await?;
        Ok(LedgerInfo {
            kind: self.chain.kind().to_owned(),
            contract: Some(self.chain.origin()),
            ..log
        })
    }

    fn kind(&self) -> &str {
        self.chain.kind()
    }

    fn origin(&self) -> String {
        self.chain.origin()
    }
}
