//! Polling: the log's newest checkpoint, whether it continues the tree that this copy holds, and
//! what becomes of a log that does not.

use std::time::{Duration, Instant};

use datapact_log::Position;
use datapact_log::note::Checkpoint;
use datapact_log::source::{self, Trouble};
use datapact_log::tree::{Edge, Hash, TILE_WIDTH, TileId, leaf_hash};
use datapact_store::StoreError;

use super::head::Head;
use super::{Follower, Polled};
use crate::mirror;
use crate::port::{Ledger, LedgerError};
use crate::tables;

/// How long the log and the own node of its chain may differ before nothing is confirmed any more.
pub(super) const CHAIN_PATIENCE: Duration = Duration::from_secs(5);

/// How old the newest cosignature may be when a poll finds nothing new: a young one tells an audit
/// that the log has not gone on elsewhere. With the longest wait between two polls
/// ([`LogSource::wait_newer`](datapact_log::source::LogSource)) that is less than a minute.
const COSIGNED_AGE_MAX: Duration = Duration::from_secs(30);

/// Why a poll ended early.
pub(super) enum Stop {
    /// The log's fault.
    Trouble(Trouble),
    /// This machine's.
    Own(LedgerError),
    /// Neither's: another process has gone on with the copy since it was read, one that has not
    /// ended yet when the next one begins. What both replay would look like the log's repetition.
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

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Own(error.into())
    }
}

impl Follower {
    /// Asks the log for its newest checkpoint, checks and replays all that is new, and cosigns it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when the log does not answer; [`LedgerError::Corrupt`] when it
    /// misbehaves, now or ever before.
    pub async fn poll(&self) -> Result<Polled, LedgerError> {
        self.poll_from(&mut *self.head.lock().await).await
    }

    /// Polls from the newest head, and puts it back unless the poll fails or is cut off.
    pub(super) async fn poll_from(&self, newest: &mut Option<Head>) -> Result<Polled, LedgerError> {
        self.believe()?;
        let mut head = match newest.take() {
            Some(head) => head,
            None => self.reload().await?,
        };
        let polled = self.poll_locked(&mut head).await;
        // After a failure, too, the tables may be ahead of what is in memory.
        if polled.is_ok() {
            *newest = Some(head);
        }
        polled
    }

    /// What the tables hold once everything is written that polls before this one have begun to
    /// write: the writer takes one job after the other.
    async fn reload(&self) -> Result<Head, LedgerError> {
        let log = self.config.log.clone();
        let head = self.store.write(move |tx| Head::load(tx, &log)).await?;
        self.shared().size = head.edge.size();
        Ok(head)
    }

    /// Polls with `head`, which no other poll has at the same time.
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

    /// Stops this copy for good.
    async fn stop(
        &self,
        position: Option<Position>,
        reason: String,
        evidence: String,
    ) -> Result<(), LedgerError> {
        tracing::error!(position, reason, "the ledger is not to be believed any more");
        // In memory first: even if the disk is full, nothing is believed from now on.
        self.shared().fault = Some((position, reason.clone()));
        let written =
            self.store.write(move |tx| tables::write_fault(tx, position, &reason, &evidence));
        Ok(written.await?)
    }

    /// Advances until the log holds all that the own node had when it was asked.
    async fn advance_with(
        &self,
        chain: &dyn Ledger,
        head: &mut Head,
        evidence: &mut String,
    ) -> Result<Option<String>, Stop> {
        if !head.is_held {
            mirror::is_held(self.store.reader(), chain).await?;
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
                    "the log lacks what the chain has recorded at {}; \
                     management is behind or withholds it",
                    missing.position
                );
                return Err(LedgerError::Unavailable(reason).into());
            }
            let waited = self.config.source.wait_newer(head.edge.size(), left).await;
            waited.map_err(|e| LedgerError::Unavailable(e.to_string()))?;
        }
    }

    /// Advances to the log's newest checkpoint, which is put into `evidence`, and cosigns it.
    ///
    /// The order matters: the checkpoint must not contradict the one before, its leaves must lead
    /// to its root, each entry must be its leaf and be replayed; only then is it cosigned.
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
        if let Some(before) = &head.checkpoint {
            if size < before.size() {
                let reason = format!(
                    "the log was rolled back: it had {} entries and now shows {size}",
                    before.size()
                );
                return Err(Trouble::Wrong(Some(size), reason).into());
            }
            if size == before.size() && checkpoint.root() != before.root() {
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
                let reason = "the log forked: its entries are not those of a checkpoint that it \
                              signed before";
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
            let ours = self.store.read(move |db| tables::entries(db, index * width, ours));
            let ours = ours.await.ok()?;
            let theirs = (size - index * width).min(width) as usize;
            let id = TileId { level: 0, index };
            let theirs = source::tile(self.config.source.as_ref(), id, theirs).await.ok()?;
            if let Some(at) =
                ours.iter().zip(&theirs).position(|(entry, leaf)| leaf_hash(entry) != *leaf)
            {
                return Some(index * width + at as u64);
            }
        }
        None
    }

    /// Cosigns `checkpoint`, once in a while, and returns it with the cosignature.
    async fn cosign(
        &self,
        head: &mut Head,
        mut checkpoint: Checkpoint,
    ) -> Result<Option<String>, Stop> {
        let Some(witness) = &self.config.witness else { return Ok(None) };
        let young = head.cosigned_at.is_some_and(|at| at.elapsed() < COSIGNED_AGE_MAX);
        if head.cosigned == Some(checkpoint.size()) && young {
            return Ok(None);
        }
        let line = witness.cosign(&checkpoint, (self.config.clock)());
        checkpoint
            .add(witness.public(), &line)
            .map_err(|e| Stop::Own(LedgerError::Misconfigured(format!("the witness key: {e}"))))?;
        let (size, name) = (checkpoint.size(), witness.public().to_string());
        let written = self.store.write(move |tx| tables::write_cosignature(tx, size, &name, &line));
        written.await?;
        (head.cosigned, head.cosigned_at) = (Some(size), Some(Instant::now()));
        Ok(Some(checkpoint.to_string()))
    }
}
