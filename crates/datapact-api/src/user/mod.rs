//! Users, as management tells the key and storage servers of them.

use datapact_core::document::Statement;
use datapact_core::id::{AccountId, Digest, Salt};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
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
    /// Refused, and everything that names it is destroyed (PR-1). The notice carries who asked for
    /// it.
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
    /// Who asked that the user be erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorisation: Option<Authorisation>,
}

/// The deletion of an account as it was asked for.
///
/// Its bytes, in the encoding of RFC 8785, are what the asker's statement fixes. The salt keeps the
/// statement, which outlives the account, from telling whose it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// Who is to be erased: the account's holder.
    pub identity: Identity,
    /// Whether now; else after management's retention.
    pub now: bool,
    /// 32 random bytes.
    pub salt: Salt,
}

impl Deletion {
    /// Of this user, with a fresh salt.
    pub fn of(identity: Identity, now: bool) -> Self {
        Self { identity, now, salt: Salt::random() }
    }

    /// Where the deletion of the account `id` is asked for.
    pub fn target(id: &AccountId) -> String {
        format!("/v1/accounts/{id}/deletion")
    }

    /// What a statement says of it: the digest of its bytes.
    pub fn digest(&self) -> Digest {
        let bytes = serde_json_canonicalizer::to_vec(self).expect("a deletion is plain JSON");
        Digest::of(&bytes)
    }
}

/// The signed call by which a user's account was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Authorisation {
    /// What was asked for.
    pub deletion: Deletion,
    /// The asker's statement of the call.
    pub statement: Signed<Statement>,
}
