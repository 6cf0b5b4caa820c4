//! The contract's calls as the chain's types, and back.

use std::collections::BTreeSet;
use std::str::FromStr;

use alloy::primitives::FixedBytes;
use datapact_core::contract::{RecordUsage, RequestAccess, SetPolicy};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_core::terms::Terms;

use super::{AbiError, sol_types};

fn digest(digest: &Digest) -> FixedBytes<32> {
    FixedBytes(*digest.as_bytes())
}

fn commitment(commitment: &Commitment) -> FixedBytes<32> {
    FixedBytes(*commitment.as_bytes())
}

/// ASCII text with zero bytes after it; core's codes are never longer.
fn code<const N: usize>(text: &str) -> FixedBytes<N> {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    FixedBytes(bytes)
}

fn text<T: FromStr>(bytes: &[u8]) -> Result<T, AbiError> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = bytes.get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).ok_or(AbiError("code"))
}

fn optional<T: FromStr>(bytes: &[u8]) -> Result<Option<T>, AbiError> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(None) } else { text(bytes).map(Some) }
}

fn set<T: FromStr + Ord>(
    values: impl Iterator<Item = impl AsRef<[u8]>>,
) -> Result<BTreeSet<T>, AbiError> {
    values.map(|value| text(value.as_ref())).collect()
}

pub(super) fn set_policy(set: &SetPolicy) -> sol_types::SetPolicy {
    let (unlimited, times) = match set.access_times {
        AccessTimes::Unlimited => (true, 0),
        AccessTimes::Times(times) => (false, times),
    };
    let terms = &set.terms;
    sol_types::SetPolicy {
        share: FixedBytes(*set.share.as_bytes()),
        version: set.version,
        previous: set.previous.as_ref().map(digest).unwrap_or_default(),
        policy: digest(&set.policy),
        owner: commitment(&set.owner),
        state: match set.state {
            ShareState::Active => sol_types::ShareState::Active,
            ShareState::Suspended => sol_types::ShareState::Suspended,
            ShareState::Revoked => sol_types::ShareState::Revoked,
        },
        package: digest(&set.package),
        terms: sol_types::Terms {
            anyone: terms.anyone,
            users: terms.users.iter().map(commitment).collect(),
            organisations: terms
                .organisations
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
            industries: terms.industries.iter().map(|industry| code(industry.as_str())).collect(),
            countries: terms.countries.iter().map(|country| code(country.as_str())).collect(),
            purposes: terms.purposes.iter().map(|name| name.as_str().to_owned()).collect(),
        },
        unlimited,
        accessTimes: times,
        notBefore: set.not_before,
        expires: set.expires,
        readOnly: set.read_only,
    }
}

pub(super) fn from_set_policy(set_policy: sol_types::SetPolicy) -> Result<SetPolicy, AbiError> {
    let terms = set_policy.terms;
    Ok(SetPolicy {
        share: ShareId(set_policy.share.0),
        version: set_policy.version,
        previous: (!set_policy.previous.is_zero()).then_some(Digest(set_policy.previous.0)),
        policy: Digest(set_policy.policy.0),
        owner: Commitment(set_policy.owner.0),
        state: match set_policy.state {
            sol_types::ShareState::Active => ShareState::Active,
            sol_types::ShareState::Suspended => ShareState::Suspended,
            sol_types::ShareState::Revoked => ShareState::Revoked,
            _ => return Err(AbiError("share state")),
        },
        package: Digest(set_policy.package.0),
        terms: Terms {
            anyone: terms.anyone,
            users: terms.users.iter().map(|user| Commitment(user.0)).collect(),
            organisations: set(terms.organisations.iter())?,
            industries: set(terms.industries.iter())?,
            countries: set(terms.countries.iter())?,
            purposes: set(terms.purposes.iter())?,
        },
        access_times: match (set_policy.unlimited, set_policy.accessTimes) {
            (true, 0) => AccessTimes::Unlimited,
            (false, times) => AccessTimes::Times(times),
            (true, _) => return Err(AbiError("number of accesses")),
        },
        not_before: set_policy.notBefore,
        expires: set_policy.expires,
        read_only: set_policy.readOnly,
    })
}

pub(super) fn request_access(request: &RequestAccess) -> sol_types::RequestAccess {
    let name = |name: &Option<datapact_core::terms::Name>| {
        name.as_ref().map_or("", |name| name.as_str()).to_owned()
    };
    sol_types::RequestAccess {
        share: FixedBytes(*request.share.as_bytes()),
        policy: digest(&request.policy),
        request: digest(&request.request),
        consumer: commitment(&request.consumer),
        organisation: name(&request.organisation),
        industry: request
            .industry
            .as_ref()
            .map(|industry| code(industry.as_str()))
            .unwrap_or_default(),
        country: request.country.as_ref().map(|country| code(country.as_str())).unwrap_or_default(),
        purpose: name(&request.purpose),
    }
}

pub(super) fn from_request_access(
    request: sol_types::RequestAccess,
) -> Result<RequestAccess, AbiError> {
    Ok(RequestAccess {
        share: ShareId(request.share.0),
        policy: Digest(request.policy.0),
        request: Digest(request.request.0),
        consumer: Commitment(request.consumer.0),
        organisation: optional(request.organisation.as_bytes())?,
        industry: optional(request.industry.as_slice())?,
        country: optional(request.country.as_slice())?,
        purpose: optional(request.purpose.as_bytes())?,
    })
}

pub(super) fn record_usage(usage: &RecordUsage) -> sol_types::RecordUsage {
    sol_types::RecordUsage {
        share: FixedBytes(*usage.share.as_bytes()),
        request: digest(&usage.request),
        report: digest(&usage.report),
        consumer: commitment(&usage.consumer),
    }
}

pub(super) fn from_record_usage(usage: &sol_types::RecordUsage) -> RecordUsage {
    RecordUsage {
        share: ShareId(usage.share.0),
        request: Digest(usage.request.0),
        report: Digest(usage.report.0),
        consumer: Commitment(usage.consumer.0),
    }
}
