//! Makes the golden vectors of `testdata/ledger/` again: `ledger_vectors DIRECTORY`. They are made
//! once and committed; `docs/spec/ledger-log.md` describes them.
#![allow(clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::contract::Call;
use datapact_core::document::UsageAction;
use datapact_core::permission::AccessTimes;
use datapact_local::testing::{Fixture, MemoryLog, ShareState, signing_key};
use datapact_log::audit;
use datapact_log::entry::Entry;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{Checkpoint, KeyKind, SigningKey};
use datapact_log::source::Directory;
use datapact_log::tree::{Edge, inclusion_proof, leaf_hash};
use serde_json::json;

const ID: &str = "ledger.example";
const NOW: u64 = 1_800_000_000;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let target = std::env::args_os().nth(1).ok_or("usage: ledger_vectors DIRECTORY")?;
    let target = Path::new(&target);
    std::fs::create_dir_all(target.join("logs"))?;
    let policy = LogPolicy::new(log_key().public(), &[witness_key().public().clone()])?;
    std::fs::write(target.join("policy"), policy.to_string())?;
    let keys = json!({
        "log": { "seed": hex::encode([1; 32]), "vkey": log_key().public().to_string() },
        "witness": { "seed": hex::encode([2; 32]), "vkey": witness_key().public().to_string() },
    });
    write_json(&target.join("keys.json"), &keys)?;
    write_json(&target.join("tree.json"), &tree())?;
    let entries = entries();
    logs(target, &policy, &entries).await?;
    proofs(target, &entries)?;
    Ok(())
}

fn log_key() -> SigningKey {
    signing_key(1, ID, KeyKind::Log)
}

fn witness_key() -> SigningKey {
    signing_key(2, "keys.example", KeyKind::Witness)
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), Failure> {
    Ok(std::fs::write(path, format!("{value:#}\n"))?)
}

/// Roots and inclusion proofs of trees whose entries are the numbers from 0, as 8 bytes,
/// big-endian.
fn tree() -> serde_json::Value {
    let mut trees = Vec::new();
    for size in [0_u64, 1, 2, 3, 5, 8, 255, 256, 257, 600, 65_537] {
        let mut edge = Edge::default();
        let mut tiles = std::collections::BTreeMap::new();
        for n in 0..size {
            edge.push(leaf_hash(&n.to_be_bytes()), |id, hashes| {
                tiles.insert(id, hashes);
            });
        }
        tiles.extend(edge.partial().map(|(id, hashes)| (id, hashes.to_vec())));
        let proof = |index: u64| {
            let proof =
                inclusion_proof(index, size, &mut |id| tiles.get(&id).cloned()).unwrap_or_default();
            let hashes: Vec<_> = proof.iter().map(|hash| STANDARD.encode(hash)).collect();
            json!({ "index": index, "hashes": hashes })
        };
        let mut indexes = vec![0, size / 2, size.saturating_sub(1)];
        indexes.dedup();
        let proofs: Vec<_> = indexes.into_iter().filter(|index| *index < size).map(proof).collect();
        trees.push(json!({ "size": size, "root": STANDARD.encode(edge.root()), "proofs": proofs }));
    }
    json!({ "entries": "n as 8 bytes, big-endian, for n from 0", "trees": trees })
}

/// Policy, two accesses of two allowed, a usage report, suspension, resumption.
fn calls() -> (Vec<Call>, Call, Call) {
    let fixture = Fixture::with_clock(ID, Arc::new(|| NOW));
    let mut share = fixture.share(AccessTimes::Times(2), |_| {});
    let consumer = fixture.consumer("Consumer");
    let mut calls = vec![share.set().0, share.request(&consumer).0];
    calls.push(share.report(&consumer, &calls[1], UsageAction::Opened).0);
    calls.push(share.request(&consumer).0);
    let third = share.request(&consumer).0;
    calls.push(share.next(|policy| policy.state = ShareState::Suspended).0);
    calls.push(share.next(|policy| policy.state = ShareState::Active).0);
    let mut stranger = fixture.share(AccessTimes::Unlimited, |_| {});
    let stolen = stranger.next(|policy| {
        policy.share = share.id();
        policy.previous = Some(share.policy.id());
        policy.version = 4;
    });
    (calls, third, stolen.0)
}

struct Entries {
    good: Vec<Vec<u8>>,
    third_access: Vec<u8>,
    stolen_share: Vec<u8>,
}

fn bytes(call: Call, time: u64) -> Vec<u8> {
    Entry::new(call, time).to_bytes().unwrap_or_default()
}

fn entries() -> Entries {
    let (calls, third, stolen) = calls();
    Entries {
        good: (NOW..).zip(calls).map(|(time, call)| bytes(call, time)).collect(),
        third_access: bytes(third, NOW + 4),
        stolen_share: bytes(stolen, NOW + 6),
    }
}

async fn write_log(target: &Path, name: &str, entries: &[Vec<u8>]) -> Result<(), Failure> {
    let log = MemoryLog::new(log_key());
    log.edit(|list| list.extend_from_slice(entries));
    let mut checkpoint = Checkpoint::open(log.checkpoint().as_bytes(), log_key().public(), &[])?;
    let line = witness_key().cosign(&checkpoint, NOW + 100);
    checkpoint.add(witness_key().public(), &line)?;
    log.alter("checkpoint", Some(checkpoint.to_string().into_bytes()));
    audit::export(&log, &target.join("logs").join(name)).await?;
    Ok(())
}

async fn logs(target: &Path, policy: &LogPolicy, entries: &Entries) -> Result<(), Failure> {
    let good = &entries.good;
    let with = |edit: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut changed = good.clone();
        edit(&mut changed);
        changed
    };
    let edited = |i: usize, edit: &dyn Fn(&mut Entry)| {
        with(&|list| {
            if let Ok(mut entry) = Entry::parse(&list[i]) {
                edit(&mut entry);
                list[i] = entry.to_bytes().unwrap_or_default();
            }
        })
    };
    let made: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("good", good.clone()),
        ("empty", Vec::new()),
        ("shorter", good[..4].to_vec()),
        ("fork", edited(2, &|entry| entry.time += 1)),
        ("third-access-of-two", with(&|list| list.insert(4, entries.third_access.clone()))),
        ("not-the-owner", with(&|list| list.push(entries.stolen_share.clone()))),
        ("time-goes-back", edited(3, &|entry| entry.time = NOW - 600)),
        ("repeat", with(&|list| list.push(list[5].clone()))),
        ("another-version", edited(5, &|entry| entry.version = 2)),
        ("not-canonical", with(&|list| list[1].push(b'\n'))),
        (
            "unknown-member",
            with(&|list| {
                let text = String::from_utf8_lossy(&list[0])
                    .replace(",\"version\":1}", ",\"version\":1,\"x\":1}");
                list[0] = text.into_bytes();
            }),
        ),
        ("damaged-entry", good.clone()),
        ("damaged-length", good.clone()),
        ("damaged-tile", good.clone()),
        ("damaged-root", good.clone()),
        ("damaged-cosignature", good.clone()),
        ("not-cosigned", good.clone()),
        ("missing-entries", good.clone()),
    ];
    let mut cases = Vec::new();
    for (name, list) in made {
        write_log(target, name, &list).await?;
        let dir = target.join("logs").join(name);
        let file = |name: &str| dir.join(name);
        let flip = |name: &str, at: usize| -> Result<(), Failure> {
            let mut bytes = std::fs::read(file(name))?;
            bytes[at] ^= 1;
            Ok(std::fs::write(file(name), bytes)?)
        };
        let note = std::fs::read_to_string(file("checkpoint"))?;
        match name {
            "damaged-entry" => flip("tile/entries/000.p/6", 2 + good[0].len() + 2 + 40)?,
            "damaged-length" => flip("tile/entries/000.p/6", 2 + good[0].len())?,
            "damaged-tile" => flip("tile/0/000.p/6", 4 * 32 + 9)?,
            "damaged-root" => flip("checkpoint", note.find('\n').unwrap_or(0) + 3 + 5)?,
            "damaged-cosignature" => {
                // A character that is base64 before and after.
                let plain = |at: &usize| {
                    note.as_bytes()[*at].is_ascii_lowercase() && note.as_bytes()[*at] < b'y'
                };
                flip("checkpoint", (note.len() - 60..).find(plain).unwrap_or(0))?;
            }
            "not-cosigned" => {
                let last = note.rfind('\u{2014}').unwrap_or(0);
                std::fs::write(file("checkpoint"), note.get(..last).unwrap_or_default())?;
            }
            "missing-entries" => std::fs::remove_file(file("tile/entries/000.p/6"))?,
            _ => {}
        }
        let result = match audit::verify(&Directory::new(&dir), policy).await {
            Ok(report) => match report.fault {
                None => json!({ "result": "valid", "size": report.size }),
                Some(fault) => {
                    json!({ "result": "fault", "position": fault.position, "reason": fault.reason })
                }
            },
            Err(_) => json!({ "result": "unreadable" }),
        };
        let mut case = json!({ "log": name });
        if let (Some(case), Some(result)) = (case.as_object_mut(), result.as_object()) {
            case.extend(result.clone());
        }
        cases.push(case);
    }
    let follow = json!([
        { "first": "shorter", "first_now": NOW + 10, "then": "good", "now": NOW + 20,
          "result": "valid" },
        { "first": "empty", "first_now": NOW - 10, "then": "good", "now": NOW + 20,
          "result": "valid" },
        { "first": "good", "first_now": NOW + 10, "then": "good", "now": NOW + 20,
          "result": "valid" },
        { "first": "good", "first_now": NOW + 10, "then": "shorter", "now": NOW + 20,
          "result": "fault", "position": 4, "reason": "rolled back" },
        { "first": "good", "first_now": NOW + 10, "then": "fork", "now": NOW + 20,
          "result": "fault", "position": 2, "reason": "signed two trees of 6 entries" },
        { "first": "shorter", "first_now": NOW + 10, "then": "fork", "now": NOW + 20,
          "result": "fault", "position": 2, "reason": "does not continue the one kept" },
        { "first": "shorter", "first_now": NOW + 1000, "then": "good", "now": NOW + 1001,
          "result": "fault", "position": 4, "reason": "away from this machine's clock" },
        { "first": "empty", "first_now": NOW - 100, "then": "good", "now": NOW - 57,
          "result": "unreadable" },
        { "first": "empty", "first_now": NOW, "then": "third-access-of-two", "now": NOW + 10,
          "result": "fault", "position": 4, "reason": "are used up" },
        { "first": "empty", "first_now": NOW, "then": "damaged-entry", "now": NOW + 10,
          "result": "fault", "position": 1, "reason": "not the one in the tree" },
        { "first": "empty", "first_now": NOW, "then": "missing-entries", "now": NOW + 10,
          "result": "unreadable" },
    ]);
    write_json(&target.join("cases.json"), &json!({ "audit": cases, "follow": follow }))
}

fn proofs(target: &Path, entries: &Entries) -> Result<(), Failure> {
    std::fs::create_dir_all(target.join("proofs"))?;
    let mut edge = Edge::default();
    entries.good.iter().for_each(|entry| edge.push(leaf_hash(entry), |_, _| {}));
    let tiles: std::collections::BTreeMap<_, _> =
        edge.partial().map(|(id, hashes)| (id, hashes.to_vec())).collect();
    let note = std::fs::read_to_string(target.join("logs/good/checkpoint"))?;
    let proof = |index: u64, note: &str| {
        let hashes =
            inclusion_proof(index, 6, &mut |id| tiles.get(&id).cloned()).unwrap_or_default();
        let lines: String = hashes.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
        format!("c2sp.org/tlog-proof@v1\nindex {index}\n{lines}\n{note}")
    };
    let uncosigned = std::fs::read_to_string(target.join("logs/not-cosigned/checkpoint"))?;
    let damaged = std::fs::read_to_string(target.join("logs/damaged-root/checkpoint"))?;
    let three = proof(3, &note);
    let fewer: String =
        three.lines().enumerate().filter(|(i, _)| *i != 2).map(|(_, l)| format!("{l}\n")).collect();
    let mut list = Vec::new();
    for (name, entry, text, result) in [
        ("entry-0", 0, proof(0, &note), "valid"),
        ("entry-3", 3, three.clone(), "valid"),
        ("entry-5", 5, proof(5, &note), "valid"),
        ("extra-data", 3, three.replacen("index", "extra YW55dGhpbmc=\nindex", 1), "valid"),
        ("of-another-entry", 2, three.clone(), "inclusion"),
        ("another-index", 3, three.replace("index 3", "index 2"), "inclusion"),
        ("beyond-the-tree", 3, three.replace("index 3", "index 6"), "inclusion"),
        ("a-hash-missing", 3, fewer, "inclusion"),
        ("not-cosigned", 3, proof(3, &uncosigned), "quorum"),
        ("another-root", 3, proof(3, &damaged), "checkpoint"),
        ("another-format", 3, three.replace("@v1", "@v2"), "malformed"),
        ("index-with-zero", 3, three.replace("index 3", "index 03"), "malformed"),
        ("short-hash", 3, three.replacen("=\n", "\n", 1), "malformed"),
        (
            "no-checkpoint",
            3,
            three.split("\n\n").next().unwrap_or_default().to_owned(),
            "malformed",
        ),
    ] {
        std::fs::write(target.join("proofs").join(format!("{name}.tlog-proof")), text)?;
        list.push(json!({ "proof": name, "entry": entry, "result": result }));
    }
    write_json(&target.join("proofs.json"), &json!(list))
}
