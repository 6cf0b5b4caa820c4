//! What a storage server offers (6.2.4).

use async_trait::async_trait;
use bytes::Bytes;
use datapact_core::id::{Digest, PackageId};
use datapact_core::identity::Identity;
use datapact_core::permission::PackageReference;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::administration::UserNotice;
use crate::problem::{Problem, Result};

/// A stream of a package's bytes.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// A storage server, as one caller sees it. It never sees a key.
#[async_trait]
pub trait StorageServer: Send + Sync {
    /// Providers: a package identifier and the address to get the package from (WR-3). What is not
    /// filled within a day is forgotten.
    async fn register_package(&self) -> Result<PackageAddress>;
    /// Providers: stores the package's bytes (DS-1), of which there are `size`. Nothing is stored
    /// unless all of them arrive and their metadata is the caller's, for this identifier. A repeat
    /// of the same bytes answers the same; others are refused.
    async fn upload(&self, id: &PackageId, size: u64, bytes: ByteStream) -> Result<PackageStatus>;
    /// Providers: how much of an upload in parts has arrived. What may still be arriving is ended
    /// first, so that what is told stays so.
    async fn upload_offset(&self, id: &PackageId) -> Result<UploadOffset> {
        Err(Problem::not_found(format!("uploads of `{id}` in parts are not taken here")))
    }
    /// Providers: goes on with an upload, of `size` bytes in all, at `offset`, which must be where
    /// it stands. What arrives is kept, also when the connection is cut. With the last byte the
    /// package is stored as [`StorageServer::upload`] does it; before that, the status says that it
    /// is not.
    async fn append(
        &self,
        id: &PackageId,
        offset: u64,
        size: u64,
        bytes: ByteStream,
    ) -> Result<PackageStatus> {
        drop(bytes);
        Err(Problem::not_found(format!(
            "uploads of `{id}` in parts are not taken here ({offset} of {size})"
        )))
    }
    /// What is stored; for its provider, and for management to confirm it (SH-7).
    async fn package_status(&self, id: &PackageId) -> Result<PackageStatus>;
    /// The package's bytes from `range` (all of them if none), to any user whom the access list
    /// admits (DS-2).
    async fn download(&self, id: &PackageId, range: Option<ByteRange>) -> Result<Download>;
    /// Providers: their packages behind `after`, by identifier; pages hold 200 (DS-3).
    async fn packages(&self, after: Option<&PackageId>) -> Result<Vec<PackageStatus>>;
    /// Providers: deletes a package; also management, when its share has ended.
    async fn delete_package(&self, id: &PackageId) -> Result<()>;
    /// Management: what a user is from now on.
    async fn set_user(&self, notice: &UserNotice) -> Result<()>;
}

/// Where a package is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageAddress {
    /// The package's identifier.
    pub id: PackageId,
    /// The URL to get it from.
    pub address: String,
}

/// How much of a package has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadOffset {
    /// The bytes that are kept; where to go on.
    pub offset: u64,
    /// Whether the package is stored already; there is nothing to go on with then.
    pub stored: bool,
}

/// What is stored under a package's identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageStatus {
    /// The package and its address.
    pub package: PackageAddress,
    /// Who registered it; only the provider itself and management are told a status.
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
