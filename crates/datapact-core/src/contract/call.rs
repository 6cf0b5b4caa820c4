//! Calls made from the signed documents behind them. Management builds its calls here, and
//! [`super::check`] builds them again to compare.

use super::{Attributes, Call, CheckError, Receipt, RecordUsage, RequestAccess, SetPolicy};
use crate::commitment::Opening;
use crate::document::{AccessRequest, Body, UsageReport};
use crate::id::{Commitment, ShareId};
use crate::jws::Signed;
use crate::permission::AccessPermission;
use crate::policy::SharingPolicy;
use crate::terms::Terms;

impl Call {
    /// The call that sets `policy`, with the opening of its signer and one for each named user, in
    /// any order.
    ///
    /// # Errors
    /// [`CheckError::Policy`] when the policy is not valid, [`CheckError::Opening`] when `owner` is
    /// not its signer's.
    pub fn of_policy(
        policy: &Signed<SharingPolicy>,
        owner: &Opening,
        users: &[Opening],
    ) -> Result<Self, CheckError> {
        let body = policy.body();
        body.validate()?;
        Ok(Self::SetPolicy(SetPolicy {
            share: body.share,
            version: body.version,
            previous: body.previous,
            policy: policy.id(),
            owner: commitment(policy, &body.share, owner)?,
            state: body.state,
            package: body.information.package.digest,
            terms: body
                .terms
                .to_ledger(&body.share, users)
                .map_err(crate::policy::PolicyError::from)?,
            access_times: body.permission.access_times,
            not_before: body.permission.not_before,
            expires: body.permission.expires,
            read_only: body.permission.read_only,
        }))
    }

    /// The call for the access that `request` asks for. Of the attributes that management vouches
    /// for it carries those that `terms`, of the policy that the request accepts, restrict.
    ///
    /// # Errors
    /// [`CheckError::Opening`] when `consumer` is not the signer's.
    pub fn of_request(
        request: &Signed<AccessRequest>,
        consumer: &Opening,
        attributes: &Attributes,
        terms: &Terms<Commitment>,
    ) -> Result<Self, CheckError> {
        let restricted = RestrictedKinds {
            organisation: !terms.organisations.is_empty(),
            industry: !terms.industries.is_empty(),
            country: !terms.countries.is_empty(),
            purpose: !terms.purposes.is_empty(),
        };
        request_access(request, consumer, attributes, &restricted).map(Self::RequestAccess)
    }

    /// The call that records `report`.
    ///
    /// # Errors
    /// [`CheckError::Opening`] when `consumer` is not the signer's.
    pub fn of_report(report: &Signed<UsageReport>, consumer: &Opening) -> Result<Self, CheckError> {
        let body = report.body();
        Ok(Self::RecordUsage(RecordUsage {
            share: body.share,
            request: body.request,
            report: report.id(),
            consumer: commitment(report, &body.share, consumer)?,
        }))
    }

    /// Its share.
    pub fn share(&self) -> &ShareId {
        match self {
            Self::SetPolicy(set) => &set.share,
            Self::RequestAccess(request) => &request.share,
            Self::RecordUsage(usage) => &usage.share,
        }
    }
}

impl Receipt {
    /// The call that it answers.
    pub fn call(&self) -> Call {
        match self {
            Self::Policy(record) => Call::SetPolicy(record.policy.clone()),
            Self::Access(record) => Call::RequestAccess(record.request.clone()),
            Self::Usage(record) => Call::RecordUsage(record.usage.clone()),
        }
    }

    /// Its share.
    pub fn share(&self) -> &ShareId {
        match self {
            Self::Policy(record) => &record.policy.share,
            Self::Access(record) => &record.request.share,
            Self::Usage(record) => &record.usage.share,
        }
    }
}

impl SetPolicy {
    /// The access permission that it sets.
    pub fn permission(&self) -> AccessPermission {
        AccessPermission {
            access_times: self.access_times,
            not_before: self.not_before,
            expires: self.expires,
            read_only: self.read_only,
        }
    }
}

impl RequestAccess {
    /// The attributes that it carries.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            organisation: self.organisation.clone(),
            industry: self.industry.clone(),
            country: self.country.clone(),
        }
    }
}

/// Which kinds of term a policy restricts. Only these may be said of a consumer on the ledger.
pub(super) struct RestrictedKinds {
    pub(super) organisation: bool,
    pub(super) industry: bool,
    pub(super) country: bool,
    pub(super) purpose: bool,
}

/// The on-chain side of `request`, with what `restricted` lets the ledger know of the consumer.
///
/// # Errors
/// [`CheckError::Opening`] when `consumer` is not the signer's.
pub(super) fn request_access(
    request: &Signed<AccessRequest>,
    consumer: &Opening,
    attributes: &Attributes,
    restricted: &RestrictedKinds,
) -> Result<RequestAccess, CheckError> {
    let body = request.body();
    Ok(RequestAccess {
        share: body.share,
        policy: body.policy,
        request: request.id(),
        consumer: commitment(request, &body.share, consumer)?,
        organisation: attributes.organisation.clone().filter(|_| restricted.organisation),
        industry: attributes.industry.clone().filter(|_| restricted.industry),
        country: attributes.country.clone().filter(|_| restricted.country),
        purpose: body.purpose.clone().filter(|_| restricted.purpose),
    })
}

/// The signer's commitment for `share`.
fn commitment<B: Body>(
    signed: &Signed<B>,
    share: &ShareId,
    opening: &Opening,
) -> Result<Commitment, CheckError> {
    if opening.identity == *signed.signer() {
        Ok(opening.commitment(share))
    } else {
        Err(CheckError::Opening(signed.signer().clone()))
    }
}
