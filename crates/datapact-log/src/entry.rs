//! The embedded ledger's entries.

use datapact_core::contract::{CONTRACT_VERSION, Call, Outcome, Refusal, Values, decide};
use datapact_core::id::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest entry, in bytes: its length is two bytes in an entry bundle (C2SP tlog-tiles).
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// One entry: a granted call, when, and under which version of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The version of the contract's rules that decided it.
    pub version: u32,
    /// When it was decided.
    pub time: Timestamp,
    /// The call.
    pub call: Call,
}

/// How far an entry of a chain's mirror may be before the latest of those before it, in seconds. On
/// a chain whose transactions bear their submitters' times (Fabric), they need not be in the
/// order of these times. A log that is the ledger itself has no such entries, and its followers
/// take none; an audit, which need not know which it is, does.
pub const DISORDER_SECONDS_MAX: u64 = 300;

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// Not the RFC 8785 encoding of an entry.
    #[error("it is not a canonical entry")]
    Malformed,
    /// Decided under rules that this program does not know.
    #[error("it is of contract version {0}, which this program does not know; use a newer program")]
    Version(u32),
    /// Older than the entry before it.
    #[error("its time lies before that of the entry before it")]
    Backwards,
    /// Its time is too far from the reader's clock.
    #[error("its time is {0} s away from this machine's clock")]
    Skew(u64),
    /// The contract refuses it.
    #[error("the contract refuses it: {0}")]
    Refused(Refusal),
    /// It changes nothing.
    #[error("it repeats an earlier entry")]
    Repeat,
}

impl Entry {
    /// The entry of `call` under the present rules.
    pub fn new(call: Call, time: Timestamp) -> Self {
        Self { version: CONTRACT_VERSION, time, call }
    }

    /// The entry's bytes: JSON in the form of RFC 8785. None when they would be longer than
    /// [`ENTRY_BYTES_MAX`].
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self).ok().filter(|bytes| bytes.len() <= ENTRY_BYTES_MAX)
    }

    /// Reads an entry's bytes, which must be just what [`Entry::to_bytes`] makes of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryFault> {
        let entry: Self = serde_json::from_slice(bytes).map_err(|_| EntryFault::Malformed)?;
        if entry.to_bytes().as_deref() == Some(bytes) {
            Ok(entry)
        } else {
            Err(EntryFault::Malformed)
        }
    }

    /// Decides the entry again, after an entry of time `previous`: what it changed.
    pub fn replay(&self, previous: Timestamp, values: &Values) -> Result<Outcome, EntryFault> {
        if self.version != CONTRACT_VERSION {
            return Err(EntryFault::Version(self.version));
        }
        if self.time < previous {
            return Err(EntryFault::Backwards);
        }
        let outcome = decide(&self.call, values, self.time).map_err(EntryFault::Refused)?;
        if outcome.writes.is_empty() { Err(EntryFault::Repeat) } else { Ok(outcome) }
    }
}

/// An entry bundle: each entry after its length in two bytes.
pub fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bundle = Vec::with_capacity(entries.iter().map(|entry| entry.len() + 2).sum());
    for entry in entries {
        bundle.extend((entry.len() as u16).to_be_bytes());
        bundle.extend(entry);
    }
    bundle
}
