//! The rates of accesses and redemptions, beside what the machine's primitives give.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datapact_client::Home;
use futures_util::future::try_join_all;
use tokio::sync::Mutex;

use crate::calls::Client;
use crate::primitives::Primitives;
use crate::processes::{Processes, Usage};
use crate::wire::{Answer, Connection, Prepared};
use crate::{Failure, Result};

/// The most calls that are signed in advance for a second of a phase.
const CALLS_A_SECOND: usize = 4000;
/// How often a key server releases for one access; then another access is redeemed.
const RELEASES: usize = 32;
/// Of so many answers one is looked into.
const LOOKED_INTO: usize = 8;
/// How long what the ceilings are reckoned from is measured, each.
const SPAN_OF_PRIMITIVE: Duration = Duration::from_secs(1);

/// Measures phases of `seconds` at each number of `connections`.
pub(crate) async fn run(
    home: &Home,
    client: &Client,
    seconds: u64,
    connections: &[usize],
    processes: &Processes,
) -> Result<()> {
    let span = Duration::from_secs(seconds);
    let primitives = Primitives::measure(home, SPAN_OF_PRIMITIVE)?;
    println!("{primitives}");
    println!(
        "| TLS handshakes, both sides, one after the other | {:.0} |",
        handshakes(client).await?
    );
    println!("\n{}", Report::head(processes));
    for count in connections.iter().copied() {
        let total = CALLS_A_SECOND * usize::try_from(seconds)?;
        let management = client.connections_to_management(count).await?;
        let empty = phase(&management, &client.empty(total), span, processes).await?;
        empty.report("empty requests", count, None);

        let accesses = phase(&management, &client.accesses(total), span, processes).await?;
        accesses.report("accesses", count, Some(primitives.access(count, empty.rate())));
        accesses.looked_into(|answer| client.granted(answer))?;

        let (calls, redemptions) = client.redemptions(&management, total, RELEASES).await?;
        let key_server = client.connections_to_key_server(count).await?;
        let redeemed = phase(&key_server, &calls, span, processes).await?;
        redeemed.report("redemptions", count, Some(primitives.redemption(count, empty.rate())));
        redeemed.looked_into(|answer| {
            redemptions.get(answer.call).ok_or("an answer to no call")?.opens(answer)
        })?;
    }
    Ok(())
}

/// What a phase has done.
pub(crate) struct Report {
    took: Duration,
    times: Vec<Duration>,
    failed: usize,
    first_failure: Option<String>,
    kept: Vec<Answer>,
    usage: Vec<Usage>,
}

/// Makes `calls`, one after the other on each connection, until `span` is over or none is left.
pub(crate) async fn phase(
    connections: &[Mutex<Connection>],
    calls: &[Prepared],
    span: Duration,
    processes: &Processes,
) -> Result<Report> {
    let next = AtomicUsize::new(0);
    let before = processes.usage()?;
    let start = Instant::now();
    let made = connections.iter().map(|connection| async {
        let mut connection = connection.lock().await;
        let (mut times, mut kept, mut failed, mut first_failure) =
            (Vec::new(), Vec::new(), 0, None);
        while start.elapsed() < span {
            let call = next.fetch_add(1, Ordering::Relaxed);
            let Some(prepared) = calls.get(call) else { break };
            let asked = Instant::now();
            let answer = connection.call(call, prepared).await?;
            if answer.status == prepared.wanted {
                times.push(asked.elapsed());
            } else {
                failed += 1;
                first_failure.get_or_insert_with(|| answer.text());
            }
            if call.is_multiple_of(LOOKED_INTO) {
                kept.push(answer);
            }
        }
        Ok::<_, Failure>((times, kept, failed, first_failure))
    });
    let made = try_join_all(made).await?;
    let took = start.elapsed();
    let usage = processes.since(&before)?;
    let mut report =
        Report { took, times: Vec::new(), failed: 0, first_failure: None, kept: Vec::new(), usage };
    for (times, kept, failed, first_failure) in made {
        report.times.extend(times);
        report.kept.extend(kept);
        report.failed += failed;
        report.first_failure = report.first_failure.or(first_failure);
    }
    report.times.sort_unstable();
    Ok(report)
}

impl Report {
    fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    fn head(processes: &Processes) -> String {
        let names: Vec<_> = processes.names().map(|name| format!("{name}, µs")).collect();
        let columns = [
            "calls",
            "connections",
            "calls/s",
            "ceiling",
            "of it",
            "p50, ms",
            "p99, ms",
            "p99.9, ms",
            "failed",
        ];
        let lines = "|---".repeat(columns.len() + names.len());
        format!(
            "Processor time is that of one call.\n\n| {} | {} |\n{lines}|",
            columns.join(" | "),
            names.join(" | ")
        )
    }

    fn report(&self, name: &str, connections: usize, ceiling: Option<f64>) {
        if let Some(why) = &self.first_failure {
            eprintln!("{name} at {connections} connections: {why}");
        }
        let at = |per_mille: usize| {
            let time = self
                .times
                .get((self.times.len() * per_mille / 1000).min(self.times.len().saturating_sub(1)));
            time.map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        };
        let rate = self.rate();
        let ceiling = ceiling
            .map_or(" | ".to_owned(), |most| format!("{most:.0} | {:.0} %", 100.0 * rate / most));
        let calls = self.times.len().max(1) as f64;
        let usage: Vec<_> = self
            .usage
            .iter()
            .map(|usage| format!("{:.0}", usage.0.as_secs_f64() * 1e6 / calls))
            .collect();
        println!(
            "| {name} | {connections} | {rate:.0} | {ceiling} | {:.1} | {:.1} | {:.1} | {} | {} |",
            at(500),
            at(990),
            at(999),
            self.failed,
            usage.join(" | ")
        );
    }

    /// How many calls succeeded; when one did not, why.
    pub(crate) fn all_good(&self) -> Result<usize> {
        match &self.first_failure {
            None => Ok(self.times.len()),
            Some(why) => Err(why.as_str().into()),
        }
    }

    /// Looks into the answers that were kept.
    fn looked_into(&self, good: impl Fn(&Answer) -> Result<()>) -> Result<()> {
        self.kept.iter().filter(|answer| answer.status == 200).try_for_each(good)
    }
}

/// Handshakes with management's listener a second, each with a certificate on both sides.
async fn handshakes(client: &Client) -> Result<f64> {
    let start = Instant::now();
    let mut made = 0;
    while start.elapsed() < SPAN_OF_PRIMITIVE {
        client.connections_to_management(1).await?;
        made += 1;
    }
    Ok(f64::from(made) / start.elapsed().as_secs_f64())
}
