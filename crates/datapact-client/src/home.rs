//! The home directory: one folder a profile, and which profile is current.
//!
//! ```text
//! current                    the current profile's name
//! profiles/NAME/
//!   profile.json             identity and account
//!   enrolment.json           servers, CAs, ledger
//!   key.pem                  the private key, 0600
//!   certificate.pem          its chain
//!   settings.json            what the user has set, if anything
//!   state/                   what this program remembers between runs; no key and no plaintext
//! ```

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ClientError, Result};

/// The largest file of a profile that is read, in bytes: a revocation list, or all versions of an
/// enrolment, may be long.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where a user's profiles are.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The home at `path`; without one, at `$DATAPACT_HOME`, else `~/.datapact`. Nothing is made
    /// yet.
    ///
    /// # Errors
    /// When neither is known.
    pub fn locate(path: Option<PathBuf>) -> Result<Self> {
        let from_environment =
            || std::env::var_os("DATAPACT_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let default = || std::env::home_dir().map(|home| home.join(".datapact"));
        let path = path.or_else(from_environment).or_else(default).ok_or_else(|| {
            ClientError::usage("there is no home directory", "set `DATAPACT_HOME` or give `--home`")
        })?;
        Ok(Self { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the profiles, sorted, finished or not.
    pub fn profiles(&self) -> Result<Vec<String>> {
        let folder = self.path.join("profiles");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ClientError::file(&folder, error)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| check_name(name).is_ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The folder of the profile `name`, which need not exist.
    pub fn profile_folder(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.path.join("profiles").join(name))
    }

    /// The current profile: the one last used, or the only one.
    pub fn current(&self) -> Result<Option<String>> {
        let path = self.path.join("current");
        match read_file(&path)? {
            Some(text) => {
                let name = String::from_utf8_lossy(&text).trim().to_owned();
                check_name(&name)?;
                Ok(Some(name))
            }
            None => {
                let mut names = self.profiles()?;
                Ok(if names.len() == 1 { names.pop() } else { None })
            }
        }
    }

    /// Makes `name` the current profile.
    pub fn set_current(&self, name: &str) -> Result<()> {
        let folder = self.profile_folder(name)?;
        if !folder.join(PROFILE).exists() {
            let detail = format!("there is no profile `{name}`");
            return Err(ClientError::not_found(detail, "`datapact profile list` shows them"));
        }
        make_folder(&self.path)?;
        write_file(&self.path.join("current"), format!("{name}\n").as_bytes())
    }

    /// The profile `name`, or the current one.
    pub fn choose(&self, name: Option<&str>) -> Result<String> {
        match name {
            Some(name) => check_name(name).map(|()| name.to_owned()),
            None => self.current()?.ok_or_else(|| {
                ClientError::not_found(
                    "no profile is chosen",
                    "choose one with `--profile` or `datapact profile use`, or make one with \
                     `datapact join`",
                )
            }),
        }
    }
}

/// The file that makes a folder a finished profile.
pub(crate) const PROFILE: &str = "profile.json";

/// A profile's name: 1 to 64 of `A-Z a-z 0-9 . _ -`, not beginning with a point, so that it is one
/// folder.
fn check_name(name: &str) -> Result<()> {
    let plain = (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if plain {
        return Ok(());
    }
    let detail = format!("`{}` is not a profile's name", name.escape_default());
    Err(ClientError::usage(detail, "use 1 to 64 letters, digits, `.`, `_` or `-`"))
}

/// Makes a folder that only its owner may read.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|e| ClientError::file(path, e))
}

/// A new file that only its owner may read and write; one that is there is refused.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).read(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file that gets its name only once it is whole: written beside, synced, renamed.
/// Dropped before [`NewFile::keep`], it leaves nothing.
pub(crate) struct NewFile {
    file: Option<File>,
    beside: PathBuf,
    path: PathBuf,
}

impl NewFile {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| {
            ClientError::usage(format!("`{}` is not a file's name", path.display()), "name a file")
        })?;
        let mut beside = OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}.part", hex::encode(datapact_core::id::random::<6>())));
        let beside = path.with_file_name(beside);
        let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        let file = new_file(&beside).map_err(|e| ClientError::file(path, e))?;
        unfinished.insert(beside.clone());
        drop(unfinished);
        Ok(Self { file: Some(file), beside, path: path.to_owned() })
    }

    /// The file as it is so far, for reading.
    pub(crate) fn reader(&self) -> Result<File> {
        File::open(&self.beside).map_err(|e| ClientError::file(&self.path, e))
    }

    /// Gives the file its name; `replace` says whether one that is there may be replaced.
    pub(crate) fn keep(mut self, replace: bool) -> Result<()> {
        let failed = |e| ClientError::file(&self.path, e);
        if let Some(file) = &self.file {
            file.sync_all().map_err(failed)?;
        }
        if replace {
            fs::rename(&self.beside, &self.path).map_err(failed)?;
        } else {
            // Unlike renaming, linking never replaces what has come up meanwhile.
            fs::hard_link(&self.beside, &self.path).map_err(failed)?;
            let _ = fs::remove_file(&self.beside);
        }
        self.file = None;
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.beside);
        if let Some(Ok(folder)) = self
            .path
            .parent()
            .map(|p| if p.as_os_str().is_empty() { File::open(".") } else { File::open(p) })
        {
            // Some file systems cannot sync a folder; the file itself is synced.
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().ok_or(io::ErrorKind::NotFound)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.beside);
            UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.beside);
        }
    }
}

/// What is being written by this process.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Removes the files that are not whole yet, for a process that is about to end at once: a signal,
/// say. Nothing new is begun from then on.
pub fn discard_unfinished() {
    let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    for path in unfinished.iter() {
        let _ = fs::remove_file(path);
    }
    std::mem::forget(unfinished);
}

/// Writes a whole file, or leaves the old one.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = NewFile::create(path)?;
    file.write_all(bytes).map_err(|e| ClientError::file(path, e))?;
    file.keep(true)
}

/// Reads a whole file; none if it is not there.
pub(crate) fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClientError::file(path, error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| ClientError::file(path, e))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ClientError::file(path, io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(bytes))
}

/// Writes a value as JSON.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(ClientError::defect)?;
    text.push(b'\n');
    write_file(path, &text)
}

/// Reads a value from JSON; none if there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = read_file(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        ClientError::usage(
            format!("`{}` is not as specified: {e}", path.display()),
            "restore or remove the file",
        )
    })
}

/// Writes a value as JSON to a file that is not there yet.
pub(crate) fn write_new_json<T: Serialize>(mut file: NewFile, value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(ClientError::defect)?;
    text.push(b'\n');
    file.write_all(&text).map_err(|e| ClientError::file(&file.path, e))?;
    file.keep(false)
}
