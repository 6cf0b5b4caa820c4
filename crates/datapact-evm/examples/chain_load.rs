//! What a chain bears, and what of it Datapact makes use of: accesses on a QBFT network of four validators on this machine, first
//! as bare transactions, then by the adapter as fast as it can, then at 80 % of the bare rate for a while.
//!
//! `cargo run --release -p datapact-evm --example chain_load [accesses]`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::consensus::TxLegacy;
use alloy::primitives::{TxKind, U256};
use datapact_core::contract::{Call, Documents};
use datapact_core::permission::AccessTimes;
use datapact_evm::abi;
use datapact_evm::config::EvmConfig;
use datapact_evm::network::{Kind, Network, geth};
use datapact_evm::rpc::Rpc;
use datapact_evm::signer::{FileSigner, sign};
use datapact_evm::{EvmLedger, EvmOptions};
use datapact_ledger::Ledger as _;
use datapact_ledger::port::system_clock;
use datapact_ledger::testing::{Fixture, TestShare};
use futures_util::StreamExt as _;
use futures_util::stream::iter;

const ID: &str = "ledger.example";
const WORKERS: usize = 256;
const STEADY: Duration = Duration::from_secs(20);

type Requests = Vec<(Call, Documents)>;

fn requests(fixture: &Fixture, share: &TestShare, count: usize) -> Requests {
    (0..count).map(|i| share.request(&fixture.consumer(&format!("Consumer {i}")))).collect()
}

#[tokio::main]
async fn main() {
    let count: usize = std::env::args().nth(1).map_or(1000, |text| text.parse().unwrap());
    let program = geth(None).await.unwrap();
    let dir = std::env::temp_dir().join(format!("datapact-chain-load-{}", std::process::id()));
    let mut network = Network::open(&dir, Kind::Quorum, 4).unwrap();
    network.up(&program).await.unwrap();
    let config = EvmConfig::load(&network.ledger_file()).unwrap();
    let fixture = Fixture::new(ID);
    let trust = fixture.trust();
    let options =
        EvmOptions { id: ID.to_owned(), trust: Arc::new(move || Arc::clone(&trust)), clock: system_clock() };
    let ledger = EvmLedger::with(config.clone(), options).unwrap();
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await.unwrap();

    let raw = bare(&config, requests(&fixture, &share, count)).await;
    println!("bare transactions: {count} in blocks, {raw:.1} a second");

    let offered = requests(&fixture, &share, count);
    let began = Instant::now();
    let latencies = executed(&ledger, &offered).await;
    let best = count as f64 / began.elapsed().as_secs_f64();
    println!("adapter, {WORKERS} at once: {best:.1} a second, {}", spread(latencies));

    let rate = raw * 0.8;
    let offered = requests(&fixture, &share, (rate * STEADY.as_secs_f64()) as usize);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let tasks = offered.iter().enumerate().map(|(nth, (call, documents))| {
        let ledger = &ledger;
        async move {
            let due = began + Duration::from_secs_f64(nth as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
            ledger.execute(call, documents).await.unwrap();
            (Instant::now(), due.elapsed())
        }
    });
    let done = futures_util::future::join_all(tasks).await;
    // What was done by the time that the chain needs for the last ones, two blocks, after the load has ended.
    let end = began + STEADY + Duration::from_secs(2);
    let in_time = done.iter().filter(|(at, _)| *at <= end).count();
    println!(
        "offered {rate:.1} a second for {} s: {:.1} % done in time, {}, {:.1} ms of CPU each",
        STEADY.as_secs(),
        100.0 * in_time as f64 / offered.len() as f64,
        spread(done.iter().map(|(_, latency)| *latency).collect()),
        1000.0 * (cpu_seconds() - cpu) / offered.len() as f64
    );
    network.down().await.unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The same calls signed beforehand and handed in at once: how many a second get into blocks.
async fn bare(config: &EvmConfig, requests: Requests) -> f64 {
    let rpc = Rpc::new(&config.endpoints, config.chain_id).unwrap();
    let key = FileSigner::new(config.signer.clone().unwrap()).key().await.unwrap();
    let first = rpc.nonce(key.address(), "pending").await.unwrap();
    let signed: Vec<_> = requests
        .iter()
        .enumerate()
        .map(|(nth, (call, _))| {
            let to = abi::share_address(config.contract, config.implementation, call.share());
            let transaction = TxLegacy {
                chain_id: Some(config.chain_id),
                nonce: first + nth as u64,
                gas_price: 0,
                gas_limit: 400_000,
                to: TxKind::Call(to),
                value: U256::ZERO,
                input: abi::input(call).1,
            };
            sign(&key, transaction).unwrap()
        })
        .collect();
    let began = Instant::now();
    for (_, raw) in &signed {
        rpc.send(raw).await.unwrap();
    }
    let (last, _) = signed.last().unwrap();
    while rpc.receipt(*last).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    signed.len() as f64 / began.elapsed().as_secs_f64()
}

async fn executed(ledger: &EvmLedger, requests: &Requests) -> Vec<Duration> {
    iter(requests)
        .map(|(call, documents)| async move {
            let began = Instant::now();
            ledger.execute(call, documents).await.unwrap();
            began.elapsed()
        })
        .buffer_unordered(WORKERS)
        .collect()
        .await
}

fn spread(mut latencies: Vec<Duration>) -> String {
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_millis();
    format!("latency p50 {} ms, p99 {} ms", at(0.5), at(0.99))
}

/// What this process has used, by the system's own account.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
