//! The adapter on a real QBFT network of four GoQuorum validators.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use datapact_evm::network::Kind;
use datapact_ledger::conformance;
use datapact_local::testing::Fixture;
use support::{ID, TestNetwork};

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_conforms_on_a_qbft_network() {
    let Some(network) = TestNetwork::up(Kind::Quorum, 4).await else { return };
    let fixture = Fixture::new(ID);
    let ledger = network.ledger(&fixture);
    conformance::all(&ledger, &fixture).await;
}
