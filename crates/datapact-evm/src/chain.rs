//! Following the chain: which block is final, and whether the past stays the past.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_ledger::LedgerError;
use datapact_ledger::port::Event;
use datapact_log::Position;
use datapact_log::clock::Clock;
use tokio::sync::watch;

use crate::abi::quantity;
use crate::events::event;
use crate::rpc::{Block, Rpc};

/// A position is a block's number, then 20 bits for the event's place in it.
pub(crate) const PLACE_BITS: u32 = 20;
/// The most blocks whose events are kept in memory.
const KEPT_BLOCKS_MAX: usize = 1024;
/// The most blocks that are gone through one by one; more are skipped, and read when they are asked
/// for.
const STEPS_MAX: u64 = 256;
/// A node without a new block for so many periods is behind.
const PERIODS_MAX: u64 = 5;
/// And never fewer seconds than that.
const STALE_SECONDS_MIN: u64 = 10;

/// Where an event of `block` stands.
pub(crate) fn position(block: u64, place: u64) -> Position {
    (block << PLACE_BITS) | place
}

pub(crate) fn block_of(position: Position) -> u64 {
    position >> PLACE_BITS
}

/// The newest final block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u64,
    hash: B256,
}

/// A final block with what the contract announced in it.
#[derive(Debug)]
pub(crate) struct FinalBlock {
    /// The hashes of its transactions.
    pub(crate) transactions: Vec<B256>,
    /// The events, each with its transaction.
    pub(crate) events: Vec<(B256, Event)>,
}

/// The contract's events on one chain.
pub(crate) struct Chain {
    pub(crate) rpc: std::sync::Arc<Rpc>,
    pub(crate) contract: Address,
    pub(crate) from_block: u64,
    confirmations: u64,
    stale_seconds: u64,
    clock: Clock,
    /// Held while the head is moved.
    moving: tokio::sync::Mutex<()>,
    head: watch::Sender<Option<Head>>,
    kept: Mutex<Kept>,
}

/// What is known of the past without asking.
#[derive(Default)]
pub(crate) struct Kept {
    /// The number of the first block in `blocks`.
    pub(crate) first: u64,
    /// Each block's hash, and the events in it.
    pub(crate) blocks: VecDeque<(B256, Vec<Event>)>,
    /// No event stands at or behind the position and not behind the block.
    pub(crate) empty: Option<(Position, u64)>,
    /// Of how many blocks the events are asked for at once; none before the first time.
    pub(crate) range: Option<u64>,
    /// Why the chain is not believed any more.
    fault: Option<String>,
}

impl Kept {
    /// The hash that the final block `number` had.
    fn hash(&self, number: u64) -> Option<B256> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.blocks.get(at).map(|(hash, _)| *hash)
    }
}

impl Chain {
    pub(crate) fn new(
        rpc: std::sync::Arc<Rpc>,
        config: &crate::config::EvmConfig,
        clock: Clock,
    ) -> Self {
        Self {
            rpc,
            contract: config.contract,
            from_block: config.from_block,
            confirmations: config.confirmations,
            stale_seconds: (PERIODS_MAX * config.block_seconds).max(STALE_SECONDS_MIN),
            clock,
            moving: tokio::sync::Mutex::new(()),
            head: watch::Sender::new(None),
            kept: Mutex::default(),
        }
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest final block, as far as it is known without asking.
    pub(crate) fn head(&self) -> watch::Receiver<Option<Head>> {
        self.head.subscribe()
    }

    /// Asks for the newest block and goes through those that have become final; each is given to
    /// `seen`, or none of them when there are too many (the first time, or after a long silence).
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`], from then on, when a final block is another than it was.
    pub(crate) async fn advance(
        &self,
        seen: impl Fn(Option<FinalBlock>),
    ) -> Result<Block, LedgerError> {
        let _moving = self.moving.lock().await;
        self.believe()?;
        let latest = self.rpc.latest().await?;
        let now = (self.clock)();
        if latest.timestamp > now.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
            return Err(LedgerError::Unavailable(format!(
                "the chain's newest block is {} s ahead of this machine's clock; set the clocks",
                latest.timestamp - now
            )));
        }
        let newest = latest.number.saturating_sub(self.confirmations);
        let head = *self.head.borrow();
        let Some(mut head) = head else {
            let block = self.at(newest, &latest).await?;
            self.begin(&block);
            return Ok(latest);
        };
        if newest <= head.number {
            // A node that is behind has the blocks that were seen, only fewer of them.
            let known =
                if newest == head.number { Some(head.hash) } else { self.kept().hash(newest) };
            if let Some(known) = known
                && self.at(newest, &latest).await?.hash != known
            {
                return Err(self.reorganised(newest));
            }
            return Ok(latest);
        }
        if newest - head.number > STEPS_MAX {
            if self.at(head.number, &latest).await?.hash != head.hash {
                return Err(self.reorganised(head.number));
            }
            let block = self.at(newest, &latest).await?;
            self.begin(&block);
            seen(None);
            return Ok(latest);
        }
        while head.number < newest {
            let block = self.at(head.number + 1, &latest).await?;
            if block.parent_hash != head.hash {
                return Err(self.reorganised(head.number));
            }
            let logs = self.rpc.logs_of(self.contract, block.hash).await?;
            let events = logs.iter().map(event).collect::<Result<Vec<_>, _>>()?;
            let events: Vec<(B256, Event)> = events.into_iter().flatten().collect();
            head = Head { number: block.number, hash: block.hash };
            {
                let mut kept = self.kept();
                kept.blocks.push_back((
                    head.hash,
                    events.iter().map(|(_, event)| event.clone()).collect(),
                ));
                if kept.blocks.len() > KEPT_BLOCKS_MAX {
                    kept.blocks.pop_front();
                    kept.first += 1;
                }
            }
            self.head.send_replace(Some(head));
            seen(Some(FinalBlock { transactions: block.transactions, events }));
        }
        Ok(latest)
    }

    fn begin(&self, block: &Block) {
        let mut kept = self.kept();
        kept.first = block.number + 1;
        kept.blocks.clear();
        drop(kept);
        self.head.send_replace(Some(Head { number: block.number, hash: block.hash }));
    }

    async fn at(&self, number: u64, latest: &Block) -> Result<Block, LedgerError> {
        if number == latest.number {
            return Ok(latest.clone());
        }
        let block = self.rpc.block(&quantity(number)).await?;
        block.ok_or_else(|| {
            LedgerError::Unavailable(format!("the node has no block {number} at the moment"))
        })
    }

    fn reorganised(&self, number: u64) -> LedgerError {
        let reason = format!(
            "block {number} was final and is another now: the chain was reorganised deeper than {} confirmations. \
             Nothing is recorded or released here until the server is started again: find out first who changed the \
             chain's past, and what is lost with it",
            self.confirmations
        );
        self.kept().fault = Some(reason.clone());
        LedgerError::Corrupt { position: Some(position(number, 0)), reason }
    }

    /// Refuses once the chain's past has changed.
    pub(crate) fn believe(&self) -> Result<(), LedgerError> {
        match &self.kept().fault {
            None => Ok(()),
            Some(reason) => Err(LedgerError::Corrupt { position: None, reason: reason.clone() }),
        }
    }

    /// Refuses when `latest` is too old to be the newest that there is.
    pub(crate) fn fresh(&self, latest: &Block) -> Result<(), LedgerError> {
        let age = (self.clock)().saturating_sub(latest.timestamp);
        if age <= self.stale_seconds {
            return Ok(());
        }
        Err(LedgerError::Unavailable(format!(
            "the chain has had no new block for {age} s at `{}` (block {}): too few validators are up, or the node \
             is cut off",
            self.rpc.preferred(),
            latest.number
        )))
    }

    /// Waits until the block of `position` is final.
    pub(crate) async fn finality(
        &self,
        position: Position,
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        let mut head = self.head();
        let reached =
            head.wait_for(|head| head.is_some_and(|head| head.number >= block_of(position)));
        match tokio::time::timeout(timeout, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(LedgerError::Unavailable("it is on the chain, but not final yet".to_owned())),
        }
    }
}
