//! Unfinished work: what a run writes down before it acts, so that the next run can finish or undo
//! it when this one is killed. Each piece is a folder of its own, locked by the run that works on
//! it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use datapact_core::document::{AccessRequest, UsageReport};
use datapact_core::id::{PackageId, ShareId};
use datapact_core::jws::Signed;
use datapact_core::permission::KeyReference;
use datapact_core::policy::SharingPolicy;
use serde::{Deserialize, Serialize};

use crate::error::{ClientError, Result};
use crate::home::{make_folder, read_json, write_json};

/// What is to be finished. It holds no key and no plaintext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Job {
    /// A share is being made. Without a policy, key and package are to be deleted.
    Create {
        share: ShareId,
        key: KeyReference,
        package: PackageId,
        package_address: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Signed<SharingPolicy>>,
    },
    /// A successor is to be set, first at the key server if it takes access away.
    Successor { policy: Signed<SharingPolicy>, withhold: bool },
    /// An access was asked for: the same request may be repeated.
    Access { request: Signed<AccessRequest> },
    /// A usage report is to be handed in.
    Usage { report: Signed<UsageReport> },
}

/// How often a new piece is begun.
const TRIES: usize = 10;

/// One piece of work, held by this run.
pub(crate) struct Work {
    folder: PathBuf,
    lock: File,
}

impl Drop for Work {
    fn drop(&mut self) {
        // Closed alone, the lock would stay as long as a process that another thread is just
        // starting has a copy of the file: until it runs its own program.
        let _ = self.lock.unlock();
    }
}

impl Work {
    /// A new piece under `state`.
    pub(crate) fn begin(state: &Path) -> Result<Self> {
        for _ in 0..TRIES {
            let folder = state.join("work").join(hex::encode(datapact_core::id::random::<8>()));
            make_folder(&folder)?;
            // Another run that looks for abandoned work may be quicker with the lock, and remove it
            // as empty.
            if let Some(work) = Self::lock(&folder)? {
                return Ok(work);
            }
        }
        Err(ClientError::defect("new folders are locked again and again"))
    }

    /// The pieces with a job that `wanted` picks and that no run works on any more, now held by
    /// this one. Others are not even held for a moment: a run that looks for them at that moment
    /// would not find them.
    pub(crate) fn abandoned(
        state: &Path,
        wanted: impl Fn(Option<&Job>) -> bool,
    ) -> Result<Vec<Self>> {
        let folder = state.join("work");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ClientError::file(&folder, error)),
        };
        let mut folders: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        folders.sort_unstable();
        let mut held = Vec::new();
        for folder in folders {
            if !wanted(job_in(&folder)?.as_ref()) {
                continue;
            }
            // The job may have changed until the lock was there.
            if let Some(work) = Self::lock(&folder)?
                && wanted(work.job()?.as_ref())
            {
                held.push(work);
            }
        }
        Ok(held)
    }

    fn lock(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("lock");
        let failed = |e| ClientError::file(&path, e);
        let lock = match File::options().create(true).truncate(false).write(true).open(&path) {
            Ok(lock) => lock,
            // Another run has just finished it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match lock.try_lock() {
            // A lock on a file that has been removed in the meantime locks nothing.
            Ok(()) if !is_at(&lock, &path) => Ok(None),
            Ok(()) => Ok(Some(Self { folder: folder.to_owned(), lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// What is to be finished, if the run got so far.
    pub(crate) fn job(&self) -> Result<Option<Job>> {
        job_in(&self.folder)
    }

    /// Writes down what is to be finished, durably.
    pub(crate) fn save(&self, job: &Job) -> Result<()> {
        write_json(&self.folder.join("job.json"), job)
    }

    /// Where ciphertext may be meanwhile.
    pub(crate) fn spool(&self) -> PathBuf {
        self.folder.join("package")
    }

    /// Removes the ciphertext, which is not needed any more.
    pub(crate) fn drop_spool(&self) {
        let _ = fs::remove_file(self.spool());
    }

    /// It is done: nothing is left of it.
    pub(crate) fn finish(self) -> Result<()> {
        // The job goes first: without it, what is left of a killed removal means nothing.
        for name in ["job.json", "package", "lock"] {
            match fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ClientError::file(&self.folder, error));
                }
                _ => {}
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
        Ok(())
    }
}

fn job_in(folder: &Path) -> Result<Option<Job>> {
    read_json(&folder.join("job.json"))
}

/// Whether `path` still leads to the open `file`.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(own), Ok(there)) if id(&own) == id(&there))
}
