//! The ledger: what Datapact asks of any ([`port::Ledger`]), the embedded one ([`embedded`]), and
//! followers of it.
//!
//! [`store`] is the database with one writer that the servers keep all their state in.

pub mod audit;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod embedded;
pub mod entry;
pub mod follower;
pub mod local;
pub mod log_policy;
pub mod mirror;
pub mod note;
pub mod path;
pub mod port;
pub mod proof;
pub mod source;
pub mod store;
pub mod tables;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tree;

pub use port::{Ledger, LedgerCopy, LedgerError, LedgerReceipt};
pub use store::Store;
