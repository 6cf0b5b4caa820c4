//! The adapter on a real network of two organisations: the ledger conformance suite, by Raft and by
//! BFT orderers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod adapter;
mod support;

use datapact_core::permission::AccessTimes;
use datapact_fabric::gateway::inspect;
use datapact_fabric::network::Orderers;
use datapact_fabric::proto::block::Block;
use datapact_ledger::conformance;
use datapact_ledger::port::{ContractState as _, Ledger as _};
use datapact_local::testing::Fixture;
use prost::Message as _;
use support::{ID, TestNetwork};

/// One network at a time: two on one small machine would make each other slow.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_conforms_on_raft_and_the_other_organisations_peer_holds_the_same() {
    let _one = ONE.lock().await;
    let Some(network) = TestNetwork::up(Orderers::Raft).await else { return };
    let fixture = Fixture::new(ID);
    let ledger = adapter::ledger(&network, &fixture);
    conformance::all(&ledger, &fixture).await;

    // The key server's view: its own organisation's peer, and the orderers.
    let key = adapter::key_ledger(&network, &fixture);
    let head = key.head().await.unwrap();
    assert!(head >= ledger.head().await.unwrap(), "nothing was recorded meanwhile");
    let (ours, theirs) = (all(&ledger).await, all(&key).await);
    assert!(ours.len() > 2000 && ours == theirs);
    assert!(ours.last().unwrap().position < head);

    // What an operator sees of the last one.
    let transaction = adapter::transaction_of(&ledger, ours.last().unwrap()).await;
    let report = inspect::transaction(key.gateway(), &transaction).await.unwrap().unwrap();
    assert_eq!((report.code.as_str(), report.position), ("VALID", ours.last().unwrap().position));
    let mut endorsers: Vec<_> =
        report.endorsements.iter().map(|it| (it.msp_id.as_str(), it.is_signed)).collect();
    endorsers.sort_unstable();
    assert_eq!(endorsers, [("KeyMSP", true), ("ManagementMSP", true)]);
    assert_eq!(report.orderer_signatures, 1);
    assert!(inspect::transaction(key.gateway(), &"0".repeat(64)).await.unwrap().is_none());
    let channel = inspect::channel(key.gateway()).await.unwrap();
    assert_eq!((channel.ledger.as_deref(), channel.height), (Some(ID), channel.newest_block + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_conforms_on_bft() {
    let _one = ONE.lock().await;
    let Some(network) = TestNetwork::up(Orderers::Bft).await else { return };
    let fixture = Fixture::new(ID);
    let ledger = adapter::ledger(&network, &fixture);
    conformance::all(&ledger, &fixture).await;
}

/// Two processes of management, both asked by one consumer, until two requests were in each other's
/// way.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_recorded_again_when_that_is_asked_for() {
    if std::env::var_os("DATAPACT_RECORD_FABRIC").is_none() {
        return;
    }
    let _one = ONE.lock().await;
    loop {
        let network = TestNetwork::up(Orderers::Raft).await.unwrap();
        let fixture = Fixture::new(ID);
        let (one, two) = (adapter::ledger(&network, &fixture), adapter::ledger(&network, &fixture));
        let share = fixture.share(AccessTimes::Times(2), |_| {});
        let (call, documents) = share.set();
        one.execute(&call, &documents).await.unwrap();
        two.share(&share.id()).await.unwrap().unwrap();
        let consumer = fixture.consumer("Consumer");
        let requests = [share.request(&consumer), share.request(&consumer)];
        let (first, second) = tokio::join!(
            one.execute(&requests[0].0, &requests[0].1),
            two.execute(&requests[1].0, &requests[1].1)
        );
        first.and(second).unwrap();
        let height = inspect::channel(one.gateway()).await.unwrap().height;
        let (mut blocks, mut conflict) = (Vec::new(), false);
        for number in 0..height {
            let block = inspect::block(one.gateway(), number).await.unwrap();
            let read = Block::decode(block.as_slice()).unwrap();
            conflict |= read.metadata.unwrap().metadata[2].contains(&11);
            blocks.push(hex::encode(block));
        }
        if conflict {
            let recorded = serde_json::json!({ "chaincode": "datapact", "blocks": blocks });
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/fabric/blocks.json");
            std::fs::write(file, format!("{recorded:#}\n")).unwrap();
            return;
        }
    }
}

async fn all(ledger: &datapact_fabric::gateway::FabricLedger) -> Vec<datapact_ledger::port::Event> {
    let mut found: Vec<datapact_ledger::port::Event> = Vec::new();
    loop {
        let from = found.last().map_or(0, |event| event.position + 1);
        let more = ledger.events(from, 1000).await.unwrap();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}
