//! Access permission (WR-4), and the references to the key and the package that it is for.

use serde::{Deserialize, Serialize};

use crate::address::Addressed as _;
use crate::id::{Digest, KeyId, PackageId, Timestamp};

/// The latest moment that terms may name: 9999-12-31T23:59:59Z. It keeps every number exact in any
/// JSON reader.
pub const TIME_MAX: Timestamp = 253_402_300_799;

/// Why an access permission was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// Zero accesses.
    #[error("access times must be at least 1; to stop a share, suspend or revoke it")]
    NoAccess,
    /// Access would end before it begins.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AccessTimes {
    /// At most this many accesses by each consumer, at least 1.
    Times(#[cfg_attr(feature = "schema", schemars(range(min = 1)))] u32),
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
    /// Whether the consumer may present the data but not export them.
    pub read_only: bool,
}

impl AccessPermission {
    /// Checks that it permits something: at least one access, and time to make it in.
    ///
    /// # Errors
    /// What leaves no access, or an expiration time after [`TIME_MAX`].
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

/// A key and its address at the key server that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyReference {
    /// The key's identifier.
    pub id: KeyId,
    /// Its [address](crate::address).
    pub address: String,
}

impl KeyReference {
    /// The key `id` at `server`, a URL of the form `https://HOST[:PORT]`.
    pub fn at(server: &str, id: KeyId) -> Self {
        Self { id, address: id.address_at(server) }
    }
}

/// A package, its address at the storage server that holds it, and what its bytes must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PackageReference {
    /// The package's identifier.
    pub id: PackageId,
    /// Its [address](crate::address).
    pub address: String,
    /// The id of its signed metadata, which fixes every byte of it.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}
