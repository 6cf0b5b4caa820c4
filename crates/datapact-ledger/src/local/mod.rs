//! What networks of nodes on one machine share, whatever ledger they are: a folder that one program
//! works on at a time, nodes that are processes, and ports for them.

pub mod ports;
pub mod process;

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::port::LedgerError;

/// Locked by whoever works on a folder.
const LOCK_FILE: &str = "lock";

/// Why a network does not run.
#[derive(Debug, thiserror::Error)]
#[error("{detail}; {hint}")]
pub struct NetworkError {
    /// What is wrong.
    pub detail: String,
    /// How to go on.
    pub hint: String,
}

impl NetworkError {
    /// The error `detail`, with how to go on.
    pub fn new(detail: impl Display, hint: impl Display) -> Self {
        Self { detail: detail.to_string(), hint: hint.to_string() }
    }

    /// What is wrong with a file or folder of a network.
    pub fn file(path: &Path, error: impl Display) -> Self {
        Self::new(
            format!("`{}`: {error}", path.display()),
            "choose another folder with `--dir DIR`",
        )
    }

    /// That `dir` holds none.
    pub fn nothing_in(dir: &Path) -> Self {
        Self::new(
            format!("`{}` holds no network", dir.display()),
            "name the folder that `ledger up` was given with `--dir DIR`",
        )
    }
}

impl From<LedgerError> for NetworkError {
    fn from(error: LedgerError) -> Self {
        Self::new(error, "see the nodes' logs in the network's folder")
    }
}

/// The result of what is done with a network.
pub type Result<T> = std::result::Result<T, NetworkError>;

/// A network's folder, held by this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: fs::File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closed alone, the lock would stay as long as a process that another thread is just
        // starting has a copy of the file: until it runs its own program.
        let _ = self.lock.unlock();
    }
}

impl Folder {
    /// Takes the folder at `path`, made with mode 0700 if it is not there; one that is there must
    /// be empty, or have the file `record` in it.
    ///
    /// # Errors
    /// When it holds something else, or another program works on it.
    pub fn open(path: &Path, record: &str) -> Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|e| NetworkError::file(path, e))?;
        let folder = Self::locked(path)?;
        let mut others =
            fs::read_dir(&folder.path).map_err(|e| NetworkError::file(&folder.path, e))?;
        if !folder.path.join(record).exists()
            && others.any(|entry| !entry.is_ok_and(|entry| entry.file_name() == LOCK_FILE))
        {
            let detail = format!("`{}` is not empty and holds no network", folder.path.display());
            return Err(NetworkError::new(detail, "choose another folder with `--dir DIR`"));
        }
        Ok(folder)
    }

    /// Takes the folder at `path`, which has the file `record` in it.
    ///
    /// # Errors
    /// When it has not, or another program works on it.
    pub fn existing(path: &Path, record: &str) -> Result<Self> {
        if !path.join(record).exists() {
            return Err(NetworkError::nothing_in(path));
        }
        Self::locked(path)
    }

    fn locked(path: &Path) -> Result<Self> {
        let path = path.canonicalize().map_err(|e| NetworkError::file(path, e))?;
        let file = path.join(LOCK_FILE);
        let lock = fs::File::create(&file).map_err(|e| NetworkError::file(&file, e))?;
        lock.try_lock().map_err(|_| {
            let detail = format!("another program works on the network in `{}`", path.display());
            NetworkError::new(detail, "wait until it is done")
        })?;
        Ok(Self { path, lock })
    }

    /// Where it is, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Replaces a file as a whole, making its folder.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".new");
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&partial, content))
        .and_then(|()| fs::rename(&partial, path))
        .map_err(|e| NetworkError::file(path, e))
}
