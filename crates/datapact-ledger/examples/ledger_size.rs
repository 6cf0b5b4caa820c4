//! How fast an embedded ledger records accesses when it holds few entries and when it holds many:
//! the tool of `bench/ledger.sh`.
//!
//! ```text
//! ledger_size FOLDER ENTRIES...
//! ```
//! For each number a ledger is made in `FOLDER` and filled, through the port, by calls that wait
//! for each other's commits; then calls are timed one after the other, and in turns over all
//! ledgers, so that a busy moment of the machine does not hit one alone. At last a follower copies
//! each from its beginning.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapact_core::permission::AccessTimes;
use datapact_ledger::Ledger;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::follower::{Follower, FollowerConfig};
use datapact_ledger::tables::MIGRATIONS;
use datapact_local::testing::{Fixture, TestShare, TestUser, signing_key};
use datapact_log::clock::system_clock;
use datapact_log::note::KeyKind;
use datapact_store::Store;
use futures_util::StreamExt as _;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ID: &str = "ledger.example";
/// Calls under way while a ledger is filled.
const AT_ONCE: usize = 1024;
/// Consumers who access, in turn.
const CONSUMERS: usize = 100;
/// Calls that are timed, on each ledger.
const TIMED: usize = 2000;
/// In turns of so many.
const TURN: usize = 100;

struct Filled {
    entries: usize,
    ledger: Arc<EmbeddedLedger>,
    share: TestShare,
    took: Duration,
    times: Vec<Duration>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, sizes) = arguments.split_first().ok_or("usage: ledger_size FOLDER ENTRIES...")?;
    let folder = Path::new(folder);
    let fixture = Fixture::new(ID);
    let consumers: Vec<TestUser> =
        (0..CONSUMERS).map(|i| fixture.consumer(&format!("Consumer {i}"))).collect();
    let mut filled = Vec::new();
    for entries in sizes {
        filled.push(fill(&folder.join(entries), entries.parse()?, &fixture, &consumers).await?);
    }
    for _ in 0..TIMED / TURN {
        for one in &mut filled {
            for consumer in consumers.iter().cycle().take(TURN) {
                let (call, documents) = one.share.request(consumer);
                let start = Instant::now();
                one.ledger.execute(&call, &documents).await?;
                one.times.push(start.elapsed());
            }
        }
    }
    println!(
        "| entries | filled at, entries/s | one access, p50, ms | p99, ms | of the first's p50 | \
         database, bytes/entry | followed at, entries/s |\n|---|---|---|---|---|---|---|"
    );
    let mut first = None;
    for one in &mut filled {
        one.times.sort_unstable();
        let at = |percent: usize| {
            one.times.get(one.times.len() * percent / 100).map_or(0.0, Duration::as_secs_f64)
        };
        let ratio = at(50) / *first.get_or_insert(at(50));
        let path = folder.join(one.entries.to_string());
        let bytes = std::fs::metadata(&path)?.len();
        let size = (one.entries + TIMED) as f64;
        let followed = follow(&path, Arc::clone(&one.ledger)).await?;
        println!(
            "| {} | {:.0} | {:.2} | {:.2} | {ratio:.2} | {:.0} | {:.0} |",
            one.entries,
            one.entries as f64 / one.took.as_secs_f64(),
            at(50) * 1e3,
            at(99) * 1e3,
            bytes as f64 / size,
            size / followed.as_secs_f64()
        );
    }
    Ok(())
}

async fn fill(
    path: &Path,
    entries: usize,
    fixture: &Fixture,
    consumers: &[TestUser],
) -> Result<Filled> {
    let trust = fixture.trust();
    let config = EmbeddedConfig {
        key: signing_key(1, ID, KeyKind::Log),
        witnesses: Vec::new(),
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: system_clock(),
    };
    let ledger =
        Arc::new(EmbeddedLedger::open(Store::open(path, MIGRATIONS).await?, config).await?);
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await?;
    let start = Instant::now();
    let calls = consumers.iter().cycle().take(entries - 1).map(|consumer| share.request(consumer));
    let mut answers = futures_util::stream::iter(calls)
        .map(|(call, documents)| {
            let ledger = Arc::clone(&ledger);
            async move { ledger.execute(&call, &documents).await }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    drop(answers);
    Ok(Filled { entries, ledger, share, took: start.elapsed(), times: Vec::with_capacity(TIMED) })
}

/// How long a follower takes to copy and check the whole ledger.
async fn follow(path: &Path, ledger: Arc<EmbeddedLedger>) -> Result<Duration> {
    let config = FollowerConfig {
        log: signing_key(1, ID, KeyKind::Log).public().clone(),
        witness: Some(signing_key(2, "keys.example", KeyKind::Witness)),
        source: ledger,
        clock: system_clock(),
        chain: None,
        settling: Duration::ZERO,
    };
    let follower =
        Follower::open(Store::open(&path.with_extension("copy"), MIGRATIONS).await?, config)
            .await?;
    let start = Instant::now();
    follower.poll().await?;
    Ok(start.elapsed())
}
