//! The cases of `testdata/contract/`: what the Rust contract is held to.

use std::collections::BTreeSet;

use datapact_core::contract::{Call, Outcome, Receipt, Refusal, Value};
use datapact_evm::abi::{self, Revert};
use datapact_local::testing::corpus::{Expected, cases};

use crate::chain::{Chain, Change, Sent, entry, share_key, slot};
use crate::state;

/// State of another type than its key's: the chain's storage is typed, so that it cannot be.
const IMPOSSIBLE: [&str; 7] = [
    "another value under the share's key",
    "another value under the access's key",
    "another value under the counter's key",
    "another value under the share's key of an access",
    "another value under the reported access's key",
    "another value under the report's key",
    "another value under the key of the number of reports",
];

#[test]
fn every_case_is_decided_as_the_file_says() {
    let deployed = Chain::deployed();
    let mut impossible = BTreeSet::new();
    for case in cases() {
        let Some(mut chain) = state::install(&deployed, &case.values) else {
            impossible.insert(case.name);
            continue;
        };
        println!("{}", case.name);
        let before = chain.clone();
        let sent = chain.execute(&case.call, case.time);
        match &case.expected {
            Expected::Outcome(outcome) => {
                check_outcome(&before, &chain, &case.call, &sent, outcome)
            }
            Expected::Refusal(refusal) => check_refusal(&sent, refusal),
        }
    }
    assert_eq!(impossible, IMPOSSIBLE.map(str::to_owned).into());
}

/// Refused by this very rule, with its members but for the text for people; nothing is written or
/// announced.
pub fn check_refusal(sent: &Sent, refusal: &Refusal) {
    let Revert::Refused(mut found) = abi::revert(sent.answer.as_ref().unwrap_err()) else {
        panic!("reverted with {:?} instead of {refusal:?}", sent.answer);
    };
    if let (Refusal::Malformed { detail }, Refusal::Malformed { detail: expected }) =
        (&mut found, refusal)
    {
        assert!(!detail.is_empty());
        detail.clone_from(expected);
    }
    assert_eq!(found, *refusal);
    assert!(sent.changes.is_empty() && sent.logs.is_empty(), "a refusal changes nothing");
}

/// Just these writes, this receipt, and this one event.
pub fn check_outcome(before: &Chain, chain: &Chain, call: &Call, sent: &Sent, outcome: &Outcome) {
    let answer = sent.answer.as_ref().unwrap_or_else(|data| panic!("{:?}", abi::revert(data)));
    assert_eq!(abi::repeated(call, answer).unwrap(), outcome.writes.is_empty());
    assert_eq!(answered(call, answer), time_and_access(&outcome.receipt));
    if outcome.writes.is_empty() {
        assert!(sent.changes.is_empty() && sent.logs.is_empty(), "a repeat changes nothing");
        return;
    }
    assert_eq!(sent.receipts(chain), std::slice::from_ref(&outcome.receipt));
    let mut expected = BTreeSet::new();
    for (key, value) in &outcome.writes {
        expected.extend(check_write(before, chain, key, value));
    }
    let new = sent
        .changes
        .iter()
        .filter(|(address, slot)| slot.is_none() && !expected.contains(&(*address, None)));
    // A policy is kept as the code of a contract of its own.
    assert_eq!(new.count(), usize::from(matches!(call, Call::SetPolicy(_))));
    let stored = |changes: &BTreeSet<Change>| -> BTreeSet<Change> {
        changes.iter().filter(|(_, slot)| slot.is_some()).copied().collect()
    };
    assert_eq!(stored(&sent.changes), stored(&expected), "nothing else is written");
}

/// The state says what was written; where that lies.
fn check_write(before: &Chain, chain: &Chain, key: &str, value: &Value) -> Vec<Change> {
    let registry = chain.registry;
    match value {
        Value::Share(record) => {
            state::check_kept(chain, record);
            let share = record.policy.share;
            let at = chain.share_address(&share);
            let mut changes = vec![(at, Some(alloy::primitives::U256::from(slot::SHARE_POLICY)))];
            if before.number_of(&share) == 0 {
                changes.push((at, None));
                changes.push((registry, Some(entry(share_key(&share), slot::REGISTRY_NUMBER))));
                changes.push((
                    registry,
                    Some(alloy::primitives::U256::from(slot::REGISTRY_SUBMITTER)),
                ));
            }
            changes
        }
        Value::Counter(counter) => {
            let (share, consumer) = key.strip_prefix("counter/").unwrap().split_once('/').unwrap();
            let (share, consumer) = (
                share.parse().unwrap(),
                consumer.parse::<datapact_core::id::Commitment>().unwrap(),
            );
            assert_eq!(chain.granted(&share, &consumer), counter.granted);
            vec![(chain.share_address(&share), Some(entry(consumer.0.into(), slot::SHARE_GRANTED)))]
        }
        Value::Access(record) => {
            let id = record.request.request;
            assert_eq!(chain.access_of(&id), (record.access, record.time));
            let place = state::access_place(&id);
            assert_eq!(chain.load(registry, place), state::access_word(chain, record));
            vec![(registry, Some(place))]
        }
        Value::Reports(reports) => {
            let place =
                state::access_place(&key.strip_prefix("reports/").unwrap().parse().unwrap());
            let word = state::with_reports(before.load(registry, place), reports.recorded);
            assert_eq!(chain.load(registry, place), word);
            vec![(registry, Some(place))]
        }
        Value::Usage(record) => {
            let id = record.usage.report;
            assert_eq!(chain.usage_of(&id), record.time);
            let place = entry(id.0.into(), slot::REGISTRY_USAGE);
            assert_eq!(chain.load(registry, place), state::usage_word(record));
            vec![(registry, Some(place))]
        }
    }
}

/// What the function returned: the receipt's time and, of an access, which one it is.
fn answered(call: &Call, answer: &[u8]) -> (u64, u32) {
    use alloy::sol_types::SolCall;
    use datapact_evm::abi::sol_types::{Registry, Share};
    match call {
        Call::SetPolicy(_) => {
            (Registry::setPolicyCall::abi_decode_returns(answer).unwrap().time, 0)
        }
        Call::RequestAccess(_) => {
            let returned = Share::requestAccessCall::abi_decode_returns(answer).unwrap();
            (returned.time, returned.access)
        }
        Call::RecordUsage(_) => {
            (Registry::recordUsageCall::abi_decode_returns(answer).unwrap().time, 0)
        }
    }
}

fn time_and_access(receipt: &Receipt) -> (u64, u32) {
    match receipt {
        Receipt::Policy(record) => (record.time, 0),
        Receipt::Access(record) => (record.time, record.access),
        Receipt::Usage(record) => (record.time, 0),
    }
}
