//! Loads servers that run: the tool of `bench/load.sh`, `bench/day.sh` and `bench/subscribers.sh`.
//!
//! ```text
//! load rates SHARE SECONDS CONNECTIONS,... [NAME=PID...]
//! load day SHARE ACCESSES [NAME=PID...]
//! load subscribers SHARE COUNT [NAME=PID...]
//! ```
//! Needs a home with the profiles `lab` and `clinic`, as `datapact quickstart` leaves it, and a
//! share that `lab` may access without limit; `NAME=PID` are the servers' processes. Every access
//! is decided and recorded on the ledger; every redemption is checked and put on record. Each
//! connection has one call under way at a time.
//!
//! What a client signs is signed before a phase begins, and answers are looked into after it has
//! ended: a part of them is read, verified and opened, all of them must have succeeded. So what is
//! measured beside the servers is the sending and receiving over TLS alone.

mod calls;
mod day;
mod primitives;
mod processes;
mod rates;
mod subscribers;
mod wire;

use std::error::Error;
use std::path::PathBuf;

use calls::Client;
use datapact_client::Home;
use processes::Processes;

/// Anything that can go wrong.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let home = Home::locate(std::env::var_os("DATAPACT_HOME").map(PathBuf::from))?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["rates", share, seconds, connections, processes @ ..] => {
            let connections = connections
                .split(',')
                .map(str::parse)
                .collect::<std::result::Result<Vec<usize>, _>>()?;
            let client = Client::connect(&home, &share.parse()?).await?;
            let processes = Processes::parse(processes)?;
            rates::run(&home, &client, seconds.parse()?, &connections, &processes).await
        }
        ["day", share, accesses, processes @ ..] => {
            let client = Client::connect(&home, &share.parse()?).await?;
            day::run(&client, accesses.parse()?, &Processes::parse(processes)?).await
        }
        ["subscribers", share, count, processes @ ..] => {
            let client = Client::connect(&home, &share.parse()?).await?;
            subscribers::run(&home, &client, count.parse()?, &Processes::parse(processes)?).await
        }
        _ => Err("see the comment at the top of this example for its arguments".into()),
    }
}
