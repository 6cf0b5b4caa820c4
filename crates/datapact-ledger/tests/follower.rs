//! Followers: they replay what the log did, and stop at each way in which it can misbehave.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datapact_core::contract::Call;
use datapact_core::permission::AccessTimes;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::follower::{Follower, FollowerConfig};
use datapact_ledger::tables::MIGRATIONS;
use datapact_ledger::{ContractState as _, Ledger, LedgerError};
use datapact_local::testing::{Fixture, MemoryLog, ShareState, TestShare, TestUser, signing_key};
use datapact_log::clock::Clock;
use datapact_log::clock::system_clock;
use datapact_log::entry::Entry;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{KeyKind, SigningKey};
use datapact_log::source::LogSource;
use datapact_store::Store;

const ID: &str = "ledger.example";
const NOW: u64 = 1_800_000_000;

fn log_key() -> SigningKey {
    signing_key(1, ID, KeyKind::Log)
}

fn witness_key() -> SigningKey {
    signing_key(2, "keys.example", KeyKind::Witness)
}

async fn follow(path: &Path, source: Arc<dyn LogSource>, clock: Clock) -> Follower {
    follow_settling(path, source, clock, Duration::ZERO).await
}

async fn follow_settling(
    path: &Path,
    source: Arc<dyn LogSource>,
    clock: Clock,
    settling: Duration,
) -> Follower {
    let store = Store::open(path, MIGRATIONS).await.unwrap();
    let config = FollowerConfig {
        log: log_key().public().clone(),
        witness: Some(witness_key()),
        source,
        clock,
        chain: None,
        settling,
    };
    Follower::open(store, config).await.unwrap()
}

#[tokio::test]
async fn a_follower_replays_cosigns_and_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(ID);
    let trust = fixture.trust();
    let config = EmbeddedConfig {
        key: log_key(),
        witnesses: vec![witness_key().public().clone()],
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: system_clock(),
    };
    let store = Store::open(&dir.path().join("ledger"), MIGRATIONS).await.unwrap();
    let ledger = Arc::new(EmbeddedLedger::open(store, config).await.unwrap());
    let path = dir.path().join("copy");
    let follower = follow(&path, ledger.clone(), system_clock()).await;
    let polled = follower.poll().await.unwrap();
    assert_eq!(polled.size, 0);

    let mut share = fixture.share(AccessTimes::Unlimited, |_| {});
    let consumer = fixture.consumer("Consumer");
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await.unwrap();
    let first_policy = share.policy.id();
    let requests: Vec<_> = (0..600).map(|_| share.request(&consumer)).collect();
    for answer in futures_util::future::join_all(
        requests.iter().map(|(call, docs)| ledger.execute(call, docs)),
    )
    .await
    {
        answer.unwrap();
    }
    let (call, documents) = share.next(|policy| policy.state = ShareState::Suspended);
    let receipt = ledger.execute(&call, &documents).await.unwrap();

    assert_eq!(follower.size(), 0);
    follower.current(Duration::from_secs(60)).await.unwrap();
    assert_eq!(follower.size(), 0, "confirmed a moment ago");
    let polled = follower.next(Duration::from_secs(5)).await.unwrap();
    assert_eq!(polled.size, 602);
    let cosigned = polled.cosigned.unwrap();
    ledger.add_cosignature(cosigned.as_bytes()).await.unwrap();
    let policy = LogPolicy::new(log_key().public(), &[witness_key().public().clone()]).unwrap();
    for (log_proof, entry) in [
        (
            ledger.proof(receipt.position).await.unwrap(),
            ledger.entry(receipt.position).await.unwrap(),
        ),
        (
            follower.proof(receipt.position).await.unwrap(),
            follower.entry(receipt.position).await.unwrap(),
        ),
    ] {
        log_proof.unwrap().verify(&policy, &entry.unwrap()).unwrap();
    }
    assert_eq!(follower.poll().await.unwrap().cosigned, None, "nothing new to cosign");

    drop(follower);
    let follower = follow(&path, ledger.clone(), system_clock()).await;
    assert_eq!(follower.size(), 602);
    follower.current(Duration::ZERO).await.unwrap();
    let id = share.id();
    assert_eq!(follower.share(&id).await.unwrap(), ledger.share(&id).await.unwrap());
    assert_eq!(follower.share(&id).await.unwrap().unwrap().policy.state, ShareState::Suspended);
    let commitment = consumer.opening().commitment(&id);
    assert_eq!(follower.counter(&id, &commitment).await.unwrap().granted, 600);
    let Call::RequestAccess(request) = &requests[17].0 else { panic!() };
    let access = follower.access(&request.request).await.unwrap();
    assert!(access.is_some());
    assert_eq!(access, ledger.access(&request.request).await.unwrap());
    let policy_before = async |position| {
        follower.policy_before(&id, position).await.unwrap().map(|record| record.policy.policy)
    };
    assert_eq!(policy_before(0).await, None);
    assert_eq!(policy_before(1).await, Some(first_policy));
    assert_eq!(policy_before(receipt.position).await, Some(first_policy));
    assert_eq!(policy_before(receipt.position + 1).await, Some(share.policy.id()));
    // Once after each start, so that its newest cosignature is a young one.
    let (size, again) = follower.cosigned().await.unwrap().unwrap();
    assert_eq!((size, policy.open(again.as_bytes()).unwrap().size()), (602, 602));
    assert_eq!(follower.address(&id), ledger.address(&id));
}

/// A log with one share and three accesses that a follower has replayed and confirmed at [`NOW`].
struct Scene {
    dir: tempfile::TempDir,
    log: Arc<MemoryLog>,
    clock: Arc<AtomicU64>,
    fixture: Fixture,
    share: TestShare,
    consumer: TestUser,
    follower: Follower,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(NOW));
        let log = Arc::new(MemoryLog::new(log_key()));
        let time = clock.clone();
        let fixture = Fixture::with_clock(ID, Arc::new(move || time.load(Ordering::SeqCst)));
        let share = fixture.share(AccessTimes::Times(4), |_| {});
        let consumer = fixture.consumer("Consumer");
        let time = clock.clone();
        let follower = follow(
            &dir.path().join("copy"),
            log.clone(),
            Arc::new(move || time.load(Ordering::SeqCst)),
        )
        .await;
        let scene = Self { dir, log, clock, fixture, share, consumer, follower };
        scene.append(scene.share.set().0, NOW - 100);
        for i in 0..3 {
            scene.append(scene.request(), NOW - 90 + i);
        }
        assert_eq!(scene.follower.poll().await.unwrap().size, 4);
        scene
    }

    fn request(&self) -> Call {
        self.share.request(&self.consumer).0
    }

    fn append(&self, call: Call, time: u64) {
        let entry = Entry::new(call, time).to_bytes().unwrap();
        self.log.edit(|entries| entries.push(entry));
    }

    /// The follower stops for good, names `position`, and says `reason`.
    async fn stops(self, position: Option<u64>, reason: &str) {
        let id = self.share.id();
        self.follower.current(Duration::from_secs(5)).await.unwrap();
        let said = |result: Result<(), LedgerError>| match result {
            Err(LedgerError::Corrupt { position: at, reason: why }) => {
                assert_eq!(at, position, "{why}");
                assert!(why.contains(reason), "{why}");
            }
            other => panic!("not stopped: {other:?}"),
        };
        said(self.follower.poll().await.map(drop));
        said(self.follower.current(Duration::from_secs(1000)).await);
        said(self.follower.share(&id).await.map(drop));
        // Neither a repaired log nor a restart makes it believe again.
        self.log.restore();
        said(self.follower.poll().await.map(drop));
        drop(self.follower);
        let path = self.dir.path().join("copy");
        let follower = follow(&path, self.log.clone(), Arc::new(|| NOW)).await;
        said(follower.poll().await.map(drop));
        said(follower.share(&id).await.map(drop));
        // An operator can.
        drop(follower);
        Follower::clear_fault(&Store::open(&path, MIGRATIONS).await.unwrap()).await.unwrap();
        let follower = follow(&path, self.log.clone(), Arc::new(|| NOW)).await;
        assert_eq!(follower.share(&id).await.unwrap().unwrap().policy.version, 1);
    }
}

#[tokio::test]
async fn an_entry_that_the_contract_refuses_stops_it() {
    let scene = Scene::new().await;
    scene.append(scene.request(), NOW);
    scene.append(scene.request(), NOW);
    scene.stops(Some(5), "the contract refuses it: the access times (4) are used up").await;
}

#[tokio::test]
async fn a_policy_that_its_provider_did_not_sign_stops_it() {
    let scene = Scene::new().await;
    let mut other = scene.fixture.share(AccessTimes::Unlimited, |_| {});
    let (call, _) = other.next(|policy| {
        policy.share = scene.share.id();
        policy.previous = Some(scene.share.policy.id());
    });
    scene.append(call, NOW);
    scene.stops(Some(4), "only the share's provider may set its policy").await;
}

#[tokio::test]
async fn a_repeated_entry_stops_it() {
    let scene = Scene::new().await;
    scene.append(scene.request(), NOW);
    scene.log.edit(|entries| entries.push(entries[4].clone()));
    scene.stops(Some(5), "it repeats an earlier entry").await;
}

#[tokio::test]
async fn backdated_entries_stop_it() {
    let scene = Scene::new().await;
    // Later than its predecessor, but the log did not have it a while ago.
    scene.append(scene.request(), NOW - 61);
    scene.stops(Some(4), "61 s away").await;
    let scene = Scene::new().await;
    scene.append(scene.request(), NOW);
    scene.append(scene.request(), NOW - 1);
    scene.stops(Some(5), "before that of the entry before it").await;
}

#[tokio::test]
async fn postdated_entries_are_not_believed_before_their_time() {
    let scene = Scene::new().await;
    scene.append(scene.request(), NOW + 61);
    match scene.follower.poll().await {
        Err(LedgerError::Unavailable(reason)) => assert!(reason.contains("entry 4"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(scene.follower.size(), 4);
    scene.clock.store(NOW + 1, Ordering::SeqCst);
    assert_eq!(scene.follower.poll().await.unwrap().size, 5);
}

#[tokio::test]
async fn a_clock_that_jumps_and_comes_right_stops_nothing() {
    for jump in [7200, -240] {
        let scene = Scene::new().await;
        scene.clock.store(NOW.saturating_add_signed(jump), Ordering::SeqCst);
        // Confirmed by a wrong clock, and then there is an entry of the right time.
        scene.follower.poll().await.unwrap();
        scene.append(scene.request(), NOW);
        let polled = scene.follower.poll().await;
        assert_eq!(polled.is_ok(), jump > 0, "{polled:?}");
        scene.clock.store(NOW, Ordering::SeqCst);
        assert_eq!(scene.follower.poll().await.unwrap().size, 5);
        // What is backdated is found all the same.
        scene.append(scene.request(), NOW.saturating_add_signed(jump.min(0)) - 61);
        scene.stops(Some(5), "away from this machine's clock").await;
    }
}

/// It has nothing to compare its clock with then, and must not take the log's entries for backdated
/// ones.
#[tokio::test]
async fn a_clock_that_is_ahead_at_the_start_and_comes_right_stops_nothing() {
    let scene = Scene::new().await;
    scene.clock.store(NOW + 7200, Ordering::SeqCst);
    let (path, time) = (scene.dir.path().join("copy"), scene.clock.clone());
    let clock: Clock = Arc::new(move || time.load(Ordering::SeqCst));
    let follower =
        follow_settling(&path, scene.log.clone(), clock, Duration::from_secs(3600)).await;
    follower.poll().await.unwrap();
    scene.append(scene.request(), NOW);
    match follower.poll().await {
        Err(LedgerError::Unavailable(reason)) => {
            assert!(
                reason.contains("entry 4 of the ledger is 7200 s behind this machine's clock"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(follower.size(), 4);
    scene.clock.store(NOW, Ordering::SeqCst);
    assert_eq!(follower.poll().await.unwrap().size, 5);
}

#[tokio::test]
async fn two_that_go_on_with_one_copy_stop_neither() {
    let scene = Scene::new().await;
    let other = follow(&scene.dir.path().join("copy"), scene.log.clone(), Arc::new(|| NOW)).await;
    for size in 5..9 {
        let consumer = scene.fixture.consumer(&format!("Consumer {size}"));
        scene.append(scene.share.request(&consumer).0, NOW);
        let (one, other) = tokio::join!(scene.follower.poll(), other.poll());
        assert_eq!((one.unwrap().size, other.unwrap().size), (size, size));
    }
}

#[tokio::test]
async fn entries_made_while_it_could_not_look_are_believed() {
    let scene = Scene::new().await;
    scene.clock.store(NOW + 3000, Ordering::SeqCst);
    scene.append(scene.request(), NOW + 5);
    assert_eq!(scene.follower.poll().await.unwrap().size, 5);
}

#[tokio::test]
async fn an_entry_of_another_version_or_form_stops_it() {
    let scene = Scene::new().await;
    let mut entry = Entry::new(scene.request(), NOW);
    entry.version = 99;
    scene.log.edit(|entries| entries.push(entry.to_bytes().unwrap()));
    scene.stops(Some(4), "contract version 99").await;
    let scene = Scene::new().await;
    let entry = Entry::new(scene.request(), NOW).to_bytes().unwrap();
    scene.log.edit(|entries| entries.push([&entry, &b" "[..]].concat()));
    scene.stops(Some(4), "not a canonical entry").await;
}

#[tokio::test]
async fn a_fork_stops_it_and_the_first_changed_entry_is_named() {
    let scene = Scene::new().await;
    let other = Entry::new(scene.request(), NOW - 89).to_bytes().unwrap();
    scene.log.edit(|entries| entries[2] = other.clone());
    scene.stops(Some(2), "it signed two trees of 4 entries").await;
    let scene = Scene::new().await;
    scene.append(scene.request(), NOW);
    scene.log.edit(|entries| entries[1] = other);
    scene.stops(Some(1), "does not continue the one kept").await;
}

#[tokio::test]
async fn a_rollback_stops_it() {
    let scene = Scene::new().await;
    scene.log.edit(|entries| entries.truncate(3));
    scene.stops(Some(3), "rolled back").await;
}

#[tokio::test]
async fn what_is_not_the_logs_stops_it() {
    for (other, reason) in [
        (signing_key(9, ID, KeyKind::Log), "is not signed by"),
        (signing_key(1, "other.example", KeyKind::Log), "is from log `other.example`"),
    ] {
        let scene = Scene::new().await;
        scene.append(scene.request(), NOW);
        scene.log.alter("checkpoint", Some(MemoryLog::new(other).checkpoint().into_bytes()));
        scene.stops(None, reason).await;
    }
    let scene = Scene::new().await;
    scene.append(scene.request(), NOW);
    scene.log.alter("tile/entries/000.p/5", Some(vec![0, 1, 2]));
    scene.stops(Some(1), "does not hold just 5 entries").await;
}

#[tokio::test]
async fn without_an_answer_it_is_stale_but_not_stopped() {
    let scene = Scene::new().await;
    scene.append(scene.request(), NOW);
    for path in ["checkpoint", "tile/0/000.p/5", "tile/entries/000.p/5"] {
        scene.log.alter(path, None);
        let polled = scene.follower.current(Duration::ZERO).await;
        assert!(matches!(polled, Err(LedgerError::Unavailable(_))), "{path}");
        assert_eq!(scene.follower.size(), 4);
        scene.log.restore();
    }
    scene.follower.current(Duration::ZERO).await.unwrap();
    assert_eq!(scene.follower.size(), 5);
}
