//! The golden vectors of `testdata/ledger/`, as `docs/spec/ledger-log.md` describes them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_ledger::LedgerError;
use datapact_ledger::follower::{Follower, FollowerConfig};
use datapact_ledger::tables::MIGRATIONS;
use datapact_log::audit::{self, AuditError};
use datapact_log::log_policy::{CheckpointError, LogPolicy};
use datapact_log::note::{KeyKind, SigningKey};
use datapact_log::proof::{Proof, ProofError};
use datapact_log::source::{Directory, LogSource, SourceError};
use datapact_log::tree::{Edge, Hash, leaf_hash, root_from_proof};
use datapact_store::Store;
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledger").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

fn policy() -> LogPolicy {
    std::fs::read_to_string(path("policy")).unwrap().parse().unwrap()
}

fn log(name: &Value) -> Directory {
    Directory::new(path("logs").join(name.as_str().unwrap()))
}

fn hash(text: &Value) -> Hash {
    STANDARD.decode(text.as_str().unwrap()).unwrap().try_into().unwrap()
}

#[test]
fn keys_are_made_from_their_seeds() {
    let keys = json("keys.json");
    for (name, key_name, kind) in
        [("log", "ledger.example", KeyKind::Log), ("witness", "keys.example", KeyKind::Witness)]
    {
        let seed: [u8; 32] =
            hex::decode(keys[name]["seed"].as_str().unwrap()).unwrap().try_into().unwrap();
        let key = SigningKey::parse(&SigningKey::text(&seed, key_name, kind).unwrap()).unwrap();
        assert_eq!(key.public().to_string(), keys[name]["vkey"].as_str().unwrap());
        assert!(policy().to_string().contains(&key.public().to_string()));
    }
}

#[test]
fn trees_have_their_roots_and_proofs() {
    let trees = json("tree.json");
    let trees = trees["trees"].as_array().unwrap();
    assert!(trees.len() > 10);
    for tree in trees {
        let size = tree["size"].as_u64().unwrap();
        let mut edge = Edge::default();
        (0..size).for_each(|n| edge.push(leaf_hash(&n.to_be_bytes()), |_, _| {}));
        assert_eq!(edge.root(), hash(&tree["root"]), "{size}");
        for proof in tree["proofs"].as_array().unwrap() {
            let index = proof["index"].as_u64().unwrap();
            let hashes: Vec<Hash> = proof["hashes"].as_array().unwrap().iter().map(hash).collect();
            let leaf = leaf_hash(&index.to_be_bytes());
            assert_eq!(
                root_from_proof(index, size, leaf, &hashes),
                Some(edge.root()),
                "{index} of {size}"
            );
        }
    }
}

#[tokio::test]
async fn audits_find_what_is_wrong() {
    let cases = json("cases.json");
    let cases = cases["audit"].as_array().unwrap();
    assert!(cases.len() > 15);
    for case in cases {
        let audited = audit::verify(&log(&case["log"]), &policy()).await;
        match (case["result"].as_str().unwrap(), audited) {
            ("valid", Ok(report)) => {
                assert_eq!(
                    (Some(report.size), report.fault),
                    (case["size"].as_u64(), None),
                    "{case}"
                );
            }
            ("fault", Ok(report)) => {
                let fault = report.fault.unwrap_or_else(|| panic!("{case}: not found"));
                assert_eq!(fault.position, case["position"].as_u64(), "{case}");
                assert_eq!(fault.reason, case["reason"].as_str().unwrap(), "{case}");
            }
            ("unreadable", Err(AuditError::Source(_))) => {}
            (_, other) => panic!("{case}: {other:?}"),
        }
    }
}

/// One log, then another in its place.
struct Changing(Mutex<Directory>);

#[async_trait]
impl LogSource for Changing {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let directory = self.0.lock().unwrap().clone();
        directory.fetch(path).await
    }

    async fn wait_newer(&self, _size: u64, _timeout: Duration) -> Result<(), SourceError> {
        Ok(())
    }
}

#[tokio::test]
async fn followers_stop_at_what_is_wrong() {
    let cases = json("cases.json");
    let cases = cases["follow"].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let dir = tempfile::tempdir().unwrap();
        let source = Arc::new(Changing(Mutex::new(log(&case["first"]))));
        let clock = Arc::new(AtomicU64::new(case["first_now"].as_u64().unwrap()));
        let time = clock.clone();
        let config = FollowerConfig {
            log: policy().logs()[0].clone(),
            witness: None,
            source: source.clone(),
            clock: Arc::new(move || time.load(Ordering::SeqCst)),
            chain: None,
            settling: Duration::ZERO,
        };
        let store = Store::open(&dir.path().join("copy"), MIGRATIONS).await.unwrap();
        let follower = Follower::open(store, config).await.unwrap();
        follower.poll().await.unwrap();
        *source.0.lock().unwrap() = log(&case["then"]);
        clock.store(case["now"].as_u64().unwrap(), Ordering::SeqCst);
        match (case["result"].as_str().unwrap(), follower.poll().await) {
            ("valid", Ok(_)) | ("unreadable", Err(LedgerError::Unavailable(_))) => {}
            ("fault", Err(LedgerError::Corrupt { position, reason })) => {
                assert_eq!(position, case["position"].as_u64(), "{case}: {reason}");
                assert!(reason.contains(case["reason"].as_str().unwrap()), "{case}: {reason}");
            }
            (_, other) => panic!("{case}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn proofs_prove_or_do_not() {
    let bundle = std::fs::read(path("logs/good/tile/entries/000.p/6")).unwrap();
    let mut entries = BTreeMap::new();
    let mut rest = bundle.as_slice();
    for position in 0.. {
        let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
        let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
        entries.insert(position, entry);
        rest = after;
    }
    let cases = json("proofs.json");
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let file = path("proofs").join(format!("{}.tlog-proof", case["proof"].as_str().unwrap()));
        let text = std::fs::read_to_string(file).unwrap();
        let entry = entries[&case["entry"].as_u64().unwrap()];
        let result = match text.parse::<Proof>().and_then(|proof| proof.verify(&policy(), entry)) {
            Ok(_) => "valid",
            Err(ProofError::Malformed) => "malformed",
            Err(ProofError::Checkpoint(CheckpointError::Note(_))) => "checkpoint",
            Err(ProofError::Checkpoint(CheckpointError::Quorum)) => "quorum",
            Err(ProofError::Inclusion) => "inclusion",
        };
        assert_eq!(result, case["result"].as_str().unwrap(), "{case}");
    }
}
