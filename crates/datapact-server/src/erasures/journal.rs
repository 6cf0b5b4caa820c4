//! The erasure journal: a file in the server's data folder, beside the database and in none of its
//! backups' copies of it, to which every erasure is appended. A server applies it at its start, so
//! that a restored database does not bring back who was erased.
//!
//! One JSON object a line, `{"time": T, "erased": {...}}`. It names no person: accounts and keys by
//! their random ids, users by the marks of the server's own database.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use datapact_core::id::{AccountId, Digest, KeyId, Timestamp};
use serde::{Deserialize, Serialize};

/// The journal, in a server's data folder.
pub const FILE: &str = "erasures.jsonl";
/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 256;
/// The longest journal, in bytes: about half a million erasures.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// What was erased.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Erased {
    /// An account, and everything that named its holder, at management.
    Account(AccountId),
    /// A key, at a key server.
    Key(KeyId),
    /// A user, at a key or storage server.
    User {
        /// The user's mark in the server's database.
        mark: Digest,
        /// The sequence of management's notice.
        sequence: u64,
    },
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// What was erased.
    pub erased: Erased,
    /// When.
    pub time: Timestamp,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refuses.
    #[error("the erasure journal `{path}`: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    /// It is longer than any that is read.
    #[error("the erasure journal `{path}` is longer than 64 MiB", path = .0.display())]
    TooLong(PathBuf),
    /// It holds something else.
    #[error(
        "the erasure journal `{path}` is damaged at line {line}; put a copy of it there",
        path = .0.display(), line = .1
    )]
    Damaged(PathBuf, usize),
}

/// The lines of the journal `bytes`. What follows the last line's end was cut off by a crash,
/// before the erasure was answered, and is left out.
///
/// # Errors
/// The number of the first line that is not one of a journal, from 1.
pub fn parse(bytes: &[u8]) -> Result<Vec<Line>, usize> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines = bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').enumerate();
    let parsed = lines.filter(|(_, line)| !line.is_empty()).map(|(at, line)| {
        let fits = line.len() < LINE_BYTES_MAX;
        fits.then(|| serde_json::from_slice(line).ok()).flatten().ok_or(at + 1)
    });
    parsed.collect()
}

/// The lines of the journal `path`; none where there is none yet.
///
/// # Errors
/// [`JournalError`].
pub fn read(path: &Path) -> Result<Vec<Line>, JournalError> {
    let failed = |error| JournalError::File(path.to_owned(), error);
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(JOURNAL_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    if bytes.len() as u64 > JOURNAL_BYTES_MAX {
        return Err(JournalError::TooLong(path.to_owned()));
    }
    parse(&bytes).map_err(|line| JournalError::Damaged(path.to_owned(), line))
}

/// Appends `lines` to the journal `path`, making it where there is none. They are on the disk when
/// this returns.
///
/// # Errors
/// [`JournalError::File`]; the journal may hold some of them then, of which the next call removes
/// what was cut off.
pub fn append(path: &Path, lines: &[Line]) -> Result<(), JournalError> {
    let mut text = Vec::new();
    for line in lines {
        let written = serde_json::to_writer(&mut text, line).map_err(io::Error::from);
        written.map_err(|error| JournalError::File(path.to_owned(), error))?;
        text.push(b'\n');
    }
    append_text(path, &text).map_err(|error| JournalError::File(path.to_owned(), error))
}

fn append_text(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    // Processes on one PostgreSQL database may share the data folder.
    file.lock()?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LINE_BYTES_MAX as u64)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let cut_off = end.iter().rev().take_while(|byte| **byte != b'\n').count();
    let whole = length.saturating_sub(cut_off as u64);
    file.set_len(whole)?;
    file.seek(SeekFrom::Start(whole))?;
    file.write_all(text)?;
    file.sync_all()?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Adds to the journal `path` what each journal of `from` holds and it lacks.
///
/// # Errors
/// [`JournalError`]; one of `from` that is missing, too.
pub fn merge(path: &Path, from: &[PathBuf]) -> Result<(), JournalError> {
    let held: BTreeSet<Line> = read(path)?.into_iter().collect();
    let mut new = BTreeSet::new();
    for other in from {
        std::fs::metadata(other).map_err(|error| JournalError::File(other.clone(), error))?;
        new.extend(read(other)?);
    }
    let mut new: Vec<Line> = new.difference(&held).cloned().collect();
    new.sort_by_key(|line| line.time);
    append(path, &new)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn line(number: u8) -> Line {
        let erased = match number % 3 {
            0 => Erased::Account(AccountId([number; 16])),
            1 => Erased::Key(KeyId([number; 16])),
            _ => Erased::User { mark: Digest([number; 32]), sequence: u64::MAX },
        };
        Line { erased, time: number.into() }
    }

    #[test]
    fn a_journal_is_appended_to_and_what_was_cut_off_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(read(&path).unwrap(), []);
        append(&path, &[line(0), line(1)]).unwrap();
        append(&path, &[line(2)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 1..line_length(&whole) {
            std::fs::write(&path, whole.get(..whole.len() - cut).unwrap()).unwrap();
            assert_eq!(read(&path).unwrap(), [line(0), line(1)]);
            append(&path, &[line(2)]).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        let other = dir.path().join("other");
        append(&other, &[line(5), line(2), line(3)]).unwrap();
        merge(&path, std::slice::from_ref(&other)).unwrap();
        merge(&path, &[other]).unwrap();
        assert_eq!(read(&path).unwrap(), [0, 1, 2, 3, 5].map(line));
        assert!(merge(&path, &[dir.path().join("missing")]).is_err());
    }

    /// How long the last line is, with its end.
    fn line_length(bytes: &[u8]) -> usize {
        1 + bytes.iter().rev().skip(1).take_while(|byte| **byte != b'\n').count()
    }

    #[test]
    fn a_damaged_journal_is_refused() {
        let good = serde_json::to_string(&line(2)).unwrap();
        assert_eq!(parse(format!("{good}\n{good}").as_bytes()).unwrap(), [line(2)]);
        for bad in ["x", "{}", &good.replace("user", "all"), &format!("{good}{}", " ".repeat(256))]
        {
            assert_eq!(parse(format!("{good}\n{bad}\n").as_bytes()), Err(2), "{bad}");
        }
    }
}
