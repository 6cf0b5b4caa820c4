//! Proposals: a rule for every column of a table, and why.
//!
//! [`scan()`] reads the table once and samples each column. Of a sample, `findings` counts what
//! detection recognizes in the values, and `header` says what the column's name announces.
//! `decide` is the one place where this evidence becomes a proposal.
//!
//! Values go into proposals only masked, and never into errors.

mod column;
mod dates;
mod decide;
mod findings;
mod header;
mod mask;
mod sample;
mod scan;
mod shape;

pub use column::Evidence;
pub use scan::{Proposal, scan};
