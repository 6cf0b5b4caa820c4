//! The contract: the one place where access is decided.
//!
//! [`keys`] lists every state key that a call may touch, [`decide`] is pure and yields writes, a
//! receipt or a refusal, and [`check`] verifies the signed documents behind a call. A host reads
//! the keys, decides and writes. Management and endorsers call [`check`] first; a replay cannot,
//! since documents stay off-chain.

mod call;
mod check;
mod decide;
mod requested_permission;

pub use check::{
    Attributes, CheckError, DOCUMENT_AHEAD_SECONDS_MAX, Documents, POLICY_AGE_SECONDS_MAX,
    REPORT_AGE_SECONDS_MAX, REQUEST_AGE_SECONDS_MAX, check,
};
pub use decide::{
    access_key, counter_key, decide, eligible, keys, reports_key, share_key, usage_key,
};
pub use requested_permission::RequestedPermission;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Commitment, Digest, ShareId, Timestamp};
use crate::permission::AccessTimes;
use crate::policy::ShareState;
use crate::terms::{Country, Industry, Name, Terms};

/// The version of these rules; each ledger entry carries the one that decided it.
pub const CONTRACT_VERSION: u32 = 1;

/// How far an entry's time may be from a live follower's or endorser's clock, in seconds: servers
/// keep their clocks, but not to the second.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 60;

/// How many usage reports of one access are recorded: each is an entry for good, and news for the
/// provider. An access that is opened and closed eight times has them.
pub const USAGE_REPORTS_MAX: u32 = 16;

/// A call of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum Call {
    /// Create a share or set its next policy version.
    SetPolicy(SetPolicy),
    /// Ask for one access.
    RequestAccess(RequestAccess),
    /// Record what was done under an access.
    RecordUsage(RecordUsage),
}

/// The on-chain side of a [`crate::policy::SharingPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPolicy {
    /// The share.
    pub share: ShareId,
    /// From 1, one more than the predecessor's.
    pub version: u32,
    /// The predecessor's document id; none for version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The policy's document id.
    pub policy: Digest,
    /// The provider.
    pub owner: Commitment,
    /// Whether the share gives access.
    pub state: ShareState,
    /// The package's metadata digest.
    pub package: Digest,
    /// Who may access.
    pub terms: Terms<Commitment>,
    /// How often each consumer may access.
    pub access_times: AccessTimes,
    /// The first moment of access.
    pub not_before: Timestamp,
    /// The expiration time.
    pub expires: Timestamp,
    /// Whether the consumer may present the data but not export them.
    pub read_only: bool,
}

/// The on-chain side of a [`crate::document::AccessRequest`]. It has an attribute or a purpose only
/// where the policy restricts its kind; anything more is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RequestAccess {
    /// The share.
    pub share: ShareId,
    /// The policy version accepted.
    pub policy: Digest,
    /// The access request's document id.
    pub request: Digest,
    /// The consumer.
    pub consumer: Commitment,
    /// The consumer's organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<Name>,
    /// The consumer's industry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub industry: Option<Industry>,
    /// The consumer's country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// The purpose stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Name>,
}

/// The on-chain side of a [`crate::document::UsageReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecordUsage {
    /// The share.
    pub share: ShareId,
    /// The access under which it happened.
    pub request: Digest,
    /// The usage report's document id.
    pub report: Digest,
    /// Who reports: the access's consumer.
    pub consumer: Commitment,
}

/// A value of the contract's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "value", rename_all = "kebab-case")]
pub enum Value {
    /// Under `share/SHARE`: the newest policy.
    Share(ShareRecord),
    /// Under `counter/SHARE/CONSUMER`: how many accesses were granted.
    Counter(Counter),
    /// Under `access/REQUEST`: one granted access.
    Access(AccessRecord),
    /// Under `usage/REPORT`: one usage report.
    Usage(UsageRecord),
    /// Under `reports/REQUEST`: how many usage reports of one access are recorded.
    Reports(Reports),
}

/// A share's newest policy and when it was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareRecord {
    /// The newest policy.
    pub policy: SetPolicy,
    /// The time of its entry.
    pub time: Timestamp,
}

/// How many accesses a consumer was granted on a share, under all its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// The number.
    pub granted: u32,
}

/// One granted access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessRecord {
    /// The request.
    pub request: RequestAccess,
    /// Which access of this consumer it is, from 1.
    pub access: u32,
    /// The time of its entry.
    pub time: Timestamp,
}

/// One usage report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UsageRecord {
    /// The report.
    pub usage: RecordUsage,
    /// The time of its entry.
    pub time: Timestamp,
}

/// How many usage reports of one access are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// The number.
    pub recorded: u32,
}

/// The state that a call may touch: key to value, without the keys that have none.
pub type Values = BTreeMap<String, Value>;

/// What a call did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "receipt", rename_all = "kebab-case")]
pub enum Receipt {
    /// The policy is set.
    Policy(ShareRecord),
    /// The access is granted and recorded.
    Access(AccessRecord),
    /// The usage is recorded.
    Usage(UsageRecord),
}

/// What a granted call changes. `writes` is empty when the very same call was granted before: then
/// the receipt is the first one's, and nothing is added to the ledger. The receipt is also the one
/// event that the ledger announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The state to write, each key one that [`keys`] lists.
    pub writes: Values,
    /// What the caller gets and the ledger announces.
    pub receipt: Receipt,
}

/// Why the contract refuses a call. The name in JSON is the rule's name everywhere: in answers, in
/// the corpus of cases and in the Solidity twin's errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Refusal {
    /// The share does not exist.
    #[error("there is no such share")]
    UnknownShare,
    /// The call contradicts itself.
    #[error("the call is malformed: {detail}")]
    Malformed {
        /// In what way.
        detail: String,
    },
    /// The version is not the next one.
    #[error("the next policy version is {expected}")]
    Version {
        /// The version that would be accepted.
        expected: u32,
    },
    /// The predecessor named is not the newest version.
    #[error("the predecessor named is not the newest policy version")]
    Predecessor,
    /// The signer is not the share's owner.
    #[error("only the share's provider may set its policy")]
    Owner,
    /// The share is revoked, which is final.
    #[error("the share is revoked")]
    Revoked,
    /// The share is suspended.
    #[error("the share is suspended")]
    Suspended,
    /// The request accepts a version that is no longer the newest.
    #[error("the terms have changed since the request was signed; read and sign the new ones")]
    Superseded,
    /// Before the first moment of access.
    #[error("access begins at {not_before}")]
    NotYet {
        /// The first moment of access.
        not_before: Timestamp,
    },
    /// At or after the expiration time.
    #[error("access ended at {expires}")]
    Expired {
        /// The expiration time.
        expires: Timestamp,
    },
    /// Not a named user.
    #[error("the provider has named the users who may access, and you are not one of them")]
    User,
    /// Another organisation.
    #[error("your organisation is not among those that may access")]
    Organisation,
    /// Another industry.
    #[error("your industry is not among those that may access")]
    Industry,
    /// Another country.
    #[error("your country is not among those that may access")]
    Country,
    /// No purpose stated, or another than those allowed.
    #[error("the purpose you stated is not among those allowed")]
    Purpose,
    /// All accesses are used up.
    #[error("the access times ({access_times}) are used up")]
    AccessTimes {
        /// How many there were.
        access_times: u32,
    },
    /// The id of the request or report is taken by another call.
    #[error("this request has been used by another user or for something else")]
    RequestTaken,
    /// The access does not exist.
    #[error("there is no such access on the ledger")]
    UnknownAccess,
    /// The access is another consumer's.
    #[error("only the consumer of an access may report its usage")]
    Consumer,
    /// All usage reports of the access are recorded.
    #[error("the usage reports of this access ({usage_reports}) are used up")]
    UsageReports {
        /// How many there may be.
        usage_reports: u32,
    },
}

impl Refusal {
    /// The rule's name, as in JSON.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::UnknownShare => "unknown-share",
            Self::Malformed { .. } => "malformed",
            Self::Version { .. } => "version",
            Self::Predecessor => "predecessor",
            Self::Owner => "owner",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::Superseded => "superseded",
            Self::NotYet { .. } => "not-yet",
            Self::Expired { .. } => "expired",
            Self::User => "user",
            Self::Organisation => "organisation",
            Self::Industry => "industry",
            Self::Country => "country",
            Self::Purpose => "purpose",
            Self::AccessTimes { .. } => "access-times",
            Self::RequestTaken => "request-taken",
            Self::UnknownAccess => "unknown-access",
            Self::Consumer => "consumer",
            Self::UsageReports { .. } => "usage-reports",
        }
    }
}
