//! Sealing and opening packages, and every way to tamper with one.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod open;
mod random;
#[path = "../support/mod.rs"]
mod support;
mod tamper;
