//! Access permission (WR-4) and requested permission (PM-2, UW-2).

use serde::{Deserialize, Serialize};

use crate::id::{Digest, KeyId, PackageId, ShareId, Timestamp};
use crate::terms::Name;

/// How often each consumer may access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessTimes {
    /// At most this many accesses by each consumer, at least 1.
    Times(u32),
    /// No limit.
    Unlimited,
}

/// The access permission that a provider sets (WR-4). Key and package are those of the sharing information in
/// the same policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessPermission {
    /// How often each consumer may access.
    pub access_times: AccessTimes,
    /// The first moment of access.
    pub not_before: Timestamp,
    /// The expiration time: from this moment on nothing is granted.
    pub expires: Timestamp,
    /// Whether the consumer may only look.
    pub read_only: bool,
}

/// A key and the address of the key server that keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyReference {
    /// The key's identifier.
    pub id: KeyId,
    /// The URL to get it from, `https://SERVER/v1/keys/ID`.
    pub address: String,
}

/// A package, the address of the storage server that keeps it, and what its bytes must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageReference {
    /// The package's identifier.
    pub id: PackageId,
    /// The URL to get it from, `https://SERVER/v1/packages/ID`.
    pub address: String,
    /// The id of its signed metadata, which fixes every byte of it.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// What one granted access permits its consumer (PM-2, UW-2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestedPermission {
    /// The share.
    pub share: ShareId,
    /// The policy version accepted.
    pub policy: Digest,
    /// Which access of this consumer it is, from 1.
    pub access: u32,
    /// Of how many.
    pub access_times: AccessTimes,
    /// The expiration time.
    pub expires: Timestamp,
    /// Whether the consumer may only look.
    pub read_only: bool,
    /// The purpose that the consumer stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Name>,
    /// The key and its address.
    pub key: KeyReference,
    /// The package and its address.
    pub package: PackageReference,
}
