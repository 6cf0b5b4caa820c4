//! Writes to an embedded ledger until it is killed, and says what was answered: `ledger_writer
//! DATABASE`.
//!
//! Each line of standard output is the position of an answered call, written after the answer. The
//! test that kills this program checks that all of them are in the database afterwards.

use std::io::Write as _;
use std::sync::Arc;

use datapact_core::permission::AccessTimes;
use datapact_ledger::Ledger;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::tables::MIGRATIONS;
use datapact_local::testing::{Fixture, signing_key};
use datapact_log::clock::system_clock;
use datapact_log::note::KeyKind;
use datapact_store::Store;
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: ledger_writer DATABASE")?;
    let fixture = Fixture::new("ledger.example");
    let trust = fixture.trust();
    let config = EmbeddedConfig {
        key: signing_key(1, "ledger.example", KeyKind::Log),
        witnesses: Vec::new(),
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: system_clock(),
    };
    let ledger =
        EmbeddedLedger::open(Store::open(path.as_ref(), MIGRATIONS).await?, config).await?;
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await?;
    let consumer = fixture.consumer("Consumer");
    let mut answers = futures_util::stream::repeat_with(|| share.request(&consumer))
        .map(|(call, documents)| {
            let ledger = &ledger;
            async move { ledger.execute(&call, &documents).await }
        })
        .buffer_unordered(64);
    while let Some(answer) = answers.next().await {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", answer?.position)?;
        out.flush()?;
    }
    Ok(())
}
