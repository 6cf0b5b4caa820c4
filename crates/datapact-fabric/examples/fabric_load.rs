//! What a Fabric network bears, and what of it Datapact makes use of: accesses on a network of two
//! organisations on this machine, as fast as they go, then at 80 % of the bare client's rate, by
//! the bare client (endorse, submit, commit status, of the same calls) and by the adapter: in
//! turns, for what each completes, then one call by the one and one by the other, for what the
//! adapter adds. Turns differ by more than that, since the network does not take the same time for
//! any two of them.
//!
//! `cargo build --release -p datapact-chaincode && cargo run --release -p datapact-fabric --example
//! fabric_load [raft|bft] [accesses]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapact_core::contract::{Call, Documents};
use datapact_core::permission::AccessTimes;
use datapact_fabric::gateway::{FabricConfig, FabricLedger, inspect};
use datapact_fabric::network::{Network, Options, Orderers, Programs};
use datapact_ledger::Ledger as _;
use datapact_ledger::chain::ChainOptions;
use datapact_local::testing::{Fixture, TestShare, cpu_seconds};
use datapact_log::clock::system_clock;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::iter;

const ID: &str = "ledger.example";
const WORKERS: usize = 200;
const SLICE: Duration = Duration::from_secs(5);
const SLICES: usize = 4;

type Request = (Call, Documents);

fn requests(fixture: &Fixture, share: &TestShare, count: usize) -> Vec<Request> {
    (0..count).map(|i| share.request(&fixture.consumer(&format!("Consumer {i}")))).collect()
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let orderers = match args.next().as_deref() {
        None | Some("raft") => Orderers::Raft,
        Some("bft") => Orderers::Bft,
        Some(other) => panic!("`{other}` is neither raft nor bft"),
    };
    let count: usize = args.next().map_or(1000, |text| text.parse().unwrap());
    let chaincode =
        std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("datapact-chaincode");
    let programs = Programs::find(None, Some(&chaincode)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { orderers, batch_timeout: Duration::from_millis(50), ledger: ID.to_owned() };
    let mut network = Network::open(&dir.path().join("network"), &options).unwrap();
    network.up(&programs).await.unwrap();
    let administrator = FabricConfig::load(&network.key_ledger_file()).unwrap().administrator;
    let config =
        FabricConfig { administrator, ..FabricConfig::load(&network.ledger_file()).unwrap() };
    let fixture = Fixture::new(ID);
    let trust = fixture.trust();
    let ledger = FabricLedger::with(
        config,
        ChainOptions {
            id: ID.to_owned(),
            trust: Arc::new(move || Arc::clone(&trust)),
            clock: system_clock(),
        },
    );
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await.unwrap();
    println!("{orderers:?} orderers, batch timeout {} ms", options.batch_timeout.as_millis());

    let mut rates = Vec::new();
    for bare in [true, false] {
        let offered = requests(&fixture, &share, count);
        let began = Instant::now();
        let latencies = iter(&offered)
            .map(|request| timed(&ledger, request, bare))
            .buffer_unordered(WORKERS)
            .collect::<Vec<_>>()
            .await;
        let rate = count as f64 / began.elapsed().as_secs_f64();
        println!(
            "{}, {WORKERS} at once: {rate:.1} a second, {}",
            WAYS[usize::from(!bare)],
            spread(latencies).1
        );
        rates.push(rate);
    }
    let rate = rates[0] * 0.8;
    println!("offered {rate:.1} a second, for {} s at a time", SLICE.as_secs());
    let each = (rate * SLICE.as_secs_f64()) as usize;
    let mut in_turns = [Steady::default(), Steady::default()];
    for slice in 0..2 * SLICES {
        let way = slice % 2;
        let offered = requests(&fixture, &share, each);
        let before = inspect::channel(ledger.gateway()).await.unwrap().height;
        let (own, nodes) = (cpu_seconds(std::process::id()), cpu_of(&network));
        let done = offer(&ledger, &offered, rate, |_| way).await;
        let steady = &mut in_turns[way];
        steady.own += cpu_seconds(std::process::id()) - own;
        steady.nodes += cpu_of(&network) - nodes;
        steady.blocks += inspect::channel(ledger.gateway()).await.unwrap().height - before;
        steady.take(&done);
    }
    println!("in turns, {SLICES} each");
    for (way, steady) in WAYS.iter().zip(in_turns) {
        let offered = steady.latencies.len() as f64;
        println!(
            "{way}: {}, {:.1} accesses in a block, CPU each: {:.1} ms here, {:.1} ms in \
             the network's programs",
            steady.text(),
            offered / steady.blocks as f64,
            1000.0 * steady.own / offered,
            1000.0 * steady.nodes / offered,
        );
    }
    let mut side_by_side = [Steady::default(), Steady::default()];
    for slice in 0..2 * SLICES {
        let offered = requests(&fixture, &share, each);
        // The first of each pair is of the one way in one slice, of the other in the next.
        let way = |nth: usize| (nth + slice) % 2;
        let done = offer(&ledger, &offered, rate, way).await;
        for (at, steady) in side_by_side.iter_mut().enumerate() {
            let of_it = done.iter().enumerate().filter(|(nth, _)| way(*nth) == at);
            steady.take(&of_it.map(|(_, done)| *done).collect::<Vec<_>>());
        }
    }
    println!("side by side, {} times", 2 * SLICES);
    for (way, steady) in WAYS.iter().zip(&side_by_side) {
        println!("{way}: {}", steady.text());
    }
    let [bare, adapter] = side_by_side.map(|steady| spread(steady.latencies).0);
    println!("added by the adapter: p50 {:.1} ms", adapter - bare);
    network.down().await.unwrap();
}

/// The ways of asking.
const WAYS: [&str; 2] = ["bare client", "adapter"];

/// When the answer was there, since the load began, and how long after it was due.
type Answered = (Duration, Duration);

/// Offers all at a rate, each in its way, and waits for all.
async fn offer(
    ledger: &FabricLedger,
    offered: &[Request],
    rate: f64,
    way: impl Fn(usize) -> usize,
) -> Vec<Answered> {
    let began = Instant::now();
    let tasks = offered.iter().enumerate().map(|(nth, request)| {
        let bare = way(nth) == 0;
        async move {
            let due = began + Duration::from_secs_f64(nth as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
            timed(ledger, request, bare).await;
            (began.elapsed(), due.elapsed())
        }
    });
    join_all(tasks).await
}

/// What was seen of one way of asking, in all of its turns.
#[derive(Default)]
struct Steady {
    latencies: Vec<Duration>,
    medians: Vec<String>,
    in_time: usize,
    blocks: u64,
    own: f64,
    nodes: f64,
}

impl Steady {
    fn take(&mut self, done: &[Answered]) {
        // What was done within the time that the last ones need after the load has ended.
        self.in_time += done.iter().filter(|(at, _)| *at <= SLICE + Duration::from_secs(1)).count();
        let latencies: Vec<Duration> = done.iter().map(|(_, latency)| *latency).collect();
        self.medians.push(format!("{:.0}", spread(latencies.clone()).0));
        self.latencies.extend(latencies);
    }

    fn text(&self) -> String {
        let done = 100.0 * self.in_time as f64 / self.latencies.len() as f64;
        let (spread, medians) = (spread(self.latencies.clone()).1, self.medians.join(", "));
        format!("{done:.1} % done in time, {spread} (p50 each time: {medians})")
    }
}

async fn timed(ledger: &FabricLedger, (call, documents): &Request, bare: bool) -> Duration {
    let began = Instant::now();
    if bare {
        let args = [serde_json_canonicalizer::to_vec(call).unwrap()];
        let documents = serde_json_canonicalizer::to_vec(documents).unwrap();
        let transient = BTreeMap::from([("documents".to_owned(), documents)]);
        ledger.gateway().invoke("execute", args, transient).await.unwrap();
    } else {
        ledger.execute(call, documents).await.unwrap();
    }
    began.elapsed()
}

fn spread(mut latencies: Vec<Duration>) -> (f64, String) {
    latencies.sort_unstable();
    let at = |part: f64| {
        1000.0 * latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64()
    };
    let (median, late) = (at(0.5), at(0.99));
    (median, format!("latency p50 {median:.1} ms, p99 {late:.1} ms"))
}

fn cpu_of(network: &Network) -> f64 {
    network.running().iter().map(|node| cpu_seconds(node.process)).sum()
}
