//! What the tests of this crate and the writers of its vectors share.
#![allow(dead_code, unreachable_pub, reason = "not every user needs all of it")]

pub mod packages;
pub mod pki;
