//! Blocks: their hashes, and what the contract announced in them. Nothing that a peer sends is
//! trusted to be well formed.

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use datapact_core::contract::{CONTRACT_VERSION, Receipt};
use datapact_core::id::Timestamp;
use datapact_ledger::LedgerError;
use datapact_ledger::blocks::{BlockHash, PLACE_BITS, position};
use datapact_ledger::port::Event;
use datapact_log::Position;
use prost::Message as _;
use serde::Deserialize;

use crate::gateway::proposal::{ENDORSER_TRANSACTION, Endorsed};
use crate::proto::block::{Block, BlockHeader, Envelope, Payload};
use datapact_chaincode::proto::common::ChannelHeader;
use datapact_chaincode::proto::peer::ChaincodeEvent;

/// Where the validation codes are in a block's metadata.
const CODES: usize = 2;
/// The validation code of a transaction that counts.
pub(crate) const VALID: u8 = 0;
/// The name of the contract's event.
const EVENT: &str = "datapact";

/// A block that a peer has committed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CommittedBlock {
    pub(crate) number: u64,
    pub(crate) hash: BlockHash,
    pub(crate) previous_hash: Bytes,
    pub(crate) transactions: Vec<Committed>,
}

/// A transaction in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Committed {
    /// Its id; empty for anything but an endorsed transaction.
    pub(crate) id: String,
    /// What the peer makes of it.
    pub(crate) code: u8,
    /// What the contract announced in it, if it is valid and the contract's.
    pub(crate) event: Option<Event>,
}

/// The event's payload.
#[derive(Deserialize)]
struct EventPayload {
    contract_version: u32,
    receipt: Receipt,
    time: Timestamp,
}

impl CommittedBlock {
    /// Reads a block and checks it against its own header.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] when the block contradicts itself, or the contract announces what
    /// cannot be read.
    pub(crate) fn read(block: Block, chaincode: &str) -> Result<Self, LedgerError> {
        let header = block.header.ok_or_else(|| corrupt(None, "a block has no header"))?;
        let number = header.number;
        let at = |reason: &str| corrupt(Some(position(number, 0)), reason);
        if number > u64::MAX >> PLACE_BITS {
            return Err(corrupt(None, "a block's number is out of range"));
        }
        let data = block.data.map(|data| data.data).unwrap_or_default();
        if data.len() >= 1 << PLACE_BITS {
            return Err(at("a block has too many transactions"));
        }
        let mut context = Context::new(&SHA256);
        data.iter().for_each(|envelope| context.update(envelope));
        if context.finish().as_ref() != header.data_hash.as_ref() {
            return Err(at("a block's transactions are not those that its header names"));
        }
        let metadata = block.metadata.map(|metadata| metadata.metadata).unwrap_or_default();
        let codes = metadata.get(CODES).cloned().unwrap_or_default();
        // The first block, of the configuration, has none.
        if codes.len() != data.len() && number > 0 {
            return Err(at("a block's validation codes are not as many as its transactions"));
        }
        let codes = codes.into_iter().chain(std::iter::repeat(VALID));
        let mut transactions = Vec::with_capacity(data.len());
        for (place, (envelope, code)) in (0..).zip(data.into_iter().zip(codes)) {
            transactions.push(read(envelope, code, position(number, place), chaincode)?);
        }
        Ok(Self { number, hash: hash(&header), previous_hash: header.previous_hash, transactions })
    }

    /// Its events, in order.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.transactions.iter().filter_map(|transaction| transaction.event.as_ref())
    }
}

fn corrupt(position: Option<Position>, reason: &str) -> LedgerError {
    LedgerError::Corrupt { position, reason: format!("{reason}; the peer is damaged or lies") }
}

fn read(
    envelope: Bytes,
    code: u8,
    position: Position,
    chaincode: &str,
) -> Result<Committed, LedgerError> {
    let other = Committed { id: String::new(), code, event: None };
    let Ok(envelope) = Envelope::decode(envelope) else { return Ok(other) };
    let Ok(payload) = Payload::decode(envelope.payload) else { return Ok(other) };
    let header = payload.header.unwrap_or_default();
    let Ok(header) = ChannelHeader::decode(header.channel_header) else { return Ok(other) };
    if header.r#type != ENDORSER_TRANSACTION {
        return Ok(other);
    }
    let event = if code == VALID { announced(payload.data, chaincode, position)? } else { None };
    Ok(Committed { id: header.tx_id, code, event })
}

/// What the contract announced, if it is the contract's transaction.
fn announced(
    data: Bytes,
    chaincode: &str,
    position: Position,
) -> Result<Option<Event>, LedgerError> {
    let Some(Endorsed { action, .. }) = Endorsed::read(data) else { return Ok(None) };
    if action.chaincode_id.is_none_or(|id| id.name != chaincode) || action.events.is_empty() {
        return Ok(None);
    }
    let unreadable = |why: String| LedgerError::Corrupt {
        position: Some(position),
        reason: format!("what the contract announced cannot be read: {why}"),
    };
    let event = ChaincodeEvent::decode(action.events).map_err(|e| unreadable(e.to_string()))?;
    if event.event_name != EVENT {
        return Ok(None);
    }
    let EventPayload { contract_version, receipt, time } =
        serde_json::from_slice(&event.payload).map_err(|e| unreadable(e.to_string()))?;
    if contract_version != CONTRACT_VERSION {
        return Err(unreadable(format!(
            "its rules have version {contract_version}, and this program knows {CONTRACT_VERSION}; \
             update it"
        )));
    }
    Ok(Some(Event { position, time, receipt }))
}

/// A header's hash: SHA-256 of `SEQUENCE { INTEGER number, OCTET STRING previous_hash, OCTET STRING
/// data_hash }`.
pub(crate) fn hash(header: &BlockHeader) -> BlockHash {
    let mut content = Vec::with_capacity(80);
    let number = header.number.to_be_bytes();
    let zeros = number.iter().take_while(|byte| **byte == 0).count().min(7);
    let digits: Vec<u8> = number.iter().skip(zeros).copied().collect();
    let sign = digits.first().is_some_and(|byte| byte & 0x80 != 0);
    tag(&mut content, 0x02, digits.len() + usize::from(sign));
    content.extend(sign.then_some(0));
    content.extend(digits);
    for hash in [&header.previous_hash, &header.data_hash] {
        tag(&mut content, 0x04, hash.len());
        content.extend_from_slice(hash);
    }
    let mut sequence = Vec::with_capacity(content.len() + 4);
    tag(&mut sequence, 0x30, content.len());
    sequence.extend(content);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &sequence).as_ref());
    hash
}

/// A DER tag and its length.
fn tag(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let digits: Vec<u8> = bytes.iter().skip_while(|byte| **byte == 0).copied().collect();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
            out.extend(digits);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
