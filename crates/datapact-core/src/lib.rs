//! The formats and rules of Datapact: packages, signed documents, terms, permissions, tokens and
//! the contract.
//!
//! Everything here is synchronous and pure: no input or output, no clock (time is an argument) and
//! no configuration. What is signed or hashed owns its bytes here; every other crate carries these
//! types unchanged.

pub mod address;
pub mod commitment;
pub mod contract;
pub mod document;
pub mod endpoint;
pub mod enrolment;
pub mod id;
pub mod identity;
pub mod jws;
pub mod package;
pub mod permission;
pub mod policy;
pub mod release;
#[cfg(feature = "schema")]
mod schema;
pub mod terms;
#[cfg(test)]
#[path = "../tests/support/pki.rs"]
mod testpki;
pub mod token;
pub mod trust;
