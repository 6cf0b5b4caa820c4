//! The requested permission: what one granted access permits (PM-2, UW-2).

use serde::{Deserialize, Serialize};

use super::AccessRecord;
use crate::id::{Digest, ShareId, Timestamp};
use crate::permission::{AccessTimes, KeyReference, PackageReference};
use crate::policy::SharingPolicy;
use crate::terms::Name;

/// What one granted access permits its consumer (PM-2, UW-2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Whether the consumer may present the data but not export them.
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
