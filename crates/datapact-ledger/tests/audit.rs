//! An exported log is audited by us and by an implementation that we did not write.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use datapact_core::permission::AccessTimes;
use datapact_local::testing::{Fixture, MemoryLog, signing_key};
use datapact_log::audit::{self, Report};
use datapact_log::entry::{DISORDER_SECONDS_MAX, Entry};
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{Checkpoint, KeyKind, SigningKey};
use datapact_log::source::Directory;

const ID: &str = "ledger.example";
const NOW: u64 = 1_800_000_000;

fn log_key() -> SigningKey {
    signing_key(1, ID, KeyKind::Log)
}

fn witness_key() -> SigningKey {
    signing_key(2, "keys.example", KeyKind::Witness)
}

fn policy() -> LogPolicy {
    LogPolicy::new(log_key().public(), &[witness_key().public().clone()]).unwrap()
}

/// A log of one share and `accesses`.
fn log(accesses: u64) -> MemoryLog {
    let log = MemoryLog::new(log_key());
    let fixture = Fixture::with_clock(ID, std::sync::Arc::new(|| NOW));
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let consumer = fixture.consumer("Consumer");
    let mut calls = vec![share.set().0];
    calls.extend((0..accesses).map(|_| share.request(&consumer).0));
    let bytes = |(i, call)| Entry::new(call, NOW + i).to_bytes().unwrap();
    log.edit(|entries| entries.extend((0..).zip(calls).map(bytes)));
    log
}

/// The log exported, under a checkpoint that the witness has cosigned.
async fn export(log: &MemoryLog, dir: &Path) {
    let note = log.checkpoint();
    let mut checkpoint = Checkpoint::open(note.as_bytes(), log_key().public(), &[]).unwrap();
    let line = witness_key().cosign(&checkpoint, NOW + 1000);
    checkpoint.add(witness_key().public(), &line).unwrap();
    log.alter("checkpoint", Some(checkpoint.to_string().into_bytes()));
    assert_eq!(audit::export(log, dir).await.unwrap(), checkpoint.size());
}

async fn verify(dir: &Path) -> Report {
    audit::verify(&Directory::new(dir), &policy()).await.unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_found_and_the_first_bad_entry_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("export");
    let log = log(259);
    export(&log, &target).await;
    let report = verify(&target).await;
    assert_eq!((report.size, report.fault), (260, None));
    assert_eq!(report.witnesses, ["keys.example"]);
    assert!(audit::export(&log, &target).await.is_err(), "never into a directory in use");

    let mut tried = 0;
    for file in files(&target) {
        let name = file.strip_prefix(&target).unwrap().to_str().unwrap().to_owned();
        let length = std::fs::metadata(&file).unwrap().len() as usize;
        // Where each entry begins in its bundle.
        let mut starts = Vec::new();
        if name.starts_with("tile/entries") {
            let bytes = std::fs::read(&file).unwrap();
            let mut at = 0;
            while at < bytes.len() {
                starts.push(at);
                at += 2 + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            }
        }
        // Every byte of the checkpoint, some of the tiles', and of some entries the length and the
        // content.
        let step = if name == "checkpoint" { 1 } else { length / 20 + 1 };
        let starts_tried = || starts.iter().step_by(29);
        for at in (0..length)
            .step_by(step)
            .chain(starts_tried().copied())
            .chain(starts_tried().map(|at| at + 1))
        {
            flip(&file, at);
            let fault = verify(&target)
                .await
                .fault
                .unwrap_or_else(|| panic!("{name}, byte {at}: not found"));
            let base = if name.contains("/001") { 256 } else { 0 };
            if !starts.is_empty() {
                let bad = starts.iter().rposition(|start| *start <= at).unwrap() as u64;
                assert_eq!(fault.position, Some(base + bad), "{name}, byte {at}: {}", fault.reason);
            } else if name.starts_with("tile/0/") {
                assert_eq!(
                    fault.position,
                    Some(base + at as u64 / 32),
                    "{name}, byte {at}: {}",
                    fault.reason
                );
            }
            flip(&file, at);
            tried += 1;
        }
    }
    assert!(tried > 300);
    assert_eq!(verify(&target).await.fault, None);
}

#[tokio::test]
async fn a_signed_log_that_breaks_the_contract_is_found_out() {
    let log = log(10);
    log.edit(|entries| {
        let mut entry = Entry::parse(&entries[10]).unwrap();
        entry.time = NOW - DISORDER_SECONDS_MAX - 1;
        entries[10] = entry.to_bytes().unwrap();
    });
    let policy = LogPolicy::new(log_key().public(), &[]).unwrap();
    let fault = audit::verify(&log, &policy).await.unwrap().fault.unwrap();
    assert_eq!(fault.position, Some(10));
    assert!(fault.reason.contains("before that of the entry before it"));
    log.edit(|entries| drop(entries.remove(0)));
    let fault = audit::verify(&log, &policy).await.unwrap().fault.unwrap();
    assert_eq!(fault.position, Some(0));
    assert!(fault.reason.contains("there is no such share"));
}

/// Go's `golang.org/x/mod/sumdb`, the implementation behind Go's own checksum database, or nothing
/// where there is no Go and this is not CI.
fn foreign_audit(binary: &Path, dir: &Path) -> Output {
    Command::new(binary).arg(log_key().public().to_string()).arg(dir).output().unwrap()
}

#[tokio::test]
async fn an_implementation_that_we_did_not_write_accepts_the_log_and_finds_one_flipped_byte() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("audit");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/ledger/audit");
    let built = Command::new("go")
        .args(["build", "-trimpath", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(source)
        .output();
    let built = match built {
        Ok(built) => built,
        Err(error) => {
            let reason = format!("the foreign audit needs Go 1.24 or newer: {error}");
            return datapact_test_tools::skip(&reason);
        }
    };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let target = dir.path().join("export");
    export(&log(700), &target).await;
    let output = foreign_audit(&binary, &target);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "701 entries of ledger.example are as signed");
    for (file, at) in [
        ("tile/entries/001", 5000),
        ("tile/entries/002.p/189", 40),
        ("tile/0/000", 77),
        ("tile/1/000.p/2", 3),
        ("checkpoint", 20),
    ] {
        flip(&target.join(file), at);
        let output = foreign_audit(&binary, &target);
        assert!(!output.status.success(), "a flipped byte in {file} was not found");
        flip(&target.join(file), at);
    }
    assert!(foreign_audit(&binary, &target).status.success());
}
