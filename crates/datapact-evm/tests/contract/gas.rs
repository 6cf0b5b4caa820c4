//! What calls cost: `contracts/gas.json` says, and a change that costs more has to say so there.

use std::collections::BTreeMap;

use datapact_core::contract::{Call, RecordUsage, RequestAccess, SetPolicy};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_core::terms::Terms;

use crate::chain::Chain;

const NOW: u64 = 1_800_000_000;
/// The aims: create a share for 2 users in 3 countries and 3 industries; a consumer's first access
/// of it.
const CREATE_MAX: u64 = 400_000;
const FIRST_ACCESS_MAX: u64 = 110_000;

/// As costly as in life: hardly a zero byte.
fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn commitment(of: &str) -> Commitment {
    Commitment(digest(of).0)
}

fn codes<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(
    codes: &[&str],
) -> std::collections::BTreeSet<T> {
    codes.iter().map(|code| code.parse().unwrap()).collect()
}

pub fn policy(share: &str, terms: Terms<Commitment>) -> SetPolicy {
    let mut id = [0; 16];
    id.copy_from_slice(&digest(share).0[..16]);
    SetPolicy {
        share: ShareId(id),
        version: 1,
        previous: None,
        policy: digest(&format!("{share} 1")),
        owner: commitment("owner"),
        state: ShareState::Active,
        package: digest("package"),
        terms,
        access_times: AccessTimes::Times(3),
        not_before: NOW,
        expires: NOW + 86_400,
        read_only: true,
    }
}

pub fn successor(policy: &SetPolicy) -> SetPolicy {
    let version = policy.version + 1;
    let id = digest(&format!("{} {version}", policy.share));
    SetPolicy { version, previous: Some(policy.policy), policy: id, ..policy.clone() }
}

pub fn anyone() -> Terms<Commitment> {
    Terms { anyone: true, ..Terms::default() }
}

pub fn request(policy: &SetPolicy, number: u32) -> RequestAccess {
    RequestAccess {
        share: policy.share,
        policy: policy.policy,
        request: digest(&format!("{} request {number}", policy.share)),
        consumer: commitment("ann"),
        organisation: None,
        industry: None,
        country: None,
        purpose: None,
    }
}

fn usage(request: &RequestAccess) -> RecordUsage {
    let report = digest(&format!("report {}", request.request));
    RecordUsage {
        share: request.share,
        request: request.request,
        report,
        consumer: request.consumer,
    }
}

fn measured() -> BTreeMap<&'static str, u64> {
    let mut chain = Chain::deployed();
    let mut gas = BTreeMap::from([("deploy", chain.deployment_gas)]);
    let mut measure = |name, call: Call, refused| {
        let sent = chain.execute(&call, NOW + 1);
        assert_eq!(sent.answer.is_err(), refused, "{name}");
        gas.insert(name, sent.gas);
    };
    let some = policy(
        "some",
        Terms {
            users: [commitment("ann"), commitment("bob")].into(),
            industries: codes(&["isic4:86", "nace2:72.1", "nace2:72.19"]),
            countries: codes(&["DE", "NO", "SE"]),
            ..Terms::default()
        },
    );
    let all = policy(
        "all",
        Terms {
            organisations: codes(&["clinic-a.example", "hospital-b.example", "lab-c.example"]),
            purposes: codes(&["care", "research"]),
            ..some.terms.clone()
        },
    );
    let open = policy("open", anyone());
    measure(
        "create share: 2 users, 3 countries, 3 industries",
        Call::SetPolicy(some.clone()),
        false,
    );
    measure(
        "create share: those, 3 organisations, 2 purposes",
        Call::SetPolicy(all.clone()),
        false,
    );
    measure("create share: anyone", Call::SetPolicy(open.clone()), false);
    measure("set policy: a repeat", Call::SetPolicy(open.clone()), false);
    let fitting = |policy: &SetPolicy, number| RequestAccess {
        industry: Some("nace2:72.19".parse().unwrap()),
        country: Some("SE".parse().unwrap()),
        ..request(policy, number)
    };
    measure(
        "request access: first, 2 users, 3 countries, 3 industries",
        Call::RequestAccess(fitting(&some, 1)),
        false,
    );
    measure("request access: second, likewise", Call::RequestAccess(fitting(&some, 2)), false);
    let full = |number| RequestAccess {
        organisation: Some("lab-c.example".parse().unwrap()),
        purpose: Some("research".parse().unwrap()),
        ..fitting(&all, number)
    };
    measure("request access: first, every kind of term", Call::RequestAccess(full(1)), false);
    measure("request access: first, anyone", Call::RequestAccess(request(&open, 1)), false);
    measure("request access: second, anyone", Call::RequestAccess(request(&open, 2)), false);
    measure("request access: a repeat", Call::RequestAccess(request(&open, 2)), false);
    let unnamed = RequestAccess { consumer: commitment("eve"), ..fitting(&some, 3) };
    measure("request access: refused, not a named user", Call::RequestAccess(unnamed), true);
    measure("record usage", Call::RecordUsage(usage(&request(&open, 1))), false);
    measure("record usage: a repeat", Call::RecordUsage(usage(&request(&open, 1))), false);
    let suspended = SetPolicy { state: ShareState::Suspended, ..successor(&some) };
    measure("suspend share: 2 users, 3 countries, 3 industries", Call::SetPolicy(suspended), false);
    gas
}

#[test]
fn calls_cost_what_the_snapshot_says() {
    let measured = measured();
    let said: BTreeMap<String, u64> =
        serde_json::from_str(include_str!("../../../../contracts/gas.json")).unwrap();
    let now = serde_json::to_string_pretty(&measured).unwrap();
    let said: BTreeMap<&str, u64> = said.iter().map(|(name, gas)| (name.as_str(), *gas)).collect();
    assert!(said == measured, "contracts/gas.json should be, if that is meant:\n{now}");
    assert!(measured["create share: 2 users, 3 countries, 3 industries"] <= CREATE_MAX);
    for (name, gas) in measured {
        assert!(!name.starts_with("request access") || gas <= FIRST_ACCESS_MAX, "{name}: {gas}");
    }
}

/// 256 values of every kind still fit in a block, and in a contract's code.
#[test]
fn the_largest_policy_can_be_set_and_its_last_values_are_found() {
    let mut chain = Chain::deployed();
    let names = |kind: &str| (0..256).map(|i| format!("{kind}-{i:060}").parse().unwrap()).collect();
    let industries: std::collections::BTreeSet<_> = (10..33)
        .flat_map(|d| (0..12).map(move |c| format!("nace2:{d}.{c}").parse().unwrap()))
        .take(256)
        .collect();
    let countries: std::collections::BTreeSet<_> = (b'A'..=b'Z')
        .flat_map(|a| (b'A'..=b'Z').map(move |b| String::from_utf8(vec![a, b]).unwrap()))
        .filter_map(|code| code.parse().ok())
        .collect();
    let largest = policy(
        "largest",
        Terms {
            anyone: false,
            users: (0..256).map(|i| commitment(&format!("user {i}"))).collect(),
            organisations: names("org"),
            industries: industries.clone(),
            countries: countries.clone(),
            purposes: names("for"),
        },
    );
    assert_eq!((largest.terms.industries.len(), largest.terms.countries.len()), (256, 249));
    let sent = chain.execute(&Call::SetPolicy(largest.clone()), NOW);
    sent.answer.unwrap();
    assert!(sent.gas < 15_000_000, "{}", sent.gas);
    let last = RequestAccess {
        consumer: *largest.terms.users.last().unwrap(),
        organisation: largest.terms.organisations.last().cloned(),
        industry: industries.last().cloned(),
        country: countries.last().cloned(),
        purpose: largest.terms.purposes.last().cloned(),
        ..request(&largest, 1)
    };
    let sent = chain.execute(&Call::RequestAccess(last), NOW);
    sent.answer.unwrap();
    assert!(sent.gas < 250_000, "{}", sent.gas);
}
