//! Reading a long chain from a node that gives no more than it likes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::{Address, FixedBytes};
use alloy::sol_types::SolEvent as _;
use datapact_ledger::LedgerError;
use datapact_ledger::blocks::position;
use datapact_log::Position;
use serde_json::{Value, json};

use crate::abi::quantity;
use crate::abi::sol_types::{RecordUsage, Registry};
use crate::chain::Chain;
use crate::config::{EvmConfig, KIND};
use crate::rpc::Rpc;
use crate::test_node;

const BLOCKS: u64 = 6000;
const CONTRACT: Address = Address::repeat_byte(7);

fn block(number: u64) -> Value {
    let hash = |number: u64| format!("{number:#066x}");
    json!({
        "number": quantity(number),
        "hash": hash(number),
        "parentHash": hash(number.wrapping_sub(1)),
        "timestamp": "0x1", "transactions": [],
    })
}

fn log(block: u64, place: u64) -> Value {
    let id = FixedBytes::<32>::with_last_byte(1);
    let (share, call) = (
        FixedBytes::ZERO,
        RecordUsage { share: FixedBytes::ZERO, request: id, report: id, consumer: id },
    );
    let event = Registry::UsageRecorded { share, request: id, report: id, call, time: block };
    let data = event.encode_log_data();
    json!({
        "address": CONTRACT, "topics": data.topics(), "data": data.data,
        "blockNumber": quantity(block),
        "logIndex": quantity(place), "transactionHash": format!("{block:#066x}"),
    })
}

fn number(quantity: &Value) -> u64 {
    u64::from_str_radix(quantity.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// A chain of which `logs` tells what the node says of two blocks and all between.
async fn chain(logs: impl Fn(u64, u64) -> Value + Send + Sync + 'static) -> Chain {
    let url = test_node::start(move |method, params| {
        let answer = match method {
            "eth_chainId" => json!({ "result": "0x1" }),
            "eth_getBlockByNumber" if params[0] == "latest" => json!({ "result": block(BLOCKS) }),
            "eth_getBlockByNumber" => json!({ "result": block(number(&params[0])) }),
            "eth_getLogs" => logs(number(&params[0]["fromBlock"]), number(&params[0]["toBlock"])),
            other => json!({ "error": { "code": -32601, "message": other } }),
        };
        answer.into()
    });
    let config = EvmConfig {
        kind: KIND.to_owned(),
        chain_id: 1,
        contract: CONTRACT,
        implementation: CONTRACT,
        from_block: 1,
        endpoints: vec![url],
        confirmations: 0,
        gas_price: 0,
        block_seconds: 1,
        signer: None,
    };
    let rpc = Arc::new(Rpc::new(&config.endpoints, 1).unwrap());
    let chain = Chain::new(rpc, &config, Arc::new(|| 1));
    chain.advance(|_| ()).await.unwrap();
    chain
}

#[tokio::test]
async fn a_busy_chain_is_read_from_a_node_that_gives_little_at_once() {
    // Nothing for a long time, then five events in each block; a node gives a thousand at most.
    let first = 4000;
    let (asked, given) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (Arc::clone(&asked), Arc::clone(&given));
    let chain = chain(move |from, to| {
        counted.0.fetch_add(1, Ordering::SeqCst);
        let blocks = from.max(first)..=to;
        if blocks.clone().count() > 200 {
            let message = "query returned more than 1000 results";
            return json!({ "error": { "code": -32005, "message": message } });
        }
        let logs = blocks.flat_map(|block| (0..5).map(move |place| log(block, place)));
        let logs: Vec<Value> = logs.collect();
        counted.1.fetch_add(logs.len(), Ordering::SeqCst);
        json!({ "result": logs })
    })
    .await;
    let mut read: Vec<Position> = Vec::new();
    loop {
        let from = read.last().map_or(0, |last| last + 1);
        let events = chain.events(from, 256).await.unwrap();
        if events.is_empty() {
            break;
        }
        read.extend(events.iter().map(|event| event.position));
    }
    let all: Vec<Position> = (first..=BLOCKS)
        .flat_map(|block| (0..5).map(move |place| position(block, place)))
        .collect();
    assert!(read == all, "{} of {} events", read.len(), all.len());
    // No more than about twice of what there is, and in no more answers than it takes.
    let (asked, given) = (asked.load(Ordering::SeqCst), given.load(Ordering::SeqCst));
    assert!(given < 3 * all.len() && asked < 200, "{given} events in {asked} answers");
}

#[tokio::test]
async fn events_that_are_out_of_order_or_of_other_blocks_are_not_taken() {
    for bad in [
        vec![log(10, 1), log(10, 0)],
        vec![log(10, 1), log(10, 1)],
        vec![log(11, 0), log(10, 0)],
        vec![log(BLOCKS + 1, 0)],
        vec![log(0, 0)],
    ] {
        let chain = chain(move |_, _| json!({ "result": bad })).await;
        let error = chain.events(0, 256).await.unwrap_err();
        assert!(
            matches!(&error, LedgerError::Unavailable(why) if why.contains("not in order")),
            "{error}"
        );
    }
}
