//! The embedded ledger does what every ledger must.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datapact_core::permission::AccessTimes;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::follower::{Follower, FollowerConfig};
use datapact_ledger::mirror::MirroredLedger;
use datapact_ledger::tables::MIGRATIONS;
use datapact_ledger::{Ledger as _, conformance};
use datapact_local::testing::{Fixture, postgres, signing_key};
use datapact_log::audit;
use datapact_log::clock::Clock;
use datapact_log::clock::system_clock;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::KeyKind;
use datapact_store::Store;
use datapact_store::{Location, Postgres, StoreError};
use tokio::sync::oneshot;

const ID: &str = "ledger.example";

async fn open(location: &Location, fixture: &Fixture) -> Arc<EmbeddedLedger> {
    let trust = fixture.trust();
    let config = EmbeddedConfig {
        key: signing_key(1, ID, KeyKind::Log),
        witnesses: Vec::new(),
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: system_clock(),
    };
    let store = Store::connect(location, Some(ID), MIGRATIONS).await.unwrap();
    Arc::new(EmbeddedLedger::open(store, config).await.unwrap())
}

/// Runs the suite on each of `ledgers`, which are the same one, at once, while it is followed.
async fn conforms(ledgers: &[Arc<EmbeddedLedger>], copy: &Location, fixture: &Fixture) {
    let public = signing_key(1, ID, KeyKind::Log).public().clone();
    let store = Store::connect(copy, None, MIGRATIONS).await.unwrap();
    let last = ledgers.last().unwrap();
    let config = FollowerConfig {
        log: public.clone(),
        witness: None,
        source: last.clone(),
        clock: system_clock(),
        chain: None,
        settling: Duration::ZERO,
    };
    let follower = Arc::new(Follower::open(store, config).await.unwrap());
    // It follows while the ledger works.
    let following = tokio::spawn({
        let follower = Arc::clone(&follower);
        async move {
            loop {
                follower.next(Duration::from_secs(1)).await.unwrap();
            }
        }
    });
    let suites = ledgers.iter().map(|ledger| conformance::all(ledger.as_ref(), fixture));
    futures_util::future::join_all(suites).await;
    following.abort();
    assert!(following.await.is_err_and(|error| error.is_cancelled()));
    let polled = follower.poll().await.unwrap();
    assert!(polled.size > 2000 * ledgers.len() as u64);
    let policy = LogPolicy::new(&public, &[]).unwrap();
    for ledger in ledgers {
        let report = audit::verify(ledger.as_ref(), &policy).await.unwrap();
        assert_eq!((report.size, report.fault), (polled.size, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_ledger_conforms_and_its_log_is_followed_and_audited() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(ID);
    let location = Location::Sqlite(dir.path().join("ledger"));
    let ledger = open(&location, &fixture).await;
    conforms(&[ledger], &Location::Sqlite(dir.path().join("copy")), &fixture).await;
}

fn new_database(server: &postgres::Server) -> Location {
    let postgres::Database { host, port, database, user, password } = server.database();
    let password = Some(password.into());
    Location::Postgres(Postgres { host, port, database, user, password, ca: None })
}

/// Two processes on one PostgreSQL database are one ledger; a follower may have its copy there,
/// too.
#[tokio::test(flavor = "multi_thread")]
async fn two_embedded_ledgers_on_one_postgresql_database_conform_as_one() {
    let Some(server) = postgres::shared() else { return };
    let fixture = Fixture::new(ID);
    let location = new_database(server);
    let ledgers = [open(&location, &fixture).await, open(&location, &fixture).await];
    conforms(&ledgers, &new_database(server), &fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_callers_go_away_in_the_middle_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(ID);
    let trust = fixture.trust();
    let key = signing_key(1, ID, KeyKind::Log);
    let log = key.public().clone();
    let trust = Arc::new(move || Arc::clone(&trust));
    let config = EmbeddedConfig { key, witnesses: Vec::new(), trust, clock: system_clock() };
    let store = Store::open(&dir.path().join("ledger"), MIGRATIONS).await.unwrap();
    let ledger = Arc::new(EmbeddedLedger::open(store, config).await.unwrap());
    let store = Store::open(&dir.path().join("copy"), MIGRATIONS).await.unwrap();
    let config = FollowerConfig {
        log,
        witness: None,
        source: ledger.clone(),
        clock: system_clock(),
        chain: None,
        settling: Duration::ZERO,
    };
    let follower = Follower::open(store, config).await.unwrap();
    for round in 0..60_u64 {
        let share = fixture.share(AccessTimes::Unlimited, |_| {});
        let (call, documents) = share.set();
        ledger.execute(&call, &documents).await.unwrap();
        // A client that hangs up drops its call wherever it is.
        let _ =
            tokio::time::timeout(Duration::from_micros(100 * (round % 30)), follower.poll()).await;
    }
    assert_eq!(follower.poll().await.unwrap().size, 60);
}

/// Any ledger with a log of it; here the chain is another embedded ledger.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirrored_ledger_conforms_and_its_log_is_followed_with_an_own_node() {
    let dir = tempfile::tempdir().unwrap();
    let open = async |name: &str, key, trust: Arc<datapact_core::trust::Trust>| {
        let trust = Arc::new(move || Arc::clone(&trust));
        let config = EmbeddedConfig { key, witnesses: Vec::new(), trust, clock: system_clock() };
        let store = Store::open(&dir.path().join(name), MIGRATIONS).await.unwrap();
        Arc::new(EmbeddedLedger::open(store, config).await.unwrap())
    };
    let fixture = Fixture::new(ID);
    let chain = open("chain", signing_key(1, ID, KeyKind::Log), fixture.trust()).await;
    let key = signing_key(2, ID, KeyKind::Log);
    let public = key.public().clone();
    let log = open("log", key, fixture.trust()).await;
    let ledger = MirroredLedger::open(chain.clone(), log.clone()).await.unwrap();
    let store = Store::open(&dir.path().join("copy"), MIGRATIONS).await.unwrap();
    let config = FollowerConfig {
        log: public.clone(),
        witness: None,
        source: log.clone(),
        clock: system_clock(),
        chain: Some(chain.clone()),
        settling: Duration::ZERO,
    };
    let follower = Arc::new(Follower::open(store, config).await.unwrap());
    let following = tokio::spawn({
        let follower = Arc::clone(&follower);
        async move {
            loop {
                follower.next(Duration::from_secs(1)).await.unwrap();
            }
        }
    });
    conformance::all(&ledger, &fixture).await;
    following.abort();
    assert!(following.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(follower.poll().await.unwrap().size, chain.head().await.unwrap());
    let report = audit::verify(log.as_ref(), &LogPolicy::new(&public, &[]).unwrap()).await.unwrap();
    assert_eq!((report.size, report.fault), (chain.head().await.unwrap(), None));

    // What the log alone holds is nothing to a follower with a node of its own, nor what the chain
    // alone holds.
    drop(ledger);
    let (call, documents) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
    chain.execute(&call, &documents).await.unwrap();
    let error = follower.poll().await.unwrap_err();
    assert!(error.to_string().contains("the log lacks what the chain has recorded"), "{error}");
    let (call, documents) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
    log.execute(&call, &documents).await.unwrap();
    let error = follower.poll().await.unwrap_err();
    assert!(error.to_string().contains("has recorded something else"), "{error}");
    assert!(follower.poll().await.is_err(), "and so it stays");
}

/// A follower takes an entry that is older than its last look for a lie, so no entry is of the time
/// when it began to wait.
#[tokio::test]
async fn an_entry_is_of_the_time_when_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicU64::new(system_clock()()));
    let clock: Clock = Arc::new({
        let time = Arc::clone(&time);
        move || time.load(Ordering::SeqCst)
    });
    let fixture = Fixture::with_clock(ID, Arc::clone(&clock));
    let trust = fixture.trust();
    let trust = Arc::new(move || Arc::clone(&trust));
    let config = EmbeddedConfig {
        key: signing_key(1, ID, KeyKind::Log),
        witnesses: Vec::new(),
        trust,
        clock,
    };
    let store = Store::open(&dir.path().join("ledger"), MIGRATIONS).await.unwrap();
    let ledger = EmbeddedLedger::open(store.clone(), config).await.unwrap();
    let (began, begun) = oneshot::channel();
    let (free, held) = oneshot::channel::<()>();
    let holding = tokio::spawn({
        let store = store.clone();
        async move {
            let job = store.write(move |_| {
                let _ = began.send(());
                let _ = held.blocking_recv();
                Ok::<_, StoreError>(())
            });
            job.await
        }
    });
    // The writer is busy now; whatever comes waits in its queue.
    begun.await.unwrap();
    let later = async {
        while store.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        time.fetch_add(200, Ordering::SeqCst);
        free.send(()).unwrap();
    };
    let (call, documents) = fixture.share(AccessTimes::Unlimited, |_| {}).set();
    let (executed, ()) = tokio::join!(ledger.execute(&call, &documents), later);
    executed.unwrap();
    holding.await.unwrap().unwrap();
    assert_eq!(ledger.events(0, 1).await.unwrap()[0].time, time.load(Ordering::SeqCst));
}
