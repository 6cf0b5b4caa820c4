//! What holds for every call and every state.

use std::collections::BTreeMap;

use datapact_core::contract::{
    AccessRecord, Attributes, Call, Counter, RecordUsage, Reports, RequestAccess, SetPolicy,
    ShareRecord, UsageRecord, Value, Values, decide, eligible, keys,
};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_core::terms::Terms;
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases::{BEGIN, OWNER};

fn small_digest() -> impl Strategy<Value = Digest> {
    (0..4u8).prop_map(|n| Digest([n; 32]))
}

fn consumer() -> impl Strategy<Value = Commitment> {
    (0..3u8).prop_map(|n| Commitment([n; 32]))
}

fn share() -> impl Strategy<Value = ShareId> {
    (0..2u8).prop_map(|n| ShareId([n; 16]))
}

/// Mostly the small numbers at which rules change, sometimes any.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..4u32, 1 => (u32::MAX - 2)..=u32::MAX, 1 => any::<u32>()]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![8 => 0..6u64, 1 => any::<u64>()]
}

fn code<T: std::str::FromStr<Err: std::fmt::Debug> + Clone + std::fmt::Debug + 'static>(
    codes: &'static [&'static str],
) -> impl Strategy<Value = T> {
    select(codes).prop_map(|code| code.parse().unwrap())
}

const NAMES: &[&str] = &["a", "b"];
const INDUSTRIES: &[&str] = &["isic4:Q", "isic4:86", "isic4:8610", "nace2:86.1"];
const COUNTRIES: &[&str] = &["SE", "DE"];

fn terms() -> impl Strategy<Value = Terms<Commitment>> {
    use proptest::collection::btree_set;
    (
        any::<bool>(),
        btree_set(consumer(), 0..2),
        btree_set(code(NAMES), 0..2),
        btree_set(code(INDUSTRIES), 0..2),
        btree_set(code(COUNTRIES), 0..2),
        btree_set(code(NAMES), 0..2),
    )
        .prop_map(|(anyone, users, organisations, industries, countries, purposes)| Terms {
            anyone,
            users,
            organisations,
            industries,
            countries,
            purposes,
        })
}

fn set_policy() -> impl Strategy<Value = SetPolicy> {
    let state = select(
        &[ShareState::Active, ShareState::Active, ShareState::Suspended, ShareState::Revoked][..],
    );
    let times = prop_oneof![number().prop_map(AccessTimes::Times), Just(AccessTimes::Unlimited)];
    let ids = (share(), number(), proptest::option::of(small_digest()), small_digest(), consumer());
    (ids, state, terms(), times, moment(), moment(), any::<bool>()).prop_map(
        |(
            (share, version, previous, policy, owner),
            state,
            terms,
            access_times,
            not_before,
            expires,
            read_only,
        )| {
            let package = Digest([7; 32]);
            SetPolicy {
                share,
                version,
                previous,
                policy,
                owner,
                state,
                package,
                terms,
                access_times,
                not_before,
                expires,
                read_only,
            }
        },
    )
}

fn request_access() -> impl Strategy<Value = RequestAccess> {
    use proptest::option::weighted;
    (
        (share(), small_digest(), small_digest(), consumer()),
        weighted(0.3, code(NAMES)),
        weighted(0.3, code(INDUSTRIES)),
        weighted(0.3, code(COUNTRIES)),
        weighted(0.3, code(NAMES)),
    )
        .prop_map(
            |((share, policy, request, consumer), organisation, industry, country, purpose)| {
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

fn record_usage() -> impl Strategy<Value = RecordUsage> {
    (share(), small_digest(), small_digest(), consumer()).prop_map(
        |(share, request, report, consumer)| RecordUsage { share, request, report, consumer },
    )
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        set_policy().prop_map(Call::SetPolicy),
        request_access().prop_map(Call::RequestAccess),
        record_usage().prop_map(Call::RecordUsage),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (set_policy(), moment())
            .prop_map(|(policy, time)| Value::Share(ShareRecord { policy, time })),
        number().prop_map(|granted| Value::Counter(Counter { granted })),
        (request_access(), number(), moment()).prop_map(|(request, access, time)| Value::Access(
            AccessRecord { request, access, time }
        )),
        (record_usage(), moment())
            .prop_map(|(usage, time)| Value::Usage(UsageRecord { usage, time })),
        number().prop_map(|recorded| Value::Reports(Reports { recorded })),
    ]
}

/// What could be said of a call's state: for each of its keys no value, one of the right type, or
/// any.
fn call_and_values() -> impl Strategy<Value = (Call, Values)> {
    call().prop_flat_map(|call| {
        let fitting = |key: &str| -> BoxedStrategy<Value> {
            match key.split('/').next().unwrap() {
                "share" => (set_policy(), moment())
                    .prop_map(|(policy, time)| Value::Share(ShareRecord { policy, time }))
                    .boxed(),
                "counter" => {
                    number().prop_map(|granted| Value::Counter(Counter { granted })).boxed()
                }
                "reports" => {
                    number().prop_map(|recorded| Value::Reports(Reports { recorded })).boxed()
                }
                _ => value().boxed(),
            }
        };
        let values: Vec<BoxedStrategy<(String, Option<Value>)>> = keys(&call)
            .into_iter()
            .map(|key| {
                let value = prop_oneof![
                    2 => Just(None),
                    6 => fitting(&key).prop_map(Some),
                    1 => value().prop_map(Some),
                ];
                value.prop_map(move |value| (key.clone(), value)).boxed()
            })
            .collect();
        (Just(call), values).prop_map(|(call, values)| {
            (call, values.into_iter().filter_map(|(k, v)| Some((k, v?))).collect())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// No panic on anything, nothing written but listed keys, and a repeat at any later time gives
    /// the first receipt and writes nothing.
    #[test]
    fn decide_writes_listed_keys_and_repeats(
        (call, values) in call_and_values(),
        time in moment(),
        later in moment(),
    ) {
        let listed = keys(&call);
        if let Ok(outcome) = decide(&call, &values, time) {
            prop_assert!(outcome.writes.keys().all(|key| listed.contains(key)));
            let mut after = values;
            after.extend(outcome.writes);
            let again = decide(&call, &after, later).unwrap();
            prop_assert!(again.writes.is_empty());
            prop_assert_eq!(again.receipt, outcome.receipt);
        }
    }

    /// Whatever else a host hands in changes nothing: `keys` lists all that is read.
    #[test]
    fn keys_lists_all_that_is_read(
        (call, values) in call_and_values(),
        others in proptest::collection::vec((call(), value()), 0..8),
        time in moment(),
    ) {
        let mut more = values.clone();
        for (other, value) in others {
            for key in keys(&other) {
                if !keys(&call).contains(&key) {
                    more.insert(key, value.clone());
                }
            }
        }
        prop_assert_eq!(decide(&call, &values, time), decide(&call, &more, time));
    }

    /// The preview and the decision are one judgement.
    #[test]
    fn eligible_is_what_decide_says(
        set in set_policy(),
        asked in request_access(),
        granted in number(),
        time in moment(),
    ) {
        let attributes = Attributes {
            organisation: asked.organisation.clone(),
            industry: asked.industry.clone(),
            country: asked.country.clone(),
        };
        let purpose = asked.purpose.as_ref();
        let preview = eligible(&set, &asked.consumer, &attributes, purpose, granted, time);
        let request = RequestAccess {
            share: set.share,
            policy: set.policy,
            organisation: asked.organisation.filter(|_| !set.terms.organisations.is_empty()),
            industry: asked.industry.filter(|_| !set.terms.industries.is_empty()),
            country: asked.country.filter(|_| !set.terms.countries.is_empty()),
            purpose: asked.purpose.filter(|_| !set.terms.purposes.is_empty()),
            ..asked
        };
        let call = Call::RequestAccess(request);
        let listed = keys(&call);
        let values = Values::from([
            (listed[0].clone(), Value::Share(ShareRecord { policy: set, time: 0 })),
            (listed[1].clone(), Value::Counter(Counter { granted })),
        ]);
        let decided = decide(&call, &values, time).map(|_| ());
        if granted < u32::MAX {
            prop_assert_eq!(preview, decided);
        } else {
            prop_assert!(decided.is_err());
        }
    }
}

/// One step of a share's history.
#[derive(Debug, Clone)]
enum Step {
    /// The owner's, or another user's, successor.
    Set { times: AccessTimes, state: ShareState, by_owner: bool },
    /// A consumer's request under the newest or an older version; `number` may repeat an earlier
    /// one.
    Ask { consumer: u8, number: u8, stale: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let times =
        prop_oneof![9 => (1..5u32).prop_map(AccessTimes::Times), 1 => Just(AccessTimes::Unlimited)];
    let state = prop_oneof![
        20 => Just(ShareState::Active),
        2 => Just(ShareState::Suspended),
        1 => Just(ShareState::Revoked),
    ];
    prop_oneof![
        1 => (times, state, proptest::bool::weighted(0.9))
            .prop_map(|(times, state, by_owner)| Step::Set { times, state, by_owner }),
        5 => (0..2u8, 0..12u8, proptest::bool::weighted(0.1))
            .prop_map(|(consumer, number, stale)| Step::Ask { consumer, number, stale }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// However updates and accesses interleave: at every grant the consumer has had fewer accesses
    /// than the version in force allows, its accesses are numbered without a gap, and nothing
    /// follows a revocation.
    #[test]
    fn wr_4_access_times_hold_over_every_history(
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut state = Values::new();
        let mut newest: Option<SetPolicy> = None;
        let mut accesses: BTreeMap<Commitment, u32> = BTreeMap::new();
        for (tick, step) in steps.into_iter().enumerate() {
            let time = BEGIN + tick as u64;
            let call = match &step {
                Step::Set { times, state, by_owner } => Call::SetPolicy(SetPolicy {
                    version: newest.as_ref().map_or(1, |policy| policy.version + 1),
                    previous: newest.as_ref().map(|policy| policy.policy),
                    policy: Digest::of(&tick.to_be_bytes()),
                    owner: if *by_owner || newest.is_none() { OWNER } else { Commitment([9; 32]) },
                    state: *state,
                    access_times: *times,
                    ..crate::cases::policy(1)
                }),
                Step::Ask { consumer, number, stale } => Call::RequestAccess(RequestAccess {
                    policy: match &newest {
                        Some(policy) if !stale => policy.policy,
                        _ => Digest([0; 32]),
                    },
                    consumer: Commitment([*consumer; 32]),
                    request: Digest([*consumer * 16 + *number; 32]),
                    ..crate::cases::request(0)
                }),
            };
            let stored = |key: String| state.get(&key).cloned().map(|value| (key, value));
            let read = keys(&call).into_iter().filter_map(stored).collect();
            let Ok(outcome) = decide(&call, &read, time) else { continue };
            if outcome.writes.is_empty() {
                continue;
            }
            let revoked = newest.as_ref().is_some_and(|policy| policy.state == ShareState::Revoked);
            prop_assert!(!revoked, "something followed a revocation");
            state.extend(outcome.writes);
            match call {
                Call::SetPolicy(set) => {
                    prop_assert_eq!(set.owner, OWNER);
                    newest = Some(set);
                }
                Call::RequestAccess(request) => {
                    let policy = newest.as_ref().unwrap();
                    prop_assert_eq!(policy.state, ShareState::Active);
                    prop_assert_eq!(request.policy, policy.policy);
                    let had = accesses.entry(request.consumer).or_default();
                    if let AccessTimes::Times(times) = policy.access_times {
                        prop_assert!(*had < times, "access {} of {times}", *had + 1);
                    }
                    *had += 1;
                    let record = &state[&format!("access/{}", request.request)];
                    prop_assert!(matches!(record, Value::Access(record) if record.access == *had));
                }
                Call::RecordUsage(_) => {}
            }
        }
    }
}
