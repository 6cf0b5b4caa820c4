//! What a node answers: blocks, events, receipts.

use alloy::primitives::{Address, B256, Bytes, LogData};
use serde::Deserialize;

/// A block's head, and which transactions it holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    #[serde(deserialize_with = "number")]
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// The hash of the one before it.
    pub parent_hash: B256,
    #[serde(deserialize_with = "number")]
    /// When it was made, in seconds since 1970.
    pub timestamp: u64,
    /// The hashes of its transactions.
    pub transactions: Vec<B256>,
}

/// A contract's event.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// The contract.
    pub address: Address,
    topics: Vec<B256>,
    data: Bytes,
    #[serde(deserialize_with = "number")]
    /// The block's number.
    pub block_number: u64,
    /// The transaction.
    pub transaction_hash: B256,
    #[serde(deserialize_with = "number")]
    /// Its place in the block.
    pub log_index: u64,
}

impl Log {
    /// Topics and data.
    pub fn data(&self) -> LogData {
        LogData::new_unchecked(self.topics.clone(), self.data.clone())
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionReceipt {
    /// The block's hash.
    pub block_hash: B256,
    #[serde(deserialize_with = "number")]
    /// The block's number.
    pub block_number: u64,
    #[serde(deserialize_with = "number")]
    /// 1 when it did not revert.
    pub status: u64,
    /// The contract that it made.
    pub contract_address: Option<Address>,
    #[serde(deserialize_with = "number")]
    /// What it cost.
    pub gas_used: u64,
    /// Its events.
    pub logs: Vec<Log>,
}

fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    parse_quantity(&text).ok_or_else(|| serde::de::Error::custom("it is not a quantity"))
}

pub(crate) fn parse_quantity(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}
