//! What a log asks of a witness, and what a witness checks: C2SP tlog-witness.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::id::Digest;

use crate::consistency;
use crate::note::{CHECKPOINT_BYTES_MAX, Checkpoint, NoteError, VerifyingKey};
use crate::tree::{Hash, root};

/// The longest request that is read, in bytes: a checkpoint and a proof.
pub const REQUEST_BYTES_MAX: usize = CHECKPOINT_BYTES_MAX + 4096;

/// How a witness refuses a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request is not of the form, or its old size is larger than the checkpoint's.
    #[error("this is not a request of the form C2SP tlog-witness add-checkpoint")]
    Malformed,
    /// The witness is not configured with this log.
    #[error("this witness does not know the log")]
    UnknownLog,
    /// The log has not signed it, or its signature is wrong.
    #[error("the checkpoint is not signed by its log")]
    Unsigned,
    /// The old size is not the one that the witness has cosigned last, which is given.
    #[error("this witness has cosigned a checkpoint of {0} entries")]
    Conflict(u64),
    /// The checkpoint does not continue the one that the witness has cosigned last.
    #[error("the checkpoint does not continue the one that this witness has cosigned")]
    Inconsistent,
}

/// The origin's hash, lower-case hexadecimal SHA-256: the folder of a log below a witness's
/// monitoring prefix.
pub fn origin_hash(origin: &str) -> String {
    Digest::of(origin.as_bytes()).to_string()
}

/// A log's request to cosign its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the checkpoint that the witness has cosigned last; 0 if it has not.
    pub old: u64,
    /// That the checkpoint continues that one.
    pub proof: Vec<Hash>,
    /// The checkpoint, as the log signed it.
    pub note: String,
}

impl AddCheckpoint {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::read(bytes).ok_or(Refusal::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return None;
        }
        let (head, note) = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = lines.next()?.strip_prefix("old ")?;
        let number: u64 = old.parse().ok()?;
        let decode = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
        let proof: Vec<Hash> =
            lines.take(consistency::HASHES_MAX + 1).map(decode).collect::<Option<_>>()?;
        let is_right = number.to_string() == old && proof.len() <= consistency::HASHES_MAX;
        is_right.then(|| Self { old: number, proof, note: note.to_owned() })
    }

    /// The origin that the checkpoint names.
    pub fn origin(&self) -> &str {
        self.note.split('\n').next().unwrap_or_default()
    }

    /// The checkpoint, if `log` has signed it.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] or [`Refusal::Unsigned`].
    pub fn open(&self, log: &VerifyingKey) -> Result<Checkpoint, Refusal> {
        let opened = Checkpoint::open(self.note.as_bytes(), log, &[]).map_err(|e| match e {
            NoteError::Signature(_) | NoteError::Unsigned(_) => Refusal::Unsigned,
            NoteError::Origin { .. } => Refusal::UnknownLog,
            _ => Refusal::Malformed,
        })?;
        if self.old > opened.size() {
            return Err(Refusal::Malformed);
        }
        Ok(opened)
    }

    /// Whether `checkpoint`, which is this request's, may be cosigned after `latest`, the size and
    /// root of the one cosigned last.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] or [`Refusal::Inconsistent`].
    pub fn follows(
        &self,
        checkpoint: &Checkpoint,
        latest: Option<(u64, Hash)>,
    ) -> Result<(), Refusal> {
        let latest = latest.unwrap_or_else(|| (0, root(&[])));
        if self.old != latest.0 {
            return Err(Refusal::Conflict(latest.0));
        }
        let new = (checkpoint.size(), checkpoint.root());
        if consistency::verify((latest.0, &latest.1), new, &self.proof) {
            Ok(())
        } else {
            Err(Refusal::Inconsistent)
        }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::note::{KeyKind, SigningKey};
    use crate::tree::{leaf_hash, node_hash};

    fn log() -> SigningKey {
        let text = SigningKey::text(&[1; 32], "log.example", KeyKind::Log).unwrap();
        SigningKey::parse(&text).unwrap()
    }

    #[test]
    fn requests_have_one_form() {
        let note = log().checkpoint(2, &[9; 32]);
        let request = AddCheckpoint { old: 1, proof: vec![[5; 32]], note };
        let text = request.to_string();
        assert_eq!(AddCheckpoint::parse(text.as_bytes()), Ok(request.clone()));
        assert_eq!(request.origin(), "log.example");
        let hash = STANDARD.encode([5; 32]);
        for bad in [
            String::new(),
            text.replace("old 1", "old 01"),
            text.replace("old 1", "old -1"),
            text.replace("old 1", "old"),
            text.replace("old 1", "new 1"),
            text.replace(&hash, "BQUF"),
            text.replace(&hash, &format!("{hash} ")),
            text.replace(&hash, &[hash.as_str(); 64].join("\n")),
            "x".repeat(REQUEST_BYTES_MAX + 1),
        ] {
            assert_eq!(AddCheckpoint::parse(bad.as_bytes()), Err(Refusal::Malformed), "{bad}");
        }
    }

    /// Two entries, and all that a request about them can be.
    #[test]
    fn only_what_continues_the_latest_is_cosigned() {
        let leaves = [leaf_hash(b"a"), leaf_hash(b"b")];
        let one = (1, leaves[0]);
        let both = node_hash(&leaves[0], &leaves[1]);
        let ask = |old, proof: &[Hash], size, root: &Hash, latest| {
            let note = log().checkpoint(size, root);
            let request = AddCheckpoint { old, proof: proof.to_vec(), note };
            let checkpoint = request.open(log().public())?;
            request.follows(&checkpoint, latest)
        };
        let empty = root(&[]);
        assert_eq!(ask(0, &[], 0, &empty, None), Ok(()));
        assert_eq!(ask(0, &[], 2, &both, None), Ok(()));
        assert_eq!(ask(1, &[leaves[1]], 2, &both, Some(one)), Ok(()));
        assert_eq!(ask(1, &[], 1, &leaves[0], Some(one)), Ok(()));
        let conflict = Err(Refusal::Conflict(1));
        assert_eq!(ask(0, &[], 2, &both, Some(one)), conflict);
        assert_eq!(ask(2, &[], 2, &both, Some(one)), conflict);
        let fork = Err(Refusal::Inconsistent);
        assert_eq!(ask(0, &[], 0, &both, None), fork);
        assert_eq!(ask(0, &[leaves[1]], 2, &both, None), fork);
        assert_eq!(ask(1, &[], 1, &both, Some(one)), fork);
        assert_eq!(ask(1, &[leaves[0]], 2, &both, Some(one)), fork);
        assert_eq!(ask(1, &[leaves[1]], 2, &leaves[0], Some(one)), fork);
        assert_eq!(ask(3, &[], 2, &both, Some((3, both))), Err(Refusal::Malformed));
        let text = SigningKey::text(&[2; 32], "log.example", KeyKind::Log).unwrap();
        let other = SigningKey::parse(&text).unwrap();
        let note = other.checkpoint(2, &both);
        let request = AddCheckpoint { old: 0, proof: Vec::new(), note };
        assert_eq!(request.open(log().public()), Err(Refusal::Unsigned));
    }
}
