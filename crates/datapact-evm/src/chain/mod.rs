//! Following the chain: which block is final, and whether the past stays the past.

mod events;
mod log;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_ledger::LedgerError;
use datapact_ledger::blocks::{BlockId, RecentBlocks, block_of};
use datapact_ledger::port::Event;
use datapact_log::Position;
use datapact_log::clock::Clock;

use crate::abi::quantity;
use crate::config::EvmConfig;
use crate::rpc::{Block, Rpc};

pub(crate) use log::event;

/// The most blocks that are gone through one by one; more are skipped, and read when they are asked
/// for.
const STEPS_MAX: u64 = 256;
/// A node without a new block for so many periods is behind.
const PERIODS_MAX: u64 = 5;
/// And never fewer seconds than that.
const STALE_SECONDS_MIN: u64 = 10;

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
    rpc: Arc<Rpc>,
    contract: Address,
    from_block: u64,
    confirmations: u64,
    stale_seconds: u64,
    clock: Clock,
    /// Held while the head is moved: two that move it at once would push a block twice.
    moving: tokio::sync::Mutex<()>,
    recent: RecentBlocks<B256>,
    /// Of how many blocks the events are asked for at once.
    range: AtomicU64,
}

impl Chain {
    pub(crate) fn new(rpc: Arc<Rpc>, config: &EvmConfig, clock: Clock) -> Self {
        Self {
            rpc,
            contract: config.contract,
            from_block: config.from_block,
            confirmations: config.confirmations,
            stale_seconds: (PERIODS_MAX * config.block_seconds).max(STALE_SECONDS_MIN),
            clock,
            moving: tokio::sync::Mutex::new(()),
            recent: RecentBlocks::default(),
            range: AtomicU64::new(events::RANGE_MAX),
        }
    }

    /// The number of the newest final block seen.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.recent.head().map(|head| head.number)
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
        let Some(mut head) = self.recent.head() else {
            let block = self.at(newest, &latest).await?;
            self.recent.begin(id(&block), None);
            return Ok(latest);
        };
        if newest <= head.number {
            // A node that is behind has the blocks that were seen, only fewer of them.
            let seen =
                if newest == head.number { Some(head.hash) } else { self.recent.hash(newest) };
            if let Some(seen) = seen
                && self.at(newest, &latest).await?.hash != seen
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
            self.recent.begin(id(&block), None);
            seen(None);
            return Ok(latest);
        }
        while head.number < newest {
            let block = self.at(head.number + 1, &latest).await?;
            if block.parent_hash != head.hash {
                return Err(self.reorganised(head.number));
            }
            // By the block's hash: a node that has another block there says that it has none.
            let logs = self.rpc.logs_of(self.contract, block.hash).await?;
            let events = logs.iter().map(event).collect::<Result<Vec<_>, _>>()?;
            let events: Vec<(B256, Event)> = events.into_iter().flatten().collect();
            head = id(&block);
            self.recent.push(head, events.clone());
            seen(Some(FinalBlock { transactions: block.transactions, events }));
        }
        Ok(latest)
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
            "block {number} was final and is another now: the chain was reorganised deeper than {} \
             confirmations. Nothing is recorded or released here until the server is started \
             again: find out first who changed the chain's past, and what is lost with it",
            self.confirmations
        );
        self.recent.distrust(number, reason)
    }

    /// Refuses once the chain's past has changed.
    pub(crate) fn believe(&self) -> Result<(), LedgerError> {
        self.recent.believe()
    }

    /// Refuses when `latest` is too old to be the newest that there is.
    pub(crate) fn fresh(&self, latest: &Block) -> Result<(), LedgerError> {
        let age = (self.clock)().saturating_sub(latest.timestamp);
        if age <= self.stale_seconds {
            return Ok(());
        }
        Err(LedgerError::Unavailable(format!(
            "the chain has had no new block for {age} s at `{}` (block {}): too few validators are \
             up, or the node is cut off",
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
        let reached = self.recent.reach(block_of(position), timeout).await;
        let not_yet =
            || LedgerError::Unavailable("it is on the chain, but not final yet".to_owned());
        reached.map(|_| ()).ok_or_else(not_yet)
    }

    /// Up to `max` final events at and after `from`.
    pub(crate) async fn events(
        &self,
        from: Position,
        max: usize,
    ) -> Result<Vec<Event>, LedgerError> {
        self.recent.events(from, max, self).await
    }

    /// Waits until there is an event at or after `from`, or for `timeout`.
    pub(crate) async fn wait(
        &self,
        from: Position,
        timeout: Duration,
    ) -> Result<bool, LedgerError> {
        self.recent.wait(from, timeout, self).await
    }
}

fn id(block: &Block) -> BlockId {
    BlockId { number: block.number, hash: block.hash.0 }
}
