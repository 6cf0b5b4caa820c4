//! The cases of `testdata/contract/` over the encoding of the world state.

use std::path::Path;

use datapact_core::contract::{CONTRACT_VERSION, Call, Outcome, Refusal, Values, decide};
use datapact_core::id::{Digest, Timestamp};
use serde::Deserialize;

use crate::contract::encoding::{StateValue, canonical};
use crate::contract::functions::{read_values, write_values};
use crate::testing::{Simulation, World};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    contract_version: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "shows")]
    _shows: String,
    values: Values,
    call: Call,
    #[serde(rename = "call_digest")]
    _call_digest: Digest,
    time: Timestamp,
    expected: Expected,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expected {
    Outcome(Box<Outcome>),
    Refusal(Refusal),
}

fn encoded(values: &Values, transaction: &str) -> Vec<(String, Vec<u8>)> {
    let value = |record| StateValue { digest: None, record, transaction: transaction.to_owned() };
    values.iter().map(|(key, record)| (key.clone(), canonical(&value(record)))).collect()
}

#[tokio::test]
async fn every_case_is_decided_as_the_file_says() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/contract"));
    let mut cases = 0;
    for file in ["set-policy.json", "request-access.json", "record-usage.json"] {
        let file: File =
            serde_json::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap();
        assert_eq!(file.contract_version, CONTRACT_VERSION);
        for Case { name, values, call, time, expected, .. } in file.cases {
            cases += 1;
            let mut world = World::default();
            for (key, value) in encoded(&values, "earlier") {
                world.set(&key, value);
            }
            let mut state = Simulation::new(&world);
            let known = read_values(&call, &mut state).await.unwrap();
            let found = match decide(&call, &known.values, time) {
                Ok(outcome) => {
                    write_values(outcome.writes.clone(), "now", &mut state).await.unwrap();
                    assert_eq!(state.writes, encoded(&outcome.writes, "now"), "{name}");
                    Expected::Outcome(Box::new(outcome))
                }
                Err(refusal) => Expected::Refusal(refusal),
            };
            assert_eq!(found, expected, "{name}");
        }
    }
    assert!(cases >= 139, "only {cases} cases");
}
