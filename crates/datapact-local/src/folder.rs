//! A network's folder, which one program works on at a time, and the record in it of what the
//! network is made of.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{NetworkError, Result};

/// Locked by the program that works on the folder.
const LOCK_FILE: &str = "lock";
/// Says what is in the folder: a folder without it holds no network.
const RECORD_FILE: &str = "network.json";

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
    /// be empty or hold a network.
    ///
    /// # Errors
    /// When it holds something else, or another program works on it.
    pub fn open(path: &Path) -> Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|e| NetworkError::file(path, e))?;
        let folder = Self::locked(path)?;
        let mut others =
            fs::read_dir(&folder.path).map_err(|e| NetworkError::file(&folder.path, e))?;
        if !folder.record_file().exists()
            && others.any(|entry| !entry.is_ok_and(|entry| entry.file_name() == LOCK_FILE))
        {
            let detail = format!("`{}` is not empty and holds no network", folder.path.display());
            return Err(NetworkError::new(detail, "choose another folder with `--dir DIR`"));
        }
        Ok(folder)
    }

    /// Takes the folder at `path`, which holds a network.
    ///
    /// # Errors
    /// When it holds none, or another program works on it.
    pub fn existing(path: &Path) -> Result<Self> {
        if !path.join(RECORD_FILE).exists() {
            return Err(NetworkError::no_network(path));
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

    fn record_file(&self) -> PathBuf {
        self.path.join(RECORD_FILE)
    }

    /// The record in it; none in a new folder.
    ///
    /// # Errors
    /// When it cannot be read or is not a record of this kind of network.
    pub fn record<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let path = self.record_file();
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|e| NetworkError::file(&path, e))?,
        };
        serde_json::from_str(&text).map(Some).map_err(|e| NetworkError::file(&path, e))
    }

    /// Replaces the record in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, record: &impl Serialize) -> Result<()> {
        let path = self.record_file();
        let text =
            serde_json::to_string_pretty(record).map_err(|e| NetworkError::file(&path, e))?;
        replace(&path, text.as_bytes())
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
