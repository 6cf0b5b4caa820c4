//! Management (6.2.2): accounts, policies, accesses, tokens, publication, and the embedded ledger.
//!
//! A folder a noun: its service, which implements the noun's trait of the API for one caller
//! (`crate::called`), its tables and its tests. What goes on the ledger passes `submit`. Nouns
//! import each other in one direction; what concerns all of them is above them: the `projection` of
//! the ledger's events, and the `erasure` of users.
//!
//! Architecture invariants: nothing here decides access, [`datapact_core::contract`] does, on the
//! ledger; no key and no plaintext ever comes here; what a chain records was stored before as an
//! intent, and what users read was applied by the one projector, so a crash at any step loses
//! nothing and doubles nothing. What the embedded ledger records is one transaction with what users
//! read.

mod access;
mod account;
mod base;
mod catalog;
mod database;
mod directory;
mod enrolment;
mod erasure;
mod failure;
mod figures;
mod issuer;
mod keys;
mod log;
mod notice;
mod notification;
mod open;
mod peers;
mod personal;
mod policy;
mod projection;
mod public;
mod salt;
mod server;
mod stored;
mod submit;
mod subscription;
#[cfg(test)]
mod tests;
mod tidying;
mod token;

pub(crate) use database::{DATABASE_FILE, schema};
pub use enrolment::ADMINISTRATORS_INVITATION;
pub use failure::OpenError;
pub(crate) use keys::SECRET_FILES;
pub use keys::{Keys, KeysError};
pub use peers::{KeyServers, StorageServers};
pub(crate) use personal::PERSONAL;
pub use server::ManagementServer;
