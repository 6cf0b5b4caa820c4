//! The vectors in `testdata/` end as they say: signed documents, enrolments, packages, access
//! tokens and released keys, most of them to be refused. `cargo xtask vectors` writes them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod documents;
mod enrolment;
mod format;
mod package;
mod release;
#[path = "../support/mod.rs"]
mod support;
mod token;
