//! Servers that lie: each lie is refused, before it costs or gives out anything.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod consumer;
pub(crate) mod fakes;
mod provider;
