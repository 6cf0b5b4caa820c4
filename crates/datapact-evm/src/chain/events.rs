//! Events of blocks that are not in memory: a node is asked for them, for as many blocks at once as
//! it likes.

use std::sync::atomic::Ordering;

use alloy::primitives::B256;
use async_trait::async_trait;
use datapact_ledger::LedgerError;
use datapact_ledger::blocks::OlderBlocks;
use datapact_ledger::port::Event;
use datapact_log::Position;

use super::Chain;
use super::log::{event, in_order};
use crate::abi::quantity;
use crate::rpc::RpcError;

/// The most blocks whose events are asked for at once; fewer when they hold many, or the node says
/// that they are too many.
pub(super) const RANGE_MAX: u64 = 5000;
/// How many events one answer should bring: of so many blocks it is asked for.
const EVENTS_AIM: u64 = 256;

#[async_trait]
impl OlderBlocks for Chain {
    fn first_block(&self) -> u64 {
        self.from_block
    }

    fn unreached(&self) -> LedgerError {
        LedgerError::Unavailable("the chain was not reached yet".to_owned())
    }

    async fn read(
        &self,
        from: Position,
        mut block: u64,
        last: u64,
        max: usize,
    ) -> Result<(Vec<Event>, u64), LedgerError> {
        let mut found = Vec::new();
        while block <= last && found.len() < max {
            let range = self.range.load(Ordering::Relaxed);
            let to = (block + range - 1).min(last);
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
                    self.range.store(fitting(range, logs.len() as u64), Ordering::Relaxed);
                    block = to + 1;
                    // Noted at each step: when a later one fails, the next call goes on from here.
                    if found.is_empty() {
                        self.recent.note_empty(from, to);
                    }
                }
                // Too many at once, says the node in words of its own, or by what it sends.
                Err(RpcError::Node { .. } | RpcError::TooMuch(_)) if range > 1 => {
                    self.range.store(range.div_ceil(8), Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((found, block))
    }
}

impl Chain {
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
