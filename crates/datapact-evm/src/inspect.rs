//! A chain, and one transaction on it, as an operator looks at them: what one node says, checked as
//! far as that goes.

use alloy::primitives::{Address, B256};
use datapact_core::contract::{CONTRACT_VERSION, Receipt};
use datapact_core::id::Timestamp;
use datapact_ledger::LedgerError;
use datapact_log::Position;
use serde::Serialize;

use crate::abi::{quantity, share_address, sol_types::Registry};
use crate::chain::event;
use crate::config::EvmConfig;
use crate::contract::{ask, check};
use crate::rpc::Rpc;
use crate::signer::FileSigner;

/// The most later blocks whose links are followed.
const LINKED_MAX: u64 = 256;

/// What this looks at cannot prove, for people.
pub const NOT_PROVEN: &str = "that the validators have sealed these blocks, and that the events \
                              are those that the transaction emitted: the node alone checks both";

/// A chain, as a node shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The chain's id.
    pub chain_id: u64,
    /// The registry, as CAIP-10 has it.
    pub contract: String,
    /// The version of its rules.
    pub contract_version: u32,
    /// Whose calls it takes.
    pub submitter: Option<String>,
    /// Who may replace the submitter.
    pub owner: Option<String>,
    /// The account that the configuration's key file is of; none where it names no signer.
    pub signer: Option<String>,
    /// The node that answered.
    pub node: String,
    /// The newest block.
    pub block: u64,
    /// Its hash.
    pub block_hash: String,
    /// When it was made.
    pub block_time: Timestamp,
}

/// A transaction, as a node shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransactionReport {
    /// Its hash.
    pub transaction: String,
    /// Its block.
    pub block: u64,
    /// The block's hash.
    pub block_hash: String,
    /// When the block was made.
    pub block_time: Timestamp,
    /// Whether it took effect; one that the contract refused did not.
    pub succeeded: bool,
    /// What it recorded; nothing when it was refused, or a repeat.
    pub recorded: Option<RecordedEvent>,
    /// How many later blocks link to it, each by the hash of the one before; no more than 256 are
    /// looked at.
    pub linked_blocks: u64,
    /// Whether as many blocks have followed as the configuration asks for.
    pub is_final: bool,
}

/// What a transaction recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedEvent {
    /// The position of its event.
    pub position: Position,
    /// The share's contract, as CAIP-10 has it.
    pub contract: String,
    /// What the contract answered.
    pub receipt: Receipt,
}

/// The chain of `config`, whose contract and key file are checked as a server would.
///
/// # Errors
/// As a server's call: what is misconfigured, and where.
pub async fn chain(config: &EvmConfig) -> Result<ChainReport, LedgerError> {
    let rpc = Rpc::new(&config.endpoints, config.chain_id)?;
    let latest = rpc.latest().await?;
    let account = match &config.signer {
        Some(signer) => Some(FileSigner::new(signer.clone()).key().await?.address()),
        None => None,
    };
    check(&rpc, config, account).await?;
    let text = |address: Option<Address>| address.map(|address| address.to_string());
    Ok(ChainReport {
        chain_id: config.chain_id,
        contract: caip10(config, config.contract),
        contract_version: CONTRACT_VERSION,
        submitter: text(ask(&rpc, config.contract, Registry::submitterCall {}).await?),
        owner: text(ask(&rpc, config.contract, Registry::ownerCall {}).await?),
        signer: text(account),
        node: rpc.preferred().to_owned(),
        block: latest.number,
        block_hash: latest.hash.to_string(),
        block_time: latest.timestamp,
    })
}

/// The transaction with this hash, hexadecimal; none when no block holds it.
///
/// # Errors
/// [`LedgerError::Corrupt`] when the node contradicts itself.
pub async fn transaction(
    config: &EvmConfig,
    hash: &str,
) -> Result<Option<TransactionReport>, LedgerError> {
    let hash: B256 = hash.parse().map_err(|_| {
        LedgerError::Misconfigured(format!(
            "`{hash}` is not a transaction: it has 64 hexadecimal digits after `0x`"
        ))
    })?;
    let rpc = Rpc::new(&config.endpoints, config.chain_id)?;
    let Some(receipt) = rpc.receipt(hash).await? else { return Ok(None) };
    let contradicts = |what: &str| LedgerError::Corrupt {
        position: None,
        reason: format!("the node `{}` contradicts itself: {what}", rpc.preferred()),
    };
    let block = rpc.block(&quantity(receipt.block_number)).await?;
    let block = block
        .filter(|block| block.hash == receipt.block_hash && block.transactions.contains(&hash));
    let block = block
        .ok_or_else(|| contradicts("the block that it names does not hold the transaction"))?;
    // The events come by two ways, from the block and from the receipt, and must be the same.
    let logs = rpc.logs_of(config.contract, block.hash).await?;
    let mut events = Vec::new();
    for log in logs.iter().filter(|log| log.transaction_hash == hash) {
        events.extend(event(log)?.map(|(_, event)| event));
    }
    let mut receipts = Vec::new();
    for log in receipt.logs.iter().filter(|log| log.address == config.contract) {
        receipts.extend(event(log)?.map(|(_, event)| event));
    }
    if events != receipts || events.len() > 1 || (receipt.status != 1 && !events.is_empty()) {
        return Err(contradicts("the block's events are not the receipt's"));
    }
    let latest = rpc.latest().await?.number;
    let (mut linked, mut last) = (0, block.hash);
    for number in (block.number + 1..=latest).take(LINKED_MAX as usize) {
        let next = rpc.block(&quantity(number)).await?;
        let next = next.filter(|next| next.parent_hash == last);
        last = next
            .ok_or_else(|| contradicts(&format!("block {number} does not link to the one before")))?
            .hash;
        linked += 1;
    }
    let recorded = events.pop().map(|event| RecordedEvent {
        position: event.position,
        contract: caip10(
            config,
            share_address(config.contract, config.implementation, event.receipt.share()),
        ),
        receipt: event.receipt,
    });
    Ok(Some(TransactionReport {
        transaction: hash.to_string(),
        block: block.number,
        block_hash: block.hash.to_string(),
        block_time: block.timestamp,
        succeeded: receipt.status == 1,
        recorded,
        linked_blocks: linked,
        is_final: latest >= block.number.saturating_add(config.confirmations),
    }))
}

fn caip10(config: &EvmConfig, address: Address) -> String {
    format!("eip155:{}:{address}", config.chain_id)
}
