//! The contract in Solidity decides as the one in Rust does: its compiled bytecode runs in process,
//! under Berlin's rules.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_enum_variant,
    missing_docs,
    unreachable_pub
)]

mod abi;
mod chain;
mod corpus;
mod gas;
mod own_rules;
mod properties;
mod state;
