//! The rules themselves, each in the order that `docs/spec/contract.md` gives.

use super::{
    AccessRecord, Attributes, Call, Counter, Outcome, Receipt, RecordUsage, Refusal, Reports,
    RequestAccess, SetPolicy, ShareRecord, USAGE_REPORTS_MAX, UsageRecord, Value, Values,
};
use crate::id::{Commitment, Digest, ShareId, Timestamp};
use crate::permission::AccessTimes;
use crate::policy::ShareState;
use crate::terms::Name;

/// Every state key that `call` may read or write.
pub fn keys(call: &Call) -> Vec<String> {
    match call {
        Call::SetPolicy(set) => vec![share_key(&set.share)],
        Call::RequestAccess(request) => vec![
            share_key(&request.share),
            counter_key(&request.share, &request.consumer),
            access_key(&request.request),
        ],
        Call::RecordUsage(usage) => {
            vec![access_key(&usage.request), reports_key(&usage.request), usage_key(&usage.report)]
        }
    }
}

/// The key of a share's newest policy: its value is a [`ShareRecord`].
pub fn share_key(share: &ShareId) -> String {
    format!("share/{share}")
}

/// The key of a consumer's number of accesses: its value is a [`Counter`].
pub fn counter_key(share: &ShareId, consumer: &Commitment) -> String {
    format!("counter/{share}/{consumer}")
}

/// The key of an access, by its request's document id: its value is an [`AccessRecord`].
pub fn access_key(request: &Digest) -> String {
    format!("access/{request}")
}

/// The key of a usage report, by its document id: its value is a [`UsageRecord`].
pub fn usage_key(report: &Digest) -> String {
    format!("usage/{report}")
}

/// The key of an access's number of usage reports, by its request's document id: its value is
/// [`Reports`].
pub fn reports_key(request: &Digest) -> String {
    format!("reports/{request}")
}

/// Decides `call` at `time` on the state that [`keys`] named. Pure: the same arguments give the
/// same answer on every host, whatever else is in `values`.
///
/// # Errors
/// The first rule, in the specified order, that forbids the call. The host then writes nothing.
pub fn decide(call: &Call, values: &Values, time: Timestamp) -> Result<Outcome, Refusal> {
    match call {
        Call::SetPolicy(set) => set_policy(set, values, time),
        Call::RequestAccess(request) => request_access(request, values, time),
        Call::RecordUsage(usage) => record_usage(usage, values, time),
    }
}

/// Whether `policy` would grant one more access to `consumer`, who has had `granted`, at `time`,
/// and if not, by which rule. This is [`decide`]'s own judgement without its writes; attributes
/// that the policy does not restrict are ignored here.
///
/// # Errors
/// The first rule that forbids it.
pub fn eligible(
    policy: &SetPolicy,
    consumer: &Commitment,
    attributes: &Attributes,
    purpose: Option<&Name>,
    granted: u32,
    time: Timestamp,
) -> Result<(), Refusal> {
    gives_access(policy)?;
    admits(policy, consumer, attributes, purpose, granted, time)
}

fn set_policy(set: &SetPolicy, values: &Values, time: Timestamp) -> Result<Outcome, Refusal> {
    well_formed(set)?;
    if let Some(stored) = stored_share(values, &set.share)? {
        if stored.policy == *set {
            return Ok(repeated(Receipt::Policy(stored.clone())));
        }
        succeeds(set, &stored.policy)?;
    } else if set.version != 1 {
        return Err(Refusal::Version { expected: 1 });
    }
    let record = ShareRecord { policy: set.clone(), time };
    Ok(Outcome {
        writes: Values::from([(share_key(&set.share), Value::Share(record.clone()))]),
        receipt: Receipt::Policy(record),
    })
}

/// Checks a policy as far as that needs no state.
fn well_formed(set: &SetPolicy) -> Result<(), Refusal> {
    if set.version == 0 {
        return Err(malformed("versions begin at 1"));
    }
    if set.previous.is_some() != (set.version > 1) {
        return Err(malformed("every version but the first names its predecessor"));
    }
    set.terms.validate().map_err(|e| malformed(&e.to_string()))?;
    set.permission().validate().map_err(|e| malformed(&e.to_string()))
}

/// Whether `set` may follow the `stored` version. A revoked share has no successor, and only its
/// owner learns that it is revoked.
fn succeeds(set: &SetPolicy, stored: &SetPolicy) -> Result<(), Refusal> {
    if set.owner != stored.owner {
        return Err(Refusal::Owner);
    }
    if stored.state == ShareState::Revoked {
        return Err(Refusal::Revoked);
    }
    let expected = stored
        .version
        .checked_add(1)
        .ok_or_else(|| malformed("the share has had its last version"))?;
    if set.version != expected {
        return Err(Refusal::Version { expected });
    }
    if set.previous != Some(stored.policy) {
        return Err(Refusal::Predecessor);
    }
    Ok(())
}

fn request_access(
    request: &RequestAccess,
    values: &Values,
    time: Timestamp,
) -> Result<Outcome, Refusal> {
    if let Some(stored) = stored_access(values, &request.request)? {
        // This rule comes first, so that a consumer whose answer was lost can repeat the request:
        // it costs no second access, and works even after the terms changed.
        return if stored.request == *request {
            Ok(repeated(Receipt::Access(stored.clone())))
        } else {
            Err(Refusal::RequestTaken)
        };
    }
    let policy = &stored_share(values, &request.share)?.ok_or(Refusal::UnknownShare)?.policy;
    gives_access(policy)?;
    if request.policy != policy.policy {
        return Err(Refusal::Superseded);
    }
    reveals_only_what_is_restricted(request, policy)?;
    let counter = counter_key(&request.share, &request.consumer);
    let granted = match values.get(&counter) {
        None => 0,
        Some(Value::Counter(counter)) => counter.granted,
        Some(_) => return Err(wrong_value(&counter)),
    };
    admits(
        policy,
        &request.consumer,
        &request.attributes(),
        request.purpose.as_ref(),
        granted,
        time,
    )?;
    // `Unlimited` still ends where the counter would overflow.
    let access = granted.checked_add(1).ok_or(Refusal::AccessTimes { access_times: u32::MAX })?;
    let record = AccessRecord { request: request.clone(), access, time };
    Ok(Outcome {
        writes: Values::from([
            (counter, Value::Counter(Counter { granted: access })),
            (access_key(&request.request), Value::Access(record.clone())),
        ]),
        receipt: Receipt::Access(record),
    })
}

/// Whether the share gives access at all.
fn gives_access(policy: &SetPolicy) -> Result<(), Refusal> {
    match policy.state {
        ShareState::Active => Ok(()),
        ShareState::Suspended => Err(Refusal::Suspended),
        ShareState::Revoked => Err(Refusal::Revoked),
    }
}

/// An attribute that decides nothing must not be on the ledger (PR-1).
fn reveals_only_what_is_restricted(
    request: &RequestAccess,
    policy: &SetPolicy,
) -> Result<(), Refusal> {
    let terms = &policy.terms;
    let kinds = [
        ("organisation", request.organisation.is_some(), terms.organisations.is_empty()),
        ("industry", request.industry.is_some(), terms.industries.is_empty()),
        ("country", request.country.is_some(), terms.countries.is_empty()),
        ("purpose", request.purpose.is_some(), terms.purposes.is_empty()),
    ];
    match kinds.iter().find(|(_, given, unasked)| *given && *unasked) {
        Some((kind, ..)) => Err(malformed(&format!(
            "the policy does not ask for the {kind}, so it must be left out"
        ))),
        None => Ok(()),
    }
}

/// The terms and the permission: every kind that lists values must hold. The order of the rules is
/// the contract's: every host must refuse by the same one.
fn admits(
    policy: &SetPolicy,
    consumer: &Commitment,
    attributes: &Attributes,
    purpose: Option<&Name>,
    granted: u32,
    time: Timestamp,
) -> Result<(), Refusal> {
    let terms = &policy.terms;
    if time < policy.not_before {
        return Err(Refusal::NotYet { not_before: policy.not_before });
    }
    if time >= policy.expires {
        return Err(Refusal::Expired { expires: policy.expires });
    }
    // A kind without values restricts nothing. One with values needs the consumer's own to be among
    // them, so a consumer without such an attribute is refused.
    if !terms.users.is_empty() && !terms.users.contains(consumer) {
        return Err(Refusal::User);
    }
    if !terms.organisations.is_empty()
        && !attributes.organisation.as_ref().is_some_and(|own| terms.organisations.contains(own))
    {
        return Err(Refusal::Organisation);
    }
    if !terms.industries.is_empty()
        && !attributes
            .industry
            .as_ref()
            .is_some_and(|own| terms.industries.iter().any(|it| it.covers(own)))
    {
        return Err(Refusal::Industry);
    }
    if !terms.countries.is_empty()
        && !attributes.country.as_ref().is_some_and(|own| terms.countries.contains(own))
    {
        return Err(Refusal::Country);
    }
    if !terms.purposes.is_empty() && !purpose.is_some_and(|stated| terms.purposes.contains(stated))
    {
        return Err(Refusal::Purpose);
    }
    match policy.access_times {
        AccessTimes::Times(times) if granted >= times => {
            Err(Refusal::AccessTimes { access_times: times })
        }
        AccessTimes::Times(_) | AccessTimes::Unlimited => Ok(()),
    }
}

fn record_usage(usage: &RecordUsage, values: &Values, time: Timestamp) -> Result<Outcome, Refusal> {
    let key = usage_key(&usage.report);
    match values.get(&key) {
        None => {}
        Some(Value::Usage(stored)) if stored.usage == *usage => {
            return Ok(repeated(Receipt::Usage(stored.clone())));
        }
        Some(Value::Usage(_)) => return Err(Refusal::RequestTaken),
        Some(_) => return Err(wrong_value(&key)),
    }
    let access = stored_access(values, &usage.request)?
        .filter(|access| access.request.share == usage.share)
        .ok_or(Refusal::UnknownAccess)?;
    if access.request.consumer != usage.consumer {
        return Err(Refusal::Consumer);
    }
    let reports = reports_key(&usage.request);
    let recorded = match values.get(&reports) {
        None => 0,
        Some(Value::Reports(reports)) => reports.recorded,
        Some(_) => return Err(wrong_value(&reports)),
    };
    if recorded >= USAGE_REPORTS_MAX {
        return Err(Refusal::UsageReports { usage_reports: USAGE_REPORTS_MAX });
    }
    let record = UsageRecord { usage: usage.clone(), time };
    Ok(Outcome {
        writes: Values::from([
            (reports, Value::Reports(Reports { recorded: recorded + 1 })),
            (key, Value::Usage(record.clone())),
        ]),
        receipt: Receipt::Usage(record),
    })
}

/// The answer to a call that was granted before: its first receipt, and nothing to write.
fn repeated(receipt: Receipt) -> Outcome {
    Outcome { writes: Values::new(), receipt }
}

fn stored_share<'a>(
    values: &'a Values,
    share: &ShareId,
) -> Result<Option<&'a ShareRecord>, Refusal> {
    let key = share_key(share);
    match values.get(&key) {
        None => Ok(None),
        Some(Value::Share(record)) => Ok(Some(record)),
        Some(_) => Err(wrong_value(&key)),
    }
}

fn stored_access<'a>(
    values: &'a Values,
    request: &Digest,
) -> Result<Option<&'a AccessRecord>, Refusal> {
    let key = access_key(request);
    match values.get(&key) {
        None => Ok(None),
        Some(Value::Access(record)) => Ok(Some(record)),
        Some(_) => Err(wrong_value(&key)),
    }
}

fn malformed(detail: &str) -> Refusal {
    Refusal::Malformed { detail: detail.to_owned() }
}

fn wrong_value(key: &str) -> Refusal {
    malformed(&format!("the state under `{key}` is of another type"))
}
