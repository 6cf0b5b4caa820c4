//! Hosts that run the contract concurrently: a batching one that overlays earlier writes (the
//! embedded ledger), and optimistic ones that validate what they have read at commit (as Fabric
//! does).

use std::collections::BTreeMap;
use std::sync::Mutex;

use datapact_core::contract::{
    Call, Outcome, Receipt, RequestAccess, SetPolicy, Value, Values, decide, keys,
};
use datapact_core::id::{Commitment, Digest};
use datapact_core::permission::AccessTimes;
use proptest::prelude::*;

use crate::cases::{BEGIN, policy, policy_id, request};

const TIMES: u32 = 10;

fn ask(consumer: u8, number: u8, version: u32) -> Call {
    Call::RequestAccess(RequestAccess {
        policy: policy_id(version),
        consumer: Commitment([consumer; 32]),
        request: Digest::of(&[consumer, number]),
        ..request(0)
    })
}

fn share() -> SetPolicy {
    SetPolicy { access_times: AccessTimes::Times(TIMES), ..policy(1) }
}

/// State with a version per key, as an optimistic host keeps it.
#[derive(Default)]
struct Store {
    entries: BTreeMap<String, (u64, Value)>,
}

type Read = Vec<(String, u64)>;

impl Store {
    fn read(&self, call: &Call) -> (Read, Values) {
        let entry = |key: &String| self.entries.get(key).cloned();
        let read =
            keys(call).iter().map(|key| (key.clone(), entry(key).map_or(0, |(v, _)| v))).collect();
        let values =
            keys(call).iter().filter_map(|key| Some((key.clone(), entry(key)?.1))).collect();
        (read, values)
    }

    /// Writes unless something read has changed since.
    fn commit(&mut self, read: &Read, writes: &Values) -> bool {
        let unchanged = |(key, version): &(String, u64)| {
            self.entries.get(key).map_or(0, |(v, _)| *v) == *version
        };
        if !read.iter().all(unchanged) {
            return false;
        }
        for (key, value) in writes {
            let version = self.entries.get(key).map_or(0, |(v, _)| *v) + 1;
            self.entries.insert(key.clone(), (version, value.clone()));
        }
        true
    }

    fn set(&mut self, policy: SetPolicy) {
        let call = Call::SetPolicy(policy);
        let (read, values) = self.read(&call);
        let outcome = decide(&call, &values, BEGIN).unwrap();
        assert!(self.commit(&read, &outcome.writes));
    }
}

/// Two hundred consumers ask twelve times each, from four threads, while the owner sets a new
/// version.
#[test]
fn wr_4_nobody_gets_an_eleventh_access_from_optimistic_hosts() {
    let store = Mutex::new(Store::default());
    store.lock().unwrap().set(share());
    let consumers = 200u8;
    let granted: Mutex<BTreeMap<Commitment, Vec<u32>>> = Mutex::default();
    let turn = |host: u8, number: u8, version: u32| {
        for consumer in 0..consumers {
            // Two hosts work on each consumer at the same time, each with requests of its own.
            if consumer % 2 != host % 2 {
                continue;
            }
            let call = ask(consumer, host * 16 + number, version);
            loop {
                let (read, values) = store.lock().unwrap().read(&call);
                std::thread::yield_now();
                let Ok(Outcome { writes, receipt: Receipt::Access(record) }) =
                    decide(&call, &values, BEGIN + 1)
                else {
                    break;
                };
                if store.lock().unwrap().commit(&read, &writes) {
                    granted
                        .lock()
                        .unwrap()
                        .entry(record.request.consumer)
                        .or_default()
                        .push(record.access);
                    break;
                }
            }
        }
    };
    for version in 1..=2 {
        if version == 2 {
            store
                .lock()
                .unwrap()
                .set(SetPolicy { access_times: AccessTimes::Times(TIMES), ..policy(2) });
        }
        std::thread::scope(|scope| {
            for host in 0..4 {
                let turn = &turn;
                scope.spawn(move || {
                    (0..4).for_each(|number| turn(host, version as u8 * 4 + number, version))
                });
            }
        });
    }
    let granted = granted.into_inner().unwrap();
    assert_eq!(granted.len(), usize::from(consumers));
    for (consumer, mut accesses) in granted {
        accesses.sort_unstable();
        assert_eq!(accesses, (1..=TIMES).collect::<Vec<_>>(), "{consumer}");
    }
}

/// Accesses of different consumers read and write nothing of each other's, so one block can hold
/// them all.
#[test]
fn consumers_never_contend() {
    let mut store = Store::default();
    store.set(share());
    let decided: Vec<(Read, Values)> = (0..100)
        .map(|consumer| {
            let call = ask(consumer, 0, 1);
            let (read, values) = store.read(&call);
            (read, decide(&call, &values, BEGIN).unwrap().writes)
        })
        .collect();
    assert!(decided.iter().all(|(read, writes)| store.commit(read, writes)));
}

/// What a batching host does: it reads the stored state once, overlays its own writes, and commits
/// at the end.
fn batched(stored: &Values, calls: &[(Call, u64)]) -> (Values, Vec<Result<Receipt, &'static str>>) {
    let mut overlay = Values::new();
    let answers = calls
        .iter()
        .map(|(call, time)| {
            let seen = |key: String| {
                let value = overlay.get(&key).or_else(|| stored.get(&key))?.clone();
                Some((key, value))
            };
            let values = keys(call).into_iter().filter_map(seen).collect();
            let outcome = decide(call, &values, *time).map_err(|refusal| refusal.rule())?;
            overlay.extend(outcome.writes);
            Ok(outcome.receipt)
        })
        .collect();
    (overlay, answers)
}

proptest! {
    /// However calls fall into batches, answers and state are those of one after the other.
    #[test]
    fn batches_change_nothing(
        steps in proptest::collection::vec((0..4u8, 0..20u8, 1..4u32), 1..120),
        sizes in proptest::collection::vec(1..32usize, 1..120),
    ) {
        let calls: Vec<(Call, u64)> = steps
            .into_iter()
            .zip(BEGIN..)
            .map(|((consumer, number, version), time)| match consumer {
                3 => {
                    let access_times = AccessTimes::Times(2 + version);
                    (Call::SetPolicy(SetPolicy { access_times, ..policy(version) }), time)
                }
                _ => (ask(consumer, number, version), time),
            })
            .collect();
        let set = Call::SetPolicy(share());
        let start: Values = decide(&set, &Values::new(), BEGIN).unwrap().writes;

        let (mut one_by_one, mut answers) = (start.clone(), Vec::new());
        for call in &calls {
            let (writes, answer) = batched(&one_by_one, std::slice::from_ref(call));
            one_by_one.extend(writes);
            answers.extend(answer);
        }

        let (mut in_batches, mut batch_answers, mut rest) = (start, Vec::new(), calls.as_slice());
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (batch, later) = rest.split_at(size.min(rest.len()));
            let (writes, answer) = batched(&in_batches, batch);
            in_batches.extend(writes);
            batch_answers.extend(answer);
            rest = later;
        }
        prop_assert_eq!(one_by_one, in_batches);
        prop_assert_eq!(answers, batch_answers);
    }
}
