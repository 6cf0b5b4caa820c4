//! A follower: its own copy of the embedded ledger, which it believes only as far as it has checked
//! it.
//!
//! It keeps every entry, recomputes the tree, compares it with what the log signed, and decides
//! every call again by [`datapact_core::contract`] into its own state. A log that contradicts
//! itself or records what the contract refuses stops it for good: the reason is kept, and every
//! later read gives that reason instead of an answer.

mod head;
mod poll;
mod replay;

use std::sync::{Arc, Mutex as SyncMutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datapact_core::contract::{AccessRecord, Counter, ShareRecord};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_log::Position;
use datapact_log::clock::Clock;
use datapact_log::note::{KeyKind, SigningKey, VerifyingKey};
use datapact_log::path::Resource;
use datapact_log::proof::Proof;
use datapact_log::source::LogSource;
use datapact_store::{Db, Store, StoreError};
use tokio::sync::Mutex;

use self::head::{Head, Shared};
use crate::embedded::address;
use crate::mirror;
use crate::port::{ContractState, GrantedAccess, Ledger, LedgerError};
use crate::tables;

/// How long after its start a machine may need to set its clock, as [`FollowerConfig::settling`].
pub const SETTLING: Duration = Duration::from_secs(15 * 60);

/// What a follower is made of, besides its [`Store`] (opened with [`tables::MIGRATIONS`]).
pub struct FollowerConfig {
    /// The key of the log that it follows.
    pub log: VerifyingKey,
    /// Cosigns what it has replayed; none for a follower that is not a witness.
    pub witness: Option<SigningKey>,
    /// Where the log is.
    pub source: Arc<dyn LogSource>,
    /// The follower's own clock.
    pub clock: Clock,
    /// The follower's own node of the chain that the log is the mirror of: then the log must hold
    /// just the chain's events, and all of them. None when the log is the ledger itself.
    pub chain: Option<Arc<dyn Ledger>>,
    /// For how long after the opening an entry that looks backdated is only refused, and does not
    /// stop the follower for good: the own clock may have been ahead when it was opened.
    pub settling: Duration,
}

/// A checked copy of an embedded ledger.
pub struct Follower {
    store: Store,
    states: tables::States,
    config: FollowerConfig,
    /// The chain's name in the tables.
    chain: Option<String>,
    /// Held while polling, so that checkpoints are seen in order. A poll takes what is in it and
    /// puts it back when it ends; where a poll was cut off (its caller went away) there is nothing,
    /// and the tables are read again.
    head: Mutex<Option<Head>>,
    shared: SyncMutex<Shared>,
}

/// What a poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// How many entries the log has, all replayed.
    pub size: u64,
    /// The checkpoint with this follower's cosignature, to be given to the log; none when nothing
    /// is new or the follower is not a witness.
    pub cosigned: Option<String>,
}

impl Follower {
    /// Opens the copy in `store`. Nothing is fetched before the first [`Follower::poll`].
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] when the copy is damaged, [`LedgerError::Misconfigured`] when it is
    /// of another log. A copy that stopped for good opens; its reads give the reason.
    pub async fn open(store: Store, config: FollowerConfig) -> Result<Self, LedgerError> {
        if config.log.kind() != KeyKind::Log
            || config.witness.as_ref().is_some_and(|w| w.public().kind() != KeyKind::Witness)
        {
            return Err(LedgerError::Misconfigured(
                "the log's key or the witness's is of the wrong kind".to_owned(),
            ));
        }
        let origin = config.chain.as_ref().map(|chain| chain.origin());
        let log = config.log.clone();
        let read = store.read(move |db| {
            let chain = match origin {
                Some(origin) => Some(mirror::chain_of(db, origin)?),
                None => mirror::is_none(db).map(|()| None)?,
            };
            Ok::<_, LedgerError>((chain, Head::load(db, &log)?, tables::fault(db)?))
        });
        let (chain, head, fault) = read.await?;
        let now = Instant::now();
        let (clock, settled) = ((now, (config.clock)()), now + config.settling);
        let shared = Shared { settled, fault, confirmed: None, clock, size: head.edge.size() };
        Ok(Self {
            states: tables::states(&store),
            store,
            config,
            chain,
            head: Mutex::new(Some(head)),
            shared: SyncMutex::new(shared),
        })
    }

    /// Forgets why the copy in `store` stopped, for an operator who has found the reason. A log
    /// that still contradicts what the copy holds stops it again.
    pub async fn clear_fault(store: &Store) -> Result<(), LedgerError> {
        Ok(store.write(tables::clear_fault).await?)
    }

    /// How many entries are replayed.
    pub fn size(&self) -> u64 {
        self.shared().size
    }

    /// How long ago the copy was last confirmed to be current; none when it never was since it was
    /// opened.
    pub fn confirmed(&self) -> Option<Duration> {
        self.shared().confirmed.map(|confirmed| confirmed.elapsed())
    }

    /// Waits until the log says that it has more than `size` entries, or for `timeout`. A
    /// caller that does something for each entry gives the size up to which it is done: others may
    /// have polled since.
    pub async fn wait(&self, size: u64, timeout: Duration) -> Result<(), LedgerError> {
        self.believe()?;
        let waited = self.config.source.wait_newer(size, timeout).await;
        waited.map_err(|e| LedgerError::Unavailable(e.to_string()))
    }

    /// Waits for more than is replayed, as [`Follower::wait`] does, then polls.
    pub async fn next(&self, timeout: Duration) -> Result<Polled, LedgerError> {
        self.wait(self.size(), timeout).await?;
        self.poll().await
    }

    /// The newest checkpoint that this follower cosigned, with its cosignature, and its size.
    /// It is to be given to the log, by whichever caller polled.
    pub async fn cosigned(&self) -> Result<Option<(u64, String)>, LedgerError> {
        self.believe()?;
        self.read_copy(|db| {
            let Some(size) = tables::cosigned_size(db)? else { return Ok(None) };
            Ok(tables::cosigned_checkpoint(db, size)?.map(|note| (size, note)))
        })
        .await
    }

    /// The proof, from this copy, that the log holds the entry at `position`.
    pub async fn proof(&self, position: Position) -> Result<Option<Proof>, LedgerError> {
        self.believe()?;
        let read = self.store.read(move |db| {
            let newest = tables::newest_size(db)?.unwrap_or(0);
            if newest > tables::size(db)? {
                return Err(LedgerError::Unavailable("this copy is catching up".to_owned()));
            }
            Ok(tables::proof(db, position, newest)?)
        });
        read.await
    }

    /// The same under a checkpoint of `size` entries that witnesses cosigned: it proves by
    /// [`Proof::verify`] if they were shown the tree that this copy holds. None if the copy is not
    /// as long.
    pub async fn proof_under(
        &self,
        position: Position,
        size: u64,
        checkpoint: &str,
    ) -> Result<Option<Proof>, LedgerError> {
        self.believe()?;
        if size > self.size() {
            return Ok(None);
        }
        let checkpoint = checkpoint.to_owned();
        self.read_copy(move |db| tables::proof_under(db, position, size, checkpoint)).await
    }

    /// One of the log's public resources, as [`crate::embedded::EmbeddedLedger::read`] gives it,
    /// from this copy.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.believe()?;
        match Resource::parse(path) {
            Some(resource) => self.read_copy(move |db| tables::resource(db, resource)).await,
            None => Ok(None),
        }
    }

    /// The bytes of the entry at `position`.
    pub async fn entry(&self, position: Position) -> Result<Option<Vec<u8>>, LedgerError> {
        self.believe()?;
        if position >= self.size() {
            return Ok(None);
        }
        Ok(self.read_copy(move |db| tables::entries(db, position, 1)).await?.pop())
    }

    /// Reads this copy, if it is to be believed.
    async fn read_copy<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.believe()?;
        Ok(self.store.read(job).await?)
    }

    /// When it was last confirmed, by its own clock.
    fn confirmed_time(&self) -> Option<Timestamp> {
        let shared = self.shared();
        shared.confirmed.map(|confirmed| shared.time_at(confirmed))
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The reason why nothing here is to be believed, if there is one.
    fn believe(&self) -> Result<(), LedgerError> {
        match &self.shared().fault {
            None => Ok(()),
            Some((position, reason)) => Err(LedgerError::Corrupt {
                position: *position,
                reason: describe(*position, reason),
            }),
        }
    }
}

fn describe(position: Option<Position>, reason: &str) -> String {
    match position {
        Some(position) => format!("entry {position}: {reason}"),
        None => reason.to_owned(),
    }
}

impl Follower {
    /// Makes sure that this copy was confirmed, within `age` before the answer, to be the ledger's
    /// newest state.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when it cannot be confirmed, [`LedgerError::Corrupt`] when the
    /// ledger misbehaved now or ever before. Release nothing then.
    pub async fn current(&self, age: Duration) -> Result<(), LedgerError> {
        let asked = Instant::now();
        let fresh = || self.shared().confirmed.is_some_and(|confirmed| confirmed + age >= asked);
        self.believe()?;
        if fresh() {
            return Ok(());
        }
        let mut head = self.head.lock().await;
        // Another caller's poll may have answered meanwhile.
        self.believe()?;
        if fresh() {
            return Ok(());
        }
        self.poll_from(&mut head).await.map(|_| ())
    }

    /// A granted access to `share` with the policies that count for it; none without the access or
    /// the share.
    ///
    /// # Errors
    /// The database's; [`LedgerError::Corrupt`] when the ledger has misbehaved.
    pub async fn granted_access(
        &self,
        share: &ShareId,
        request: &Digest,
    ) -> Result<Option<GrantedAccess>, LedgerError> {
        self.believe()?;
        Ok(tables::granted_access(&self.states, &self.store, share, request).await?)
    }

    /// The share's newest policy among the entries before `position`: the one by which an access
    /// there was decided.
    ///
    /// # Errors
    /// The database's; [`LedgerError::Corrupt`] when the ledger has misbehaved.
    pub async fn policy_before(
        &self,
        share: &ShareId,
        position: Position,
    ) -> Result<Option<ShareRecord>, LedgerError> {
        let share = *share;
        self.read_copy(move |db| tables::policy_before(db, &share, position)).await
    }
}

/// It answers only for what it has checked itself.
#[async_trait]
impl ContractState for Follower {
    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        let share = *share;
        self.read_copy(move |db| tables::share(db, &share)).await
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        let request = *request;
        self.read_copy(move |db| tables::access(db, &request)).await
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        let (share, consumer) = (*share, *consumer);
        self.read_copy(move |db| tables::counter(db, &share, &consumer)).await
    }

    fn address(&self, share: &ShareId) -> String {
        match &self.config.chain {
            Some(chain) => chain.address(share),
            None => address(self.config.log.name(), share),
        }
    }
}
