//! Bad input at the real listeners, over TLS: every refusal says by kind and message what was
//! wrong, and changes nothing (MG-2, AC-1, AC-3, KS-5, DS-1, SH-7). Bytes are written by hand,
//! since no client of ours would send them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod calls;
mod forgery;
mod identity;
mod malformed;
mod memory;
mod releases;
mod security_log;
mod shares;
#[path = "../support/mod.rs"]
mod support;
mod uploads;
mod world;
