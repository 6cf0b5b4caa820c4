//! The embedded ledger: a transparency log (C2SP tlog-tiles) in management's own database.
//!
//! One task decides calls, up to [`BATCH_MAX`] in one transaction under one checkpoint; callers
//! are answered after the commit. So a checkpoint is durable before anybody sees it, and the log
//! never signs two that contradict.
//!
//! Several processes with the same key may have such a task on one PostgreSQL database: the store
//! lets one transaction write at a time, each begins with what the log is by then, and a checkpoint
//! is only written after its predecessor.

mod decide;
mod head;
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use datapact_core::contract::{Call, decide, keys};
use datapact_core::id::ShareId;
use datapact_log::Position;
use datapact_log::clock::Clock;
use datapact_log::note::{Checkpoint, KeyKind, SigningKey, VerifyingKey};
use datapact_log::path::Resource;
use datapact_log::proof::Proof;
use datapact_log::tree::Hash;
use datapact_store::{BATCH_MAX, Store, Tx};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use decide::ChainEvents;
pub use decide::{Answers, Decided};
use decide::{Decider, Job, decide_all};
use head::{Head, NewestHead, raise};

use crate::port::{LedgerError, TrustSource};
use crate::tables::{self, Overlay};

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
    newest: Arc<NewestHead>,
    states: tables::States,
    size: watch::Receiver<u64>,
    cosigned: watch::Sender<u64>,
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
        let head = store.write(move |tx| Head::begin_or_load(tx, &of_job)).await?;
        let cosigned = store.read(tables::cosigned_size).await?.unwrap_or(0);
        let (jobs, queue) = mpsc::channel(4 * BATCH_MAX);
        let (grown, size) = watch::channel(head.edge.size());
        let cosigned = watch::Sender::new(cosigned);
        if store.location().is_shared() {
            tokio::spawn(watch_others(store.clone(), grown.clone(), cosigned.clone()));
        }
        let newest = Arc::new(NewestHead::new(head, grown));
        let decider = Decider {
            store: store.clone(),
            key: Arc::clone(&key),
            clock: Arc::clone(&config.clock),
            newest: Arc::clone(&newest),
        };
        tokio::spawn(decider.run(queue));
        Ok(Self {
            states: tables::states(&store),
            store,
            newest,
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
            Some(of) => Ok(self.store.read(move |db| tables::resource(db, of)).await?),
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
        let ours = self.store.read(move |db| tables::checkpoint(db, size)).await?;
        let ours =
            ours.and_then(|note| Checkpoint::open(note.as_bytes(), self.key.public(), &[]).ok());
        if ours.is_none_or(|ours| ours.root() != checkpoint.root()) {
            return Err(refused("this log has not signed that checkpoint".to_owned()));
        }
        if checkpoint.cosignatures().is_empty() {
            return Err(refused("no configured witness has signed it".to_owned()));
        }
        let lines: Vec<(String, String)> = checkpoint
            .cosignatures()
            .iter()
            .map(|(key, line)| (key.to_string(), line.clone()))
            .collect();
        let written = self.store.write(move |tx| {
            lines
                .iter()
                .try_for_each(|(witness, line)| tables::write_cosignature(tx, size, witness, line))
        });
        written.await?;
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
        let read = self.store.read(move |db| {
            let size = match tables::best_cosigned_size(db, position)? {
                Some(size) => size,
                None => tables::newest_size(db)?.unwrap_or(0),
            };
            tables::proof(db, position, size)
        });
        Ok(read.await?)
    }

    /// The newest checkpoint, or the newest that a witness has cosigned; none before the first.
    pub async fn newest(&self, cosigned: bool) -> Result<Option<Checkpoint>, LedgerError> {
        let of = if cosigned { Resource::Cosigned } else { Resource::Checkpoint };
        let note = self.store.read(move |db| tables::resource(db, of)).await?;
        let open = |note: Vec<u8>| Checkpoint::open(&note, self.key.public(), &[]);
        let corrupt = |e| LedgerError::Corrupt { position: None, reason: format!("{e}") };
        note.map(open).transpose().map_err(corrupt)
    }

    /// The proof that this log of `size` entries continues that of its first `old`. None if it has
    /// fewer.
    pub async fn consistency(&self, old: u64, size: u64) -> Result<Option<Vec<Hash>>, LedgerError> {
        Ok(self.store.read(move |db| tables::consistency(db, old, size)).await?)
    }

    async fn is_recorded(&self, call: &Call) -> Result<bool, LedgerError> {
        let touched = keys(call);
        let overlay = self.store.read(move |db| Overlay::load(db, touched)).await?;
        let outcome = decide(call, &overlay.values(&keys(call)), (self.clock)());
        Ok(outcome.is_ok_and(|outcome| outcome.writes.is_empty()))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Appends what a chain has decided, after deciding it again: a mirror may not hold what this
    /// contract would not have granted just so.
    pub(crate) async fn mirror(&self, events: ChainEvents) -> Result<(), LedgerError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Mirror { events, reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Decides `calls` in a job of this log's own store, and appends what is granted, so that what
    /// follows from it is written by the same job. The caller has checked the documents
    /// ([`datapact_core::contract::check`]), and says by [`EmbeddedLedger::committed`] when it is
    /// durable.
    ///
    /// # Errors
    /// As [`crate::Ledger::execute`], for all of them; the answers hold what is refused of each.
    pub fn decide_in(&self, tx: &Tx, calls: Vec<Call>) -> Result<(Decided, Answers), LedgerError> {
        decide_all(tx, self.newest.get(), &self.key, calls, &self.clock)
    }

    /// What was decided is durable: those who wait for new entries are told.
    pub fn committed(&self, decided: &Decided) {
        self.newest.committed(&decided.head);
    }

    /// The bytes of the entry at `position`.
    pub async fn entry(&self, position: Position) -> Result<Option<Vec<u8>>, LedgerError> {
        if i64::try_from(position).is_err() {
            return Ok(None);
        }
        Ok(self.store.read(move |db| tables::entries(db, position, 1)).await?.pop())
    }
}

/// Tells this process of entries and cosignatures that came by others, until the ledger is dropped.
async fn watch_others(store: Store, grown: watch::Sender<u64>, cosigned: watch::Sender<u64>) {
    while !grown.is_closed() {
        match store.read(tables::sizes).await {
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
