//! The adapter on a development node: the ledger conformance suite, and what operators get wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use datapact_evm::network::Kind;
use datapact_ledger::conformance;
use datapact_local::testing::Fixture;
use support::{ID, TestNetwork};

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_conforms() {
    let Some(network) = TestNetwork::up(Kind::Devnode, 1).await else { return };
    let fixture = Fixture::new(ID);
    let ledger = network.ledger(&fixture);
    conformance::all(&ledger, &fixture).await;
}
