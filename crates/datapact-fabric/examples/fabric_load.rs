//! What a Fabric network bears, and what of it Datapact makes use of: accesses on a network of two organisations on this
//! machine, as fast as they go, then at 80 % of the bare client's rate, by the bare client (endorse, submit, commit status, of
//! the same calls) and by the adapter in turns.
//!
//! `cargo build --release -p datapact-fabric && cargo run --release -p datapact-fabric --example fabric_load [raft|bft] [accesses]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapact_core::contract::{Call, Documents};
use datapact_core::permission::AccessTimes;
use datapact_fabric::gateway::{FabricConfig, FabricLedger, FabricOptions, inspect};
use datapact_fabric::network::{Network, Options, Orderers, Programs};
use datapact_ledger::Ledger as _;
use datapact_ledger::port::system_clock;
use datapact_ledger::testing::{Fixture, TestShare};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::iter;

const ID: &str = "ledger.example";
const WORKERS: usize = 200;
/// Both take turns at 80 %, so that what changes on the machine or in the network changes for both.
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
    let chaincode = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("datapact-chaincode");
    let programs = Programs::find(None, Some(&chaincode)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = Options { orderers, batch_timeout: Duration::from_millis(50), ledger: ID.to_owned() };
    let mut network = Network::open(&dir.path().join("network"), &options).unwrap();
    network.up(&programs).await.unwrap();
    let administrator = FabricConfig::load(&network.key_ledger_file()).unwrap().administrator;
    let config = FabricConfig { administrator, ..FabricConfig::load(&network.ledger_file()).unwrap() };
    let fixture = Fixture::new(ID);
    let trust = fixture.trust();
    let ledger = FabricLedger::with(
        config,
        FabricOptions {
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
        println!("{}, {WORKERS} at once: {rate:.1} a second, {}", name(bare), spread(latencies).2);
        rates.push(rate);
    }
    let rate = rates[0] * 0.8;
    let mut of_both = [Steady::default(), Steady::default()];
    for slice in 0..2 * SLICES {
        let bare = slice % 2 == 0;
        let steady = &mut of_both[usize::from(!bare)];
        let offered = requests(&fixture, &share, (rate * SLICE.as_secs_f64()) as usize);
        let before = inspect::channel(ledger.gateway()).await.unwrap().height;
        let (began, own, nodes) = (Instant::now(), cpu_seconds(std::process::id()), cpu_of(&network));
        let tasks = offered.iter().enumerate().map(|(nth, request)| {
            let ledger = &ledger;
            async move {
                let due = began + Duration::from_secs_f64(nth as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                timed(ledger, request, bare).await;
                (Instant::now(), due.elapsed())
            }
        });
        let done = join_all(tasks).await;
        steady.own += cpu_seconds(std::process::id()) - own;
        steady.nodes += cpu_of(&network) - nodes;
        steady.blocks += inspect::channel(ledger.gateway()).await.unwrap().height - before;
        // What was done within the time that the last ones need after the load has ended.
        let end = began + SLICE + Duration::from_secs(1);
        steady.in_time += done.iter().filter(|(at, _)| *at <= end).count();
        let latencies: Vec<Duration> = done.iter().map(|(_, latency)| *latency).collect();
        steady.medians.push(format!("{:.0}", spread(latencies.clone()).0));
        steady.latencies.extend(latencies);
    }
    println!("offered {rate:.1} a second, in turns of {} s, {SLICES} each", SLICE.as_secs());
    let mut medians = Vec::new();
    for (bare, steady) in [true, false].into_iter().zip(of_both) {
        let offered = steady.latencies.len() as f64;
        let (median, _, text) = spread(steady.latencies);
        println!(
            "{}: {:.1} % done in time, {text} (p50 of each turn: {}), {:.1} accesses in a block, CPU each: {:.1} ms here, \
             {:.1} ms in the network's programs",
            name(bare),
            100.0 * steady.in_time as f64 / offered,
            steady.medians.join(", "),
            offered / steady.blocks as f64,
            1000.0 * steady.own / offered,
            1000.0 * steady.nodes / offered,
        );
        medians.push(median);
    }
    println!("added by the adapter: p50 {:.1} ms", medians[1] - medians[0]);
    network.down().await.unwrap();
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

fn name(bare: bool) -> &'static str {
    if bare { "bare client" } else { "adapter" }
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

fn spread(mut latencies: Vec<Duration>) -> (f64, f64, String) {
    latencies.sort_unstable();
    let at = |part: f64| 1000.0 * latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64();
    let (median, late) = (at(0.5), at(0.99));
    (median, late, format!("latency p50 {median:.1} ms, p99 {late:.1} ms"))
}

fn cpu_of(network: &Network) -> f64 {
    network.running().iter().map(|node| cpu_seconds(node.process)).sum()
}

/// What a process has used, by the system's own account.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
