//! Accesses on a chain as fast as they go, then at 80 % of the bare transactions' best rate for a
//! while: first as bare transactions of the same calls, then by the adapter. Used by the load's
//! example and, in short, by a test.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy::consensus::TxLegacy;
use alloy::primitives::{B256, TxKind, U256};
use alloy::signers::local::PrivateKeySigner;
use datapact_core::contract::{Call, Documents, Receipt};
use datapact_core::permission::AccessTimes;
use datapact_evm::EvmLedger;
use datapact_evm::abi::{input, quantity, share_address};
use datapact_evm::config::EvmConfig;
use datapact_evm::network::Network;
use datapact_evm::rpc::Rpc;
use datapact_evm::signer::{FileSigner, sign};
use datapact_ledger::chain::ChainOptions;
use datapact_ledger::port::{EVENTS_MAX, Ledger as _};
use datapact_local::testing::{Fixture, TestShare, cpu_seconds};
use datapact_log::clock::system_clock;
use futures_util::future::join_all;
use tokio::sync::oneshot;

const ID: &str = "ledger.example";
/// How often both ask for new blocks.
const POLL: Duration = Duration::from_millis(200);

type Request = (Call, Documents);

/// Runs both, prints what they did, and asserts that each access offered is on the chain, and
/// once.
pub async fn run(network: &Network, count: usize, steady: Duration) {
    let config = EvmConfig::load(&network.ledger_file()).unwrap();
    let fixture = Fixture::new(ID);
    let trust = fixture.trust();
    let options = ChainOptions {
        id: ID.to_owned(),
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: system_clock(),
    };
    let ledger = EvmLedger::with(config.clone(), options).unwrap();
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await.unwrap();
    let mut all = Vec::new();

    let requests = offered(&fixture, &share, count, &mut all);
    let bare = Bare::new(&config).await;
    let began = Instant::now();
    join_all(requests.iter().map(|request| bare.execute(request))).await;
    let best = count as f64 / began.elapsed().as_secs_f64();
    println!("bare transactions, {count} at once: {best:.1} a second");

    let rate = best * 0.8;
    let number = (rate * steady.as_secs_f64()) as usize;
    let requests = offered(&fixture, &share, number, &mut all);
    let alone =
        at_rate(network, &requests, rate, "bare transactions", async |it| bare.execute(it).await)
            .await;
    drop(bare);

    // From here on the account is the adapter's alone, as it must be.
    let requests = offered(&fixture, &share, count, &mut all);
    let adapter =
        async |(call, documents): &Request| drop(ledger.execute(call, documents).await.unwrap());
    let began = Instant::now();
    join_all(requests.iter().map(adapter)).await;
    println!(
        "adapter, {count} at once: {:.1} a second",
        count as f64 / began.elapsed().as_secs_f64()
    );
    let requests = offered(&fixture, &share, number, &mut all);
    let median = at_rate(network, &requests, rate, "adapter", adapter).await;
    println!("added by the adapter: p50 {:.0} ms", 1000.0 * (median - alone));

    let mut recorded = recorded(&ledger).await;
    recorded.sort_unstable();
    all.sort_unstable();
    assert!(
        recorded == all,
        "{} accesses were offered, and {} are recorded",
        all.len(),
        recorded.len()
    );
}

fn offered(
    fixture: &Fixture,
    share: &TestShare,
    count: usize,
    all: &mut Vec<[u8; 32]>,
) -> Vec<Request> {
    let first = all.len();
    let request =
        |nth: usize| share.request(&fixture.consumer(&format!("Consumer {}", first + nth)));
    let requests: Vec<Request> = (0..count).map(request).collect();
    all.extend(requests.iter().filter_map(|(call, _)| match call {
        Call::RequestAccess(request) => Some(*request.request.as_bytes()),
        _ => None,
    }));
    requests
}

/// The accesses that the chain holds, in its order.
async fn recorded(ledger: &EvmLedger) -> Vec<[u8; 32]> {
    let (mut found, mut from) = (Vec::new(), 0);
    loop {
        let events = ledger.events(from, EVENTS_MAX).await.unwrap();
        let Some(last) = events.last() else { return found };
        from = last.position + 1;
        found.extend(events.iter().filter_map(|event| match &event.receipt {
            Receipt::Access(record) => Some(*record.request.request.as_bytes()),
            _ => None,
        }));
    }
}

/// Offers `requests` at `rate` a second, whether those before are done or not; the median of what
/// they took, in seconds.
async fn at_rate(
    network: &Network,
    requests: &[Request],
    rate: f64,
    name: &str,
    execute: impl AsyncFn(&Request),
) -> f64 {
    let (began, own, nodes) = (Instant::now(), cpu_seconds(std::process::id()), cpu_of(network));
    let execute = &execute;
    let tasks = requests.iter().enumerate().map(|(nth, request)| async move {
        let due = began + Duration::from_secs_f64(nth as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        execute(request).await;
        (Instant::now(), due.elapsed().as_secs_f64())
    });
    let done = join_all(tasks).await;
    // What was done by the time that the chain needs for the last ones, two blocks, after the load
    // has ended.
    let end =
        began + Duration::from_secs_f64(requests.len() as f64 / rate) + Duration::from_secs(2);
    let in_time = done.iter().filter(|(at, _)| *at <= end).count();
    let mut took: Vec<f64> = done.iter().map(|(_, seconds)| *seconds).collect();
    took.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    let each = |seconds: f64| 1000.0 * seconds / requests.len() as f64;
    println!(
        "{name}, {} offered at {rate:.1} a second: {:.1} % done in time, p50 {:.0} ms, \
         p99 {:.0} ms, CPU each: {:.1} ms here, {:.1} ms in the nodes",
        requests.len(),
        100.0 * in_time as f64 / requests.len() as f64,
        1000.0 * at(0.5),
        1000.0 * at(0.99),
        each(cpu_seconds(std::process::id()) - own),
        each(cpu_of(network) - nodes),
    );
    at(0.5)
}

/// Who signs transactions, hands them in, and waits for the blocks that hold them; nothing else.
struct Bare {
    config: EvmConfig,
    rpc: Arc<Rpc>,
    key: PrivateKeySigner,
    nonce: AtomicU64,
    waiting: Arc<Mutex<HashMap<B256, oneshot::Sender<()>>>>,
    following: tokio::task::JoinHandle<()>,
}

impl Bare {
    async fn new(config: &EvmConfig) -> Self {
        let rpc = Arc::new(Rpc::new(&config.endpoints, config.chain_id).unwrap());
        let key = FileSigner::new(config.signer.clone().unwrap()).key().await.unwrap();
        let nonce = AtomicU64::new(rpc.nonce(key.address(), "pending").await.unwrap());
        let waiting: Arc<Mutex<HashMap<B256, oneshot::Sender<()>>>> = Arc::default();
        let seen = rpc.latest().await.unwrap().number;
        let following = tokio::spawn(follow(Arc::clone(&rpc), seen, Arc::clone(&waiting)));
        Self { config: config.clone(), rpc, key, nonce, waiting, following }
    }

    async fn execute(&self, (call, _): &Request) {
        let transaction = TxLegacy {
            chain_id: Some(self.config.chain_id),
            nonce: self.nonce.fetch_add(1, Ordering::Relaxed),
            gas_price: 0,
            gas_limit: 400_000,
            to: TxKind::Call(share_address(
                self.config.contract,
                self.config.implementation,
                call.share(),
            )),
            value: U256::ZERO,
            input: input(call).1,
        };
        let (hash, raw) = sign(&self.key, transaction).unwrap();
        let (done, wait) = oneshot::channel();
        self.waiting.lock().unwrap().insert(hash, done);
        self.rpc.send(&raw).await.unwrap();
        wait.await.unwrap();
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Tells of the transactions in the blocks behind `seen`.
async fn follow(
    rpc: Arc<Rpc>,
    mut seen: u64,
    waiting: Arc<Mutex<HashMap<B256, oneshot::Sender<()>>>>,
) {
    loop {
        // The node that has not got it yet, or does not answer, is asked again.
        while let Ok(Some(block)) = rpc.block(&quantity(seen + 1)).await {
            seen += 1;
            let mut waiting = waiting.lock().unwrap();
            for done in block.transactions.iter().filter_map(|hash| waiting.remove(hash)) {
                let _ = done.send(());
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn cpu_of(network: &Network) -> f64 {
    network.running().iter().map(|node| cpu_seconds(node.process)).sum()
}
