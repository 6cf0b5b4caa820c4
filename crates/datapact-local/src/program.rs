//! Programs that nodes run: found where they are, or put once into a cache outside every checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{NetworkError, Result};

/// How often a process that waits for another's installation looks whether it is done.
const POLL: Duration = Duration::from_millis(200);

/// The program `path`, absolute, for nodes are started in folders of their own.
///
/// # Errors
/// When the file does not exist, with `hint`.
pub fn named(path: &Path, hint: &str) -> Result<PathBuf> {
    std::path::absolute(path)
        .ok()
        .filter(|path| path.is_file())
        .ok_or_else(|| NetworkError::new(format!("there is no program `{}`", path.display()), hint))
}

/// The folders of the `PATH`.
pub fn path_folders() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

/// The first program `name` in `folders`, absolute.
pub fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let path = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())?;
    std::path::absolute(path).ok()
}

/// The folder `name` in `$XDG_CACHE_HOME/datapact` or `~/.cache/datapact`, made if it is not there.
/// This process alone works on it as long as it holds the file: one at a time installs what is
/// missing, the others wait and find it.
///
/// # Errors
/// When neither variable is set, or the folder cannot be made.
pub async fn cache(name: &str) -> Result<(PathBuf, fs::File)> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let folder = folder.ok_or_else(|| {
        NetworkError::new(
            "no folder is set for the node programs",
            "set XDG_CACHE_HOME, or name the program",
        )
    })?;
    let folder = folder.join("datapact").join(name);
    fs::create_dir_all(&folder).map_err(|e| NetworkError::file(&folder, e))?;
    let path = folder.join("lock");
    let file = fs::File::create(&path).map_err(|e| NetworkError::file(&path, e))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok((folder, file)),
            Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
            Err(fs::TryLockError::Error(e)) => return Err(NetworkError::file(&path, e)),
        }
    }
}
