//! The embedded ledger: durable, provable, and repeated without harm.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datapact_core::contract::{CheckError, Receipt, Refusal};
use datapact_core::permission::AccessTimes;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::tables::MIGRATIONS;
use datapact_ledger::{ContractState as _, Ledger, LedgerError};
use datapact_local::testing::Fixture;
use datapact_log::clock::Clock;
use datapact_log::clock::system_clock;
use datapact_log::log_policy::{CheckpointError, LogPolicy};
use datapact_log::note::{Checkpoint, KeyKind, SigningKey};
use datapact_log::proof::{Proof, ProofError};
use datapact_store::Store;

const ID: &str = "ledger.example";

fn log_key() -> SigningKey {
    SigningKey::parse(&SigningKey::text(&[1; 32], ID, KeyKind::Log).unwrap()).unwrap()
}

fn witness_key() -> SigningKey {
    SigningKey::parse(&SigningKey::text(&[2; 32], "keys.example", KeyKind::Witness).unwrap())
        .unwrap()
}

fn second_witness() -> SigningKey {
    SigningKey::parse(&SigningKey::text(&[3; 32], "more-keys.example", KeyKind::Witness).unwrap())
        .unwrap()
}

async fn open(path: &Path, fixture: &Fixture) -> EmbeddedLedger {
    let store = Store::open(path, MIGRATIONS).await.unwrap();
    let trust = fixture.trust();
    let config = EmbeddedConfig {
        key: log_key(),
        witnesses: vec![witness_key().public().clone(), second_witness().public().clone()],
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: system_clock(),
    };
    EmbeddedLedger::open(store, config).await.unwrap()
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening_and_provable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.sqlite");
    let fixture = Fixture::new(ID);
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let consumer = fixture.consumer("Consumer");
    let mut receipts = Vec::new();
    {
        let ledger = open(&path, &fixture).await;
        let (call, documents) = share.set();
        receipts.push(ledger.execute(&call, &documents).await.unwrap());
        let calls: Vec<_> = (0..300).map(|_| share.request(&consumer)).collect();
        let answers = calls.iter().map(|(call, documents)| ledger.execute(call, documents));
        receipts
            .extend(futures_util::future::join_all(answers).await.into_iter().map(Result::unwrap));
        let repeat = ledger.execute(&calls[7].0, &calls[7].1).await.unwrap();
        assert_eq!(repeat, receipts[8]);
        assert_eq!(ledger.info().await.unwrap().size, 301);
    }
    let ledger = open(&path, &fixture).await;
    assert_eq!(ledger.info().await.unwrap().size, 301);
    let policy = LogPolicy::new(log_key().public(), &[]).unwrap();
    for receipt in &receipts {
        assert!(ledger.verify(receipt).await.unwrap());
        let entry = ledger.entry(receipt.position).await.unwrap().unwrap();
        let proof: Proof =
            ledger.proof(receipt.position).await.unwrap().unwrap().to_string().parse().unwrap();
        assert_eq!(proof.verify(&policy, &entry).unwrap().size(), 301);
        assert_eq!(proof.verify(&policy, b"another"), Err(ProofError::Inclusion));
    }
    let mut forged = receipts[5].clone();
    if let Receipt::Access(record) = &mut forged.receipt {
        record.access += 1;
    }
    assert!(!ledger.verify(&forged).await.unwrap());
    assert!(ledger.proof(301).await.unwrap().is_none());
    assert!(ledger.entry(u64::MAX).await.unwrap().is_none());
    assert_eq!(
        ledger
            .counter(&share.id(), &consumer.opening().commitment(&share.id()))
            .await
            .unwrap()
            .granted,
        300
    );
}

#[tokio::test]
async fn clients_demand_the_cosignatures_of_their_policy() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(ID);
    let ledger = open(&dir.path().join("db"), &fixture).await;
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    let (call, documents) = share.set();
    let receipt = ledger.execute(&call, &documents).await.unwrap();
    let entry = ledger.entry(receipt.position).await.unwrap().unwrap();
    let policy = LogPolicy::new(log_key().public(), &[witness_key().public().clone()]).unwrap();
    let policy: LogPolicy = policy.to_string().parse().unwrap();
    let proof = ledger.proof(0).await.unwrap().unwrap();
    assert_eq!(proof.verify(&policy, &entry), Err(CheckpointError::Quorum.into()));
    assert!(!ledger.wait_cosigned(0, Duration::ZERO).await.unwrap());

    let note = ledger.read("checkpoint").await.unwrap().unwrap();
    assert!(ledger.add_cosignature(&note).await.is_err(), "no cosignature in it");
    let mut checkpoint = Checkpoint::open(&note, log_key().public(), &[]).unwrap();
    let line = witness_key().cosign(&checkpoint, 1_800_000_000);
    checkpoint.add(witness_key().public(), &line).unwrap();
    ledger.add_cosignature(checkpoint.to_string().as_bytes()).await.unwrap();
    assert!(ledger.wait_cosigned(0, Duration::ZERO).await.unwrap());
    let proof = ledger.proof(0).await.unwrap().unwrap();
    assert_eq!(proof.verify(&policy, &entry).unwrap().witnesses().count(), 1);
    let served = ledger.read("checkpoint/cosigned").await.unwrap().unwrap();
    assert_eq!(served, checkpoint.to_string().into_bytes());

    // One witness is ahead of the other: what both have cosigned proves what it covers, and the
    // newer the rest.
    let cosign = async |note: &[u8], witness: SigningKey| {
        let mut checkpoint = Checkpoint::open(note, log_key().public(), &[]).unwrap();
        let line = witness.cosign(&checkpoint, 1_800_000_000);
        checkpoint.add(witness.public(), &line).unwrap();
        ledger.add_cosignature(checkpoint.to_string().as_bytes()).await.unwrap();
    };
    cosign(&note, second_witness()).await;
    let (call, documents) = share.request(&fixture.consumer("Consumer"));
    ledger.execute(&call, &documents).await.unwrap();
    cosign(&ledger.read("checkpoint").await.unwrap().unwrap(), witness_key()).await;
    let both = [witness_key().public().clone(), second_witness().public().clone()];
    let both = LogPolicy::new(log_key().public(), &both).unwrap();
    let proof = ledger.proof(0).await.unwrap().unwrap();
    assert_eq!(proof.verify(&both, &entry).unwrap().witnesses().count(), 2);
    let next = ledger.entry(1).await.unwrap().unwrap();
    let proof = ledger.proof(1).await.unwrap().unwrap();
    assert_eq!(proof.verify(&both, &next), Err(CheckpointError::Quorum.into()));
    assert_eq!(proof.verify(&policy, &next).unwrap().witnesses().count(), 1);

    // A checkpoint that this log never made is not taken, though key and witness are right.
    let forged = log_key().checkpoint(1, &[0; 32]);
    let mut forged = Checkpoint::open(forged.as_bytes(), log_key().public(), &[]).unwrap();
    let line = witness_key().cosign(&forged, 1_800_000_000);
    forged.add(witness_key().public(), &line).unwrap();
    assert!(ledger.add_cosignature(forged.to_string().as_bytes()).await.is_err());
}

#[tokio::test]
async fn a_foreign_key_or_a_changed_tree_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let fixture = Fixture::new(ID);
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    let (call, documents) = share.set();
    open(&path, &fixture).await.execute(&call, &documents).await.unwrap();
    let config = |seed: u8, id: &str| {
        let trust = fixture.trust();
        EmbeddedConfig {
            key: SigningKey::parse(&SigningKey::text(&[seed; 32], id, KeyKind::Log).unwrap())
                .unwrap(),
            witnesses: Vec::new(),
            trust: Arc::new(move || Arc::clone(&trust)),
            clock: system_clock(),
        }
    };
    for (seed, id) in [(9, ID), (1, "other.example")] {
        let store = Store::open(&path, MIGRATIONS).await.unwrap();
        let opened = EmbeddedLedger::open(store, config(seed, id)).await;
        assert!(matches!(opened, Err(LedgerError::Misconfigured(_))));
    }
    let store = Store::open(&path, MIGRATIONS).await.unwrap();
    store
        .write(|tx| {
            tx.run("UPDATE ledger_tile SET hashes = zeroblob(32)", []).map_err(LedgerError::from)
        })
        .await
        .unwrap();
    let opened = EmbeddedLedger::open(store, config(1, ID)).await;
    assert!(matches!(opened, Err(LedgerError::Corrupt { .. })));
}

#[tokio::test]
async fn what_the_contract_refuses_is_said_and_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(ID);
    let ledger = open(&dir.path().join("db"), &fixture).await;
    let share = fixture.share(AccessTimes::Times(1), |_| {});
    let consumer = fixture.consumer("Consumer");
    let (call, documents) = share.request(&consumer);
    let refused = ledger.execute(&call, &documents).await;
    assert!(matches!(refused, Err(LedgerError::Refused(Refusal::UnknownShare))));
    let (_, other) = share.set();
    assert!(matches!(ledger.execute(&call, &other).await, Err(LedgerError::Check(_))));
    assert!(ledger.read("tile/0/000.p/1").await.unwrap().is_none());
    assert_eq!(ledger.info().await.unwrap().size, 0);
}

#[tokio::test]
async fn a_late_repeat_is_answered_and_a_clock_set_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicU64::new(1_800_000_000));
    let time = Arc::clone(&now);
    let clock: Clock = Arc::new(move || time.load(Ordering::SeqCst));
    let fixture = Fixture::with_clock(ID, Arc::clone(&clock));
    let trust = fixture.trust();
    let config = EmbeddedConfig {
        key: log_key(),
        witnesses: Vec::new(),
        trust: Arc::new(move || Arc::clone(&trust)),
        clock,
    };
    let store = Store::open(&dir.path().join("db"), MIGRATIONS).await.unwrap();
    let ledger = EmbeddedLedger::open(store, config).await.unwrap();
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let consumer = fixture.consumer("Consumer");
    let set = share.set();
    let (request, unused) = (share.request(&consumer), share.request(&consumer));
    ledger.execute(&set.0, &set.1).await.unwrap();
    let receipt = ledger.execute(&request.0, &request.1).await.unwrap();

    now.fetch_add(30, Ordering::SeqCst);
    ledger.execute(&unused.0, &unused.1).await.unwrap();
    let late = share.request(&consumer);
    now.fetch_add(365 * 86_400, Ordering::SeqCst);
    assert_eq!(ledger.execute(&request.0, &request.1).await.unwrap(), receipt);
    let stale = ledger.execute(&late.0, &late.1).await;
    assert!(matches!(stale, Err(LedgerError::Check(CheckError::Stale { .. }))));

    // A little behind the newest entry its time is kept; far behind, nothing is recorded.
    now.store(1_800_000_000 + 30 - 59, Ordering::SeqCst);
    let request = share.request(&consumer);
    let receipt = ledger.execute(&request.0, &request.1).await.unwrap();
    assert_eq!(ledger.events(receipt.position, 1).await.unwrap()[0].time, 1_800_000_030);
    now.store(1_800_000_000 + 30 - 61, Ordering::SeqCst);
    let request = share.request(&consumer);
    let behind = ledger.execute(&request.0, &request.1).await;
    assert!(matches!(behind, Err(LedgerError::Misconfigured(_))));
}
