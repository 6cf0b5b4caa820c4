//! Packages: a provider registers and deletes them, consumers download them.

use std::fmt;

use datapact_core::id::{Digest, PackageId};
use datapact_core::identity::Identity;
use datapact_core::permission::PackageReference;
use serde::{Deserialize, Serialize};

use super::ByteStream;
use crate::operation::{Page, operations};

operations! {
    /// The packages of providers.
    pub trait Packages {
        /// A new package's id and address.
        ///
        /// (WR-3.) What is not filled within a day is forgotten.
        post "/v1/packages" for Users with IdempotencyKey;
        fn register_package() -> PackageAddress as Json;

        /// What is stored of a package.
        ///
        /// Management asks, to confirm it (SH-7).
        get "/v1/packages/{id}/status" for OwnerAndManagement;
        fn package_status(path id: &PackageId) -> PackageStatus as Json;

        /// The package, or a range of it.
        ///
        /// (DS-2.)
        get "/v1/packages/{id}" for Users;
        fn download(path id: &PackageId, range range: Option<ByteRange>) -> Download as Ranged;

        /// The caller's packages, by id, 200 a page.
        ///
        /// (DS-3.)
        get "/v1/packages" for Users;
        fn packages(query page: Page<PackageId>) -> Vec<PackageStatus> as Json;

        /// Delete a package.
        ///
        /// Management does it when its share has ended.
        delete "/v1/packages/{id}" for OwnerAndManagement;
        fn delete_package(path id: &PackageId) -> () as Json;
    }
}

/// Where a package is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PackageAddress {
    /// The package's identifier.
    pub id: PackageId,
    /// The URL to get it from.
    pub address: String,
}

/// What is stored under a package's identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PackageStatus {
    /// The package and its address.
    pub package: PackageAddress,
    /// Who registered it. Only this provider and management get a status.
    pub provider: Identity,
    /// Whether it is stored.
    pub stored: bool,
    /// The id of its metadata, once stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its length, once stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl PackageStatus {
    /// The reference that a policy carries, once stored.
    pub fn reference(&self) -> Option<PackageReference> {
        let (digest, size) = (self.digest?, self.size?);
        Some(PackageReference {
            id: self.package.id,
            address: self.package.address.clone(),
            digest,
            size,
        })
    }
}

/// A range of bytes, as a `Range: bytes=FIRST-LAST` header asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte; the end if none.
    pub last: Option<u64>,
}

impl ByteRange {
    /// The value of a `Range` header with one range of bytes that has a beginning.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        // RFC 9110 has digits only; Rust's integers would take a sign as well.
        let number = |text: &str| -> Option<u64> {
            text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
        };
        let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
        let first = number(first)?;
        let last =
            if last.is_empty() { None } else { Some(number(last).filter(|last| *last >= first)?) };
        Some(Self { first, last })
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={}-", self.first)?;
        self.last.map_or(Ok(()), |last| write!(f, "{last}"))
    }
}

/// Bytes on their way.
pub struct Download {
    /// Of the whole package.
    pub size: u64,
    /// The first byte sent.
    pub first: u64,
    /// How many are sent.
    pub length: u64,
    /// The bytes.
    pub bytes: ByteStream,
}
