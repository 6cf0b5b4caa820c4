//! What goes wrong with nodes and operators: real processes are killed, and every mistake is told
//! by name.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use datapact_core::permission::AccessTimes;
use datapact_evm::EvmLedger;
use datapact_evm::config::{EvmConfig, SignerConfig};
use datapact_evm::network::Kind;
use datapact_evm::signer::FileSigner;
use datapact_ledger::port::{ContractState as _, Ledger as _, LedgerError};
use datapact_local::testing::Fixture;
use support::{ID, TestNetwork, open};

/// How long a network may take to be itself again.
const PATIENCE: Duration = Duration::from_secs(150);

async fn misconfigured(config: EvmConfig, fixture: &Fixture, say: &[&str]) {
    let ledger = EvmLedger::with(config, TestNetwork::options(fixture)).unwrap();
    let (call, documents) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
    match ledger.execute(&call, &documents).await {
        Err(LedgerError::Misconfigured(said)) => {
            for part in say {
                assert!(said.contains(part), "`{said}` does not say `{part}`");
            }
        }
        other => panic!("not told: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_a_lost_node_is_replaced_and_a_restarted_one_goes_on() {
    let Some(mut network) = TestNetwork::up(Kind::Devnode, 1).await else { return };
    let Some(other) = TestNetwork::up(Kind::Devnode, 1).await else { return };
    let fixture = Fixture::new(ID);
    let config = EvmConfig::load(&network.network.ledger_file()).unwrap();
    let theirs = EvmConfig::load(&other.network.ledger_file()).unwrap();
    let (own_url, other_url) = (config.endpoints[0].clone(), theirs.endpoints[0].clone());

    let wrong = EvmConfig { endpoints: theirs.endpoints.clone(), ..config.clone() };
    let (id, other_id) = (config.chain_id.to_string(), theirs.chain_id.to_string());
    misconfigured(wrong, &fixture, &[&other_url, &id, &other_id]).await;
    let wrong = EvmConfig {
        contract: "0x00000000000000000000000000000000000000aa".parse().unwrap(),
        ..config.clone()
    };
    misconfigured(wrong, &fixture, &["there is no contract at", &own_url]).await;
    let wrong = EvmConfig { contract: config.implementation, ..config.clone() };
    misconfigured(wrong, &fixture, &["not a Datapact registry"]).await;
    let wrong = EvmConfig { signer: theirs.signer.clone(), ..config.clone() };
    misconfigured(wrong, &fixture, &["takes no calls from the account"]).await;
    let wrong = EvmConfig { gas_price: 1_000_000_000_000_000, ..config.clone() };
    let account = account(&config).await;
    misconfigured(wrong, &fixture, &["cannot pay the gas", &own_url, &account]).await;
    let passphrase_file = network.dir.path().join("wrong.passphrase");
    std::fs::copy(&config.signer.as_ref().unwrap().passphrase_file, &passphrase_file).unwrap();
    std::fs::write(&passphrase_file, "wrong").unwrap();
    let key_file = config.signer.as_ref().unwrap().key_file.clone();
    let wrong =
        EvmConfig { signer: Some(SignerConfig { key_file, passphrase_file }), ..config.clone() };
    misconfigured(wrong, &fixture, &["signer.json", "does not open", "wrong.passphrase"]).await;

    // The first node is down from the start, then a node of another chain is named first: the right
    // one is found.
    for first in ["http://127.0.0.1:9".to_owned(), other_url] {
        let endpoints = vec![first, own_url.clone()];
        let config = EvmConfig { endpoints, ..config.clone() };
        let ledger = EvmLedger::with(config, TestNetwork::options(&fixture)).unwrap();
        let (call, documents) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
        ledger.execute(&call, &documents).await.unwrap();
    }

    // The node restarts, on the same ports and with its state; the adapter goes on by itself.
    let ledger = network.ledger(&fixture);
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    let consumer = fixture.consumer("Consumer");
    let (call, documents) = share.set();
    let created = ledger.execute(&call, &documents).await.unwrap();
    let (call, documents) = share.request(&consumer);
    network.network.stop_node(0, false).await.unwrap();
    let error = ledger.execute(&call, &documents).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
    let program = network.program.clone();
    network.network.start_node(&program, 0).await.unwrap();
    assert!(
        open(&network.network.ledger_file(), &fixture)
            .access(request_of(&call))
            .await
            .unwrap()
            .is_none()
    );
    let first = ledger.execute(&call, &documents).await.unwrap();
    assert_eq!(
        ledger.execute(&call, &documents).await.unwrap(),
        first,
        "a repeat gets the first receipt"
    );
    assert!(ledger.verify(&created).await.unwrap());
}

async fn account(config: &EvmConfig) -> String {
    FileSigner::new(config.signer.clone().unwrap()).key().await.unwrap().address().to_string()
}

fn request_of(call: &datapact_core::contract::Call) -> &datapact_core::id::Digest {
    match call {
        datapact_core::contract::Call::RequestAccess(request) => &request.request,
        _ => panic!("not a request"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_validator_of_four_may_fail_and_of_two_nothing_is_lost_or_doubled() {
    let Some(mut network) = TestNetwork::up(Kind::Quorum, 4).await else { return };
    let fixture = Fixture::new(ID);
    let ledger = network.ledger(&fixture);
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await.unwrap();

    // The node that is asked first is killed: another one is asked, and blocks go on.
    network.network.stop_node(0, true).await.unwrap();
    let first = fixture.consumer("First");
    let (call, documents) = share.request(&first);
    let receipt = executed(&ledger, &call, &documents).await;

    // Of two, nothing is decided, and it is said why; who asks again asks for the same transaction.
    network.network.stop_node(1, true).await.unwrap();
    let second = fixture.consumer("Second");
    let (call, documents) = share.request(&second);
    let (one, other) =
        tokio::join!(ledger.execute(&call, &documents), ledger.execute(&call, &documents));
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert!(matches!(&error, LedgerError::Unavailable(_)), "{error}");
    }
    let error = ledger.head().await.unwrap_err();
    assert!(error.to_string().contains("no new block for"), "{error}");

    let program = network.program.clone();
    for at in 0..2 {
        network.network.start_node(&program, at).await.unwrap();
    }
    if !goes_on(&ledger).await {
        // Validators wait twice as long for each round that failed: the operator's guide says to
        // restart them all then.
        network.network.down().await.unwrap();
        network.network.up(&program).await.unwrap();
    }
    let second_receipt = executed(&ledger, &call, &documents).await;
    assert_eq!(ledger.execute(&call, &documents).await.unwrap(), second_receipt);
    for consumer in [&first, &second] {
        let commitment = consumer.opening().commitment(&share.id());
        assert_eq!(ledger.counter(&share.id(), &commitment).await.unwrap().granted, 1);
    }
    // Another process, at another node, sees just the same.
    let other = open(&network.nodes[3].ledger, &fixture);
    assert!(other.wait(second_receipt.position, PATIENCE).await.unwrap());
    let events = other.events(0, 100).await.unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!((events[1].position, &events[1].receipt), (receipt.position, &receipt.receipt));
}

/// Whether there are new blocks, within the time that validators need to find each other.
async fn goes_on(ledger: &EvmLedger) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        if ledger.head().await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    false
}

/// Executes, again and again while the validators find each other.
async fn executed(
    ledger: &EvmLedger,
    call: &datapact_core::contract::Call,
    documents: &datapact_core::contract::Documents,
) -> datapact_ledger::LedgerReceipt {
    let end = Instant::now() + PATIENCE;
    loop {
        match ledger.execute(call, documents).await {
            Ok(receipt) => return receipt,
            Err(LedgerError::Unavailable(why)) => assert!(Instant::now() < end, "{why}"),
            Err(other) => panic!("{other}"),
        }
    }
}
