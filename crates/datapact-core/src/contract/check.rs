//! Verifying the signed documents behind a call.

use crate::commitment::Opening;
use crate::document::{AccessRequest, Body, UsageReport};
use crate::id::Timestamp;
use crate::identity::Identity;
use crate::jws::{DocumentError, Signed};
use crate::policy::{PolicyError, SharingPolicy};
use crate::terms::{Country, Industry, Name};
use crate::trust::Trust;

use super::call::{RestrictedKinds, request_access};
use super::{Call, RecordUsage, RequestAccess, SetPolicy};
use serde::{Deserialize, Serialize};

/// The signed documents behind a call, with what opens its commitments. They stay off-chain.
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

/// A consumer's attributes, as an administrator set them on its account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// How old a signed policy may be when it is recorded, in seconds: a day, so that a provider's
/// retry works.
pub const POLICY_AGE_SECONDS_MAX: u64 = 24 * 60 * 60;
/// How old a signed access request may be when it is recorded, in seconds: so short that a stolen
/// request cannot spend the consumer's access much later.
pub const REQUEST_AGE_SECONDS_MAX: u64 = 600;
/// How old a signed usage report may be when it is recorded, in seconds: a day, as for policies.
pub const REPORT_AGE_SECONDS_MAX: u64 = 24 * 60 * 60;
/// How far a document's own time may be ahead of the entry's, in seconds: users' clocks are less
/// exact than servers'.
pub const DOCUMENT_AHEAD_SECONDS_MAX: u64 = 600;

/// Why the documents behind a call were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A document is malformed, not trusted, or meant for another ledger.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The policy is not valid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Signed too long ago.
    #[error(
        "the document was signed {age_seconds} seconds ago, and at most {age_seconds_max} are \
         allowed; sign again"
    )]
    Stale {
        /// How long ago.
        age_seconds: u64,
        /// How long it may be.
        age_seconds_max: u64,
    },
    /// Signed in the future.
    #[error("the document's time is {ahead_seconds} seconds ahead; set the clock and sign again")]
    Ahead {
        /// How far ahead.
        ahead_seconds: u64,
    },
    /// The documents are for another kind of call.
    #[error("these documents are for another kind of call")]
    Kind,
    /// The call says something else than the document.
    #[error("the call differs from the signed document in its {0}")]
    Differs(&'static str),
    /// The opening given is not the signer's.
    #[error("what opens the commitment does not belong to the signer, `{0}`")]
    Opening(Identity),
}

/// Checks that the documents are signed by whom they say, for `audience`, not long before `time`,
/// and that `call` says on-chain just what they say. `time` is the entry's; the certificate must be
/// valid then.
///
/// Whether the attributes in a request are the consumer's is management's to vouch for; this checks
/// that they are those vouched for. Whether they are all that the policy asks for is
/// [`super::decide`]'s to judge.
///
/// # Errors
/// What is wrong with the documents, or in what the call differs from them.
pub fn check(
    call: &Call,
    documents: &Documents,
    trust: &Trust,
    audience: &str,
    time: Timestamp,
) -> Result<(), CheckError> {
    match (call, documents) {
        (Call::SetPolicy(call), Documents::Policy { policy, owner, users }) => {
            verify(policy, trust, audience, time, POLICY_AGE_SECONDS_MAX)?;
            match Call::of_policy(policy, owner, users)? {
                Call::SetPolicy(said) => same_policy(call, &said),
                _ => Err(CheckError::Kind),
            }
        }
        (Call::RequestAccess(call), Documents::Access { request, consumer, attributes }) => {
            verify(request, trust, audience, time, REQUEST_AGE_SECONDS_MAX)?;
            let restricted = RestrictedKinds {
                organisation: call.organisation.is_some(),
                industry: call.industry.is_some(),
                country: call.country.is_some(),
                purpose: call.purpose.is_some(),
            };
            same_request(call, &request_access(request, consumer, attributes, &restricted)?)
        }
        (Call::RecordUsage(call), Documents::Usage { report, consumer }) => {
            verify(report, trust, audience, time, REPORT_AGE_SECONDS_MAX)?;
            match Call::of_report(report, consumer)? {
                Call::RecordUsage(said) => same_usage(call, &said),
                _ => Err(CheckError::Kind),
            }
        }
        _ => Err(CheckError::Kind),
    }
}

/// Checks signature, audience and age of a document that is recorded at `time`.
fn verify<B: Body>(
    signed: &Signed<B>,
    trust: &Trust,
    audience: &str,
    time: Timestamp,
    age_seconds_max: u64,
) -> Result<(), CheckError> {
    signed.verify(trust, audience, time)?;
    let ahead_seconds = signed.document().time.saturating_sub(time);
    if ahead_seconds > DOCUMENT_AHEAD_SECONDS_MAX {
        return Err(CheckError::Ahead { ahead_seconds });
    }
    let age_seconds = time.saturating_sub(signed.document().time);
    if age_seconds > age_seconds_max {
        return Err(CheckError::Stale { age_seconds, age_seconds_max });
    }
    Ok(())
}

fn same_policy(call: &SetPolicy, said: &SetPolicy) -> Result<(), CheckError> {
    first_difference(&[
        ("share", call.share == said.share),
        ("version", call.version == said.version),
        ("predecessor", call.previous == said.previous),
        ("policy", call.policy == said.policy),
        ("owner", call.owner == said.owner),
        ("state", call.state == said.state),
        ("package", call.package == said.package),
        ("terms", call.terms == said.terms),
        ("permission", call.permission() == said.permission()),
        ("content", call == said),
    ])
}

fn same_request(call: &RequestAccess, said: &RequestAccess) -> Result<(), CheckError> {
    first_difference(&[
        ("share", call.share == said.share),
        ("policy", call.policy == said.policy),
        ("request", call.request == said.request),
        ("consumer", call.consumer == said.consumer),
        ("organisation", call.organisation == said.organisation),
        ("industry", call.industry == said.industry),
        ("country", call.country == said.country),
        ("purpose", call.purpose == said.purpose),
        ("content", call == said),
    ])
}

fn same_usage(call: &RecordUsage, said: &RecordUsage) -> Result<(), CheckError> {
    first_difference(&[
        ("share", call.share == said.share),
        ("request", call.request == said.request),
        ("report", call.report == said.report),
        ("consumer", call.consumer == said.consumer),
        ("content", call == said),
    ])
}

/// The first field that differs. The callers list the whole document last, so that a field that
/// they forget is compared all the same.
fn first_difference(fields: &[(&'static str, bool)]) -> Result<(), CheckError> {
    match fields.iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(CheckError::Differs(field)),
        None => Ok(()),
    }
}
