//! The contract from outside: its corpus of cases, its properties, hosts that run it concurrently,
//! and the check of signed documents.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_enum_variant,
    unreachable_pub
)]

mod cases;
mod check;
mod corpus;
mod hosts;
mod policy;
mod properties;
#[path = "../support/mod.rs"]
mod support;
