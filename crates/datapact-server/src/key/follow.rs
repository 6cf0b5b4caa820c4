//! Following the ledger: the key server's own copy, and its cosignatures (design "Ledger port").

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datapact_api::management::Log;
use datapact_api::problem::Kind;
use datapact_api::public::{LOG_WAIT_MAX, LogSize, Public};
use datapact_ledger::follower::Follower;
use datapact_ledger::port::LedgerError;
use datapact_log::note::{KeyKind, SigningKey};
use datapact_log::source::{LogSource, SourceError};

use crate::secret_file::{self, SecretFileError};

/// The file with the witness key, in the data folder.
pub const WITNESS_FILE: &str = "witness.key";
/// How long it rests at the longest before it looks again. A release that needs a newer copy polls
/// by itself.
const REST_MAX: Duration = Duration::from_millis(50);
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Shorter than users wait for a cosigned proof: once management is back, they are to notice
/// nothing.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The key that the key server called `name` cosigns with, kept in the folder `data`; made when
/// there is none. `config init` asks for it, since management and users must know its public half
/// (C2SP vkey).
///
/// # Errors
/// When the file cannot be made or read, or others may read it.
pub fn witness_key(data: &Path, name: &str) -> Result<SigningKey, SecretFileError> {
    let path = data.join(WITNESS_FILE);
    let wrong = || SecretFileError::Content(path.clone(), "a C2SP signer key of this server");
    let made = SigningKey::generate(name, KeyKind::Witness).map_err(|_| wrong())?;
    let text = secret_file::read_or_make(&path, || made)?;
    let key = SigningKey::parse(&text).map_err(|_| wrong())?;
    let own = key.public().kind() == KeyKind::Witness && key.public().name() == name;
    own.then_some(key).ok_or_else(wrong)
}

/// Management's log, as its public listener serves it.
pub(super) struct PublicLog(pub(super) Arc<dyn Public>);

#[async_trait]
impl LogSource for PublicLog {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match self.0.log(path).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(problem) if problem.kind == Kind::NotFound => Ok(None),
            Err(problem) => Err(SourceError(problem.detail)),
        }
    }

    async fn wait_newer(&self, size: u64, timeout: Duration) -> Result<(), SourceError> {
        match tokio::time::timeout(timeout.min(LOG_WAIT_MAX), self.0.log_size(&LogSize { size }))
            .await
        {
            Ok(Err(problem)) => Err(SourceError(problem.detail)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}

/// Follows the log as it grows, and hands each cosigned checkpoint in. What is not to be believed
/// is asked again, too: a follower that has stopped for good says so, and its node of a chain may
/// be put right.
pub(super) async fn follow(follower: Arc<Follower>, management: Arc<dyn Log>) {
    let mut wait = Duration::ZERO;
    let mut retry = RETRY_MIN;
    let mut done = Done::default();
    let mut last_warning = None;
    loop {
        match step(&follower, management.as_ref(), wait, &mut done).await {
            Ok(took) => {
                last_warning = None;
                (wait, retry) = (LOG_WAIT_MAX, RETRY_MIN);
                // As long as it took: the more there is to do, the more is done at a time.
                tokio::time::sleep(took.min(REST_MAX)).await;
            }
            Err(why) => {
                if last_warning.as_ref() != Some(&why) {
                    tracing::warn!(why, "following the ledger; trying again");
                }
                last_warning = Some(why);
                wait = Duration::ZERO;
                tokio::time::sleep(retry).await;
                retry = RETRY_MAX.min(retry * 2);
            }
        }
    }
}

/// How far the log was followed here. Releases of keys poll, too, so the follower may be further.
#[derive(Default)]
struct Done {
    /// How many entries were seen.
    size: u64,
    /// The checkpoint that was handed in last, with its cosignature.
    handed_in: String,
}

/// Waits, polls and hands in; how long it took after the waiting.
async fn step(
    follower: &Follower,
    management: &dyn Log,
    wait: Duration,
    done: &mut Done,
) -> Result<Duration, String> {
    let said = |error: LedgerError| error.to_string();
    follower.wait(done.size, wait).await.map_err(said)?;
    let begun = Instant::now();
    let polled = follower.poll().await.map_err(said)?;
    let cosigned = follower.cosigned().await.map_err(said)?;
    let mut size = polled.size;
    if let Some((cosigned, note)) = cosigned {
        if done.handed_in != note {
            management.add_cosignature(&note).await.map_err(|problem| problem.to_string())?;
            done.handed_in = note;
        }
        size = size.max(cosigned);
    }
    done.size = size;
    Ok(begun.elapsed())
}
