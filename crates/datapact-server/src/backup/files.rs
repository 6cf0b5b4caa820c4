//! Files of a backup: made for their owner only, and on the disk when a function returns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::{BackupError, Result};

const BUFFER_BYTES: usize = 256 * 1024;

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> BackupError {
    move |error| BackupError::File(path.to_owned(), error)
}

pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\'])
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) fn make_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))
}

pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Removes a SQLite database, if there is one.
pub(super) fn remove_database(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{suffix}", path.display()));
        match fs::remove_file(&path) {
            Err(error) if !is_missing(&error) => return Err(at(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(at(path))
}

/// Copies a file to a new one and returns the digest of what was copied.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<String> {
    let source = File::open(from).map_err(at(from))?;
    let mut options = OpenOptions::new();
    let target = options.write(true).create_new(true).mode(0o600).open(to).map_err(|error| {
        match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Occupied(to.to_owned()),
            _ => at(to)(error),
        }
    })?;
    let digest = pump(source, Some(&target)).map_err(at(to))?;
    target.sync_all().map_err(at(to))?;
    Ok(digest)
}

pub(super) fn hash(path: &Path) -> Result<String> {
    File::open(path).and_then(|file| pump(file, None)).map_err(at(path))
}

fn pump(mut source: File, mut target: Option<&File>) -> io::Result<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = source.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return Ok(hex::encode(context.finish()));
        };
        context.update(bytes);
        if let Some(target) = &mut target {
            target.write_all(bytes)?;
        }
    }
}

pub(super) fn lock(data: &Path) -> Result<File> {
    let path = data.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(BackupError::InUse(data.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}
