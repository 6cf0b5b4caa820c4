//! Verifying the signed documents behind a call.

use crate::commitment::Opening;
use crate::document::{AccessRequest, UsageReport};
use crate::id::Timestamp;
use crate::jws::{DocumentError, Signed};
use crate::policy::SharingPolicy;
use crate::terms::{Country, Industry, Name};
use crate::trust::Trust;

use super::Call;
use serde::{Deserialize, Serialize};

/// What is signed and shown off-chain for a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "documents", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "short-lived, one a call")]
pub enum Documents {
    /// For setting a policy.
    Policy {
        /// The policy, signed by its provider.
        policy: Signed<SharingPolicy>,
        /// What opens the commitments to the owner and to the named users.
        owner: Opening,
        /// One for each named user.
        users: Vec<Opening>,
    },
    /// For requesting access.
    Access {
        /// The request, signed by the consumer.
        request: Signed<AccessRequest>,
        /// What opens the consumer's commitment.
        consumer: Opening,
        /// What management vouches for.
        attributes: Attributes,
    },
    /// For recording usage.
    Usage {
        /// The report, signed by the consumer.
        report: Signed<UsageReport>,
        /// What opens the consumer's commitment.
        consumer: Opening,
    },
}

/// What an administrator has set on a consumer's account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// The organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<Name>,
    /// The industry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub industry: Option<Industry>,
    /// The country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
}

/// Why the documents behind a call were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A document is not what it must be.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The call says something else than the document.
    #[error("the call differs from the signed document in {0}")]
    Differs(&'static str),
    /// A commitment does not open to the identity claimed.
    #[error("a commitment does not open to `{0}`")]
    Commitment(crate::identity::Identity),
}

/// Checks that the documents are signed by whom they say, for `audience`, at `time`, and that `call` says on-chain
/// just what they say.
pub fn check(
    _call: &Call,
    _documents: &Documents,
    _trust: &Trust,
    _audience: &str,
    _time: Timestamp,
) -> Result<(), CheckError> {
    Err(CheckError::Differs("everything"))
}
