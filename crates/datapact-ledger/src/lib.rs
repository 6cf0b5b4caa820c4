//! The ledger: what Datapact asks of any ([`port::Ledger`]), the embedded one ([`embedded`]), and
//! followers of it.
//!
//! The log itself is [`datapact_log`]; its tables are in a [`datapact_store::Store`].

pub mod blocks;
pub mod chain;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod embedded;
pub mod follower;
pub mod mirror;
pub mod port;
pub mod tables;

pub use port::{ContractState, Ledger, LedgerError, LedgerReceipt};
