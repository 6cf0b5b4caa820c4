//! Access permission (WR-4) and requested permission (PM-2, UW-2).

use serde::{Deserialize, Serialize};

use crate::contract::AccessRecord;
use crate::id::{Digest, KeyId, PackageId, ShareId, Timestamp};
use crate::policy::SharingPolicy;
use crate::terms::Name;

/// The latest moment that terms may name: 9999-12-31T23:59:59Z. It keeps every number exact in any
/// JSON reader.
pub const TIME_MAX: Timestamp = 253_402_300_799;

/// Why an access permission was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// No access at all.
    #[error("access times must be at least 1; to stop a share, suspend or revoke it")]
    NoAccess,
    /// Nothing lies between the two moments.
    #[error("access would end at {expires}, which is not after it begins at {not_before}")]
    Window {
        /// The first moment of access.
        not_before: Timestamp,
        /// The expiration time.
        expires: Timestamp,
    },
    /// After [`TIME_MAX`].
    #[error("the expiration time {expires} is after the year 9999; give it in seconds since 1970")]
    Late {
        /// The expiration time.
        expires: Timestamp,
    },
}

/// How often each consumer may access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessTimes {
    /// At most this many accesses by each consumer, at least 1.
    Times(u32),
    /// No limit.
    Unlimited,
}

/// The access permission that a provider sets (WR-4). Key and package are those of the sharing
/// information in the same policy.
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

impl AccessPermission {
    /// Checks that it permits something: at least one access, and a moment to make it in.
    pub fn validate(&self) -> Result<(), PermissionError> {
        let (not_before, expires) = (self.not_before, self.expires);
        if self.access_times == AccessTimes::Times(0) {
            return Err(PermissionError::NoAccess);
        }
        if expires <= not_before {
            return Err(PermissionError::Window { not_before, expires });
        }
        if expires > TIME_MAX {
            return Err(PermissionError::Late { expires });
        }
        Ok(())
    }
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
    /// The purpose that the consumer is bound to: the one recorded, where the policy asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Name>,
    /// The key and its address.
    pub key: KeyReference,
    /// The package and its address.
    pub package: PackageReference,
}

impl RequestedPermission {
    /// What `record` permits under `policy`, whose document id is `id`. None when the access was
    /// granted on another share or under another version.
    pub fn of(policy: &SharingPolicy, id: Digest, record: &AccessRecord) -> Option<Self> {
        let request = &record.request;
        (request.share == policy.share && request.policy == id).then(|| Self {
            share: policy.share,
            policy: id,
            access: record.access,
            access_times: policy.permission.access_times,
            expires: policy.permission.expires,
            read_only: policy.permission.read_only,
            purpose: request.purpose.clone(),
            key: policy.information.key.clone(),
            package: policy.information.package.clone(),
        })
    }
}
