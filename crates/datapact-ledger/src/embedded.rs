//! The embedded ledger: a transparency log (C2SP tlog-tiles) in management's own database.
//!
//! One task decides calls, up to [`BATCH_MAX`] in one transaction under one checkpoint; who called
//! is answered after the commit. So a checkpoint is durable before anybody sees it, and the log
//! never signs two that contradict.
//!
//! Several processes with the same key may have such a task on one PostgreSQL database: the store
//! lets one transaction write at a time, each begins with what the log is by then, and a checkpoint
//! is only written after its predecessor.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datapact_core::contract::{
    AccessRecord, CLOCK_SKEW_SECONDS_MAX, CONTRACT_VERSION, Call, CheckError, Counter, Documents,
    Refusal, ShareRecord, check, decide, keys,
};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use sea_orm::ConnectionTrait;
use tokio::sync::{mpsc, oneshot, watch};

use crate::port::{Event, Ledger, LedgerError, LedgerInfo, LedgerReceipt, TrustSource};
use crate::store::{BATCH_MAX, Store};
use crate::tables::{self, Batch, Overlay};
use datapact_log::Position;
use datapact_log::clock::Clock;
use datapact_log::entry::{DISORDER_SECONDS_MAX, ENTRY_BYTES_MAX, Entry};
use datapact_log::note::{Checkpoint, KeyKind, SigningKey, VerifyingKey};
use datapact_log::path::Resource;
use datapact_log::proof::Proof;
use datapact_log::source::{LogSource, SourceError};
use datapact_log::tree::Edge;

/// How often a process looks for what others have added to a database that they share.
const SHARED_POLL: Duration = Duration::from_millis(50);
/// How long it rests when the database is away.
const SHARED_REST: Duration = Duration::from_secs(1);

/// What an embedded ledger is made of, besides its [`Store`] (opened with [`tables::MIGRATIONS`]).
pub struct EmbeddedConfig {
    /// Signs the checkpoints; its name is the ledger's id.
    pub key: SigningKey,
    /// Whose cosignatures are taken.
    pub witnesses: Vec<VerifyingKey>,
    /// Who certifies the signers of documents.
    pub trust: Arc<dyn TrustSource>,
    /// Gives entries their time.
    pub clock: Clock,
}

/// A ledger in a database of its own machine.
pub struct EmbeddedLedger {
    store: Store,
    key: Arc<SigningKey>,
    witnesses: Vec<VerifyingKey>,
    trust: Arc<dyn TrustSource>,
    clock: Clock,
    jobs: mpsc::Sender<Job>,
    kept: Arc<Kept>,
    states: tables::States,
    size: watch::Receiver<u64>,
    cosigned: watch::Sender<u64>,
}

enum Job {
    /// Decide a call and append it.
    Call(Box<Pending>),
    /// Append what another ledger has decided.
    Record { recorded: Recorded, reply: oneshot::Sender<Result<(), LedgerError>> },
}

/// Events of the chain that this log is the mirror of.
pub(crate) struct Recorded {
    /// The chain.
    pub(crate) chain: String,
    /// In its order.
    pub(crate) events: Vec<Event>,
    /// The chain's position behind them.
    pub(crate) next: Position,
}

struct Pending {
    call: Call,
    reply: oneshot::Sender<Result<LedgerReceipt, LedgerError>>,
}

impl EmbeddedLedger {
    /// Opens the ledger that `store` holds, or begins an empty one, and checks that its tree is the
    /// one last signed.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] when the key is not the one that signed it;
    /// [`LedgerError::Corrupt`] when the tree is not what was signed.
    pub async fn open(store: Store, config: EmbeddedConfig) -> Result<Self, LedgerError> {
        let key = Arc::new(config.key);
        if key.public().kind() != KeyKind::Log
            || config.witnesses.iter().any(|w| w.kind() != KeyKind::Witness)
        {
            return Err(LedgerError::Misconfigured(
                "the log's key must be a log key, and each witness's a witness key".to_owned(),
            ));
        }
        let of_job = Arc::clone(&key);
        let head = store
            .write(move |tx| Box::pin(async move { Head::begin_or_load(tx, &of_job).await }))
            .await?;
        let on = store.read();
        let cosigned = tables::cosigned_size(on).await?.unwrap_or(0);
        let (jobs, queue) = mpsc::channel(4 * BATCH_MAX);
        let (grown, size) = watch::channel(head.edge.size());
        let cosigned = watch::Sender::new(cosigned);
        if store.location().is_shared() {
            tokio::spawn(watch_others(store.clone(), grown.clone(), cosigned.clone()));
        }
        let kept = Arc::new(Kept { head: Mutex::new(head), grown });
        let decider = Decider {
            store: store.clone(),
            key: Arc::clone(&key),
            clock: Arc::clone(&config.clock),
            kept: Arc::clone(&kept),
        };
        tokio::spawn(decider.run(queue));
        Ok(Self {
            states: tables::states(&store),
            store,
            kept,
            key,
            witnesses: config.witnesses,
            trust: config.trust,
            clock: config.clock,
            jobs,
            size,
            cosigned,
        })
    }

    /// The ledger's id.
    pub fn id(&self) -> &str {
        self.key.public().name()
    }

    /// One of the log's public resources (C2SP tlog-tiles): `checkpoint`, `tile/L/N[.p/W]`,
    /// `tile/entries/N[.p/W]`; also `checkpoint/cosigned`, the newest that a witness has cosigned.
    /// None when there is no such.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        match Resource::parse(path) {
            Some(resource) => Ok(tables::resource(self.store.read(), resource).await?),
            None => Ok(None),
        }
    }

    /// How many entries the log has, as far as this process knows.
    pub fn size(&self) -> u64 {
        *self.size.borrow()
    }

    /// Waits until the log has more than `size` entries; false when it has not after `timeout`.
    pub async fn wait_newer(&self, size: u64, timeout: Duration) -> Result<bool, LedgerError> {
        wait_for(self.size.clone(), timeout, move |now| now > size).await
    }

    /// Takes a checkpoint with cosignatures back from a witness, and keeps those of configured
    /// witnesses. The checkpoint must be one that this log has signed.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] when it holds no cosignature by a configured witness, or a
    /// false one.
    pub async fn add_cosignature(&self, note: &[u8]) -> Result<(), LedgerError> {
        let refused =
            |why: String| LedgerError::Misconfigured(format!("the cosignature is refused: {why}"));
        let checkpoint = Checkpoint::open(note, self.key.public(), &self.witnesses)
            .map_err(|e| refused(e.to_string()))?;
        let size = checkpoint.size();
        let ours = tables::checkpoint(self.store.read(), size).await?;
        let ours =
            ours.and_then(|note| Checkpoint::open(note.as_bytes(), self.key.public(), &[]).ok());
        if ours.is_none_or(|ours| ours.root() != checkpoint.root()) {
            return Err(refused("this log has not signed that checkpoint".to_owned()));
        }
        if checkpoint.cosignatures().is_empty() {
            return Err(refused("it is of no configured witness".to_owned()));
        }
        let lines: Vec<(String, String)> = checkpoint
            .cosignatures()
            .iter()
            .map(|(key, line)| (key.to_string(), line.clone()))
            .collect();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    for (witness, line) in &lines {
                        tables::write_cosignature(tx, size, witness, line).await?;
                    }
                    Ok::<_, LedgerError>(())
                })
            })
            .await?;
        raise(&self.cosigned, size);
        Ok(())
    }

    /// Waits until a witness has cosigned a checkpoint that covers `position`; false when none has
    /// after `timeout`.
    pub async fn wait_cosigned(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<bool, LedgerError> {
        wait_for(self.cosigned.subscribe(), timeout, move |size| size > position).await
    }

    /// The proof that the log holds the entry at `position`: under a cosigned checkpoint where one
    /// covers it, else under the newest checkpoint. None when there is no such entry. Witnesses
    /// cosign what is newest when they look, not all of them the same; so the checkpoint is the one
    /// that most of them have cosigned lately.
    pub async fn proof(&self, position: Position) -> Result<Option<Proof>, LedgerError> {
        let on = self.store.read();
        let size = match tables::best_cosigned_size(on, position).await? {
            Some(size) => size,
            None => tables::newest_size(on).await?.unwrap_or(0),
        };
        Ok(tables::proof(on, position, size).await?)
    }

    async fn is_recorded(&self, call: &Call) -> Result<bool, LedgerError> {
        let overlay = Overlay::load(self.store.read(), keys(call)).await?;
        let outcome = decide(call, &overlay.values(&keys(call)), (self.clock)());
        Ok(outcome.is_ok_and(|outcome| outcome.writes.is_empty()))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Appends what a chain has decided, after deciding it again: what this contract would not have
    /// granted just so is no mirror's to hold.
    pub(crate) async fn record(&self, recorded: Recorded) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Record { recorded, reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Decides `calls` in a job of this log's own store, and appends what is granted, so that what
    /// follows from it is written by the same job. Whoever calls has checked the documents
    /// ([`datapact_core::contract::check`]), and says by [`EmbeddedLedger::committed`] when it is
    /// durable.
    ///
    /// # Errors
    /// As [`Ledger::execute`], for all of them; the answers hold what is refused of each.
    pub async fn decide_in(
        &self,
        job: &impl ConnectionTrait,
        calls: Vec<Call>,
    ) -> Result<(Decided, Answers), LedgerError> {
        decide_all(job, self.kept.head(), &self.key, calls, &self.clock).await
    }

    /// What was decided is durable: whoever waits for new entries hears of them.
    pub fn committed(&self, decided: &Decided) {
        self.kept.committed(&decided.head);
    }

    /// The bytes of the entry at `position`.
    pub async fn entry(&self, position: Position) -> Result<Option<Vec<u8>>, LedgerError> {
        if i64::try_from(position).is_err() {
            return Ok(None);
        }
        Ok(tables::entries(self.store.read(), position, 1).await?.pop())
    }
}

/// Sets what is watched to `value`, unless it is larger already.
fn raise(watched: &watch::Sender<u64>, value: u64) {
    watched.send_if_modified(|newest| std::mem::replace(newest, value.max(*newest)) < value);
}

/// Tells this process of entries and cosignatures that came by others, until the ledger is dropped.
async fn watch_others(store: Store, grown: watch::Sender<u64>, cosigned: watch::Sender<u64>) {
    while !grown.is_closed() {
        match tables::sizes(store.read()).await {
            Ok((newest, newest_cosigned)) => {
                raise(&grown, newest);
                raise(&cosigned, newest_cosigned);
                tokio::time::sleep(SHARED_POLL).await;
            }
            Err(_) => tokio::time::sleep(SHARED_REST).await,
        }
    }
}

async fn wait_for(
    mut watch: watch::Receiver<u64>,
    timeout: Duration,
    met: impl Fn(u64) -> bool,
) -> Result<bool, LedgerError> {
    match tokio::time::timeout(timeout, watch.wait_for(|now| met(*now))).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(_)) => Err(ended()),
        Err(_) => Ok(false),
    }
}

fn ended() -> LedgerError {
    LedgerError::Unavailable("its writer has ended".to_owned())
}

/// The address of a share's contract on the embedded ledger `id`.
pub(crate) fn address(id: &str, share: &ShareId) -> String {
    format!("datapact:{id}/{share}")
}

#[async_trait]
impl LogSource for EmbeddedLedger {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        self.read(path).await.map_err(|e| SourceError(e.to_string()))
    }

    async fn wait_newer(&self, size: u64, timeout: Duration) -> Result<(), SourceError> {
        let waited = EmbeddedLedger::wait_newer(self, size, timeout).await;
        waited.map(|_| ()).map_err(|e| SourceError(e.to_string()))
    }
}

#[async_trait]
impl Ledger for EmbeddedLedger {
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        match check(call, documents, &self.trust.trust(), self.id(), (self.clock)()) {
            // A repeat after a lost answer or a crash may come late.
            Err(CheckError::Stale { .. }) if self.is_recorded(call).await? => {}
            checked => checked?,
        }
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Call(Box::new(Pending { call: call.clone(), reply })))
            .await
            .map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        Ok(tables::share(self.store.read(), share).await?)
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        Ok(tables::access(self.store.read(), request).await?)
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        Ok(tables::counter(self.store.read(), share, consumer).await?)
    }

    async fn standing(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<(Option<ShareRecord>, Counter), LedgerError> {
        Ok(tables::standing(&self.states, share, consumer).await?)
    }

    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        Ok(tables::events(self.store.read(), from, max).await?)
    }

    async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError> {
        self.wait_newer(from, timeout).await
    }

    async fn head(&self) -> Result<Position, LedgerError> {
        Ok(tables::newest_size(self.store.read()).await?.unwrap_or(0))
    }

    async fn verify(&self, receipt: &LedgerReceipt) -> Result<bool, LedgerError> {
        let found = tables::events(self.store.read(), receipt.position, 1).await?;
        let share = receipt.receipt.share();
        Ok(receipt.address == self.address(share)
            && found
                .first()
                .is_some_and(|e| e.position == receipt.position && e.receipt == receipt.receipt))
    }

    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        Ok(LedgerInfo {
            kind: self.kind().to_owned(),
            id: self.id().to_owned(),
            contract_version: CONTRACT_VERSION,
            size: tables::newest_size(self.store.read()).await?.unwrap_or(0),
            contract: None,
            log_key: Some(self.key.public().to_string()),
            witness_keys: self.witnesses.iter().map(ToString::to_string).collect(),
        })
    }

    fn kind(&self) -> &str {
        "embedded"
    }

    fn origin(&self) -> String {
        self.id().to_owned()
    }

    fn address(&self, share: &ShareId) -> String {
        address(self.id(), share)
    }
}

/// What the log is after its newest entry.
#[derive(Clone)]
struct Head {
    edge: Edge,
    /// The time of the newest entry.
    time: Timestamp,
}

impl Head {
    /// What the tables hold, which must be what was signed; an empty log if they hold nothing.
    async fn begin_or_load(
        tx: &impl ConnectionTrait,
        key: &SigningKey,
    ) -> Result<Self, LedgerError> {
        let Some(size) = tables::newest_size(tx).await? else {
            let edge = Edge::default();
            tables::write_checkpoint(tx, 0, &key.checkpoint(0, &edge.root())).await?;
            return Ok(Self { edge, time: 0 });
        };
        let note = tables::checkpoint(tx, size).await?.unwrap_or_default();
        let signed = Checkpoint::open(note.as_bytes(), key.public(), &[]).map_err(|error| {
            LedgerError::Misconfigured(format!(
                "the ledger in this database is of another key: {error}"
            ))
        })?;
        let edge = tables::edge(tx, size).await?;
        if edge.root() != *signed.root() || !tables::entries(tx, size, 1).await?.is_empty() {
            let reason = format!(
                "the tree of {size} entries is not the one that was signed; restore a backup"
            );
            return Err(LedgerError::Corrupt { position: None, reason });
        }
        Ok(Self { edge, time: tables::newest_time(tx).await? })
    }

    /// This one, if nobody has added anything since; otherwise what the tables hold. Nobody else
    /// adds anything before `tx` ends.
    async fn current(
        self,
        tx: &impl ConnectionTrait,
        key: &SigningKey,
    ) -> Result<Self, LedgerError> {
        if tables::newest_size(tx).await? == Some(self.edge.size()) {
            return Ok(self);
        }
        Self::begin_or_load(tx, key).await
    }
}

/// What this process knows of the log; the tables may be ahead of it.
struct Kept {
    head: Mutex<Head>,
    grown: watch::Sender<u64>,
}

impl Kept {
    fn head(&self) -> Head {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was written is durable.
    fn committed(&self, head: &Head) {
        let size = head.edge.size();
        let mut kept = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if size > kept.edge.size() {
            *kept = head.clone();
        }
        drop(kept);
        raise(&self.grown, size);
    }
}

/// The task that appends what comes by the port, or from a chain.
struct Decider {
    store: Store,
    key: Arc<SigningKey>,
    clock: Clock,
    kept: Arc<Kept>,
}

/// What became of calls, in their order.
pub type Answers = Vec<Result<LedgerReceipt, LedgerError>>;

/// What [`EmbeddedLedger::decide_in`] has written.
pub struct Decided {
    /// How many entries there were before: what is at this position or behind it is new.
    pub before: u64,
    head: Head,
}

impl Decided {
    /// The time of the entries that are new.
    pub fn time(&self) -> Timestamp {
        self.head.time
    }
}

impl Decider {
    async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        let mut pending = Vec::with_capacity(BATCH_MAX);
        while queue.recv_many(&mut jobs, BATCH_MAX).await > 0 {
            for job in jobs.drain(..) {
                match job {
                    Job::Call(call) => pending.push(*call),
                    Job::Record { recorded, reply } => {
                        let _ = reply.send(self.record(recorded).await);
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

    /// Appends `recorded`, with the times that the chain gave it, under one checkpoint.
    async fn record(&self, recorded: Recorded) -> Result<(), LedgerError> {
        let (kept, key) = (Arc::clone(&self.kept), Arc::clone(&self.key));
        let written = self.store.write(move |tx| {
            Box::pin(async move { record_all(tx, kept.head(), &key, recorded).await })
        });
        self.kept.committed(&written.await?);
        Ok(())
    }

    /// Decides `calls` one after the other and makes what was granted durable, all under one
    /// checkpoint.
    async fn decide(&self, calls: Vec<Call>) -> Result<Answers, LedgerError> {
        let (kept, key, clock) =
            (Arc::clone(&self.kept), Arc::clone(&self.key), Arc::clone(&self.clock));
        let (decided, answers) = self
            .store
            .write(move |tx| {
                Box::pin(async move { decide_all(tx, kept.head(), &key, calls, &clock).await })
            })
            .await?;
        self.kept.committed(&decided.head);
        Ok(answers)
    }
}

async fn decide_all(
    tx: &impl ConnectionTrait,
    head: Head,
    key: &SigningKey,
    calls: Vec<Call>,
    clock: &Clock,
) -> Result<(Decided, Answers), LedgerError> {
    let head = head.current(tx, key).await?;
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
    let overlay = Overlay::load(tx, calls.iter().flat_map(keys)).await?;
    let mut batch = Batch::new(head.edge.clone(), overlay);
    let answers: Answers =
        calls.into_iter().map(|call| append(&mut batch, key.public().name(), call, time)).collect();
    if batch.is_empty() {
        return Ok((Decided { before, head }, answers));
    }
    let note = key.checkpoint(batch.edge.size(), &batch.edge.root());
    let edge = batch.write(tx).await?;
    tables::advance_checkpoint(tx, before, edge.size(), &note).await?;
    Ok((Decided { before, head: Head { edge, time } }, answers))
}

async fn record_all(
    tx: &impl ConnectionTrait,
    head: Head,
    key: &SigningKey,
    recorded: Recorded,
) -> Result<Head, LedgerError> {
    let head = head.current(tx, key).await?;
    let mut events = recorded.events;
    // Another process may have mirrored some of them meanwhile.
    if let Some((chain, next)) = tables::mirror(tx).await?
        && chain == recorded.chain
    {
        events.retain(|event| event.position >= next);
    }
    if events.is_empty() {
        return Ok(head);
    }
    let calls: Vec<Call> = events.iter().map(|event| event.receipt.call()).collect();
    let overlay = Overlay::load(tx, calls.iter().flat_map(keys)).await?;
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
            return Err(differs("its receipt is another".to_owned()));
        }
        let bytes = entry.to_bytes().ok_or_else(|| {
            differs(format!("its entry would be longer than {ENTRY_BYTES_MAX} bytes"))
        })?;
        newest = newest.max(event.time);
        batch.push(event.time, bytes, outcome);
    }
    let note = key.checkpoint(batch.edge.size(), &batch.edge.root());
    let edge = batch.write(tx).await?;
    tables::advance_checkpoint(tx, head.edge.size(), edge.size(), &note).await?;
    tables::write_mirror(tx, &recorded.chain, recorded.next).await?;
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
