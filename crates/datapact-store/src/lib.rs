//! A server's state: one database, one writer, without an ORM.
//!
//! Each connection is owned by a thread of its own. A job is a synchronous closure that runs there
//! as a whole: [`Store::write`] gives it a transaction ([`Tx`]), [`Store::read`] a connection that
//! cannot write ([`Db`]). SQL is written once, in the dialect that SQLite and PostgreSQL share,
//! with `$1`-style parameters.
//!
//! The writer takes up to [`BATCH_MAX`] waiting jobs at a time, runs each inside its own
//! savepoint, commits them at once and answers after the commit: what was answered is durable,
//! and many callers share one flush to the disk.
//!
//! Several processes may work on one PostgreSQL database. Each has its writer, and each of its
//! transactions begins by locking the same row, so that a job sees everything that was committed
//! before it and nothing else changes while it runs: what holds for one process holds for all.

mod connection;
mod db;
mod error;
mod group;
mod job;
mod location;
mod migrate;
mod reader;
mod store;
mod value;
mod writer;

pub use db::{Db, Tx};
pub use error::{DatabaseError, StoreError};
pub use group::Group;
pub use location::{Location, Postgres};
pub use migrate::Migration;
pub use reader::Reader;
pub use store::Store;
pub use value::{Row, Value, json, number, text};
pub use writer::BATCH_MAX;
