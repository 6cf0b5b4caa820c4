//! Files and streams that commands read and write.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use datapact_core::package::PackageError;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;

/// Whether `path` means standard input or output.
pub(crate) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens data to read in one pass, with its length where that is known.
pub(crate) fn open_input(path: &Path) -> Result<(Box<dyn Read>, Option<u64>)> {
    if is_stream(path) {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let (file, length) = open_file(path)?;
    Ok((Box::new(file), length))
}

/// The same, to be read by another thread.
pub(crate) fn open_input_to_send(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
    if is_stream(path) {
        return Ok((Box::new(io::stdin()), None));
    }
    let (file, length) = open_file(path)?;
    Ok((Box::new(file), length))
}

/// Opens a file that is read at any offset, which a pipe cannot be.
pub(crate) fn open_seekable(path: &Path) -> Result<File> {
    let shown = if is_stream(path) { Path::new("/dev/stdin") } else { path };
    match open_file(shown)? {
        (file, Some(_)) => Ok(file),
        _ => Err(Failure::usage(
            format!("`{}` is not a file", path.display()),
            "a package is read at any offset: save it to a file first",
        )),
    }
}

fn open_file(path: &Path) -> Result<(File, Option<u64>)> {
    let failed = |error: io::Error| Failure::file("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::usage(
            format!("`{}` is a folder", path.display()),
            "pack it into one file first, such as with `tar`",
        ));
    }
    let length = metadata.is_file().then_some(metadata.len());
    Ok((file, length))
}

/// Reads a small text file, at most `bytes_max` long.
pub(crate) fn read_small(path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>> {
    let (input, _) = open_input(path)?;
    let mut bytes = Zeroizing::new(Vec::new());
    input
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::file("read", path, &error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::usage(
            format!("`{}` is longer than {bytes_max} bytes", path.display()),
            "give the file that is meant",
        ));
    }
    Ok(bytes)
}

/// Refuses a file of secrets that others may read.
pub(crate) fn check_private(path: &Path) -> Result<()> {
    let mode = fs::metadata(path)
        .map_err(|error| Failure::file("read", path, &error))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 || is_stream(path) {
        return Ok(());
    }
    Err(Failure::local(
        format!(
            "`{}` holds a secret and others may read it (mode {:03o})",
            path.display(),
            mode & 0o777
        ),
        format!("run `chmod 600 {}`", path.display()),
    ))
}

/// A file that gets its name only once it is whole. Dropped before that, it leaves nothing.
pub(crate) struct NewFile {
    file: Option<File>,
    part: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// Begins the file at `path`; asks before one that is there is replaced. Only its owner may
    /// read it when `private`.
    pub(crate) fn create(path: &Path, private: bool, output: &Output) -> Result<Self> {
        if is_stream(path) {
            return Err(Failure::usage("this does not go to standard output", "name a file"));
        }
        if path.exists() {
            output.confirm(format_args!("`{}` exists; replace it?", path.display()))?;
        }
        let mut part = OsString::from(".");
        part.push(path.file_name().ok_or_else(|| {
            Failure::usage(format!("`{}` is not a file's name", path.display()), "name a file")
        })?);
        part.push(format!(".{}.part", hex::encode(datapact_core::id::random::<6>())));
        let part = path.with_file_name(part);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(if private { 0o600 } else { 0o666 });
        let file = interrupt::made(&part, || options.open(&part))
            .map_err(|error| Failure::file("write", path, &error))?;
        Ok(Self { file: Some(file), part, path: path.to_owned() })
    }

    /// Where it is until then.
    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    /// The file is whole: gives it its name, durably.
    pub(crate) fn keep(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let kept = file.sync_all().and_then(|()| fs::rename(&self.part, &self.path));
        if kept.is_err() {
            let _ = fs::remove_file(&self.part);
        }
        interrupt::finished(&self.part);
        kept.map_err(|error| Failure::file("write", &self.path, &error))
    }
}

/// Where a command's result goes, all at once: a file that gets its name only once it is whole, or
/// standard output.
pub(crate) struct Target {
    path: PathBuf,
    /// None for standard output.
    file: Option<NewFile>,
}

impl Target {
    /// `-` is standard output, anything else a [`NewFile`].
    pub(crate) fn create(path: &Path, private: bool, output: &Output) -> Result<Self> {
        let file =
            if is_stream(path) { None } else { Some(NewFile::create(path, private, output)?) };
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes `content`, and says `value` or `text` of it: beside it, where standard output has the
    /// content.
    pub(crate) fn write(
        self,
        content: &[u8],
        output: &Output,
        value: &impl Serialize,
        text: impl Display,
    ) -> Result<()> {
        match self.file {
            None => {
                let mut stdout = io::stdout().lock();
                stdout
                    .write_all(content)
                    .and_then(|()| stdout.flush())
                    .map_err(|e| Failure::stdout(&e))?;
                output.result_beside_data(value, text);
                Ok(())
            }
            Some(mut file) => {
                file.write_all(content)
                    .map_err(|error| Failure::file("write", &self.path, &error))?;
                file.keep()?;
                output.result(value, text)
            }
        }
    }
}

/// `path` for people.
pub(crate) fn shown(path: &Path) -> String {
    if is_stream(path) { "standard output".to_owned() } else { path.display().to_string() }
}

impl Write for NewFile {
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
            let _ = fs::remove_file(&self.part);
            interrupt::finished(&self.part);
        }
    }
}

/// A new secret file, mode 0600; one that is there is never replaced, since a lost key is lost
/// data. Dropped before [`SecretFile::keep`], it is removed.
pub(crate) struct SecretFile {
    path: Option<PathBuf>,
}

impl SecretFile {
    /// Writes it, durably.
    pub(crate) fn write(path: &Path, content: &[u8]) -> Result<Self> {
        if is_stream(path) {
            return Err(Failure::usage("a key is not written to standard output", "name a file"));
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = interrupt::made(path, || options.open(path)).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                let detail = format!("`{}` exists, and a key is never replaced", path.display());
                return Failure::local(
                    detail,
                    "name another file, or remove this one if you need it no more",
                );
            }
            Failure::file("write", path, &error)
        })?;
        let secret = Self { path: Some(path.to_owned()) };
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|error| Failure::file("write", path, &error))?;
        Ok(secret)
    }

    /// What it belongs to is done; it stays.
    pub(crate) fn keep(mut self) {
        if let Some(path) = self.path.take() {
            interrupt::finished(&path);
        }
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
            interrupt::finished(path);
        }
    }
}

/// Standard output as the place for plaintext. On a terminal nothing is shown that the terminal
/// might obey.
pub(crate) struct Stdout {
    guarded: bool,
    /// Whether something was held back.
    pub(crate) refused: bool,
}

impl Stdout {
    /// `raw` shows everything, even on a terminal.
    pub(crate) fn new(raw: bool) -> Self {
        Self { guarded: !raw && io::stdout().is_terminal(), refused: false }
    }

    /// Why the terminal did not get the data.
    pub(crate) fn refusal() -> Failure {
        Failure::local(
            "the data are not plain text, and a terminal might obey them",
            "send them through a pipe, or add `--yes` to show them all the same",
        )
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let steers = |byte: &u8| (*byte < 0x20 && !b"\n\t\r".contains(byte)) || *byte == 0x7f;
        // C1 controls in UTF-8 are 0xc2 0x80..0x9f.
        let c1 = |pair: &[u8]| matches!(pair, [0xc2, 0x80..=0x9f]);
        if self.guarded && (bytes.iter().any(steers) || bytes.windows(2).any(c1)) {
            self.refused = true;
            return Err(io::ErrorKind::InvalidData.into());
        }
        io::stdout().lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().lock().flush()
    }
}

/// A package's failure, where the output is the file at `path`.
pub(crate) fn package_failure(error: PackageError, path: &Path) -> Failure {
    match error {
        PackageError::Write(cause) => Failure::file("write", path, &cause),
        other => other.into(),
    }
}
