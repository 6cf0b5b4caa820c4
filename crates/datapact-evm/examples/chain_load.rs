//! What a chain bears, and what of it Datapact makes use of: accesses on a QBFT network of four
//! validators on this machine.
//!
//! `cargo run --release -p datapact-evm --example chain_load [accesses]`.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/load.rs"]
mod load;

use std::time::Duration;

use datapact_evm::network::{Kind, Network, geth};

const STEADY: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() {
    let count: usize = std::env::args().nth(1).map_or(1000, |text| text.parse().unwrap());
    let program = geth(None).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut network = Network::open(&dir.path().join("network"), Kind::Quorum, 4).unwrap();
    let up = network.up(&program).await;
    if up.is_ok() {
        load::run(&network, count, STEADY).await;
    }
    network.down().await.unwrap();
    up.unwrap();
}
