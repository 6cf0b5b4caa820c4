//! Ethereum-family ledgers: GoQuorum, Besu, and any chain of the Berlin rules behind an Ethereum
//! JSON-RPC node.
//!
//! [`EvmLedger`] is the adapter, [`config`] the `ledger.toml` that describes an existing network,
//! [`deploy`] puts the contract on it, and [`network`] runs networks on one machine. How calls,
//! records and refusals are on the chain: `docs/spec/ethereum.md`; how to run it:
//! `docs/ledgers/ethereum.md`.

pub mod abi;
mod chain;
pub mod config;
mod contract;
pub mod deploy;
pub mod inspect;
mod ledger;
pub mod network;
pub mod rpc;
pub mod signer;
mod submit;
#[cfg(test)]
mod test_node;

pub use ledger::EvmLedger;
