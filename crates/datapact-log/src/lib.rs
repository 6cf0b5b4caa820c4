//! The transparency log (C2SP tlog-tiles): its entries, tree, signed checkpoints and proofs, and
//! the audit of a whole log.
//!
//! Nothing here needs a database or a server: a client, an auditor and a witness read and verify
//! logs with this crate alone. `docs/spec/ledger-log.md` specifies it.

pub mod audit;
pub mod clock;
pub mod consistency;
pub mod copy;
pub mod entry;
pub mod log_policy;
pub mod note;
pub mod path;
pub mod proof;
pub mod replay;
pub mod source;
pub mod tree;
pub mod witness;

/// The index of an entry in a log; on another ledger, where an event lies in the ledger's order.
pub type Position = u64;
