//! The cache outside the checkout: folders that are made once for what they are made from.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::say;

/// In a folder that is complete.
const STAMP: &str = "complete";

/// `$XDG_CACHE_HOME/datapact`, or `~/.cache/datapact`, which is made if it is missing.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
    let cache = base.join("datapact");
    fs::create_dir_all(&cache).map_err(|e| format!("`{}`: {e}", cache.display()))?;
    Ok(cache)
}

/// The folder `NAME-HASH` in `cache`, which `make` has filled with `what`: now, or earlier for the
/// same `pins`.
pub(super) fn once(
    cache: &Path,
    name: &str,
    what: &str,
    pins: &str,
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    fs::create_dir_all(cache).map_err(|e| format!("`{}`: {e}", cache.display()))?;
    let mut hasher = DefaultHasher::new();
    pins.hash(&mut hasher);
    let folder = cache.join(format!("{name}-{:016x}", hasher.finish()));
    // One at a time: the cache is the machine's, and two checkouts may be checked together. Closing
    // the file unlocks it.
    let path = folder.with_extension("lock");
    let lock = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|e| format!("cannot lock `{}`: {e}", path.display()))?;
    let place = format!("{what}: {}", folder.display());
    if folder.join(STAMP).is_file() {
        say("has", &place);
        return Ok(folder);
    }
    say("makes", &place);
    // What another run left unfinished is not built upon.
    let _ = fs::remove_dir_all(&folder); // it is absent at the first time
    make(&folder)?;
    fs::write(folder.join(STAMP), pins).map_err(|e| format!("`{}`: {e}", folder.display()))?;
    Ok(folder)
}

/// Runs a program that installs something; what it says is part of the error.
pub(super) fn install(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
    Err(format!("{command:?}: {}: {last}", output.status))
}
