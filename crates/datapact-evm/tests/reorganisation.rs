//! Chains that change their past: within the confirmations nothing happens; deeper, nothing is
//! believed any more.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapact_core::contract::{Call, Documents};
use datapact_core::permission::AccessTimes;
use datapact_evm::EvmLedger;
use datapact_evm::config::EvmConfig;
use datapact_evm::network::Kind;
use datapact_evm::rpc::Rpc;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::follower::{Follower, FollowerConfig};
use datapact_ledger::mirror::MirroredLedger;
use datapact_ledger::port::{ContractState as _, Ledger, LedgerError};
use datapact_ledger::tables::MIGRATIONS;
use datapact_local::testing::{Fixture, signing_key};
use datapact_log::clock::system_clock;
use datapact_log::note::{KeyKind, SigningKey};
use datapact_store::Store;
use serde_json::{Value, json};
use support::{ID, TestNetwork};

/// How long a chain may take to go on.
const PATIENCE: Duration = Duration::from_secs(60);

fn ledger(network: &TestNetwork, fixture: &Fixture, confirmations: u64) -> Arc<EvmLedger> {
    let config = EvmConfig::load(&network.network.ledger_file()).unwrap();
    let config = EvmConfig { confirmations, ..config };
    Arc::new(EvmLedger::with(config, TestNetwork::options(fixture)).unwrap())
}

fn rpc(network: &TestNetwork) -> Rpc {
    let config = EvmConfig::load(&network.network.ledger_file()).unwrap();
    Rpc::new(&config.endpoints, config.chain_id).unwrap()
}

/// Replaces the newest `depth` blocks by others, empty ones; what they held is lost.
async fn reorganise(rpc: &Rpc, depth: u64) {
    let _: Value = rpc.call("anvil_reorg", json!([depth, []])).await.unwrap();
}

/// Waits until `depth` blocks have been made from now on.
async fn blocks(rpc: &Rpc, depth: u64) {
    let from = rpc.latest().await.unwrap().number;
    let end = Instant::now() + PATIENCE;
    while rpc.latest().await.unwrap().number < from + depth {
        assert!(Instant::now() < end, "the chain makes no blocks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Management's part: the chain, and a log of it in `dir`.
struct Management {
    log: Arc<EmbeddedLedger>,
    ledger: MirroredLedger,
}

fn log_key() -> SigningKey {
    signing_key(1, ID, KeyKind::Log)
}

async fn management(chain: Arc<dyn Ledger>, dir: &Path, fixture: &Fixture) -> Management {
    let trust = fixture.trust();
    let trust = Arc::new(move || Arc::clone(&trust));
    let config =
        EmbeddedConfig { key: log_key(), witnesses: Vec::new(), trust, clock: system_clock() };
    let store = Store::open(&dir.join("log"), MIGRATIONS).await.unwrap();
    let log = Arc::new(EmbeddedLedger::open(store, config).await.unwrap());
    let ledger = MirroredLedger::open(chain, Arc::clone(&log)).await.unwrap();
    Management { log, ledger }
}

/// The key server's part: its own copy of the log, judged by its own adapter.
async fn key_server(chain: Arc<dyn Ledger>, log: Arc<EmbeddedLedger>, dir: &Path) -> Follower {
    let store = Store::open(&dir.join("copy"), MIGRATIONS).await.unwrap();
    let config = FollowerConfig {
        log: log_key().public().clone(),
        witness: None,
        source: log,
        clock: system_clock(),
        chain: Some(chain),
        settling: Duration::ZERO,
    };
    Follower::open(store, config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_within_the_confirmations_is_invisible() {
    let Some(network) = TestNetwork::up(Kind::Devnode, 1).await else { return };
    let fixture = Fixture::new(ID);
    let rpc = rpc(&network);
    let chain = ledger(&network, &fixture, 12);
    let managed = management(chain.clone(), network.dir.path(), &fixture).await;
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    let (call, documents) = share.set();
    managed.ledger.execute(&call, &documents).await.unwrap();
    let consumer = fixture.consumer("Consumer");
    let (call, documents) = share.request(&consumer);
    let Call::RequestAccess(request) = &call else { panic!("{call:?}") };
    // The access is in a block that is not final yet, which is then taken back together with it.
    let taken_back = async {
        let newest = ledger(&network, &fixture, 0);
        let end = Instant::now() + PATIENCE;
        let before = loop {
            if let Some((position, _)) = newest.access(&request.request).await.unwrap() {
                break position;
            }
            assert!(Instant::now() < end, "the access gets into no block");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // Deep enough on a slow machine, too, where more blocks have been made meanwhile.
        let since = rpc.latest().await.unwrap().number - before / (1 << 20);
        reorganise(&rpc, (since + 2).max(8)).await;
        assert!(newest.access(&request.request).await.unwrap().is_none(), "it was not taken back");
        before
    };
    let (executed, before) = tokio::join!(managed.ledger.execute(&call, &documents), taken_back);
    let executed = executed.unwrap();
    let (after, _) = chain.access(&request.request).await.unwrap().unwrap();
    assert!(after > before, "{after} is not behind {before}");
    assert_eq!(managed.ledger.execute(&call, &documents).await.unwrap(), executed);
    let commitment = consumer.opening().commitment(&share.id());
    assert_eq!(chain.counter(&share.id(), &commitment).await.unwrap().granted, 1);
    let key_server =
        key_server(ledger(&network, &fixture, 12), managed.log.clone(), network.dir.path()).await;
    assert_eq!(key_server.poll().await.unwrap().size, 2);
}

/// What all that is left says: in this process, and after a start.
async fn not_believed(
    managed: &Management,
    key_server: &Follower,
    call: &(Call, Documents),
    say: &str,
) {
    let end = Instant::now() + PATIENCE;
    loop {
        let error = managed.ledger.execute(&call.0, &call.1).await.unwrap_err();
        if matches!(&error, LedgerError::Corrupt { reason, .. } if reason.contains(say)) {
            break;
        }
        assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
        assert!(Instant::now() < end, "{error}");
    }
    assert!(
        matches!(managed.ledger.head().await, Err(LedgerError::Corrupt { .. })),
        "it is not ready"
    );
    for _ in 0..2 {
        let error = key_server.current(Duration::ZERO).await.unwrap_err();
        assert!(
            matches!(&error, LedgerError::Corrupt { reason, .. } if reason.contains(say)),
            "the key server would release: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deeper_reorganisation_stops_management_and_key_server_also_after_a_start() {
    let Some(network) = TestNetwork::up(Kind::Devnode, 1).await else { return };
    let fixture = Fixture::new(ID);
    let rpc = rpc(&network);
    let dir = network.dir.path();
    let chain = ledger(&network, &fixture, 2);
    let managed = management(chain.clone(), dir, &fixture).await;
    let own = ledger(&network, &fixture, 2);
    let key = key_server(own.clone(), managed.log.clone(), dir).await;
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    let (call, documents) = share.set();
    managed.ledger.execute(&call, &documents).await.unwrap();
    let consumer = fixture.consumer("Consumer");
    let access = share.request(&consumer);
    managed.ledger.execute(&access.0, &access.1).await.unwrap();
    assert_eq!(key.poll().await.unwrap().size, 2);
    key.current(Duration::ZERO).await.unwrap();

    // The access is not on the chain any more. Nothing new is submitted there, and no key leaves
    // for it.
    let depth = rpc.latest().await.unwrap().number
        - chain.access(request_of(&access.0)).await.unwrap().unwrap().0 / (1 << 20)
        + 1;
    reorganise(&rpc, depth).await;
    let next = share.request(&fixture.consumer("Next"));
    not_believed(&managed, &key, &next, "reorganised deeper than 2 confirmations").await;
    assert!(chain.access(request_of(&next.0)).await.unwrap().is_none());

    // Nor after a start of both, however long the chain has grown meanwhile.
    drop((managed, key, own, chain));
    blocks(&rpc, depth + 8).await;
    let managed = management(ledger(&network, &fixture, 2), dir, &fixture).await;
    let key = key_server(ledger(&network, &fixture, 2), managed.log.clone(), dir).await;
    let known = managed.ledger.execute(&access.0, &access.1).await;
    assert!(known.is_err(), "what was taken back is there again: {known:?}");
    not_believed(&managed, &key, &next, "does not hold any more").await;
    assert_eq!(managed.log.head().await.unwrap(), 2, "the log holds what was told, as evidence");
}

fn request_of(call: &Call) -> &datapact_core::id::Digest {
    match call {
        Call::RequestAccess(request) => &request.request,
        _ => panic!("not a request"),
    }
}
