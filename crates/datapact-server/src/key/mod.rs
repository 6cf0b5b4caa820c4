//! The key server (6.2.3): it keeps keys encrypted, follows the ledger on its own, and releases a
//! key only if both the provider's signed policy and its own copy of the ledger say so.
//! `docs/spec/access-token-and-key-release.md` specifies what it checks.
//!
//! A folder a noun: its service, which implements the noun's trait of the API for one caller
//! (`crate::called`), and its tables. Keys are in `custody`.

mod base;
mod custody;
mod database;
mod erasure;
mod failure;
mod follow;
mod open;
mod policy;
mod public;
mod rekey;
mod release;
mod replica;
mod server;
mod shown;
mod tidying;
mod user;

pub use custody::rekey::Rekeyed;
pub use custody::{KEYS_MAX, UNFILLED_MAX};
pub use database::DATABASE_FILE;
pub(crate) use database::schema;
pub(crate) use erasure::PERSONAL;
pub use failure::OpenError;
pub use follow::{WITNESS_FILE, witness_key};
pub use rekey::rotate_kek;
pub use release::RELEASES_MAX;
pub use server::KeyServer;

pub use crate::secret_file::SecretFileError;
