//! The corpus of `testdata/contract/`: every implementation of the contract is held to it.

use std::path::Path;

use datapact_core::contract::{CONTRACT_VERSION, Call, Outcome, Refusal, Values};
use datapact_core::id::{Digest, Timestamp};
use serde::Deserialize;

/// One file a kind of call.
const FILES: [&str; 3] = ["set-policy.json", "request-access.json", "record-usage.json"];
/// How many cases there are at least: a corpus that shrinks unnoticed shows less.
const CASES_MIN: usize = 139;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    contract_version: u32,
    cases: Vec<Case>,
}

/// A call on a state, and what the contract makes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, unique in the corpus.
    pub name: String,
    /// What it shows, for people.
    pub shows: String,
    /// The state before the call.
    pub values: Values,
    /// The call.
    pub call: Call,
    /// The digest of the call's encoding.
    pub call_digest: Digest,
    /// When it is decided.
    pub time: Timestamp,
    /// What comes of it.
    pub expected: Expected,
}

/// What the contract makes of a call.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It is granted, or a repeat.
    Outcome(Box<Outcome>),
    /// It is refused.
    Refusal(Refusal),
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/contract"));
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).expect("the corpus is there");
        let file: File = serde_json::from_str(&text).expect("the corpus is as specified");
        assert_eq!(file.contract_version, CONTRACT_VERSION);
        file.cases
    };
    let cases: Vec<Case> = FILES.into_iter().flat_map(read).collect();
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());
    cases
}
