//! A ledger whose process is killed in the middle of writing has lost nothing that it answered.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use datapact_ledger::Ledger;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::tables::MIGRATIONS;
use datapact_local::testing::{Fixture, signing_key};
use datapact_log::audit;
use datapact_log::clock::system_clock;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::KeyKind;
use datapact_store::Store;

/// The example beside this test's own program, which cargo builds with the tests.
fn writer() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("examples/ledger_writer");
    assert!(
        path.exists(),
        "run the whole of `cargo test -p datapact-ledger`, which builds its examples"
    );
    path
}

#[tokio::test]
async fn what_was_answered_before_a_kill_is_there_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("ledger");
    let mut size_before = 0;
    for round in 0..4 {
        let mut child =
            Command::new(writer()).arg(&database).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut answered: Vec<u64> = Vec::new();
        for line in lines.by_ref().take(50 + 77 * round) {
            answered.push(line.unwrap().parse().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had still said before it died was answered too, but for a last line that was cut
        // short.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let whole = rest.len().saturating_sub(1);
        answered.extend(rest.iter().take(whole).map(|line| line.parse::<u64>().unwrap()));

        let fixture = Fixture::new("ledger.example");
        let trust = fixture.trust();
        let key = signing_key(1, "ledger.example", KeyKind::Log);
        let policy = LogPolicy::new(key.public(), &[]).unwrap();
        let config = EmbeddedConfig {
            key,
            witnesses: Vec::new(),
            trust: Arc::new(move || Arc::clone(&trust)),
            clock: system_clock(),
        };
        let store = Store::open(&database, MIGRATIONS).await.unwrap();
        let ledger = EmbeddedLedger::open(store, config).await.unwrap();
        let size = ledger.info().await.unwrap().size;
        assert!(answered.len() >= 50);
        for position in answered {
            assert!(size_before <= position && position < size, "{position} of {size} is lost");
            assert_eq!(
                ledger.events(position, 1).await.unwrap().first().unwrap().position,
                position
            );
        }
        let report = audit::verify(&ledger, &policy).await.unwrap();
        assert_eq!((report.size, report.fault), (size, None));
        size_before = size;
    }
}
