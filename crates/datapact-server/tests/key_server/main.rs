//! The key server, against management that is honest and management that is not (issue: "Key
//! release").
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests"
)]

mod corrupt;
mod custody;
mod erasure;
mod honest;
mod ledger;
mod management;
mod rig;
