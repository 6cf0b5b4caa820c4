//! The cases of `testdata/contract/` over the encoding of the world state.

use datapact_core::contract::{Values, decide};
use datapact_local::testing::corpus::{Case, Expected, cases};

use crate::contract::encoding::{StateValue, canonical};
use crate::contract::functions::{read_values, write_values};
use crate::testing::{Simulation, World};

fn encoded(values: &Values, transaction: &str) -> Vec<(String, Vec<u8>)> {
    let value = |record| StateValue { digest: None, record, transaction: transaction.to_owned() };
    values.iter().map(|(key, record)| (key.clone(), canonical(&value(record)))).collect()
}

#[tokio::test]
async fn every_case_is_decided_as_the_file_says() {
    for Case { name, values, call, time, expected, .. } in cases() {
        let mut world = World::default();
        for (key, value) in encoded(&values, "earlier") {
            world.set(&key, value);
        }
        let mut state = Simulation::new(&world);
        let stored = read_values(&call, &mut state).await.unwrap();
        let found = match decide(&call, &stored.values, time) {
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
