//! Uploads that go on where they were cut off: what has arrived of a package is a file in the data
//! folder until all of it is there. The file's length is the whole state, so a crash loses nothing.
//!
//! One upload of a package at a time: a caller that asks for the offset, or goes on with it, ends
//! the one that is under way, which may be alive only in the server's view.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::storage_server::ByteStream;
use datapact_core::id::PackageId;
use futures_util::{StreamExt as _, stream};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedMutexGuard, watch};

use super::pace::Pace;

/// Where uploads are until they are whole, in the data folder.
const FOLDER: &str = "uploads";

/// The uploads in parts that are under way.
pub(super) struct Parts {
    folder: PathBuf,
    slots: Mutex<HashMap<PackageId, Arc<Slot>>>,
}

/// One package's turn to be uploaded.
struct Slot {
    /// Counts the callers that wanted it.
    wanted: watch::Sender<u64>,
    held: Arc<tokio::sync::Mutex<()>>,
}

/// The right to work on one package's upload, until another caller wants it.
pub(super) struct Turn {
    pub(super) path: PathBuf,
    wanted: watch::Receiver<u64>,
    _held: OwnedMutexGuard<()>,
    _slot: Arc<Slot>,
}

impl Parts {
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        let folder = data.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, slots: Mutex::default() })
    }

    /// Ends the upload of `id` that is under way, if there is one, and waits for its end.
    pub(super) async fn take(&self, id: &PackageId) -> Turn {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            // A slot that only this map holds has no upload.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
            let slot = || Arc::new(Slot { wanted: watch::Sender::new(0), held: Arc::default() });
            Arc::clone(slots.entry(*id).or_insert_with(slot))
        };
        let wanted = {
            slot.wanted.send_modify(|count| *count += 1);
            slot.wanted.subscribe()
        };
        let held = Arc::clone(&slot.held).lock_owned().await;
        Turn { path: self.folder.join(id.to_string()), wanted, _held: held, _slot: slot }
    }

    /// The packages that something has arrived of.
    pub(super) fn begun(&self) -> io::Result<Vec<PackageId>> {
        let names = std::fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name()));
        let names: Vec<_> = names.collect::<io::Result<_>>()?;
        Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Forgets what has arrived of `id`.
    pub(super) async fn forget(&self, id: &PackageId) -> Result<()> {
        self.take(id).await.forget().await
    }
}

impl Turn {
    /// How much has arrived.
    pub(super) async fn length(&self) -> Result<u64> {
        match tokio::fs::metadata(&self.path).await {
            Ok(meta) => Ok(meta.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(failed(&error)),
        }
    }

    pub(super) async fn forget(self) -> Result<()> {
        match tokio::fs::remove_file(&self.path).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&error)),
            _ => Ok(()),
        }
    }

    /// The same bytes, until another caller wants the turn: then an error ends them.
    pub(super) fn while_held(&self, bytes: ByteStream) -> ByteStream {
        let held = Some((bytes, self.wanted.clone()));
        let bytes = stream::unfold(held, |held| async move {
            let (mut bytes, mut wanted) = held?;
            tokio::select! {
                biased;
                _ = wanted.changed() => Some((Err(io::Error::other(another_has_begun())), None)),
                next = bytes.next() => next.map(|next| (next, Some((bytes, wanted)))),
            }
        });
        bytes.boxed()
    }

    /// Adds what arrives from `offset` on, up to `size`, and says how much is there then. What has
    /// arrived before the connection was cut is kept, and is on the disk when this returns.
    pub(super) async fn append(
        &mut self,
        offset: u64,
        size: u64,
        mut bytes: ByteStream,
    ) -> Result<u64> {
        let mut length = self.length().await?;
        if length != offset {
            return Err(Problem::new(
                Kind::Conflict,
                format!("the upload has {length} bytes, not {offset}"),
            )
            .hint("ask for its offset, and go on from there"));
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let mut file = options.open(&self.path).await.map_err(|e| failed(&e))?;
        let mut pace = Pace::new();
        let ended = loop {
            let next = tokio::select! {
                biased;
                _ = self.wanted.changed() => break Some(another_has_begun()),
                next = pace.next(&mut bytes) => next,
            };
            match next {
                None => break None,
                Some(Ok(chunk)) => {
                    let after = length.saturating_add(chunk.len() as u64);
                    if after > size {
                        break Some(Problem::malformed(format!(
                            "more than the {size} bytes announced arrived"
                        )));
                    }
                    if let Err(error) = file.write_all(&chunk).await {
                        break Some(failed(&error));
                    }
                    length = after;
                }
                Some(Err(_)) => {
                    let detail = format!("the upload was cut off after {length} of {size} bytes");
                    break Some(Problem::new(Kind::Unavailable, detail).hint("go on from there"));
                }
            }
        };
        // In any case: the next part goes on from what has arrived.
        let synced = sync(&mut file).await;
        match ended {
            Some(problem) => Err(problem),
            None => synced.map(|()| length).map_err(|e| failed(&e)),
        }
    }
}

fn another_has_begun() -> Problem {
    Problem::new(Kind::Unavailable, "another upload of this package has begun")
}

async fn sync(file: &mut File) -> io::Result<()> {
    file.flush().await?;
    file.sync_data().await
}

fn failed(error: &io::Error) -> Problem {
    tracing::error!(%error, "an upload cannot be written");
    Problem::new(Kind::Unavailable, "the package store failed; the server's log says more")
        .hint("try again later")
}
