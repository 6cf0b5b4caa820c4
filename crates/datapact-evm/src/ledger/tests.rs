//! The adapter on nodes that answer, but not as a good node would.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::Bytes;
use alloy::sol_types::SolValue as _;
use datapact_ledger::port::TrustSource;
use datapact_local::testing::Fixture;
use datapact_log::clock::system_clock;
use serde_json::json;

use super::*;
use crate::test_node;

const CONTRACT: Address = Address::repeat_byte(7);

/// A node whose newest block was made `age` seconds ago, and how often it was asked.
fn node(age: u64) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let url = test_node::start(move |method, params| {
        counted.fetch_add(1, Ordering::SeqCst);
        let hash = format!("{:#066x}", 7);
        let answer = match method {
            "eth_chainId" => json!({ "result": "0x1" }),
            "eth_getBlockByNumber" => json!({ "result": {
                "number": "0x7", "hash": hash, "parentHash": hash, "transactions": [],
                "timestamp": crate::abi::quantity(system_clock()() - age),
            }}),
            "eth_getCode" => json!({ "result": "0xfe" }),
            "eth_call" => {
                let version = Registry::contractVersionCall {}.abi_encode();
                let is_version = params.to_string().contains(&hex::encode(version));
                let output =
                    if is_version { CONTRACT_VERSION.abi_encode() } else { CONTRACT.abi_encode() };
                json!({ "result": Bytes::from(output) })
            }
            other => json!({ "error": { "code": -32601, "message": other } }),
        };
        answer.into()
    });
    (url, asked)
}

fn ledger(endpoints: Vec<String>) -> EvmLedger {
    let config = EvmConfig {
        kind: KIND.to_owned(),
        chain_id: 1,
        contract: CONTRACT,
        implementation: CONTRACT,
        from_block: 1,
        endpoints,
        confirmations: 0,
        gas_price: 0,
        block_seconds: 1,
        signer: None,
    };
    let trust = Fixture::new("ledger.example").trust();
    let trust: Arc<dyn TrustSource> = Arc::new(move || Arc::clone(&trust));
    let options = ChainOptions { id: "ledger.example".to_owned(), trust, clock: system_clock() };
    EvmLedger::with(config, options).unwrap()
}

#[tokio::test]
async fn a_node_that_gets_no_blocks_is_left_for_one_that_does() {
    let (cut_off, _) = node(3600);
    let alone = ledger(vec![cut_off.clone()]);
    let error = alone.head().await.unwrap_err().to_string();
    assert!(error.contains("no new block for 36") && error.contains(&cut_off), "{error}");
    let (good, asked) = node(0);
    let both = ledger(vec![cut_off, good]);
    let end = Instant::now() + Duration::from_secs(30);
    while both.head().await.is_err() {
        assert!(
            Instant::now() < end,
            "the good node was asked {} times",
            asked.load(Ordering::SeqCst)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
