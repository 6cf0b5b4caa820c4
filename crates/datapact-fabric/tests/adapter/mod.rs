//! What the adapter's tests share: both organisations' ledgers on a test's network.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use datapact_core::contract::Receipt;
use datapact_fabric::gateway::{FabricConfig, FabricLedger};
use datapact_ledger::chain::ChainOptions;
use datapact_ledger::port::Event;
use datapact_local::testing::Fixture;
use datapact_log::clock::system_clock;

use crate::support::{ID, TestNetwork};

pub fn options(fixture: &Fixture) -> ChainOptions {
    options_of(ID, fixture)
}

pub fn options_of(id: &str, fixture: &Fixture) -> ChainOptions {
    let trust = fixture.trust();
    ChainOptions {
        id: id.to_owned(),
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: system_clock(),
    }
}

/// Management's ledger file, by which the trust configuration is kept, too: there is no key server
/// here to do it.
pub fn config(network: &TestNetwork) -> FabricConfig {
    let config = FabricConfig::load(&network.network.ledger_file()).unwrap();
    FabricConfig { administrator: key_config(network).administrator, ..config }
}

fn key_config(network: &TestNetwork) -> FabricConfig {
    FabricConfig::load(&network.network.key_ledger_file()).unwrap()
}

pub fn ledger(network: &TestNetwork, fixture: &Fixture) -> FabricLedger {
    FabricLedger::with(config(network), options(fixture))
}

/// The key server's ledger: its own organisation's peer.
pub fn key_ledger(network: &TestNetwork, fixture: &Fixture) -> FabricLedger {
    FabricLedger::with(
        FabricConfig { administrator: None, ..key_config(network) },
        options(fixture),
    )
}

/// The transaction that recorded an access.
pub async fn transaction_of(ledger: &FabricLedger, event: &Event) -> String {
    let Receipt::Access(access) = &event.receipt else { panic!("no access") };
    let state =
        ledger.gateway().evaluate("access", &[&access.request.request.to_string()]).await.unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    state.get("transaction").unwrap().as_str().unwrap().to_owned()
}
