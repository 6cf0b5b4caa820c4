//! A site of three real server processes for tests: made by `datapact quickstart`, each process
//! started, killed (SIGKILL) and restarted by itself, and ended with the test. Users are in-process
//! clients of the SDK, or processes of the command line.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test programs, none of which uses all of it"
)]

pub mod operator;
pub mod proxy;
mod site;
mod stored;
pub mod stores;
pub mod user;
pub mod watch;

use std::future::Future;
use std::io::Read as _;
use std::process::Child;
use std::time::{Duration, Instant};

use datapact_api::problem::Kind;
use datapact_client::ClientError;
use datapact_core::id::Timestamp;
use datapact_log::clock::system_clock;

pub use site::Site;
pub use user::User;

pub const ROLES: [&str; 3] = ["management", "key", "storage"];
/// The lab's witness, which is no server of X.1410.
pub const WITNESS: &str = "witness";
/// How long something may take that has to happen in the end.
pub const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the long forms run: the seconds in `DATAPACT_STORM`, or `short`.
pub fn storm(short: u64) -> Duration {
    let seconds = std::env::var("DATAPACT_STORM")
        .ok()
        .map(|text| text.parse().expect("DATAPACT_STORM=SECONDS"));
    Duration::from_secs(seconds.unwrap_or(short))
}

pub fn now() -> Timestamp {
    system_clock()()
}

/// Does something again as long as it fails only for the moment; anything else is a failure of the
/// test.
pub async fn until_done<T, F>(what: &str, mut act: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ClientError>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match act().await {
            Ok(value) => return value,
            Err(error) => {
                let temporary = matches!(error.kind(), Kind::Unavailable | Kind::Busy);
                assert!(temporary, "{what}: {:?}: {error}", error.kind());
                assert!(Instant::now() < until, "{what} never succeeds: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Bytes that differ from test to test, of any length.
pub fn data(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Reads what a process has written until it ends or is killed, from a thread of its own.
pub fn collect(child: &mut Child) -> std::thread::JoinHandle<Vec<u8>> {
    let mut stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        bytes
    })
}
