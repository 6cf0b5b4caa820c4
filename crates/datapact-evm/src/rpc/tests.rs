//! Nodes that are down, slow, wrong or talk nonsense.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datapact_ledger::LedgerError;
use serde_json::{Value, json};

use super::*;
use crate::test_node::{self, Reply};

fn block(number: u64) -> Value {
    let hash = format!("{number:#066x}");
    json!({
        "number": quantity(number), "hash": hash, "parentHash": hash,
        "timestamp": "0x1", "transactions": [],
    })
}

/// A node of chain 1 that has one block, but for `method`.
fn node_but(method: &'static str, reply: impl Fn() -> Reply + Send + Sync + 'static) -> String {
    test_node::start(move |asked, _| match asked {
        _ if asked == method => reply(),
        "eth_chainId" => json!({ "result": "0x1" }).into(),
        "eth_getBlockByNumber" => json!({ "result": block(7) }).into(),
        _ => json!({ "error": { "code": -32601, "message": "no such method" } }).into(),
    })
}

#[tokio::test]
async fn a_nodes_address_is_shown_without_what_it_may_hide() {
    let url = "http://user:hunter2@127.0.0.1:9/v3/secret?token=secret".to_owned();
    let rpc = Rpc::new(&[url], 1).unwrap();
    let said = rpc.latest().await.unwrap_err().to_string();
    assert!(said.contains("http://127.0.0.1:9"), "{said}");
    assert!(!said.contains("secret") && !said.contains("hunter2"), "{said}");
    assert_eq!(rpc.preferred(), "http://127.0.0.1:9");
}

#[tokio::test]
async fn another_node_is_asked_when_one_is_down_wrong_or_talks_nonsense() {
    let good = node_but("", || unreachable!());
    let get_block = "eth_getBlockByNumber";
    let bad = [
        ("http://127.0.0.1:9".to_owned(), "127.0.0.1:9"),
        (
            node_but("eth_chainId", || json!({ "result": "0x2" }).into()),
            "is on chain 2, not on chain 1",
        ),
        (
            node_but("eth_chainId", || json!({ "result": 1 }).into()),
            "is not an Ethereum JSON-RPC node",
        ),
        (
            node_but(get_block, || json!({ "result": { "number": "seven" } }).into()),
            "unexpected answer",
        ),
        (node_but(get_block, || json!({ "result": block(7)["hash"] }).into()), "unexpected answer"),
        (
            node_but(get_block, || Reply::Raw(200, b"<html>".to_vec())),
            "status 200 OK and no JSON-RPC",
        ),
        (node_but(get_block, || Reply::Raw(503, b"{\"result\":null}".to_vec())), "status 503"),
        (node_but(get_block, || Reply::Raw(302, Vec::new())), "no JSON-RPC"),
        (node_but(get_block, || Reply::Raw(200, vec![b' '; ANSWER_BYTES_MAX + 1])), "is too long"),
        (node_but(get_block, || Reply::Raw(200, vec![b'['; 100_000])), "no JSON-RPC"),
        (node_but(get_block, || Reply::Silence(Duration::ZERO)), "127.0.0.1"),
    ];
    for (bad, say) in bad {
        let alone = Rpc::new(std::slice::from_ref(&bad), 1).unwrap();
        let error = alone.latest().await.unwrap_err().to_string();
        assert!(error.contains(say), "`{error}` does not say `{say}`");
        let both = Rpc::new(&[bad, good.clone()], 1).unwrap();
        assert_eq!(both.latest().await.unwrap().number, 7, "{say}");
        assert_eq!(both.preferred(), good, "{say}");
    }
}

#[tokio::test]
async fn a_node_that_hangs_is_left_after_a_while_and_not_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let hanging = node_but("eth_getBlockByNumber", move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Reply::Silence(Duration::from_secs(60))
    });
    let good = node_but("", || unreachable!());
    let rpc = Rpc::new(&[hanging, good], 1).unwrap();
    for _ in 0..3 {
        assert_eq!(rpc.latest().await.unwrap().number, 7);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// The words of GoQuorum (geth 1.10), anvil and Besu for what an operator can mend.
#[test]
fn what_nodes_refuse_is_told_by_what_to_do() {
    for (said, say) in [
        ("insufficient funds for gas * price + value", "fund it"),
        ("Insufficient funds for gas * price + value", "fund it"),
        ("Upfront cost exceeds account balance", "fund it"),
        ("transaction underpriced", "another `gas_price`"),
        ("max fee per gas less than block base fee", "another `gas_price`"),
        ("Gas price below configured minimum gas price", "another `gas_price`"),
        ("Gas price below current base fee", "another `gas_price`"),
        ("exceeds block gas limit", "block gas limit is too low"),
        ("Transaction gas limit exceeds block gas limit", "block gas limit is too low"),
        ("intrinsic gas too low", "block gas limit is too low"),
    ] {
        let endpoint = "http://node.example".to_owned();
        let error = RpcError::Node { endpoint, code: -32000, message: said.to_owned(), data: None };
        match LedgerError::from(error) {
            LedgerError::Misconfigured(told) => {
                assert!(
                    told.contains(say) && told.contains("node.example") && told.contains(said),
                    "{told}"
                );
            }
            other => panic!("`{said}`: {other}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_told_though_other_nodes_are_down_or_wrong() {
    let long = || Reply::Raw(200, vec![b' '; ANSWER_BYTES_MAX + 1]);
    let long = node_but("eth_getBlockByNumber", long);
    let wrong = node_but("eth_chainId", || json!({ "result": "0x2" }).into());
    let down = "http://127.0.0.1:9".to_owned();
    for endpoints in [[&long, &wrong, &down], [&down, &wrong, &long]] {
        let rpc = Rpc::new(&endpoints.map(Clone::clone), 1).unwrap();
        let error = rpc.latest().await.unwrap_err();
        assert!(matches!(error, RpcError::TooMuch(_)), "{error}");
    }
}
