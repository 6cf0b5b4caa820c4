//! A follower: its own copy of the embedded ledger, which it believes only as far as it has checked
//! it.
//!
//! It keeps every entry, recomputes the tree, compares it with what the log signed, and decides
//! every call again by [`datapact_core::contract`] into its own state. A log that contradicts
//! itself or records what the contract refuses stops it for good: the reason is kept, and every
//! later read gives that reason instead of an answer.

use std::sync::{Arc, Mutex as SyncMutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datapact_core::contract::{AccessRecord, CLOCK_SKEW_SECONDS_MAX, Counter, ShareRecord, keys};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use sea_orm::ConnectionTrait;
use tokio::sync::Mutex;

use crate::embedded::address;
use crate::mirror;
use crate::port::{Event, Ledger, LedgerCopy, LedgerError, Recorded};
use crate::store::Store;
use crate::tables::{self, Batch, Overlay};
use datapact_log::Position;
use datapact_log::clock::Clock;
use datapact_log::entry::{DISORDER_SECONDS_MAX, Entry, EntryFault};
use datapact_log::note::{Checkpoint, KeyKind, SigningKey, VerifyingKey};
use datapact_log::path::Resource;
use datapact_log::proof::Proof;
use datapact_log::source::{self, Bundle, LogSource, Trouble};
use datapact_log::tree::{Edge, Hash, TILE_WIDTH, leaf_hash};

/// How long the log and the own node of its chain may differ before nothing is confirmed any more.
const CHAIN_PATIENCE: Duration = Duration::from_secs(5);

/// How long after its start a machine may need to set its clock, as [`FollowerConfig::settling`].
pub const SETTLING: Duration = Duration::from_secs(15 * 60);

/// What a follower is made of, besides its [`Store`] (opened with [`tables::MIGRATIONS`]).
pub struct FollowerConfig {
    /// The key of the log that it follows.
    pub log: VerifyingKey,
    /// Cosigns what it has replayed; none for a follower that is no witness.
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

/// What was last replayed.
struct Head {
    edge: Edge,
    /// The time of the newest entry.
    time: Timestamp,
    /// The newest checkpoint kept; its entries may not all be replayed yet.
    checkpoint: Option<Checkpoint>,
    /// The size of the newest checkpoint that this follower cosigned.
    cosigned: Option<u64>,
    /// The chain's position behind the newest event that was compared, if the log is a chain's
    /// mirror.
    next: Position,
    /// Whether the chain was asked, since this was read, if it still holds what it held before.
    is_held: bool,
}

impl Head {
    async fn load(on: &impl ConnectionTrait, log: &VerifyingKey) -> Result<Self, LedgerError> {
        let size = tables::count(on).await?;
        let edge = tables::edge(on, size).await?;
        let checkpoint = match tables::newest_size(on).await? {
            None => None,
            Some(newest) => {
                let note = tables::checkpoint(on, newest).await?.unwrap_or_default();
                let opened = Checkpoint::open(note.as_bytes(), log, &[]);
                Some(opened.map_err(|e| {
                    LedgerError::Misconfigured(format!("this copy is of another log: {e}"))
                })?)
            }
        };
        if checkpoint.as_ref().is_some_and(|c| c.size() == size && *c.root() != edge.root()) {
            let reason =
                "the copy's tree is not the one that it has checked; restore a backup".to_owned();
            return Err(LedgerError::Corrupt { position: None, reason });
        }
        let cosigned = tables::cosigned_size(on).await?;
        let next = tables::mirror(on).await?.map_or(0, |(_, next)| next);
        Ok(Self {
            edge,
            time: tables::newest_time(on).await?,
            checkpoint,
            cosigned,
            next,
            is_held: false,
        })
    }
}

struct Shared {
    /// Until when the own clock may still be set right.
    settled: Instant,
    fault: Option<(Option<Position>, String)>,
    confirmed: Option<Instant>,
    /// What the follower's clock said when it was furthest behind; it may jump ahead and come right
    /// again.
    clock: (Instant, Timestamp),
    size: u64,
}

impl Shared {
    /// Notes what the clock says now.
    fn note(&mut self, now: Timestamp) {
        let at = Instant::now();
        if now < self.time_at(at) {
            self.clock = (at, now);
        }
    }

    /// What the clock said then, unless it was ahead.
    fn time_at(&self, at: Instant) -> Timestamp {
        let (since, time) = self.clock;
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs();
        time.saturating_add(seconds(since, at)).saturating_sub(seconds(at, since))
    }
}

/// What a poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// How many entries the log has, all replayed.
    pub size: u64,
    /// The checkpoint with this follower's cosignature, to be given to the log; none when nothing
    /// is new or the follower is no witness.
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
        let chain = match &config.chain {
            Some(chain) => Some(mirror::chain_of(store.read(), chain.as_ref()).await?),
            None => mirror::is_none(store.read()).await.map(|()| None)?,
        };
        let head = Head::load(store.read(), &config.log).await?;
        let fault = tables::fault(store.read()).await?;
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
        store.write(|tx| Box::pin(async move { Ok(tables::clear_fault(tx).await?) })).await
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

    /// Asks the log for its newest checkpoint, checks and replays all that is new, and cosigns it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when the log does not answer; [`LedgerError::Corrupt`] when it
    /// misbehaves, now or ever before.
    pub async fn poll(&self) -> Result<Polled, LedgerError> {
        self.poll_kept(&mut *self.head.lock().await).await
    }

    /// Polls with what is kept, and keeps it again unless the poll fails or is cut off.
    async fn poll_kept(&self, kept: &mut Option<Head>) -> Result<Polled, LedgerError> {
        self.believe()?;
        let mut head = match kept.take() {
            Some(head) => head,
            None => self.reload().await?,
        };
        let polled = self.poll_locked(&mut head).await;
        // After a failure, too, the tables may be ahead of what is in memory.
        if polled.is_ok() {
            *kept = Some(head);
        }
        polled
    }

    /// What the tables hold once everything is written that polls before this one have begun to
    /// write: the writer takes one job after the other.
    async fn reload(&self) -> Result<Head, LedgerError> {
        let log = self.config.log.clone();
        let read = self.store.write(move |tx| Box::pin(async move { Head::load(tx, &log).await }));
        let head = read.await?;
        self.shared().size = head.edge.size();
        Ok(head)
    }

    /// Waits until the log says that it has more than `size` entries, or for `timeout`. Whoever
    /// does something for each entry gives the size up to which it is done: others may have polled
    /// since.
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
    /// Whoever polled, it is to be given to the log.
    pub async fn cosigned(&self) -> Result<Option<(u64, String)>, LedgerError> {
        self.believe()?;
        let on = self.store.read();
        let Some(size) = tables::cosigned_size(on).await? else { return Ok(None) };
        Ok(tables::cosigned_checkpoint(on, size).await?.map(|note| (size, note)))
    }

    /// The proof, from this copy, that the log holds the entry at `position`.
    pub async fn proof(&self, position: Position) -> Result<Option<Proof>, LedgerError> {
        self.believe()?;
        let on = self.store.read();
        let newest = tables::newest_size(on).await?.unwrap_or(0);
        if newest > tables::count(on).await? {
            return Err(LedgerError::Unavailable("this copy is catching up".to_owned()));
        }
        Ok(tables::proof(on, position, newest).await?)
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
        Ok(tables::proof_under(self.store.read(), position, size, checkpoint.to_owned()).await?)
    }

    /// One of the log's public resources, as [`crate::embedded::EmbeddedLedger::read`] gives it,
    /// from this copy.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.believe()?;
        match Resource::parse(path) {
            Some(resource) => Ok(tables::resource(self.store.read(), resource).await?),
            None => Ok(None),
        }
    }

    /// The bytes of the entry at `position`.
    pub async fn entry(&self, position: Position) -> Result<Option<Vec<u8>>, LedgerError> {
        self.believe()?;
        if position >= self.size() {
            return Ok(None);
        }
        Ok(tables::entries(self.store.read(), position, 1).await?.pop())
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

    async fn poll_locked(&self, head: &mut Head) -> Result<Polled, LedgerError> {
        self.believe()?;
        // Whatever the log answers, it cannot be older than the question.
        let asked = Instant::now();
        self.shared().note((self.config.clock)());
        let mut evidence = String::new();
        let advanced = loop {
            let advanced = match &self.config.chain {
                None => self.advance(head, &mut evidence).await,
                Some(chain) => self.advance_with(chain.as_ref(), head, &mut evidence).await,
            };
            match advanced {
                Err(Stop::Moved) => *head = self.reload().await?,
                Ok(cosigned) => break Ok(cosigned),
                Err(Stop::Trouble(trouble)) => break Err(trouble),
                Err(Stop::Own(error)) => return Err(error),
            }
        };
        match advanced {
            Ok(cosigned) => {
                let size = head.edge.size();
                let mut shared = self.shared();
                shared.confirmed = Some(asked);
                shared.size = size;
                Ok(Polled { size, cosigned })
            }
            Err(Trouble::Wrong(position, reason)) => {
                self.stop(position, reason, evidence).await?;
                Err(self
                    .believe()
                    .err()
                    .unwrap_or_else(|| LedgerError::Unavailable("it was cleared".to_owned())))
            }
            Err(Trouble::Unavailable(reason)) => Err(LedgerError::Unavailable(reason)),
        }
    }

    async fn stop(
        &self,
        position: Option<Position>,
        reason: String,
        evidence: String,
    ) -> Result<(), LedgerError> {
        tracing::error!(position, reason, "the ledger is not to be believed any more");
        // In memory first: even if the disk is full, nothing is believed from now on.
        self.shared().fault = Some((position, reason.clone()));
        self.store
            .write(move |tx| {
                Box::pin(
                    async move { Ok(tables::write_fault(tx, position, &reason, &evidence).await?) },
                )
            })
            .await
    }

    /// Advances until the log holds all that the own node had when it was asked.
    async fn advance_with(
        &self,
        chain: &dyn Ledger,
        head: &mut Head,
        evidence: &mut String,
    ) -> Result<Option<String>, Stop> {
        if !head.is_held {
            mirror::is_held(self.store.read(), chain).await?;
            head.is_held = true;
        }
        let newest = chain.head().await?;
        let end = Instant::now() + CHAIN_PATIENCE;
        let mut cosigned = None;
        loop {
            cosigned = self.advance(head, evidence).await?.or(cosigned);
            let missing = chain.events(head.next, 1).await?.pop();
            let Some(missing) = missing.filter(|event| event.position < newest) else {
                return Ok(cosigned);
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let reason = format!(
                    "the log lacks what the chain has recorded at {}; management is behind or withholds it",
                    missing.position
                );
                return Err(LedgerError::Unavailable(reason).into());
            }
            let waited = self.config.source.wait_newer(head.edge.size(), left).await;
            waited.map_err(|e| LedgerError::Unavailable(e.to_string()))?;
        }
    }

    /// The next `count` events of the own node, which may be a moment behind the log.
    async fn recorded(
        &self,
        from: Position,
        count: usize,
    ) -> Result<Option<Vec<Event>>, LedgerError> {
        let Some(chain) = &self.config.chain else { return Ok(None) };
        let end = Instant::now() + CHAIN_PATIENCE;
        let mut events: Vec<Event> = Vec::with_capacity(count);
        while events.len() < count {
            let next = events.last().map_or(from, |event| event.position + 1);
            let more = chain.events(next, count - events.len()).await?;
            let left = end.saturating_duration_since(Instant::now());
            if more.is_empty() && (left.is_zero() || !chain.wait(next, left).await?) {
                let reason = "the own node of the chain does not hold the newest entries of management's log";
                return Err(LedgerError::Unavailable(reason.to_owned()));
            }
            events.extend(more);
        }
        Ok(Some(events))
    }

    async fn advance(
        &self,
        head: &mut Head,
        evidence: &mut String,
    ) -> Result<Option<String>, Stop> {
        let source = self.config.source.as_ref();
        let note = source::checkpoint(source).await?;
        *evidence = String::from_utf8_lossy(&note).into_owned();
        let checkpoint = Checkpoint::open(&note, &self.config.log, &[])
            .map_err(|e| Trouble::Wrong(None, e.to_string()))?;
        let size = checkpoint.size();
        if let Some(kept) = &head.checkpoint {
            if size < kept.size() {
                let reason = format!(
                    "the log was rolled back: it had {} entries and now shows {size}",
                    kept.size()
                );
                return Err(Trouble::Wrong(Some(size), reason).into());
            }
            if size == kept.size() && checkpoint.root() != kept.root() {
                let reason = format!("the log forked: it signed two trees of {size} entries");
                return Err(Trouble::Wrong(self.first_difference(size, size).await, reason).into());
            }
        }
        if size == head.edge.size() && head.checkpoint.is_some() {
            // After a crash the newest checkpoint may be replayed but not cosigned.
            return self.cosign(head, checkpoint).await;
        }
        let leaves = self.authentic_leaves(head, &checkpoint).await?;
        self.replay(head, &checkpoint, &leaves).await?;
        head.checkpoint = Some(checkpoint.clone());
        self.cosign(head, checkpoint).await
    }

    /// The hashes of the new entries, which lead from the tree kept to the one that the checkpoint
    /// signs.
    async fn authentic_leaves(
        &self,
        head: &Head,
        checkpoint: &Checkpoint,
    ) -> Result<Vec<Hash>, Stop> {
        let size = checkpoint.size();
        let leaves = source::leaves(self.config.source.as_ref(), head.edge.size(), size).await?;
        let mut edge = head.edge.clone();
        let kept = head.checkpoint.as_ref();
        let forked = |edge: &Edge, signed: Option<&Checkpoint>| {
            signed
                .is_some_and(|signed| signed.size() == edge.size() && *signed.root() != edge.root())
        };
        for leaf in &leaves {
            edge.push(*leaf, |_, _| {});
            if forked(&edge, kept) {
                let reason = "the log forked: its entries are not those of a checkpoint that it signed before";
                return Err(Trouble::Wrong(
                    self.first_difference(edge.size(), size).await,
                    reason.to_owned(),
                )
                .into());
            }
        }
        if edge.root() != *checkpoint.root() {
            let at = self.first_difference(head.edge.size(), size).await;
            let reason = format!(
                "the log forked: the tree of {size} entries does not continue the one kept"
            );
            return Err(Trouble::Wrong(at, reason).into());
        }
        Ok(leaves)
    }

    /// The first of the entries before `end` that the log, of now `size` entries, shows otherwise
    /// than this copy holds it, for people who must find out what happened.
    async fn first_difference(&self, end: u64, size: u64) -> Option<Position> {
        let width = TILE_WIDTH as u64;
        for index in 0..end.div_ceil(width) {
            let ours = (end - index * width).min(width) as usize;
            let ours = tables::entries(self.store.read(), index * width, ours).await.ok()?;
            let theirs = (size - index * width).min(width) as usize;
            let id = datapact_log::tree::TileId { level: 0, index };
            let theirs = source::tile(self.config.source.as_ref(), id, theirs).await.ok()?;
            if let Some(at) =
                ours.iter().zip(&theirs).position(|(entry, leaf)| leaf_hash(entry) != *leaf)
            {
                return Some(index * width + at as u64);
            }
        }
        None
    }

    /// Fetches, compares and replays the entries that `leaves` announce, a bundle at a time.
    async fn replay(
        &self,
        head: &mut Head,
        checkpoint: &Checkpoint,
        leaves: &[Hash],
    ) -> Result<(), Stop> {
        let first = head.edge.size();
        let width = TILE_WIDTH as u64;
        let rules = TimeRules {
            // An entry that the log did not have when it last confirmed is not older than that. A
            // mirror's times are the chain's, and were compared.
            earliest: match (&self.config.chain, self.confirmed_time()) {
                (None, Some(time)) => time.saturating_sub(CLOCK_SKEW_SECONDS_MAX),
                _ => 0,
            },
            now: (self.config.clock)(),
            is_settled: self.shared().settled <= Instant::now(),
            disorder: if self.config.chain.is_some() { DISORDER_SECONDS_MAX } else { 0 },
        };
        let mut note = Some(format!("{checkpoint}"));
        while head.edge.size() < checkpoint.size() || note.is_some() {
            let at = head.edge.size();
            let index = at / width;
            let end = checkpoint.size().min((index + 1) * width);
            let bundle = if at < end {
                source::bundle(self.config.source.as_ref(), index, (end - index * width) as usize)
                    .await?
            } else {
                Bundle { entries: Vec::new(), rest: Ok(()) }
            };
            let mut entries = Vec::new();
            for (position, bytes) in
                (index * width..).zip(bundle.entries).skip((at % width) as usize)
            {
                if leaves.get((position - first) as usize) != Some(&leaf_hash(&bytes)) {
                    let reason = "the entry is not the one in the tree that the log signed";
                    return Err(Trouble::Wrong(Some(position), reason.to_owned()).into());
                }
                let entry = Entry::parse(&bytes).map_err(|fault| wrong(position, &fault))?;
                entries.push((bytes, entry));
            }
            bundle.rest?;
            let (edge, time) = (head.edge.clone(), head.time);
            let (size, signed) = (checkpoint.size(), note.take());
            let recorded = self.recorded(head.next, entries.len()).await?;
            let next =
                recorded.iter().flatten().last().map_or(head.next, |event| event.position + 1);
            let chain = self.chain.clone();
            (head.edge, head.time) = self
                .store
                .write(move |tx| {
                    Box::pin(async move {
                        if tables::count(tx).await? != edge.size() {
                            return Err(Stop::Moved);
                        }
                        let overlay =
                            Overlay::load(tx, entries.iter().flat_map(|(_, e)| keys(&e.call)))
                                .await?;
                        let mut batch = Batch::new(edge, overlay);
                        let mut newest = time;
                        for (nth, (bytes, entry)) in entries.into_iter().enumerate() {
                            let position = batch.edge.size();
                            rules.meets(position, &entry)?;
                            let outcome = rules
                                .replay(&entry, newest, &batch.overlay)
                                .map_err(|fault| wrong(position, &fault))?;
                            if let Some(recorded) = &recorded
                                && recorded.get(nth).is_none_or(|event| {
                                    event.time != entry.time || event.receipt != outcome.receipt
                                })
                            {
                                let reason =
                                    "the chain, in the own node, has recorded something else";
                                return Err(
                                    Trouble::Wrong(Some(position), reason.to_owned()).into()
                                );
                            }
                            newest = newest.max(entry.time);
                            batch.push(entry.time, bytes, outcome);
                        }
                        if let Some(note) = signed {
                            tables::write_checkpoint(tx, size, &note)
                                .await
                                .map_err(LedgerError::from)?;
                        }
                        if let Some(chain) = chain {
                            tables::write_mirror(tx, &chain, next).await?;
                        }
                        Ok::<_, Stop>((batch.write(tx).await?, newest))
                    })
                })
                .await?;
            head.next = next;
        }
        Ok(())
    }

    async fn cosign(
        &self,
        head: &mut Head,
        mut checkpoint: Checkpoint,
    ) -> Result<Option<String>, Stop> {
        let Some(witness) = &self.config.witness else { return Ok(None) };
        if head.cosigned == Some(checkpoint.size()) {
            return Ok(None);
        }
        let line = witness.cosign(&checkpoint, (self.config.clock)());
        checkpoint
            .add(witness.public(), &line)
            .map_err(|e| Stop::Own(LedgerError::Misconfigured(format!("the witness key: {e}"))))?;
        let (size, name) = (checkpoint.size(), witness.public().to_string());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    Ok::<_, LedgerError>(tables::write_cosignature(tx, size, &name, &line).await?)
                })
            })
            .await
            .map_err(Stop::Own)?;
        head.cosigned = Some(size);
        Ok(Some(checkpoint.to_string()))
    }
}

fn describe(position: Option<Position>, reason: &str) -> String {
    match position {
        Some(position) => format!("entry {position}: {reason}"),
        None => reason.to_owned(),
    }
}

/// How an entry's time must lie to the follower's own clock.
#[derive(Clone, Copy)]
struct TimeRules {
    earliest: Timestamp,
    now: Timestamp,
    /// Whether the own clock is past all doubt.
    is_settled: bool,
    /// How far an entry may be before the one before it, in seconds.
    disorder: u64,
}

impl TimeRules {
    /// Refuses an entry of the future, until its time has come, and one of the past while the own
    /// clock is in doubt. The log or this machine has a wrong clock; that a clock jumps is no
    /// reason to stop for good.
    fn meets(&self, position: Position, entry: &Entry) -> Result<(), Trouble> {
        let (seconds, where_it_is) = if entry.time > self.now.saturating_add(CLOCK_SKEW_SECONDS_MAX)
        {
            (entry.time - self.now, "ahead of")
        } else if entry.time < self.earliest && !self.is_settled {
            (self.now.saturating_sub(entry.time), "behind")
        } else {
            return Ok(());
        };
        Err(Trouble::Unavailable(format!(
            "entry {position} of the ledger is {seconds} s {where_it_is} this machine's clock; compare the clocks of this \
             machine and of management"
        )))
    }

    fn replay(
        &self,
        entry: &Entry,
        previous: Timestamp,
        overlay: &Overlay,
    ) -> Result<datapact_core::contract::Outcome, EntryFault> {
        if entry.time < self.earliest {
            return Err(EntryFault::Skew(entry.time.abs_diff(self.now)));
        }
        entry.replay(previous.saturating_sub(self.disorder), &overlay.values(&keys(&entry.call)))
    }
}

fn wrong(position: Position, fault: &EntryFault) -> Stop {
    Trouble::Wrong(Some(position), fault.to_string()).into()
}

/// Why a poll ended early.
enum Stop {
    /// The log's fault.
    Trouble(Trouble),
    /// This machine's.
    Own(LedgerError),
    /// Nobody's: somebody else has gone on with the copy since it was read, as a process does that
    /// has not ended yet when the next one begins. What they replayed twice would look like the
    /// log's repetition.
    Moved,
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Self::Own(error)
    }
}

impl From<crate::store::StoreError> for Stop {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Own(error.into())
    }
}

#[async_trait]
impl LedgerCopy for Follower {
    async fn current(&self, age: Duration) -> Result<(), LedgerError> {
        let asked = Instant::now();
        let fresh = || self.shared().confirmed.is_some_and(|confirmed| confirmed + age >= asked);
        self.believe()?;
        if fresh() {
            return Ok(());
        }
        let mut head = self.head.lock().await;
        // Somebody else's poll may have answered meanwhile.
        self.believe()?;
        if fresh() {
            return Ok(());
        }
        self.poll_kept(&mut head).await.map(|_| ())
    }

    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        self.believe()?;
        Ok(tables::share(self.store.read(), share).await?)
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        self.believe()?;
        Ok(tables::access(self.store.read(), request).await?)
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        self.believe()?;
        Ok(tables::counter(self.store.read(), share, consumer).await?)
    }

    async fn recorded(
        &self,
        share: &ShareId,
        request: &Digest,
    ) -> Result<Option<Recorded>, LedgerError> {
        self.believe()?;
        Ok(tables::recorded(&self.states, self.store.read(), share, request).await?)
    }

    async fn policy_before(
        &self,
        share: &ShareId,
        position: Position,
    ) -> Result<Option<ShareRecord>, LedgerError> {
        self.believe()?;
        Ok(tables::policy_before(self.store.read(), share, position).await?)
    }

    fn address(&self, share: &ShareId) -> String {
        match &self.config.chain {
            Some(chain) => chain.address(share),
            None => address(self.config.log.name(), share),
        }
    }
}
