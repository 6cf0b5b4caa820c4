//! Where keys and packages are: the addresses that providers sign and permissions carry.
//!
//! An address is the URL of a server and the path of one key or package there. Signed policies
//! hold it, so its form is a part of the signed content and of the contract's checks.

use std::fmt;

use crate::id::{KeyId, PackageId};

/// The longest host with port in an address, in bytes: room for a DNS name of 253 bytes, a colon
/// and a port.
const HOST_BYTES_MAX: usize = 260;

/// Not the address of that key or package at a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not the address of the {what}: it must be `https://SERVER{path}`")]
pub struct AddressError {
    /// Key or package.
    what: &'static str,
    /// What was given.
    found: String,
    /// How it must end.
    path: String,
}

/// What a server serves under a path of its own: a key or a package, by its id.
pub trait Addressed: fmt::Display {
    /// What it is, in messages.
    const WHAT: &'static str;
    /// The path of the collection that holds it, without a slash at its end.
    const COLLECTION: &'static str;

    /// Its path at its server.
    fn path(&self) -> String {
        format!("{}/{self}", Self::COLLECTION)
    }

    /// Its address at `server`, a URL of the form `https://HOST[:PORT]`.
    fn address_at(&self, server: &str) -> String {
        format!("{server}{}", self.path())
    }

    /// Checks that `address` is `https://HOST[:PORT]` and exactly its path.
    ///
    /// # Errors
    /// Anything that could lead elsewhere: user information, a query, dot segments, another path.
    fn check_address(&self, address: &str) -> Result<(), AddressError> {
        let path = self.path();
        let host = address.strip_prefix("https://").and_then(|rest| rest.strip_suffix(&path));
        let plain = host.is_some_and(|host| {
            (1..=HOST_BYTES_MAX).contains(&host.len())
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
        });
        if plain {
            Ok(())
        } else {
            Err(AddressError { what: Self::WHAT, found: address.to_owned(), path })
        }
    }
}

impl Addressed for KeyId {
    const WHAT: &'static str = "key";
    const COLLECTION: &'static str = "/v1/keys";
}

impl Addressed for PackageId {
    const WHAT: &'static str = "package";
    const COLLECTION: &'static str = "/v1/packages";
}
