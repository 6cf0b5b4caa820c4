//! Files that hold one secret: made once, readable by their owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use datapact_core::id::{KeyId, random};
use zeroize::Zeroizing;

/// The longest secret file that is read, in bytes.
const SECRET_BYTES_MAX: u64 = 4096;

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file system refuses.
    #[error("cannot use the secret file `{path}`: {error}", path = .0.display(), error = .1)]
    Io(PathBuf, io::Error),
    /// Others may read it.
    #[error(
        "others than its owner may use the secret file `{path}` (mode {mode:o}); \
         run `chmod 600` on it, and replace the secret if another user may have read it",
        path = .0.display(), mode = .1
    )]
    Readable(PathBuf, u32),
    /// Not what belongs there.
    #[error(
        "the secret file `{path}` does not hold {expected}; restore it from a backup",
        path = .0.display(), expected = .1
    )]
    Content(PathBuf, &'static str),
    /// It is gone, though what it protects is there.
    #[error(
        "the secret file `{path}` is missing, but `{needed}` needs it; restore it from a backup",
        path = .0.display(), needed = .1.display()
    )]
    Missing(PathBuf, PathBuf),
}

/// The content of `path` without the line's end. None when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, SecretFileError> {
    let io_error = |error| SecretFileError::Io(path.to_owned(), error);
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    // Of the open file, so that it cannot be swapped in between.
    let mode = file.metadata().map_err(io_error)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Readable(path.to_owned(), mode));
    }
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX as usize));
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(io_error)?;
    let end = text.trim_end_matches('\n').len();
    text.truncate(end);
    Ok(Some(text))
}

/// Reads `path`, or makes it with what `make` gives. Of two that make it at once one wins, and both
/// read the same.
pub(crate) fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Zeroizing<String>,
) -> Result<Zeroizing<String>, SecretFileError> {
    if let Some(text) = read(path)? {
        return Ok(text);
    }
    let io_error = |error| SecretFileError::Io(path.to_owned(), error);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io_error)?;
    // Written elsewhere first: a crash leaves either no file or a whole one. Linking never replaces
    // one.
    let part = folder.join(format!(".{}.part", KeyId(random())));
    let made = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(make().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        match fs::hard_link(&part, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => fs::File::open(folder)?.sync_all(),
        }
    })();
    // Best effort: a left-over part is never read.
    let _ = fs::remove_file(&part);
    made.map_err(io_error)?;
    read(path)?.ok_or_else(|| io_error(io::ErrorKind::NotFound.into()))
}

/// Puts `text` in the place of what `path` holds. After a crash the file has the one content or the
/// other.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), SecretFileError> {
    let io_error = |error| SecretFileError::Io(path.to_owned(), error);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = folder.join(format!(".{}.part", KeyId(random())));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        fs::File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // Best effort: a left-over part is never read.
        let _ = fs::remove_file(&part);
    }
    written.map_err(io_error)
}
