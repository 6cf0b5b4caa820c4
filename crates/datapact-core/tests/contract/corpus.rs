//! `testdata/contract/`: other implementations of the contract are held to the very same files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use datapact_core::contract::{
    CONTRACT_VERSION, Call, Outcome, Receipt, Refusal, Values, decide, keys,
};
use datapact_core::id::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cases;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub contract_version: u32,
    pub cases: Vec<Case>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub shows: String,
    pub values: Values,
    pub call: Call,
    pub call_digest: Digest,
    pub time: Timestamp,
    pub expected: Expected,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    Outcome(Outcome),
    Refusal(Refusal),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreadable {
    contract_version: u32,
    calls: Vec<UnreadableCall>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnreadableCall {
    name: String,
    call: serde_json::Value,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/contract"))
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn canonical(call: &Call) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(call).unwrap()
}

fn case_files() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "unreadable.json")
        .collect();
    names.sort();
    names
}

#[test]
fn every_case_is_decided_as_the_file_says() {
    let mut names = BTreeSet::new();
    for file in case_files() {
        let File { contract_version, cases } = read(&file);
        assert_eq!(contract_version, CONTRACT_VERSION, "{file}");
        for case in cases {
            let found = match decide(&case.call, &case.values, case.time) {
                Ok(outcome) => Expected::Outcome(outcome),
                Err(refusal) => Expected::Refusal(refusal),
            };
            assert_eq!(found, case.expected, "{file}: {}", case.name);
            assert_eq!(
                Digest::of(&canonical(&case.call)),
                case.call_digest,
                "{file}: {}",
                case.name
            );
            if let Expected::Outcome(Outcome { writes, .. }) = &case.expected {
                let listed = keys(&case.call);
                assert!(writes.keys().all(|key| listed.contains(key)), "{file}: {}", case.name);
            }
            assert!(names.insert(case.name.clone()), "`{}` is there twice", case.name);
        }
    }
    assert!(names.len() >= 60, "only {} cases", names.len());
}

#[test]
fn every_refusal_and_receipt_has_a_case() {
    let (mut rules, mut receipts) = (BTreeSet::new(), BTreeSet::new());
    for file in case_files() {
        for case in read::<File>(&file).cases {
            match case.expected {
                Expected::Refusal(refusal) => {
                    // The name in JSON is the name that `rule` gives.
                    assert_eq!(serde_json::to_value(&refusal).unwrap()["rule"], refusal.rule());
                    rules.insert(refusal.rule());
                }
                Expected::Outcome(Outcome { writes, receipt }) => {
                    let kind = match receipt {
                        Receipt::Policy(_) => "policy",
                        Receipt::Access(_) => "access",
                        Receipt::Usage(_) => "usage",
                    };
                    receipts.insert((kind, writes.is_empty()));
                }
            }
        }
    }
    assert_eq!(rules.len(), 20, "{rules:?}");
    assert_eq!(receipts.len(), 6, "each kind granted and repeated: {receipts:?}");
}

#[test]
fn unreadable_calls_are_refused() {
    let file: Unreadable = read("unreadable.json");
    assert_eq!(file.contract_version, CONTRACT_VERSION);
    assert!(file.calls.len() >= 20);
    for UnreadableCall { name, call } in file.calls {
        assert!(serde_json::from_value::<Call>(call).is_err(), "{name}");
    }
}

/// The files are written from the cases in this folder's `cases`, so that a change of a type
/// changes them all. Run once with `DATAPACT_WRITE_CORPUS=1` after changing cases; expected results
/// are stated there, not computed.
#[test]
fn the_files_hold_the_cases_written_here() {
    let write = std::env::var_os("DATAPACT_WRITE_CORPUS").is_some();
    let files = [
        ("set-policy.json", cases::set_policy()),
        ("request-access.json", cases::request_access()),
        ("record-usage.json", cases::record_usage()),
    ];
    for (name, cases) in files {
        let cases = cases
            .into_iter()
            .map(|(name, shows, values, call, time, expected)| Case {
                name: name.to_owned(),
                shows: shows.to_owned(),
                values,
                call_digest: Digest::of(&canonical(&call)),
                call,
                time,
                expected,
            })
            .collect();
        let file = File { contract_version: CONTRACT_VERSION, cases };
        if write {
            std::fs::write(
                folder().join(name),
                serde_json::to_string_pretty(&file).unwrap() + "\n",
            )
            .unwrap();
        }
        assert_eq!(read::<File>(name), file, "{name}");
    }
    let calls = cases::unreadable()
        .into_iter()
        .map(|(name, call)| UnreadableCall { name: name.to_owned(), call })
        .collect();
    let file = Unreadable { contract_version: CONTRACT_VERSION, calls };
    if write {
        let text = serde_json::to_string_pretty(&file).unwrap() + "\n";
        std::fs::write(folder().join("unreadable.json"), text).unwrap();
    }
    assert_eq!(read::<Unreadable>("unreadable.json"), file);
}
