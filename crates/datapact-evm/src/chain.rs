//! Reading the chain: which block is final, what the contract announced, and whether the past stays the past.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_ledger::LedgerError;
use datapact_ledger::port::{Clock, EVENTS_MAX, Event, Position};
use tokio::sync::watch;

use crate::abi::{self, quantity};
use crate::rpc::{Block, Log, Rpc, RpcError};

/// A position is a block's number, then 20 bits for the event's place in it.
const PLACE_BITS: u32 = 20;
/// The most blocks whose events are kept in memory.
const KEPT_BLOCKS_MAX: usize = 1024;
/// The most blocks that are gone through one by one; more are skipped, and read when they are asked for.
const STEPS_MAX: u64 = 256;
/// The most blocks whose events are asked for at once; fewer when the node says that they are too many.
const RANGE_MAX: u64 = 5000;
/// A node without a new block for so many periods is behind.
const PERIODS_MAX: u64 = 5;
/// And never fewer seconds than that.
const STALE_SECONDS_MIN: u64 = 10;

/// Where an event of `block` stands.
pub(crate) fn position(block: u64, place: u64) -> Position {
    (block << PLACE_BITS) | place
}

fn block_of(position: Position) -> u64 {
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
    rpc: std::sync::Arc<Rpc>,
    contract: Address,
    from_block: u64,
    confirmations: u64,
    stale_seconds: u64,
    clock: Clock,
    /// Held while the head is moved.
    moving: tokio::sync::Mutex<()>,
    head: watch::Sender<Option<Head>>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The number of the first block in `blocks`.
    first: u64,
    blocks: VecDeque<Vec<Event>>,
    /// No event stands at or behind the position and not behind the block.
    empty: Option<(Position, u64)>,
    /// Why the chain is not believed any more.
    fault: Option<String>,
}

impl Chain {
    pub(crate) fn new(rpc: std::sync::Arc<Rpc>, config: &crate::config::EvmConfig, clock: Clock) -> Self {
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

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest final block, as far as it is known without asking.
    pub(crate) fn head(&self) -> watch::Receiver<Option<Head>> {
        self.head.subscribe()
    }

    /// Asks for the newest block and goes through those that have become final; each is given to `seen`, or none of
    /// them when there are too many (the first time, or after a long silence).
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`], from then on, when a final block is another than it was.
    pub(crate) async fn advance(&self, seen: impl Fn(Option<FinalBlock>)) -> Result<Block, LedgerError> {
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
            if newest == head.number && self.at(newest, &latest).await?.hash != head.hash {
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
                kept.blocks.push_back(events.iter().map(|(_, event)| event.clone()).collect());
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
        block.ok_or_else(|| LedgerError::Unavailable(format!("the node has no block {number} at the moment")))
    }

    fn reorganised(&self, number: u64) -> LedgerError {
        let reason = format!(
            "block {number} was final and is another now: the chain was reorganised deeper than {} confirmations",
            self.confirmations
        );
        self.kept().fault = Some(reason.clone());
        LedgerError::Corrupt { position: Some(position(number, 0)), reason }
    }

    fn believe(&self) -> Result<(), LedgerError> {
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

    /// Up to `max` final events at and after `from`.
    pub(crate) async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        self.believe()?;
        let max = max.min(EVENTS_MAX);
        let head = *self.head.borrow();
        let Some(head) = head else {
            return Err(LedgerError::Unavailable("the chain was not reached yet".to_owned()));
        };
        let mut block = block_of(from).max(self.from_block);
        let mut found = Vec::new();
        let (first, empty) = {
            let kept = self.kept();
            (kept.first, kept.empty)
        };
        if let Some((position, to)) = empty
            && from >= position
            && block <= to
        {
            block = to + 1;
        }
        let mut range = RANGE_MAX;
        while block < first && block <= head.number && found.len() < max {
            let to = (block + range - 1).min(first - 1).min(head.number);
            match self.rpc.logs(self.contract, block, to, &[]).await {
                Ok(logs) => {
                    // A node that is behind has no events in blocks that it does not have.
                    if self.rpc.block(&quantity(to)).await?.is_none() {
                        return Err(LedgerError::Unavailable(format!(
                            "the node has no block {to} at the moment"
                        )));
                    }
                    for log in &logs {
                        found.extend(
                            event(log)?.map(|(_, event)| event).filter(|event| event.position >= from),
                        );
                    }
                    block = to + 1;
                    if found.is_empty() {
                        self.kept().empty = Some((from, to));
                    }
                }
                // Too many at once, says the node in words of its own.
                Err(RpcError::Node { .. }) if range > 1 => range = range.div_ceil(8),
                Err(error) => return Err(error.into()),
            }
        }
        if found.len() < max {
            let kept = self.kept();
            if block < kept.first && block <= head.number {
                // Meanwhile the oldest blocks were dropped: the next call reads them from the node.
                found.truncate(max);
                return Ok(found);
            }
            let skip = usize::try_from(block.saturating_sub(kept.first)).unwrap_or(usize::MAX);
            let events = kept.blocks.iter().skip(skip).flatten().filter(|event| event.position >= from);
            found.extend(events.take(max - found.len()).cloned());
        }
        found.truncate(max);
        Ok(found)
    }

    /// Waits until there is an event at or after `from`, or for `timeout`.
    pub(crate) async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError> {
        let mut head = self.head();
        let end = tokio::time::Instant::now() + timeout;
        loop {
            let known = head.borrow_and_update().is_some();
            self.believe()?;
            if known && !self.events(from, 1).await?.is_empty() {
                return Ok(true);
            }
            match tokio::time::timeout_at(end, head.changed()).await {
                Err(_) => return Ok(false),
                Ok(Err(_)) => return Err(LedgerError::Unavailable("the adapter has ended".to_owned())),
                Ok(Ok(())) => {}
            }
        }
    }

    /// The newest event that `topics` find, final or not.
    pub(crate) async fn find(&self, topics: &[Option<B256>]) -> Result<Option<Event>, LedgerError> {
        let latest = self.rpc.latest().await?.number;
        let (mut to, mut range) = (latest, latest.saturating_sub(self.from_block) + 1);
        loop {
            let from = to.saturating_sub(range - 1).max(self.from_block);
            match self.rpc.logs(self.contract, from, to, topics).await {
                Ok(logs) => {
                    if let Some(log) = logs.last() {
                        return Ok(event(log)?.map(|(_, event)| event));
                    }
                    if from <= self.from_block {
                        return Ok(None);
                    }
                    to = from - 1;
                }
                Err(RpcError::Node { .. }) if range > 1 => range = range.div_ceil(8).min(RANGE_MAX),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the block of `position` is final.
    pub(crate) async fn finality(&self, position: Position, timeout: Duration) -> Result<(), LedgerError> {
        let mut head = self.head();
        let reached = head.wait_for(|head| head.is_some_and(|head| head.number >= block_of(position)));
        match tokio::time::timeout(timeout, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(LedgerError::Unavailable("it is on the chain, but not final yet".to_owned())),
        }
    }
}

/// The event that a log is, if it is a receipt's, with its transaction.
pub(crate) fn event(log: &Log) -> Result<Option<(B256, Event)>, LedgerError> {
    if log.log_index >> PLACE_BITS != 0 || log.block_number >> (u64::BITS - PLACE_BITS) != 0 {
        let reason = format!("the event {} of block {} has no position", log.log_index, log.block_number);
        return Err(LedgerError::Corrupt { position: None, reason });
    }
    let position = position(log.block_number, log.log_index);
    let receipt = abi::receipt(&log.data())
        .map_err(|error| LedgerError::Corrupt { position: Some(position), reason: error.to_string() })?;
    Ok(receipt.map(|receipt| {
        let time = match &receipt {
            datapact_core::contract::Receipt::Policy(record) => record.time,
            datapact_core::contract::Receipt::Access(record) => record.time,
            datapact_core::contract::Receipt::Usage(record) => record.time,
        };
        (log.transaction_hash, Event { position, time, receipt })
    }))
}
