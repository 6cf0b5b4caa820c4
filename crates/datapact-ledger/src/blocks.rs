//! The newest blocks of a chain, as an adapter has seen them: the events in them by position, and
//! whether the past is still what it was.
//!
//! Every chain of blocks has these in common, whatever its nodes speak. An adapter brings the rest:
//! how it learns of the next block ([`RecentBlocks::push`]), and how it reads older ones
//! ([`OlderBlocks`]).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datapact_log::Position;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::port::{EVENTS_MAX, Event, LedgerError};

/// A position is a block's number, then 20 bits for the event's place in the block.
pub const PLACE_BITS: u32 = 20;
/// The most blocks whose events are in memory: a few minutes' worth, so that a reader who follows
/// the chain causes no request to a node.
const BLOCKS_MAX: usize = 1024;

/// The position of the event at `place` in `block`.
pub fn position(block: u64, place: u64) -> Position {
    (block << PLACE_BITS) | place
}

/// The block of a position.
pub fn block_of(position: Position) -> u64 {
    position >> PLACE_BITS
}

/// A block's hash, of 256 bits on every chain so far.
pub type BlockHash = [u8; 32];

/// A block, without what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockId {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: BlockHash,
}

/// How an adapter reads blocks that are not in memory.
#[async_trait]
pub trait OlderBlocks: Sync {
    /// The first block that can hold events.
    fn first_block(&self) -> u64 {
        0
    }

    /// Why no block has been seen yet.
    fn unreached(&self) -> LedgerError;

    /// The events at and after `from` in the blocks `block` to `last`, in order, until there are
    /// `max` or more of them; and the first block that was not read.
    async fn read(
        &self,
        from: Position,
        block: u64,
        last: u64,
        max: usize,
    ) -> Result<(Vec<Event>, u64), LedgerError>;
}

/// The newest final blocks. `T` identifies a transaction.
pub struct RecentBlocks<T> {
    head: watch::Sender<Option<BlockId>>,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// The number of the first block in `blocks`.
    first: u64,
    blocks: VecDeque<Block<T>>,
    /// There is no event at or after the position up to the end of the block: a follower that has
    /// read so far does not have the same empty blocks read again.
    empty: Option<(Position, u64)>,
    /// Why the chain is not believed any more.
    fault: Option<String>,
}

struct Block<T> {
    hash: BlockHash,
    /// Each with its transaction.
    events: Vec<(T, Event)>,
}

impl<T> Default for RecentBlocks<T> {
    fn default() -> Self {
        let state = State { first: 0, blocks: VecDeque::new(), empty: None, fault: None };
        Self { head: watch::Sender::new(None), state: Mutex::new(state) }
    }
}

impl<T: PartialEq> RecentBlocks<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest final block seen.
    pub fn head(&self) -> Option<BlockId> {
        *self.head.borrow()
    }

    /// Waits until block `number` or a later one is final; none after `patience`.
    pub async fn reach(&self, number: u64, patience: Duration) -> Option<BlockId> {
        let mut head = self.head.subscribe();
        let reached = head.wait_for(|head| head.is_some_and(|head| head.number >= number));
        *timeout(patience, reached).await.ok()?.ok()?
    }

    /// Begins with `head`, forgetting all other blocks. `events` are those in it, if they are
    /// known.
    pub fn begin(&self, head: BlockId, events: Option<Vec<(T, Event)>>) {
        {
            let mut state = self.state();
            state.first = if events.is_some() { head.number } else { head.number + 1 };
            state.blocks =
                events.map(|events| Block { hash: head.hash, events }).into_iter().collect();
        }
        self.head.send_replace(Some(head));
    }

    /// Adds the block that follows the head.
    pub fn push(&self, head: BlockId, events: Vec<(T, Event)>) {
        {
            let mut state = self.state();
            state.blocks.push_back(Block { hash: head.hash, events });
            if state.blocks.len() > BLOCKS_MAX {
                state.blocks.pop_front();
                state.first += 1;
            }
        }
        // Only now: a reader that sees the new head must find its block.
        self.head.send_replace(Some(head));
    }

    /// The hash that block `number` had, while it is in memory.
    pub fn hash(&self, number: u64) -> Option<BlockHash> {
        let state = self.state();
        let at = usize::try_from(number.checked_sub(state.first)?).ok()?;
        state.blocks.get(at).map(|block| block.hash)
    }

    /// The event of a transaction, while its block is in memory.
    pub fn find(&self, transaction: &T) -> Option<Event> {
        let state = self.state();
        let mut newest_first = state.blocks.iter().rev().flat_map(|block| &block.events);
        newest_first.find(|(id, _)| id == transaction).map(|(_, event)| event.clone())
    }

    /// Remembers that there is no event at or after `from` up to the end of block `last`.
    pub fn note_empty(&self, from: Position, last: u64) {
        self.state().empty = Some((from, last));
    }

    /// Stops believing the chain, for good: its past is not what it was.
    pub fn distrust(&self, block: u64, reason: String) -> LedgerError {
        self.state().fault = Some(reason.clone());
        LedgerError::Corrupt { position: Some(position(block, 0)), reason }
    }

    /// Refuses once the chain is not believed any more.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`].
    pub fn believe(&self) -> Result<(), LedgerError> {
        match &self.state().fault {
            None => Ok(()),
            Some(reason) => Err(LedgerError::Corrupt { position: None, reason: reason.clone() }),
        }
    }

    /// Up to `max` (at most [`EVENTS_MAX`]) final events at and after `from`, in order: those of
    /// older blocks by `older`, the rest from memory.
    ///
    /// # Errors
    /// As `older` reads, and when the chain was not reached yet or is not believed.
    pub async fn events(
        &self,
        from: Position,
        max: usize,
        older: &impl OlderBlocks,
    ) -> Result<Vec<Event>, LedgerError> {
        self.believe()?;
        let max = max.min(EVENTS_MAX);
        let head = self.head().ok_or_else(|| older.unreached())?;
        let mut block = block_of(from).max(older.first_block());
        let first = {
            let state = self.state();
            if let Some((position, last)) = state.empty
                && from >= position
                && block <= last
            {
                block = last + 1;
            }
            state.first
        };
        let mut events = Vec::new();
        if block < first && block <= head.number && max > 0 {
            let last = head.number.min(first - 1);
            (events, block) = older.read(from, block, last, max).await?;
            if events.is_empty() {
                self.note_empty(from, block - 1);
            }
        }
        if events.len() < max {
            let state = self.state();
            // When blocks were dropped from memory while older ones were read, there is a gap: the
            // next call reads them from a node.
            if let Some(skip) = block.checked_sub(state.first) {
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                let recent = state.blocks.iter().skip(skip).flat_map(|block| &block.events);
                let recent = recent.map(|(_, event)| event).filter(|event| event.position >= from);
                events.extend(recent.take(max - events.len()).cloned());
            }
        }
        events.truncate(max);
        Ok(events)
    }

    /// Waits until there is an event at or after `from`; false when there is none after `patience`.
    ///
    /// # Errors
    /// As [`Self::events`].
    pub async fn wait(
        &self,
        from: Position,
        patience: Duration,
        older: &impl OlderBlocks,
    ) -> Result<bool, LedgerError> {
        let mut head = self.head.subscribe();
        let end = Instant::now() + patience;
        loop {
            let reached = head.borrow_and_update().is_some();
            self.believe()?;
            if reached && !self.events(from, 1, older).await?.is_empty() {
                return Ok(true);
            }
            match timeout_at(end, head.changed()).await {
                Err(_) => return Ok(false),
                Ok(Err(_)) => {
                    return Err(LedgerError::Unavailable("the adapter has ended".to_owned()));
                }
                Ok(Ok(())) => {}
            }
        }
    }
}
