//! The storage server (6.2.4): packages by streams, for everyone whom the access list admits. It
//! never sees a key.
//!
//! A folder a noun: its service, which implements the noun's trait of the API for one caller
//! (`crate::called`), and its tables. The packages themselves are `objects`.

mod base;
mod erasure;
mod objects;
mod pace;
mod package;
mod parts;
mod public;
mod registry;
mod server;
#[cfg(test)]
mod tests;
mod tidying;
mod upload;
mod user;

pub(crate) use erasure::PERSONAL;
pub(crate) use registry::table::objects_and_providers;
pub(crate) use server::{DATABASE_FILE, schema};
pub use server::{PACKAGES_FOLDER, StorageServer, look_at_objects};
