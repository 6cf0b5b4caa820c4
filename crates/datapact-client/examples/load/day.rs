//! Memory under many requests: as many accesses, each redeemed once, as a busy day has.

use std::time::{Duration, Instant};

use crate::Result;
use crate::calls::Client;
use crate::processes::Processes;
use crate::rates::phase;

const CONNECTIONS: usize = 16;
/// Accesses that are signed, made and redeemed before the next ones.
const SLICE: usize = 2000;
/// How often memory is told.
const LINES: usize = 20;
/// Longer than a slice can take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Makes `total` accesses, and redeems each.
pub(crate) async fn run(client: &Client, total: usize, processes: &Processes) -> Result<()> {
    let names: Vec<_> = processes.names().map(|name| format!("{name}, MB")).collect();
    println!(
        "| accesses, each redeemed | seconds | {} |\n{}|",
        names.join(" | "),
        "|---".repeat(names.len() + 2)
    );
    let management = client.connections_to_management(CONNECTIONS).await?;
    let key_server = client.connections_to_key_server(CONNECTIONS).await?;
    let start = Instant::now();
    let (mut done, mut told) = (0, 0);
    loop {
        if done >= told {
            let resident = processes.resident()?;
            let resident: Vec<_> =
                resident.iter().map(|(_, bytes)| format!("{:.0}", *bytes as f64 / 1e6)).collect();
            println!(
                "| {done} | {:.0} | {} |",
                start.elapsed().as_secs_f64(),
                resident.join(" | ")
            );
            told += total / LINES;
        }
        if done >= total {
            return Ok(());
        }
        let (calls, _) = client.redemptions(&management, SLICE.min(total - done), 1).await?;
        done += phase(&key_server, &calls, PATIENCE, processes).await?.all_good()?;
    }
}
