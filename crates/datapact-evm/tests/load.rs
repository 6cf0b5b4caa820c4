//! The short form of `examples/chain_load.rs`: its figures are printed, and what they count must be
//! exact.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/load.rs"]
mod load;
mod support;

use std::time::Duration;

use datapact_evm::network::Kind;
use support::TestNetwork;

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_access_is_recorded_once() {
    let Some(network) = TestNetwork::up(Kind::Quorum, 4).await else { return };
    load::run(&network.network, 200, Duration::from_secs(3)).await;
}
