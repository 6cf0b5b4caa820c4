//! The tables of a log: entries, tree, contract state and checkpoints. The embedded ledger and its
//! followers keep the same ones, so that a follower can prove and serve all that it has.

mod batch;
mod checkpoint;
mod entry;
mod origin;
mod state;
mod tree;

use datapact_store::Migration;

pub(crate) use batch::{Batch, Overlay};
pub use checkpoint::cosigned_size;
pub(crate) use checkpoint::{
    advance_checkpoint, best_cosigned_size, checkpoint, cosigned_checkpoint, newest_size, sizes,
    write_checkpoint, write_cosignature,
};
pub(crate) use entry::{entries, position_of};
pub use entry::{events, newest_time, size};
pub(crate) use origin::{clear_fault, fault, mirror, write_fault, write_mirror};
pub(crate) use state::{
    States, access, counter, granted_access, policy_before, share, standing, states,
};
pub(crate) use tree::{consistency, edge, proof, proof_under, resource};

/// The tables of a log, for [`datapact_store::Store::open`].
pub const MIGRATIONS: &[Migration] =
    &[Migration { module: "ledger", version: 1, sql: include_str!("schema_1.sql") }];
