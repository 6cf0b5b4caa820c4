//! Why a table or a rule file was refused, and where.

use std::fmt;
use std::io;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in the data something is. It never holds a value: values are personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The record, from 1; the header is record 0.
    pub record: u64,
    /// The line on which the record begins, from 1; 0 where the format has no lines.
    pub line: u64,
    /// The byte at which the record (or the fault in it) begins, from 0, in the data as UTF-8.
    pub byte: u64,
    /// The column's name, where the fault is in one column.
    pub column: Option<String>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record {
            0 => f.write_str("header")?,
            record => write!(f, "record {record}")?,
        }
        if self.line > 0 {
            write!(f, " (line {}, byte {})", self.line, self.byte)?;
        }
        match &self.column {
            Some(column) => write!(f, ", column `{}`", printable(column)),
            None => Ok(()),
        }
    }
}

/// Why data were not desensitized.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rule file is wrong.
    #[error("rule file, line {line}: {detail}")]
    Rules {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        detail: String,
        /// How to go on.
        hint: &'static str,
    },
    /// Rules and data do not fit each other.
    #[error("{detail}")]
    Mismatch {
        /// What does not fit.
        detail: String,
        /// How to go on.
        hint: &'static str,
    },
    /// The data break a rule of their format.
    #[error("{at}: {detail}")]
    Malformed {
        /// Where.
        at: Position,
        /// What is wrong.
        detail: String,
        /// How to go on.
        hint: &'static str,
    },
    /// The input must be read more than once, and is a stream.
    #[error("{0} needs the data more than once, and a pipe can be read only once")]
    NotSeekable(&'static str),
    /// A key is needed, or the given one is wrong.
    #[error("{detail}")]
    Key {
        /// What is wrong.
        detail: String,
        /// How to go on.
        hint: &'static str,
    },
    /// The input could not be read.
    #[error("the data could not be read: {0}")]
    Read(#[source] io::Error),
    /// The output could not be written.
    #[error("the desensitized data could not be written: {0}")]
    Write(#[source] io::Error),
    /// What does not fit into memory could not be written to a temporary file, or not read again.
    #[error("a temporary file failed: {0}")]
    Spill(#[source] io::Error),
}

impl Error {
    /// How to go on.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Rules { hint, .. }
            | Self::Mismatch { hint, .. }
            | Self::Malformed { hint, .. }
            | Self::Key { hint, .. } => Some(hint),
            Self::NotSeekable(_) => {
                Some("save the data to a file on an encrypted disk, and give the file")
            }
            Self::Spill(_) => {
                Some("set TMPDIR to a folder with as much free space as the data need")
            }
            Self::Read(_) | Self::Write(_) => None,
        }
    }

    pub(crate) fn malformed(at: Position, detail: impl fmt::Display, hint: &'static str) -> Self {
        Self::Malformed { at, detail: detail.to_string(), hint }
    }

    pub(crate) fn mismatch(detail: impl fmt::Display, hint: &'static str) -> Self {
        Self::Mismatch { detail: detail.to_string(), hint }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// A name from the data, fit for a message: bounded, and without what a terminal might obey.
pub(crate) fn printable(name: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut shown: String =
        name.chars().take(CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
