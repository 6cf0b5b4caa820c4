//! What the contract announced: events by their position, of blocks that are in memory or that a
//! node is asked for.

use std::time::Duration;

use alloy::primitives::B256;
use datapact_core::contract::Receipt;
use datapact_ledger::LedgerError;
use datapact_ledger::port::{EVENTS_MAX, Event};
use datapact_log::Position;

use crate::abi::{self, quantity};
use crate::chain::{Chain, PLACE_BITS, block_of, position};
use crate::rpc::{Log, RpcError};

/// The most blocks whose events are asked for at once; fewer when they hold many, or the node says
/// that they are too many.
const RANGE_MAX: u64 = 5000;
/// How many events one answer should bring: of so many blocks it is asked for.
const EVENTS_AIM: u64 = 256;

impl Chain {
    /// Up to `max` final events at and after `from`.
    pub(crate) async fn events(
        &self,
        from: Position,
        max: usize,
    ) -> Result<Vec<Event>, LedgerError> {
        self.believe()?;
        let max = max.min(EVENTS_MAX);
        let head = *self.head().borrow();
        let Some(head) = head else {
            return Err(LedgerError::Unavailable("the chain was not reached yet".to_owned()));
        };
        let mut block = block_of(from).max(self.from_block);
        let mut found = Vec::new();
        let (first, empty, range) = {
            let kept = self.kept();
            (kept.first, kept.empty, kept.range)
        };
        if let Some((position, to)) = empty
            && from >= position
            && block <= to
        {
            block = to + 1;
        }
        let mut range = range.unwrap_or(RANGE_MAX);
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
                    let events = in_order(&logs, block, to)?;
                    found.extend(events.into_iter().filter(|event| event.position >= from));
                    range = fitting(range, logs.len() as u64);
                    block = to + 1;
                    let mut kept = self.kept();
                    kept.range = Some(range);
                    if found.is_empty() {
                        kept.empty = Some((from, to));
                    }
                }
                // Too many at once, says the node in words of its own, or by what it sends.
                Err(RpcError::Node { .. } | RpcError::TooMuch(_)) if range > 1 => {
                    range = range.div_ceil(8);
                    self.kept().range = Some(range);
                }
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
            let events = kept.blocks.iter().skip(skip).flat_map(|(_, events)| events);
            found.extend(
                events.filter(|event| event.position >= from).take(max - found.len()).cloned(),
            );
        }
        found.truncate(max);
        Ok(found)
    }

    /// Waits until there is an event at or after `from`, or for `timeout`.
    pub(crate) async fn wait(
        &self,
        from: Position,
        timeout: Duration,
    ) -> Result<bool, LedgerError> {
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
                Ok(Err(_)) => {
                    return Err(LedgerError::Unavailable("the adapter has ended".to_owned()));
                }
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
                Err(RpcError::Node { .. } | RpcError::TooMuch(_)) if range > 1 => {
                    range = range.div_ceil(8).min(RANGE_MAX);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Of how many blocks to ask for next, when the last `range` brought `events`.
fn fitting(range: u64, events: u64) -> u64 {
    match events {
        0..EVENTS_AIM => (range * 2).min(RANGE_MAX),
        _ => (range * EVENTS_AIM / events).max(1),
    }
}

/// The events of `logs`, which must be those of the blocks `from` to `to`, each behind the one
/// before it.
fn in_order(logs: &[Log], from: u64, to: u64) -> Result<Vec<Event>, LedgerError> {
    let mut least = position(from, 0);
    let mut events = Vec::with_capacity(logs.len());
    for log in logs {
        let Some((_, event)) = event(log)? else { continue };
        if event.position < least || block_of(event.position) > to {
            let reason = format!("the node's events of the blocks {from} to {to} are not in order");
            return Err(LedgerError::Unavailable(reason));
        }
        least = event.position + 1;
        events.push(event);
    }
    Ok(events)
}

/// The event that a log is, if it is a receipt's, with its transaction.
pub(crate) fn event(log: &Log) -> Result<Option<(B256, Event)>, LedgerError> {
    if log.log_index >> PLACE_BITS != 0 || log.block_number >> (u64::BITS - PLACE_BITS) != 0 {
        let reason =
            format!("the event {} of block {} has no position", log.log_index, log.block_number);
        return Err(LedgerError::Corrupt { position: None, reason });
    }
    let position = position(log.block_number, log.log_index);
    let receipt = abi::receipt(&log.data()).map_err(|error| LedgerError::Corrupt {
        position: Some(position),
        reason: error.to_string(),
    })?;
    Ok(receipt.map(|receipt| {
        let time = match &receipt {
            Receipt::Policy(record) => record.time,
            Receipt::Access(record) => record.time,
            Receipt::Usage(record) => record.time,
        };
        (log.transaction_hash, Event { position, time, receipt })
    }))
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
