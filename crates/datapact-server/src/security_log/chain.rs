//! The chain of lines: each has a number and the digest of the line before.

use std::io::{self, BufRead, Read as _};

use datapact_core::id::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::Event;

/// The longest line, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024;

/// A line as it is written.
#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    time: Timestamp,
    server: &'a str,
    #[serde(flatten)]
    event: &'a Event,
    /// How many such events there were at once, if more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// SHA-256 of the line before, without its end; none in the first.
    previous: Option<Digest>,
}

/// What of a line makes it a link.
#[derive(Deserialize)]
struct Link {
    sequence: u64,
    previous: Option<Digest>,
}

/// The end of a log: number and digest of its last line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) sequence: u64,
    pub(super) digest: Option<Digest>,
}

impl End {
    /// The end behind this line, if it is one.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let link: Link = serde_json::from_slice(line).ok()?;
        Some(Self { sequence: link.sequence, digest: Some(Digest::of(line)) })
    }

    /// The next line, and moves behind it.
    pub(super) fn append(
        &mut self,
        server: &str,
        (time, event, count): &(Timestamp, Event, u64),
    ) -> String {
        let line = Line {
            sequence: self.sequence + 1,
            time: *time,
            server,
            event,
            count: (*count > 1).then_some(*count),
            previous: self.digest,
        };
        let line = serde_json::to_string(&line).expect("an event is plain JSON");
        *self = Self { sequence: self.sequence + 1, digest: Some(Digest::of(line.as_bytes())) };
        line
    }
}

/// What a log was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The number of its first line; of none if it is empty.
    pub first: Option<u64>,
    /// The number of its last line.
    pub last: u64,
    /// The digest of the line before the first, as the first says; none at a log's beginning.
    pub previous: Option<Digest>,
    /// The digest of the last line: who keeps it can tell later whether lines were taken off.
    pub digest: Option<Digest>,
}

/// Why a log is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// It cannot be read.
    #[error("the security log cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A line is none.
    #[error("line {0} is no line of a security log")]
    Line(u64),
    /// Lines are missing, doubled or out of order.
    #[error("line {line} has the number {found}, where {expected} must follow")]
    Sequence {
        /// Which line of what was read.
        line: u64,
        /// The number that must follow.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// The line before was changed.
    #[error("line {0} does not continue the line before it")]
    Chain(u64),
}

/// Reads a log and checks that each line continues the one before; the first line continues
/// `before`, if what comes before it was verified already.
///
/// # Errors
/// [`ChainError`], about the first line that does not fit.
pub fn verify(mut log: impl BufRead, before: Option<&Verified>) -> Result<Verified, ChainError> {
    let mut found = Verified { first: None, last: 0, previous: None, digest: None };
    if let Some(before) = before {
        (found.last, found.digest) = (before.last, before.digest);
    }
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = log.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(found);
        }
        number += 1;
        let text = line.strip_suffix(b"\n").ok_or(ChainError::Line(number))?;
        let link: Link = serde_json::from_slice(text).map_err(|_| ChainError::Line(number))?;
        if found.first.is_some() || before.is_some() {
            let expected = found.last.saturating_add(1);
            if link.sequence != expected {
                let (line, found) = (number, link.sequence);
                return Err(ChainError::Sequence { line, expected, found });
            }
            if link.previous != found.digest {
                return Err(ChainError::Chain(number));
            }
        } else if (link.sequence == 1) != link.previous.is_none() {
            return Err(ChainError::Chain(number));
        }
        if found.first.is_none() {
            (found.first, found.previous) = (Some(link.sequence), link.previous);
        }
        (found.last, found.digest) = (link.sequence, Some(Digest::of(text)));
    }
}
