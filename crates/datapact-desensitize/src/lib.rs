//! Desensitization that keeps the data useful (DP-1, SH-1): names, numbers and other identifiers
//! are removed or replaced by rules that a person has reviewed, and what that cost in quality is
//! reported.
//!
//! A table comes in through a [`format::Source`], record by record; each value goes through the
//! transform that its column's [`rules::Rule`] names, and into a [`format::Sink`] of the same
//! format. `docs/desensitization.md` is the guide, `docs/spec/desensitization.md` specifies the
//! rule file, the transforms and the manifest.
//!
//! Three things never happen: a column without a rule passes, a value that a rule cannot read
//! passes unchanged, and plaintext is written anywhere but to the sink.

mod anonymity;
pub mod detect;
mod encoding;
mod entity;
mod error;
pub mod format;
mod key;
mod needles;
pub mod proposal;
mod report;
mod reservoir;
pub mod rules;
mod run;
mod spill;
pub mod table;
#[cfg(test)]
mod testing;
mod transform;

pub use entity::Entity;
pub use error::{Error, Position, Result};
pub use key::PseudonymKey;
pub use report::{
    Anonymity, ColumnReport, Correlation, Distribution, Loss, QuasiIdentifier, Report,
};
pub use run::{Plan, Preview, PreviewColumn, preview, run};
