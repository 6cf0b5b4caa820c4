//! Hyperledger Fabric as the ledger.
//!
//! The contract runs as chaincode on every endorsing peer ([`shim`], [`contract`], the program
//! `datapact-chaincode`); the adapter reaches it through a peer's gateway ([`gateway`]);
//! [`network`] runs networks on one machine. How calls, records and refusals stand on the channel:
//! `docs/spec/fabric.md`; how to run it: `docs/ledgers/fabric.md`.

pub mod contract;
pub mod gateway;
pub mod network;
pub mod package;
pub mod proto;
pub mod shim;
