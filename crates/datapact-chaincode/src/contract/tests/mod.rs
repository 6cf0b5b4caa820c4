//! The contract on maps instead of peers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod corpus;
mod rules;
