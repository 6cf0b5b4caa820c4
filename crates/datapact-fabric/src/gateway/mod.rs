//! The client side: the gateway service of a peer, blocks, and the ledger port on them.
//!
//! [`FabricLedger`] is the adapter and [`config`] the `ledger.toml` that describes a channel;
//! [`Gateway`] asks and submits, for the adapter and to set a channel up ([`admin`]);
//! [`inspect`] reads single transactions for people; [`profile`] makes a `ledger.toml` from a
//! connection profile. Which node is believed in what:
//! `docs/spec/fabric.md`, "The client".

pub mod admin;
mod block;
mod chain;
mod channel_config;
mod client;
pub mod config;
mod error;
mod identity;
pub mod inspect;
mod ledger;
mod node;
pub mod profile;
mod proposal;
#[cfg(test)]
mod tests;
mod turns;
mod words;

pub use client::{Answer, Commit, Gateway};
pub use config::FabricConfig;
pub use error::GatewayError;
pub use ledger::FabricLedger;
