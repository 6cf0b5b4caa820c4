//! Replaying: every entry is decided again, by the contract's own rules, into this copy's state.

use std::time::Instant;

use datapact_core::contract::{CLOCK_SKEW_SECONDS_MAX, Outcome, keys};
use datapact_core::id::Timestamp;
use datapact_log::Position;
use datapact_log::entry::{DISORDER_SECONDS_MAX, Entry, EntryFault};
use datapact_log::note::Checkpoint;
use datapact_log::source::{self, Bundle, Trouble};
use datapact_log::tree::{Edge, Hash, TILE_WIDTH, leaf_hash};
use datapact_store::Tx;

use super::Follower;
use super::head::Head;
use super::poll::{CHAIN_PATIENCE, Stop};
use crate::port::{Event, LedgerError};
use crate::tables::{self, Batch, Overlay};

impl Follower {
    /// Fetches, compares and replays the entries that `leaves` announce, a bundle at a time.
    pub(super) async fn replay(
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
        // The checkpoint is stored with the first entries under it, and even without any: from then
        // on the log cannot show another tree of that size.
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
            // A bundle begins at a multiple of its width; what is replayed already is skipped.
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
            // What is whole before a broken rest was compared first: its fault comes first.
            bundle.rest?;
            let (edge, time) = (head.edge.clone(), head.time);
            let (size, signed) = (checkpoint.size(), note.take());
            let expected = self.chain_events(head.next, entries.len()).await?;
            let next =
                expected.iter().flatten().last().map_or(head.next, |event| event.position + 1);
            let chain = self.chain.clone();
            let written = self.store.write(move |tx| {
                // Another process may have gone on with the copy since it was read.
                if tables::size(tx)? != edge.size() {
                    return Err(Stop::Moved);
                }
                let (batch, newest) = rules.replay_all(tx, edge, time, entries, expected)?;
                if let Some(note) = signed {
                    tables::write_checkpoint(tx, size, &note)?;
                }
                if let Some(chain) = chain {
                    tables::write_mirror(tx, &chain, next)?;
                }
                Ok((batch.write(tx)?, newest))
            });
            (head.edge, head.time) = written.await?;
            head.next = next;
        }
        Ok(())
    }

    /// The next `count` events of the own node, which may be a moment behind the log.
    async fn chain_events(
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
                let reason = "the own node of the chain does not hold the newest entries of \
                              management's log";
                return Err(LedgerError::Unavailable(reason.to_owned()));
            }
            events.extend(more);
        }
        Ok(Some(events))
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
            "entry {position} of the ledger is {seconds} s {where_it_is} this machine's clock; \
             compare the clocks of this machine and of management"
        )))
    }

    /// Replays `entries` on the tree with `edge`, whose newest entry is of the time `newest`; each
    /// must be what the own node of the chain recorded, if there is one.
    fn replay_all(
        &self,
        tx: &Tx,
        edge: Edge,
        mut newest: Timestamp,
        entries: Vec<(Vec<u8>, Entry)>,
        expected: Option<Vec<Event>>,
    ) -> Result<(Batch, Timestamp), Stop> {
        let overlay = Overlay::load(tx, entries.iter().flat_map(|(_, e)| keys(&e.call)))?;
        let mut batch = Batch::new(edge, overlay);
        for (nth, (bytes, entry)) in entries.into_iter().enumerate() {
            let position = batch.edge.size();
            self.meets(position, &entry)?;
            let outcome = self
                .replay(&entry, newest, &batch.overlay)
                .map_err(|fault| wrong(position, &fault))?;
            let is_same =
                |event: &Event| event.time == entry.time && event.receipt == outcome.receipt;
            if let Some(expected) = &expected
                && !expected.get(nth).is_some_and(is_same)
            {
                let reason = "the chain, in the own node, has recorded something else";
                return Err(Trouble::Wrong(Some(position), reason.to_owned()).into());
            }
            newest = newest.max(entry.time);
            batch.push(entry.time, bytes, outcome);
        }
        Ok((batch, newest))
    }

    fn replay(
        &self,
        entry: &Entry,
        previous: Timestamp,
        overlay: &Overlay,
    ) -> Result<Outcome, EntryFault> {
        if entry.time < self.earliest {
            return Err(EntryFault::Skew(entry.time.abs_diff(self.now)));
        }
        entry.replay(previous.saturating_sub(self.disorder), &overlay.values(&keys(&entry.call)))
    }
}

fn wrong(position: Position, fault: &EntryFault) -> Stop {
    Trouble::Wrong(Some(position), fault.to_string()).into()
}
