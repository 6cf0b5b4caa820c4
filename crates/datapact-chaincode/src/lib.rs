//! Datapact's contract as chaincode of Hyperledger Fabric: a service to which each endorsing peer
//! connects.
//!
//! [`contract`] is `datapact-core`'s rules over Fabric's world state; [`shim`] runs it for peers,
//! by the messages in [`proto`]. The program `datapact-chaincode` is both with a command line. This
//! crate holds no key and no database: what it needs is in the peer's answers.
//!
//! How calls, records and refusals are on the channel: `docs/spec/fabric.md`; how to run it:
//! `docs/ledgers/fabric.md`.

pub mod contract;
pub mod proto;
pub mod shim;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
