//! Users, as management tells the key and storage servers of them.

use datapact_core::identity::Identity;
use serde::{Deserialize, Serialize};

use crate::operation::operations;

operations! {
    /// Whom a key or storage server serves.
    pub trait Users {
        /// What a user is from now on.
        post "/v1/users" for Management;
        fn set_user(body notice: &UserNotice) -> () as Json;
    }
}

/// What a user is at the key and storage servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UserStatus {
    /// Served, if the access list admits it.
    Active,
    /// Refused.
    Disabled,
    /// Refused, and everything that names it is destroyed (PR-1).
    Erased,
}

/// What management says about a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserNotice {
    /// Who.
    pub identity: Identity,
    /// What it is from now on.
    pub status: UserStatus,
    /// Growing: a notice that is not newer than the last one about the same user changes nothing.
    pub sequence: u64,
}
