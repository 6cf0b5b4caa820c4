//! What the contract announced: a node's logs as events, each at its position.

use alloy::primitives::B256;
use datapact_core::contract::Receipt;
use datapact_ledger::LedgerError;
use datapact_ledger::blocks::{PLACE_BITS, block_of, position};
use datapact_ledger::port::Event;

use crate::abi;
use crate::rpc::Log;

/// The events of `logs`, which must be those of the blocks `from` to `to`, each behind the one
/// before it.
pub(super) fn in_order(logs: &[Log], from: u64, to: u64) -> Result<Vec<Event>, LedgerError> {
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
