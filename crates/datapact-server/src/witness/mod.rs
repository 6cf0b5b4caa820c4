//! A witness (C2SP tlog-witness): it cosigns the checkpoints of the logs that it is configured
//! with, each only if it continues the one before, and shows the newest. It reads no entries, and
//! any party may run one.
//!
//! What it has cosigned outlives everything but its database: a witness whose database is lost gets
//! a new key, since with the old one it could cosign a second tree.

mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datapact_api::problem::{Problem, Result};
use datapact_api::public::{Health, Public};
use datapact_api::witness::Witness;
use datapact_log::clock::Clock;
use datapact_log::note::{Checkpoint, KeyKind, SigningKey, VerifyingKey};
use datapact_log::witness::{AddCheckpoint, Refusal, origin_hash};
use datapact_store::{Store, StoreError};

use crate::config::WitnessConfig;
use crate::secret_file::{self, SecretFileError};

/// The file with the key, in the data folder.
const KEY_FILE: &str = "witness.key";
/// The database, in the data folder.
const DATABASE_FILE: &str = "witness.sqlite";

/// Why a witness could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration.
    #[error("the witness's configuration is wrong: {0}")]
    Configuration(String),
    /// Its key.
    #[error(transparent)]
    Key(#[from] SecretFileError),
    /// Its database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is a key, but not what was cosigned with it.
    #[error(
        "`{path}` is missing: without what it has cosigned this witness could cosign another tree. \
         Restore it, or take the witness out of all log policies and make a new one",
        path = .0.display()
    )]
    Lost(PathBuf),
}

/// Makes the key and the empty database of the witness called `name` in the folder `data`; its key.
/// What is there already stays.
///
/// # Errors
/// [`OpenError`], also when there is a key without its database.
pub async fn make(data: &Path, name: &str) -> std::result::Result<VerifyingKey, OpenError> {
    let (key_path, database) = (data.join(KEY_FILE), data.join(DATABASE_FILE));
    if key_path.exists() && !database.exists() {
        return Err(OpenError::Lost(database));
    }
    std::fs::create_dir_all(data).map_err(|e| SecretFileError::Io(data.to_owned(), e))?;
    // Before the key: a key without a database is a lost one.
    Store::open(&database, &[table::SCHEMA]).await?;
    Ok(key(&key_path, name)?.public().clone())
}

/// The key in the file `path`, made when there is none.
fn key(path: &Path, name: &str) -> std::result::Result<SigningKey, SecretFileError> {
    let wrong = || SecretFileError::Content(path.to_owned(), "a C2SP signer key of this witness");
    let made = SigningKey::generate(name, KeyKind::Witness).map_err(|_| wrong())?;
    let text = secret_file::read_or_make(path, || made)?;
    let key = SigningKey::parse(&text).map_err(|_| wrong())?;
    let own = key.public().kind() == KeyKind::Witness && key.public().name() == name;
    own.then_some(key).ok_or_else(wrong)
}

/// A witness, running.
pub struct WitnessServer {
    key: Arc<SigningKey>,
    logs: Vec<VerifyingKey>,
    store: Store,
    clock: Clock,
}

impl WitnessServer {
    /// Opens the witness.
    ///
    /// # Errors
    /// [`OpenError`], also when [`make`] has not made it.
    pub async fn open(
        config: &WitnessConfig,
        clock: Clock,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let name = config.name().map_err(OpenError::Configuration)?;
        let logs = config.logs().map_err(OpenError::Configuration)?;
        let database = config.data.join(DATABASE_FILE);
        if !database.exists() {
            return Err(OpenError::Lost(database));
        }
        let key = Arc::new(key(&config.data.join(KEY_FILE), &name)?);
        let store = Store::open(&database, &[table::SCHEMA]).await?;
        Ok(Arc::new(Self { key, logs, store, clock }))
    }

    /// The public key of the cosignatures (C2SP vkey).
    pub fn vkey(&self) -> &VerifyingKey {
        self.key.public()
    }
}

/// Why a checkpoint was not cosigned.
enum Failure {
    Refused(Refusal),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[async_trait]
impl Witness for WitnessServer {
    /// The comparison with what was cosigned last and its replacement are one transaction, and the
    /// cosignature leaves after it.
    async fn add_checkpoint(
        &self,
        request: AddCheckpoint,
    ) -> Result<std::result::Result<String, Refusal>> {
        let Some(log) = self.logs.iter().find(|log| log.name() == request.origin()) else {
            return Ok(Err(Refusal::UnknownLog));
        };
        let checkpoint = match request.open(log) {
            Ok(checkpoint) => checkpoint,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (key, now) = (Arc::clone(&self.key), (self.clock)());
        let evidence = request.to_string();
        let (origin, size) = (log.name().to_owned(), checkpoint.size());
        let cosigned = self.store.write(move |tx| {
            let latest = table::latest(tx, checkpoint.origin())?;
            request.follows(&checkpoint, latest)?;
            let line = key.cosign(&checkpoint, now);
            table::set_latest(tx, &checkpoint, &line)?;
            Ok::<_, Failure>(line)
        });
        match cosigned.await {
            Ok(line) => Ok(Ok(line)),
            Err(Failure::Refused(refusal)) => {
                if refusal == Refusal::Inconsistent {
                    tracing::error!(
                        origin,
                        size,
                        "the log has signed a tree that does not continue what was cosigned"
                    );
                    // What the log has signed twice convicts it; that it could not be kept changes
                    // nothing about the answer.
                    let kept = move |tx: &_| table::add_evidence(tx, &origin, now, &evidence);
                    let _ = self.store.write(kept).await;
                }
                Ok(Err(refusal))
            }
            Err(Failure::Store(error)) => Err(crate::stores::problem(error)),
        }
    }
}

#[async_trait]
impl Public for WitnessServer {
    async fn health(&self) -> Result<Health> {
        self.store.check().await.map_err(crate::stores::problem)?;
        Ok(crate::health(self.key.public().name(), "witness"))
    }

    async fn cosigned(&self, origin: &str) -> Result<Bytes> {
        let missing = || Problem::not_found("this witness has cosigned no such log");
        let log = self.logs.iter().find(|log| origin_hash(log.name()) == origin);
        let name = log.ok_or_else(missing)?.name().to_owned();
        let note = self.store.read(move |db| table::note(db, &name)).await;
        let note = note.map_err(crate::stores::problem)?.ok_or_else(missing)?;
        Ok(Bytes::from(note))
    }
}

/// The newest checkpoint of a log, as the witness shows it: what [`Checkpoint::bare`] gives, and
/// its own cosignature.
fn shown(checkpoint: &Checkpoint, line: &str) -> String {
    checkpoint.bare() + line
}

#[cfg(test)]
mod tests;
