//! Hyperledger Fabric as the ledger.
//!
//! The contract runs as chaincode on every endorsing peer (`datapact-chaincode`); the adapter
//! reaches it through a peer's gateway ([`gateway`]); [`network`] runs networks on one machine. How
//! calls, records and refusals are on the channel: `docs/spec/fabric.md`; how to run it:
//! `docs/ledgers/fabric.md`.

pub mod gateway;
pub mod network;
pub mod package;
pub mod proto;
