//! Executing calls on the ledger, and applying what it records (SH-8, SH-9, AX-4). This folder
//! alone executes, and knows the cursor up to which events are applied; services ask it.
//!
//! Architecture invariants: a call to a chain is stored as an intent before it is executed; what
//! users read is applied by the one projector, from the cursor, in one transaction; on the embedded
//! ledger entry and projection are one transaction ([`batch`]).

mod batch;
mod cursor;
pub(super) mod intent;
mod projector;
#[cfg(test)]
mod tests;
mod working;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use datapact_api::gate::Source;
use datapact_api::problem::{Kind, Problem};
use datapact_core::commitment::Opening;
use datapact_core::contract::{AccessRecord, Call, Counter, Documents, ShareRecord, check};
use datapact_core::document::Body;
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::trust::Trust;
use datapact_ledger::embedded::EmbeddedLedger;
use datapact_ledger::port::LedgerInfo;
use datapact_ledger::{Ledger, LedgerError, LedgerReceipt};
use datapact_log::Position;
use datapact_log::clock::Clock;
use datapact_store::{Db, Migration, Store, StoreError, Tx};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) use self::cursor::Cursor;
use self::cursor::Progress;
use self::intent::State;
pub(super) use self::projector::DocumentedEvent;
use self::working::{DocumentLocks, DocumentsInMemory};
use super::base::Base;
use super::failure::Result;

/// The tables of this folder.
pub(super) const SCHEMA: Migration =
    Migration { module: "submit", version: 1, sql: include_str!("schema_1.sql") };

/// How long an answer waits for its projection.
const PROJECTION_TIMEOUT: Duration = Duration::from_secs(20);

/// A call to be executed. Its documents were checked.
pub(super) struct Submission {
    /// The document that the call is made for.
    pub(super) id: Digest,
    pub(super) call: Call,
    pub(super) documents: Arc<Documents>,
    /// The consumer's opening, if its salt was just drawn and is not stored yet.
    pub(super) drawn: Option<Opening>,
}

impl Submission {
    /// Who signed the document.
    pub(super) fn signer(&self) -> &Identity {
        match &*self.documents {
            Documents::Policy { policy, .. } => policy.signer(),
            Documents::Access { request, .. } => request.signer(),
            Documents::Usage { report, .. } => report.signer(),
        }
    }
}

/// What became of a call that was executed.
pub(super) enum Executed {
    /// It is on the ledger and applied: now, with this receipt, or before.
    Applied(Option<Box<LedgerReceipt>>),
    /// Another salt was drawn for the consumer in the meantime: build the call again with that one.
    SaltTaken,
}

/// What follows from the ledger's events: in the tables that users read, which other nouns have.
pub(super) trait Projection: Send + Sync {
    /// Applies events in their order. The numbers that it gives out follow those in `cursor`, which
    /// has the last ones then.
    fn apply(
        &self,
        tx: &Tx,
        cursor: &mut Cursor,
        events: Vec<DocumentedEvent>,
        now: Timestamp,
    ) -> Result<()>;

    /// The documents whose calls have been applied.
    fn applied(&self, db: &Db, submissions: &[Submission]) -> Result<HashSet<Digest>>;

    /// The signers whose accounts are not active: one may have been disabled while its call waited.
    fn inactive(&self, db: &Db, submissions: &[Submission]) -> Result<HashSet<Identity>>;
}

/// Executes calls on the ledger, and knows up to where its events are applied.
pub(super) struct Submit {
    store: Store,
    trust: Source<Trust>,
    clock: Clock,
    /// Decides and records.
    ledger: Arc<dyn Ledger>,
    /// The log: the ledger itself where that is embedded, else the mirror of the chain.
    log: Arc<EmbeddedLedger>,
    projection: Arc<dyn Projection>,
    path: Path,
    locks: DocumentLocks,
    in_memory: DocumentsInMemory,
    progress: Progress,
}

/// How a call gets to the ledger.
enum Path {
    /// The ledger is in the same database: one transaction.
    Batch(batch::Batch),
    /// It is elsewhere: an intent is stored first.
    Intents(intent::Intents),
}

impl Submit {
    /// Reads the cursor. Nothing is executed or applied before [`Submit::start`].
    pub(super) async fn open(
        base: &Base,
        log: Arc<EmbeddedLedger>,
        ledger: Arc<dyn Ledger>,
        projection: Arc<dyn Projection>,
    ) -> std::result::Result<Arc<Self>, StoreError> {
        let Base { store, clock, trust, .. } = base.clone();
        let cursor = store.read(Cursor::read).await?;
        let path = if std::ptr::addr_eq(Arc::as_ptr(&ledger), Arc::as_ptr(&log)) {
            let (log, projection) = (Arc::clone(&log), Arc::clone(&projection));
            Path::Batch(batch::batch(store.clone(), log, projection, Arc::clone(&clock)))
        } else {
            Path::Intents(intent::intents(store.clone(), Arc::clone(&projection)))
        };
        Ok(Arc::new(Self {
            store,
            trust,
            clock,
            ledger,
            log,
            projection,
            path,
            locks: DocumentLocks::default(),
            in_memory: DocumentsInMemory::default(),
            progress: Progress::at(cursor),
        }))
    }

    /// Starts to apply events and to execute what is left open. With an embedded ledger, this
    /// returns when what a crash interrupted is executed. A chain may be away for long, and only
    /// the calls that need it wait for it.
    ///
    /// # Errors
    /// The database's; nothing is running then.
    pub(super) async fn start(self: &Arc<Self>) -> Result<Vec<JoinHandle<()>>> {
        let projector = tokio::spawn(projector::project(Arc::clone(self)));
        let is_chain = self.kind() != "embedded";
        if !is_chain && let Err(failure) = self.recover().await {
            projector.abort();
            return Err(failure);
        }
        Ok(vec![projector, tokio::spawn(Arc::clone(self).retry_open(is_chain))])
    }

    /// Executes a call and waits until it is applied. A repeat of a call under way waits for the
    /// first; an open intent of the same document is executed as it was stored.
    ///
    /// # Errors
    /// The ledger's refusal, which leaves no intent; or unavailability, after which a repeat
    /// completes the call.
    pub(super) async fn execute(self: &Arc<Self>, submission: Submission) -> Result<Executed> {
        let submit = Arc::clone(self);
        // A client that hangs up does not stop what was begun.
        let work = tokio::spawn(async move {
            let id = submission.id;
            let lock = submit.locks.of(id)?;
            let _working = lock.lock().await;
            match &submit.path {
                Path::Batch(batch) => submit.announce(batch.ask(submission).await?).await,
                Path::Intents(intents) => match intents.ask(submission).await? {
                    State::Open(intent) => {
                        let receipt = submit.record(id, &intent.0, &intent.1).await?;
                        Ok(Executed::Applied(Some(Box::new(receipt))))
                    }
                    State::Applied => Ok(Executed::Applied(None)),
                    State::SaltTaken => Ok(Executed::SaltTaken),
                },
            }
        });
        work.await.map_err(|e| Problem::internal(format!("a task ended: {e}")))?
    }

    /// Has the ledger record a call whose intent is stored, and waits until it is applied.
    async fn record(
        &self,
        id: Digest,
        call: &Call,
        documents: &Arc<Documents>,
    ) -> Result<LedgerReceipt> {
        let _held = self.in_memory.hold(id, documents);
        match self.ledger.execute(call, documents).await {
            Ok(receipt) => self.wait_applied(receipt.position).await.map(|()| receipt),
            Err(error @ (LedgerError::Refused(_) | LedgerError::Check(_))) => {
                self.forget(id).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the projector has applied `position`.
    async fn wait_applied(&self, position: Position) -> Result<()> {
        let mut next = self.progress.watch_next();
        let wait = next.wait_for(|next| *next > position);
        match tokio::time::timeout(PROJECTION_TIMEOUT, wait).await {
            Ok(Ok(_)) => Ok(()),
            _ => {
                let detail = "it is on the ledger, but management has not processed it yet";
                let problem = Problem::new(Kind::Unavailable, detail);
                Err(problem.hint("repeat the same call in a moment").into())
            }
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Checks that a trusted CA certifies the signer of `document`, and that it is for this ledger.
    pub(super) fn verify<B: Body>(&self, document: &Signed<B>) -> Result<()> {
        Ok(document.verify(&(self.trust)(), self.ledger_id(), self.now())?)
    }

    /// Checks that `documents` are what `call` says, as the ledger will.
    pub(super) fn check(&self, call: &Call, documents: &Documents) -> Result<()> {
        Ok(check(call, documents, &(self.trust)(), self.ledger_id(), self.now())?)
    }

    /// The newest policy of a share.
    pub(super) async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>> {
        Ok(self.ledger.share(share).await?)
    }

    /// A granted access and its position, by the request's document id.
    pub(super) async fn access(&self, id: &Digest) -> Result<Option<(Position, AccessRecord)>> {
        Ok(self.ledger.access(id).await?)
    }

    /// How many accesses a consumer was granted on a share.
    pub(super) async fn counter(&self, share: &ShareId, of: &Commitment) -> Result<Counter> {
        Ok(self.ledger.counter(share, of).await?)
    }

    /// The newest policy of a share, and how many accesses a consumer was granted on it.
    pub(super) async fn standing(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<(Option<ShareRecord>, Counter)> {
        Ok(self.ledger.standing(share, consumer).await?)
    }

    /// The contract address of a share.
    pub(super) fn address(&self, share: &ShareId) -> String {
        self.ledger.address(share)
    }

    /// The ledger's id: the audience of every document that it records.
    pub(super) fn ledger_id(&self) -> &str {
        self.log.id()
    }

    /// `embedded`, or the kind of chain.
    pub(super) fn kind(&self) -> &str {
        self.ledger.kind()
    }

    /// What the ledger is, for people and for enrolment.
    pub(super) async fn info(&self) -> Result<LedgerInfo> {
        Ok(self.ledger.info().await?)
    }

    /// The number of the newest publication, to wait for.
    pub(super) fn published(&self) -> watch::Receiver<u64> {
        self.progress.watch_published()
    }

    /// By how many positions the projection is behind the ledger.
    pub(super) async fn lag(&self) -> Result<u64> {
        let head = self.ledger.head().await?;
        Ok(head.saturating_sub(self.progress.next()))
    }

    /// Why the ledger's events cannot be applied, if so.
    pub(super) fn stuck(&self) -> Option<String> {
        self.progress.stuck()
    }
}
