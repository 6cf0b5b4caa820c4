//! What goes wrong with nodes and operators: real processes are killed, and every mistake is told
//! by name.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod adapter;
mod support;

use std::time::{Duration, Instant};

use datapact_core::contract::{Call, Documents, Receipt, Refusal};
use datapact_core::permission::AccessTimes;
use datapact_fabric::gateway::{FabricConfig, FabricLedger, inspect};
use datapact_fabric::network::Orderers;
use datapact_fabric::proto::block::Block;
use datapact_ledger::LedgerReceipt;
use datapact_ledger::port::{ContractState as _, Event, Ledger as _, LedgerError};
use datapact_local::testing::{Fixture, TestShare, TestUser};
use futures_util::future::join_all;
use prost::Message as _;
use support::{ID, TestNetwork};

/// How long a network may take to be itself again, on a slow machine under load.
const PATIENCE: Duration = Duration::from_secs(240);

/// The validation code of a transaction that rests on what was changed meanwhile.
const MVCC_READ_CONFLICT: u8 = 11;

/// One network at a time: several on one small machine would make each other slow.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Executes, again and again while the network is not itself.
async fn executed(ledger: &FabricLedger, (call, documents): &(Call, Documents)) -> LedgerReceipt {
    let end = Instant::now() + PATIENCE;
    loop {
        match ledger.execute(call, documents).await {
            Ok(receipt) => return receipt,
            Err(LedgerError::Unavailable(why)) => assert!(Instant::now() < end, "{why}"),
            Err(other) => panic!("{other}"),
        }
    }
}

async fn granted(ledger: &FabricLedger, share: &TestShare, consumer: &TestUser) -> u32 {
    let commitment = consumer.opening().commitment(&share.id());
    ledger.counter(&share.id(), &commitment).await.unwrap().granted
}

async fn events(ledger: &FabricLedger) -> Vec<Event> {
    ledger.events(0, 1000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_chaincode_and_orderer_are_killed_and_nothing_is_lost_or_doubled() {
    let _one = ONE.lock().await;
    let Some(mut network) = TestNetwork::up(Orderers::Raft).await else { return };
    let fixture = Fixture::new(ID);
    let ledger = adapter::ledger(&network, &fixture);
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    executed(&ledger, &share.set()).await;
    let mut expected = 1;

    for node in
        ["orderer-1", "peer-management", "peer-key", "chaincode-management", "chaincode-key"]
    {
        network.network.stop_node(node, true).await.unwrap();
        let consumer = fixture.consumer(node);
        let request = share.request(&consumer);
        // A caller asks while it is gone, and gives up; then the answer is lost, whatever it was.
        let asked =
            tokio::time::timeout(Duration::from_secs(2), ledger.execute(&request.0, &request.1))
                .await;
        assert!(!matches!(asked, Ok(Ok(_))), "`{node}` is gone");
        network.network.start_node(&network.programs, node).await.unwrap();
        let receipt = executed(&ledger, &request).await;
        assert_eq!(
            ledger.execute(&request.0, &request.1).await.unwrap(),
            receipt,
            "a repeat gets the first receipt"
        );
        assert_eq!(granted(&ledger, &share, &consumer).await, 1);
        assert!(ledger.verify(&receipt).await.unwrap());
        expected += 1;
    }
    // The events went on where they were, without a gap; another process, at the other peer, sees
    // just the same.
    let ours = events(&ledger).await;
    assert_eq!(ours.len(), expected);
    let key = adapter::key_ledger(&network, &fixture);
    assert!(key.wait(ours[expected - 1].position, PATIENCE).await.unwrap());
    assert_eq!(events(&key).await, ours);
    assert_eq!(events(&adapter::ledger(&network, &fixture)).await, ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_four_bft_orderers_one_may_fail_and_of_two_it_is_said() {
    let _one = ONE.lock().await;
    let Some(mut network) = TestNetwork::up(Orderers::Bft).await else { return };
    let fixture = Fixture::new(ID);
    let ledger = adapter::ledger(&network, &fixture);
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    executed(&ledger, &share.set()).await;

    network.network.stop_node("orderer-1", true).await.unwrap();
    let first = fixture.consumer("First");
    executed(&ledger, &share.request(&first)).await;
    let end = Instant::now() + PATIENCE;
    while let Err(error) = ledger.head().await {
        assert!(matches!(error, LedgerError::Unavailable(_)) && Instant::now() < end, "{error}");
    }

    network.network.stop_node("orderer-2", true).await.unwrap();
    let second = fixture.consumer("Second");
    let request = share.request(&second);
    let error = ledger.execute(&request.0, &request.1).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Unavailable(_)), "{error}");
    let error = ledger.head().await.unwrap_err().to_string();
    assert!(error.contains("of 4 orderers say which block is the newest, and 3 must"), "{error}");

    for node in ["orderer-1", "orderer-2"] {
        network.network.start_node(&network.programs, node).await.unwrap();
    }
    executed(&ledger, &request).await;
    assert_eq!(
        (granted(&ledger, &share, &first).await, granted(&ledger, &share, &second).await),
        (1, 1)
    );
    assert_eq!(events(&ledger).await.len(), 3);
}

async fn misconfigured(config: FabricConfig, fixture: &Fixture, say: &[&str]) {
    let ledger = FabricLedger::with(config, adapter::options(fixture));
    let (call, documents) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
    match ledger.execute(&call, &documents).await {
        Err(LedgerError::Misconfigured(said)) => {
            for part in say {
                assert!(said.contains(part), "`{said}` does not say `{part}`");
            }
        }
        other => panic!("not told {say:?}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told() {
    let _one = ONE.lock().await;
    let Some(network) = TestNetwork::up(Orderers::Raft).await else { return };
    let fixture = Fixture::new(ID);
    let config = adapter::config(&network);
    let peer = config.peers[0].address.clone();
    let with = |edit: &dyn Fn(&mut FabricConfig)| {
        let mut config = config.clone();
        edit(&mut config);
        config
    };
    misconfigured(
        with(&|it| it.identity.msp_id = "OtherMSP".to_owned()),
        &fixture,
        &[&peer, "`msp_id`"],
    )
    .await;
    misconfigured(with(&|it| it.chaincode = "other".to_owned()), &fixture, &[&peer, "`chaincode`"])
        .await;
    misconfigured(with(&|it| it.channel = "other".to_owned()), &fixture, &[&peer, "`channel`"])
        .await;
    let foreign = config.orderers[0].tls_ca_file.clone();
    misconfigured(
        with(&|it| it.peers[0].tls_ca_file = foreign.clone()),
        &fixture,
        &[&peer, "`tls_ca_file`"],
    )
    .await;
    let key = FabricConfig::load(&network.network.key_ledger_file()).unwrap();
    misconfigured(
        FabricConfig { administrator: None, ..key },
        &fixture,
        &["takes calls from `ManagementMSP` only"],
    )
    .await;
    misconfigured(with(&|it| it.administrator = None), &fixture, &["trust configuration"]).await;
    let elsewhere = Fixture::new("elsewhere.example");
    let ledger =
        FabricLedger::with(config.clone(), adapter::options_of("elsewhere.example", &elsewhere));
    let (call, documents) = elsewhere.share(AccessTimes::Unlimited, |_| {}).set();
    let error = ledger.execute(&call, &documents).await.unwrap_err().to_string();
    assert!(error.contains("`elsewhere.example`") && error.contains(ID), "{error}");

    // No peer answers: unavailable, and where; a second peer that is there is asked instead.
    let mut gone = with(&|it| it.peers[0].address = "grpcs://127.0.0.1:9".to_owned());
    let ledger = FabricLedger::with(gone.clone(), adapter::options(&fixture));
    let set = fixture.share(AccessTimes::Unlimited, |_| {}).set();
    let error = ledger.execute(&set.0, &set.1).await.unwrap_err();
    assert!(
        matches!(&error, LedgerError::Unavailable(said) if said.contains("127.0.0.1:9")),
        "{error}"
    );
    gone.peers.extend(config.peers);
    executed(&FabricLedger::with(gone, adapter::options(&fixture)), &set).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_at_any_moment_is_neither_lost_nor_doubled() {
    let _one = ONE.lock().await;
    let Some(network) = TestNetwork::up(Orderers::Raft).await else { return };
    let fixture = Fixture::new(ID);
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    executed(&adapter::ledger(&network, &fixture), &share.set()).await;
    // A management that dies at some moment: before the endorsement, before the orderer has it,
    // before its block.
    let mut consumers = Vec::new();
    for nth in 0..20 {
        let consumer = fixture.consumer(&format!("Consumer {nth}"));
        let request = share.request(&consumer);
        let dying = adapter::ledger(&network, &fixture);
        let answered = Duration::from_millis(nth * 10);
        let _ = tokio::time::timeout(answered, dying.execute(&request.0, &request.1)).await;
        drop(dying);
        consumers.push((consumer, request));
    }
    let ledger = adapter::ledger(&network, &fixture);
    for (consumer, request) in &consumers {
        let receipt = executed(&ledger, request).await;
        assert_eq!(executed(&ledger, request).await, receipt);
        assert_eq!(granted(&ledger, &share, consumer).await, 1);
    }
    assert_eq!(events(&ledger).await.len(), 1 + consumers.len());
}

/// Two processes of management, which know nothing of each other, asked by the same two hundred
/// consumers at once: their transactions meet in blocks, are invalidated there, and are asked for
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_consumers_at_two_managements_are_counted_exactly_and_no_conflict_reaches_them()
{
    let _one = ONE.lock().await;
    let Some(network) = TestNetwork::up(Orderers::Raft).await else { return };
    let fixture = Fixture::new(ID);
    let managements = [adapter::ledger(&network, &fixture), adapter::ledger(&network, &fixture)];
    let share = fixture.share(AccessTimes::Times(2), |_| {});
    executed(&managements[0], &share.set()).await;
    managements[1].wait(0, PATIENCE).await.unwrap();
    let consumers: Vec<TestUser> =
        (0..200).map(|nth| fixture.consumer(&format!("Consumer {nth}"))).collect();
    let asked = join_all(consumers.iter().map(async |consumer| {
        // Each management is asked twice: four requests of which two are granted.
        let requests = [0, 1, 0, 1].map(|at| (&managements[at], share.request(consumer)));
        let answers =
            join_all(requests.iter().map(|(at, (call, documents))| at.execute(call, documents)))
                .await;
        let mut numbers = Vec::new();
        for answer in answers {
            match answer {
                Ok(LedgerReceipt { receipt: Receipt::Access(record), .. }) => {
                    numbers.push(record.access)
                }
                Err(LedgerError::Refused(Refusal::AccessTimes { access_times: 2 })) => {}
                other => panic!("neither granted nor used up: {other:?}"),
            }
        }
        numbers.sort_unstable();
        numbers
    }))
    .await;
    for (consumer, numbers) in consumers.iter().zip(asked) {
        assert_eq!(numbers, [1, 2], "each access is numbered once");
        assert_eq!(granted(&managements[1], &share, consumer).await, 2);
    }
    for ledger in &managements {
        assert_eq!(events(ledger).await.len(), 1 + 2 * consumers.len());
    }
    let gateway = managements[0].gateway();
    let mut conflicts = 0;
    for number in 1..inspect::channel(gateway).await.unwrap().height {
        let block =
            Block::decode(inspect::block(gateway, number).await.unwrap().as_slice()).unwrap();
        let codes = &block.metadata.unwrap().metadata[2];
        conflicts += codes.iter().filter(|code| **code == MVCC_READ_CONFLICT).count();
    }
    assert!(conflicts > 0, "they were never in each other's way");
    println!("{conflicts} conflicts");
}
