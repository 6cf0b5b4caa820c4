//! What a follower has replayed, and what all its readers share.

use std::time::Instant;

use datapact_core::id::Timestamp;
use datapact_log::Position;
use datapact_log::note::{Checkpoint, VerifyingKey};
use datapact_log::tree::Edge;
use datapact_store::Db;

use crate::port::LedgerError;
use crate::tables;

/// What was last replayed.
pub(super) struct Head {
    pub(super) edge: Edge,
    /// The time of the newest entry.
    pub(super) time: Timestamp,
    /// The newest checkpoint kept; its entries may not all be replayed yet.
    pub(super) checkpoint: Option<Checkpoint>,
    /// The size of the newest checkpoint that this follower cosigned.
    pub(super) cosigned: Option<u64>,
    /// When it did so last, if that was since this was read.
    pub(super) cosigned_at: Option<Instant>,
    /// The chain's position after the newest event that was compared, if the log is a chain's
    /// mirror.
    pub(super) next: Position,
    /// Whether the chain was asked, since this was read, if it still holds what it held before.
    pub(super) is_held: bool,
}

impl Head {
    /// What the tables hold, which must be what was checked.
    pub(super) fn load(db: &Db, log: &VerifyingKey) -> Result<Self, LedgerError> {
        let size = tables::size(db)?;
        let edge = tables::edge(db, size)?;
        let checkpoint = match tables::newest_size(db)? {
            None => None,
            Some(newest) => {
                let note = tables::checkpoint(db, newest)?.unwrap_or_default();
                let opened = Checkpoint::open(note.as_bytes(), log, &[]);
                Some(opened.map_err(|e| {
                    LedgerError::Misconfigured(format!("this copy is from another log: {e}"))
                })?)
            }
        };
        if checkpoint.as_ref().is_some_and(|c| c.size() == size && *c.root() != edge.root()) {
            let reason =
                "the copy's tree is not the one that it has checked; restore a backup".to_owned();
            return Err(LedgerError::Corrupt { position: None, reason });
        }
        let cosigned = tables::cosigned_size(db)?;
        let next = tables::mirror(db)?.map_or(0, |(_, next)| next);
        Ok(Self {
            edge,
            time: tables::newest_time(db)?,
            checkpoint,
            cosigned,
            cosigned_at: None,
            next,
            is_held: false,
        })
    }
}

/// What polls tell and reads ask: one lock, held for moments only.
pub(super) struct Shared {
    /// Until when the own clock may still be set right.
    pub(super) settled: Instant,
    pub(super) fault: Option<(Option<Position>, String)>,
    pub(super) confirmed: Option<Instant>,
    /// What the follower's clock said when it was furthest behind; it may jump ahead and come right
    /// again.
    pub(super) clock: (Instant, Timestamp),
    pub(super) size: u64,
}

impl Shared {
    /// Notes what the clock says now.
    pub(super) fn note(&mut self, now: Timestamp) {
        let at = Instant::now();
        if now < self.time_at(at) {
            self.clock = (at, now);
        }
    }

    /// What the clock said then, unless it was ahead.
    pub(super) fn time_at(&self, at: Instant) -> Timestamp {
        let (since, time) = self.clock;
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs();
        time.saturating_add(seconds(since, at)).saturating_sub(seconds(at, since))
    }
}
