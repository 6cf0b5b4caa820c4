//! What the statements of a key's release cost: three grouped reads and one grouped write, in time
//! and in CPU.
//!
//! ```console
//! $ cargo run --release -p datapact-store --example store_bench -- [CALLERS [SECONDS [FOLDER]]]
//! ```
//!
//! Each of the callers (16 unless told otherwise) makes one call after the other, for five seconds:
//! it asks three tables for one row each, then writes one row, which is durable when the call ends.
//! With 16 callers that makes transactions of up to 16 rows. The database is a SQLite file in
//! FOLDER, or in a temporary one. CPU is that of the whole process, as the kernel counts it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datapact_store::{Db, Group, Migration, Store, StoreError, Tx, number, text};

const SCHEMA: &[Migration] = &[Migration {
    module: "bench",
    version: 1,
    sql: "CREATE TABLE state (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
          CREATE TABLE release (key TEXT NOT NULL PRIMARY KEY, time BIGINT NOT NULL,
              value TEXT NOT NULL);
          CREATE INDEX release_time ON release (time);",
}];
/// Rows that are there before, and looked for.
const ROWS: u64 = 10_000;
/// About the size of a signed document.
const VALUE_BYTES: usize = 600;

type Failed = Box<dyn std::error::Error>;

/// A group that looks values up by their keys.
fn lookup(store: &Store) -> Group<String, Option<String>, StoreError> {
    Group::reading(store.clone(), |db: &Db, keys: Vec<String>| {
        let sql = "SELECT key, value FROM state WHERE key IN";
        let mut found = std::collections::HashMap::new();
        for row in db.rows_of(sql, keys.iter().map(text))? {
            found.insert(row.text(0)?, row.text(1)?);
        }
        Ok(keys.iter().map(|key| Ok(found.get(key).cloned())).collect())
    })
}

fn key(number: u64) -> String {
    format!("{:064x}", u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// User and system time of this process, in the kernel's ticks of 10 ms.
fn cpu() -> Result<Duration, Failed> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("an unknown form of /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(Duration::from_millis(10 * ticks.sum::<Result<u64, _>>()?))
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let callers: u64 = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let folder = match arguments.next() {
        Some(folder) => tempfile::tempdir_in(PathBuf::from(folder))?,
        None => tempfile::tempdir()?,
    };
    let store = Store::open(&folder.path().join("db"), SCHEMA).await?;
    let filled: Result<(), StoreError> = store
        .write(|tx| {
            let rows = (0..ROWS).map(|n| [text(key(n)), text("v".repeat(VALUE_BYTES))]);
            tx.insert("state (key, value)", rows.collect())
        })
        .await;
    filled?;
    let reads = Arc::new([lookup(&store), lookup(&store), lookup(&store)]);
    let write = Arc::new(Group::writing(store.clone(), |tx: &Tx, numbers: Vec<u64>| {
        let done = numbers.iter().map(|_| Ok(())).collect();
        let row = |n: &u64| [text(key(*n)), number(*n), text("v".repeat(VALUE_BYTES))];
        tx.insert("release (key, time, value)", numbers.iter().map(row).collect())?;
        Ok::<_, StoreError>(done)
    }));
    let next = Arc::new(AtomicU64::new(0));
    let (began, cpu_before) = (Instant::now(), cpu()?);
    let end = began + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (reads, write, next) = (Arc::clone(&reads), Arc::clone(&write), Arc::clone(&next));
            tokio::spawn(async move {
                while Instant::now() < end {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    for (nth, read) in reads.iter().enumerate() {
                        read.ask(key((n * 7 + nth as u64) % ROWS)).await?;
                    }
                    write.ask(n).await?;
                }
                Ok::<_, StoreError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let (taken, used) = (began.elapsed(), cpu()? - cpu_before);
    let calls = next.load(Ordering::Relaxed).max(1);
    let each = |total: Duration| total.as_secs_f64() * 1e6 / calls as f64;
    println!(
        "{callers} callers: {calls} calls, {:.0} a second; each {:.2} ms, {:.1} us of CPU",
        calls as f64 / taken.as_secs_f64(),
        each(taken) * callers as f64 / 1e3,
        each(used),
    );
    Ok(())
}
