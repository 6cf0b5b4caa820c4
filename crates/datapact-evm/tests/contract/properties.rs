//! Whatever is called in whatever order, the chain answers, writes and announces what `decide`
//! does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use datapact_core::contract::{
    Call, Receipt, RecordUsage, RequestAccess, SetPolicy, Value, Values, decide, keys, share_key,
};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_core::terms::Terms;
use proptest::collection::{btree_set, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::chain::Chain;
use crate::corpus::{check_outcome, check_refusal};

const BEGIN: u64 = 1_800_000_000;
const NAMES: &[&str] = &["a", "b", "aa"];
const INDUSTRIES: &[&str] =
    &["isic4:Q", "isic4:86", "isic4:8610", "nace2:Q", "nace2:86.1", "nace2:86.10"];
const COUNTRIES: &[&str] = &["SE", "DE"];

/// A call, and how it is bent to the state, for a call at random would nearly always be refused by
/// the first rule.
#[derive(Debug, Clone)]
struct Step {
    call: Call,
    /// Made the successor of the share's newest policy, by its owner.
    succeeds: bool,
    /// Made to accept the share's newest policy and to say just what it asks for.
    fits: bool,
    /// Made a repeat of the call before.
    repeats: bool,
    /// Seconds since the step before.
    later: u64,
}

fn digest() -> impl Strategy<Value = Digest> {
    (1..9u8).prop_map(|n| Digest([n; 32]))
}

fn consumer() -> impl Strategy<Value = Commitment> {
    (1..4u8).prop_map(|n| Commitment([n; 32]))
}

fn share() -> impl Strategy<Value = ShareId> {
    prop_oneof![4 => Just(ShareId([0; 16])), 1 => Just(ShareId([1; 16]))]
}

fn code<T: std::str::FromStr<Err: std::fmt::Debug> + Clone + std::fmt::Debug + 'static>(
    codes: &'static [&'static str],
) -> impl Strategy<Value = T> {
    select(codes).prop_map(|code| code.parse().unwrap())
}

fn terms() -> impl Strategy<Value = Terms<Commitment>> {
    let restricted = (
        btree_set(consumer(), 0..2),
        btree_set(code(NAMES), 0..2),
        btree_set(code(INDUSTRIES), 0..3),
        btree_set(code(COUNTRIES), 0..2),
    );
    let purposes = btree_set(code(NAMES), 0..2);
    (restricted, purposes, weighted(0.05, any::<bool>())).prop_map(
        |((users, organisations, industries, countries), purposes, wrong)| {
            let no_rule = users.is_empty()
                && organisations.is_empty()
                && industries.is_empty()
                && countries.is_empty();
            Terms {
                anyone: wrong.unwrap_or(no_rule),
                users,
                organisations,
                industries,
                countries,
                purposes,
            }
        },
    )
}

fn set_policy() -> impl Strategy<Value = SetPolicy> {
    let state = select(
        &[ShareState::Active, ShareState::Active, ShareState::Active, ShareState::Suspended][..],
    );
    let state = prop_oneof![30 => state, 1 => Just(ShareState::Revoked)];
    let times =
        prop_oneof![8 => (0..4u32).prop_map(AccessTimes::Times), 2 => Just(AccessTimes::Unlimited)];
    let ids = (share(), 0..4u32, weighted(0.3, digest()), digest(), consumer());
    (ids, state, terms(), times, 0..10u64, 5..200u64, any::<bool>()).prop_map(
        |(
            (share, version, previous, policy, owner),
            state,
            terms,
            access_times,
            from,
            to,
            read_only,
        )| {
            SetPolicy {
                share,
                version,
                previous,
                policy,
                owner,
                state,
                package: Digest([7; 32]),
                terms,
                access_times,
                not_before: BEGIN + from,
                expires: BEGIN + to,
                read_only,
            }
        },
    )
}

fn request_access() -> impl Strategy<Value = RequestAccess> {
    let ids = (share(), digest(), any::<u8>().prop_map(|n| Digest([n % 32; 32])), consumer());
    let attributes = (
        weighted(0.2, code(NAMES)),
        weighted(0.3, code(INDUSTRIES)),
        weighted(0.3, code(COUNTRIES)),
        weighted(0.2, code(NAMES)),
    );
    (ids, attributes).prop_map(
        |((share, policy, request, consumer), (organisation, industry, country, purpose))| {
            RequestAccess {
                share,
                policy,
                request,
                consumer,
                organisation,
                industry,
                country,
                purpose,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let usage =
        (share(), any::<u8>().prop_map(|n| Digest([n % 32; 32])), digest(), consumer()).prop_map(
            |(share, request, report, consumer)| RecordUsage { share, request, report, consumer },
        );
    let call = prop_oneof![
        1 => set_policy().prop_map(Call::SetPolicy),
        6 => request_access().prop_map(Call::RequestAccess),
        2 => usage.prop_map(Call::RecordUsage),
    ];
    let often = || weighted(0.9, Just(())).prop_map(|some| some.is_some());
    (call, often(), often(), weighted(0.1, Just(())), 0..4u64).prop_map(
        |(call, succeeds, fits, repeats, later)| Step {
            call,
            succeeds,
            fits,
            repeats: repeats.is_some(),
            later,
        },
    )
}

/// The step's call, bent to the state as the step says.
fn bent(step: &Step, state: &Values, before: Option<&Call>) -> Call {
    if let (true, Some(before)) = (step.repeats, before) {
        return before.clone();
    }
    let newest = match state.get(&share_key(step.call.share())) {
        Some(Value::Share(record)) => Some(&record.policy),
        _ => None,
    };
    match (step.call.clone(), newest) {
        (Call::SetPolicy(set), Some(newest)) if step.succeeds => Call::SetPolicy(SetPolicy {
            version: newest.version + 1,
            previous: Some(newest.policy),
            owner: newest.owner,
            ..set
        }),
        (Call::SetPolicy(set), None) if step.succeeds => {
            Call::SetPolicy(SetPolicy { version: 1, previous: None, ..set })
        }
        (Call::RequestAccess(request), Some(newest)) if step.fits => {
            // What it states stays, right or wrong; what it leaves out becomes the first value
            // listed.
            let terms = &newest.terms;
            let first = terms.users.first().filter(|_| request.country.is_none());
            Call::RequestAccess(RequestAccess {
                policy: newest.policy,
                consumer: first.copied().unwrap_or(request.consumer),
                organisation: stated(request.organisation, &terms.organisations),
                industry: stated(request.industry, &terms.industries),
                country: stated(request.country, &terms.countries),
                purpose: stated(request.purpose, &terms.purposes),
                ..request
            })
        }
        (Call::RequestAccess(request), None) if step.fits => {
            let open = crate::gas::policy("open", crate::gas::anyone());
            Call::SetPolicy(SetPolicy { share: request.share, not_before: 0, ..open })
        }
        (Call::RecordUsage(usage), _) if step.fits => {
            let records = state.values().filter_map(|value| match value {
                Value::Access(access) => Some(access.request.clone()),
                _ => None,
            });
            let records: Vec<RequestAccess> = records.collect();
            match records.get(usize::from(usage.request.0[0]) % records.len().max(1)) {
                Some(RequestAccess { share, request, consumer, .. }) => {
                    Call::RecordUsage(RecordUsage {
                        share: *share,
                        request: *request,
                        consumer: *consumer,
                        ..usage
                    })
                }
                None => Call::RecordUsage(usage),
            }
        }
        (call, _) => call,
    }
}

fn stated<T: Clone + Ord>(own: Option<T>, listed: &BTreeSet<T>) -> Option<T> {
    own.or(listed.first().cloned()).filter(|_| !listed.is_empty())
}

#[test]
fn sequences_of_calls_are_decided_alike() {
    let met = RefCell::new(BTreeMap::<String, u32>::new());
    let config =
        ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&vec(step(), 1..60), |steps| {
            decided_alike(&steps, &mut |answer| *met.borrow_mut().entry(answer).or_default() += 1);
            Ok(())
        })
        .unwrap();
    let met = met.into_inner();
    println!("{met:?}");
    // A sequence that only meets refusals would show little.
    for answer in [
        "policy",
        "policy again",
        "access",
        "access again",
        "usage",
        "user",
        "access-times",
        "suspended",
    ] {
        assert!(met.contains_key(answer), "no `{answer}`: {met:?}");
    }
}

fn decided_alike(steps: &[Step], met: &mut dyn FnMut(String)) {
    let (mut chain, mut state, mut time) = (Chain::deployed(), Values::new(), BEGIN);
    let mut last = None;
    for step in steps {
        time += step.later;
        let call = bent(step, &state, last.as_ref());
        let listed = keys(&call);
        let values = state.clone().into_iter().filter(|(key, _)| listed.contains(key)).collect();
        let before = chain.clone();
        let sent = chain.execute(&call, time);
        match decide(&call, &values, time) {
            Ok(outcome) => {
                check_outcome(&before, &chain, &call, &sent, &outcome);
                let kind = match outcome.receipt {
                    Receipt::Policy(_) => "policy",
                    Receipt::Access(_) => "access",
                    Receipt::Usage(_) => "usage",
                };
                met(if outcome.writes.is_empty() {
                    format!("{kind} again")
                } else {
                    kind.to_owned()
                });
                state.extend(outcome.writes);
            }
            Err(refusal) => {
                check_refusal(&sent, &refusal);
                met(refusal.rule().to_owned());
            }
        }
        last = Some(call);
    }
}
