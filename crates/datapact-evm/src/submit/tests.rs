//! The submitter against a node that takes, refuses and counts as it is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use alloy::primitives::{Address, Bytes};
use serde_json::{Value, json};

use super::Submitter;
use crate::rpc::Rpc;
use crate::signer::{self, FileSigner};
use crate::test_node::{self, Reply};

const FIRST_NONCE: u64 = 7;

/// The transactions handed in so far, and which of them are refused: those whose number `refused`
/// holds, and not before as many as `after` have come.
struct Node {
    sent: Mutex<Vec<Vec<u8>>>,
    more: Condvar,
    refused: Vec<usize>,
    after: usize,
    /// Whether transactions are taken and their answers lost.
    is_silent: AtomicBool,
}

impl Node {
    fn start(refused: Vec<usize>, after: usize) -> (Arc<Self>, String) {
        let node = Arc::new(Self {
            sent: Mutex::default(),
            more: Condvar::new(),
            refused,
            after,
            is_silent: AtomicBool::new(false),
        });
        let answering = Arc::clone(&node);
        let url = test_node::start(move |method, params| {
            let answer = answering.answer(method, params);
            if method == "eth_sendRawTransaction" && answering.is_silent.load(Ordering::SeqCst) {
                return Reply::Silence(Duration::ZERO);
            }
            answer.into()
        });
        (node, url)
    }

    fn answer(&self, method: &str, params: &Value) -> Value {
        match method {
            "eth_chainId" => json!({ "result": "0x1" }),
            "eth_getTransactionCount" => json!({ "result": format!("{FIRST_NONCE:#x}") }),
            "eth_sendRawTransaction" => {
                let raw = hex::decode(&params[0].as_str().unwrap()[2..]).unwrap();
                let mut sent = self.sent.lock().unwrap();
                sent.push(raw);
                let number = sent.len();
                self.more.notify_all();
                if !self.refused.contains(&number) {
                    return json!({ "result": format!("0x{}", "00".repeat(32)) });
                }
                drop(self.more.wait_while(sent, |sent| sent.len() < self.after).unwrap());
                json!({ "error": { "code": -32000, "message": "txpool is full" } })
            }
            other => json!({ "error": { "code": -32601, "message": other } }),
        }
    }

    /// The nonces in the order in which they came: the first field of a transaction of less than
    /// 256 bytes.
    fn nonces(&self) -> Vec<u64> {
        self.sent
            .lock()
            .unwrap()
            .iter()
            .map(|raw| if raw[0] == 0xf8 { raw[2] } else { raw[1] }.into())
            .collect()
    }
}

fn submitter(url: &str, folder: &std::path::Path) -> Submitter {
    let rpc = Arc::new(Rpc::new(&[url.to_owned()], 1).unwrap());
    let (config, _) = signer::make(folder).unwrap();
    Submitter::new(rpc, FileSigner::new(config), 1, 0)
}

fn input(byte: u8) -> Bytes {
    vec![byte; 4].into()
}

#[tokio::test]
async fn a_nonce_that_a_node_refused_is_given_out_again() {
    let (node, url) = Node::start(vec![2], 0);
    let folder = tempfile::tempdir().unwrap();
    let submitter = submitter(&url, folder.path());
    let to = Address::repeat_byte(1);
    submitter.submit(to, input(1), 100_000).await.unwrap();
    let error = submitter.submit(to, input(2), 100_000).await.err().unwrap();
    assert!(error.to_string().contains("txpool is full"), "{error}");
    assert!(submitter.find(to, &input(2)).is_none(), "it is not under way");
    let again = submitter.submit(to, input(2), 100_000).await.unwrap();
    let same = submitter.submit(to, input(2), 100_000).await.unwrap();
    assert!(Arc::ptr_eq(&again, &same), "the same input is never under way twice");
    assert_eq!(node.nonces(), [7, 8, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_no_call_fills_is_closed() {
    let (node, url) = Node::start(vec![1], 2);
    let folder = tempfile::tempdir().unwrap();
    let submitter = submitter(&url, folder.path());
    let to = Address::repeat_byte(1);
    // The first to come is refused once the other is there.
    let one = submitter.submit(to, input(1), 100_000);
    let other = submitter.submit(to, input(2), 100_000);
    let (one, other) = tokio::join!(one, other);
    assert_ne!(one.is_ok(), other.is_ok());
    let refused = node.nonces()[0];
    submitter.tend(0).await;
    // Only a nonce before another is filled; the last one is given out again.
    let expected = if refused == FIRST_NONCE { vec![7, 8, 7] } else { vec![8, 7] };
    assert_eq!(node.nonces(), expected);
    submitter.submit(to, input(3), 100_000).await.unwrap();
    assert_eq!(node.nonces().last(), Some(&(if refused == FIRST_NONCE { 9 } else { 8 })));
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_is_under_way_and_no_other_is_made_for_it() {
    let (node, url) = Node::start(Vec::new(), 0);
    let folder = tempfile::tempdir().unwrap();
    let submitter = submitter(&url, folder.path());
    let to = Address::repeat_byte(1);
    node.is_silent.store(true, Ordering::SeqCst);
    let lost = submitter.submit(to, input(1), 100_000).await.unwrap();
    node.is_silent.store(false, Ordering::SeqCst);
    let again = submitter.submit(to, input(1), 100_000).await.unwrap();
    assert!(Arc::ptr_eq(&lost, &again));
    submitter.submit(to, input(2), 100_000).await.unwrap();
    assert_eq!(node.nonces(), [7, 8]);
}

#[tokio::test]
async fn a_key_that_was_replaced_submits_from_then_on_and_a_broken_one_says_so() {
    let (node, url) = Node::start(Vec::new(), 0);
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let submitter = submitter(&url, folder.path());
    let to = Address::repeat_byte(1);
    submitter.submit(to, input(1), 100_000).await.unwrap();
    let former = submitter.account().await.unwrap();
    let (_, account) = signer::make(other.path()).unwrap();
    for name in ["signer.json", "signer.passphrase"] {
        std::fs::rename(other.path().join(name), folder.path().join(name)).unwrap();
    }
    assert_eq!(submitter.account().await.unwrap(), account);
    assert_ne!(account, former);
    // Its own nonces, from the first one on.
    submitter.submit(to, input(2), 100_000).await.unwrap();
    assert_eq!(node.nonces(), [7, 7]);
    std::fs::write(folder.path().join("signer.passphrase"), "wrong").unwrap();
    let error = submitter.submit(to, input(3), 100_000).await.err().unwrap().to_string();
    assert!(error.contains("signer.json") && error.contains("signer.passphrase"), "{error}");
}
