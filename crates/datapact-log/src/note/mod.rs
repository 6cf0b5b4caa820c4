//! Signed checkpoints: C2SP signed-note, tlog-checkpoint and tlog-cosignature.

mod key;

pub use key::{KeyKind, SigningKey, VerifyingKey};

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, Signature, Verifier, VerifierList};

use crate::tree::Hash;

/// The longest checkpoint that is read, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;

/// Why a key, note or checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a key in the signed-note form.
    #[error("this is not an Ed25519 {0} of the C2SP signed-note form; take it from `ledger info`")]
    Key(&'static str),
    /// A name that a note cannot hold.
    #[error("`{0}` cannot name a key: it must be 1 to 128 visible ASCII characters without `+`")]
    Name(String),
    /// Not a checkpoint.
    #[error("this is not a signed checkpoint")]
    Malformed,
    /// A signature by a known key is wrong.
    #[error("the signature of `{0}` under the checkpoint is wrong")]
    Signature(String),
    /// No signature by the key needed.
    #[error("the checkpoint is not signed by `{0}`")]
    Unsigned(String),
    /// A checkpoint of another log.
    #[error("the checkpoint is from log `{found}`, not from `{expected}`")]
    Origin {
        /// The log expected.
        expected: String,
        /// The log named.
        found: String,
    },
}

/// A checkpoint that its log has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    size: u64,
    root: Hash,
    text: String,
    signature: String,
    cosignatures: Vec<(VerifyingKey, String)>,
}

impl Checkpoint {
    /// Reads a checkpoint and checks that `log` signed it; of the cosignatures, those by
    /// `witnesses` are checked and kept, and those by others dropped.
    ///
    /// # Errors
    /// [`NoteError`], also when a signature of a known key is wrong.
    pub fn open(
        note: &[u8],
        log: &VerifyingKey,
        witnesses: &[VerifyingKey],
    ) -> Result<Self, NoteError> {
        if note.len() > CHECKPOINT_BYTES_MAX {
            return Err(NoteError::Malformed);
        }
        let parsed = Note::from_bytes(note).map_err(|_| NoteError::Malformed)?;
        let text = parsed.text();
        let (origin, size, root) = content(text).ok_or(NoteError::Malformed)?;
        if origin != log.name() {
            let found = origin.chars().take(128).collect();
            return Err(NoteError::Origin { expected: log.name().to_owned(), found });
        }
        let known = std::iter::once(log).chain(witnesses);
        let known = VerifierList::new(
            known.map(|key| Box::new(key.clone()) as Box<dyn Verifier>).collect(),
        );
        let (verified, _) = parsed.verify(&known).map_err(|error| match error {
            signed_note::NoteError::InvalidSignature { name, .. } => NoteError::Signature(name),
            signed_note::NoteError::UnverifiedNote => NoteError::Unsigned(log.name().to_owned()),
            _ => NoteError::Malformed,
        })?;
        let by = |key: &VerifyingKey| {
            let made = |s: &&Signature| s.name() == key.name() && s.id() == key.id();
            verified.iter().find(made).map(|s| String::from_utf8_lossy(&s.to_bytes()).into_owned())
        };
        Ok(Self {
            size,
            root,
            text: String::from_utf8_lossy(text).into_owned(),
            signature: by(log).ok_or_else(|| NoteError::Unsigned(log.name().to_owned()))?,
            cosignatures: witnesses
                .iter()
                .filter_map(|key| Some((key.clone(), by(key)?)))
                .collect(),
        })
    }

    /// The log that it is from.
    pub fn origin(&self) -> &str {
        self.text.split('\n').next().unwrap_or_default()
    }

    /// How many entries the log had.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The tree's root hash.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// Which of the known witnesses cosigned it.
    pub fn witnesses(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.cosignatures.iter().map(|(key, _)| key)
    }

    /// The cosignature lines, by witness.
    pub fn cosignatures(&self) -> &[(VerifyingKey, String)] {
        &self.cosignatures
    }

    /// When `witness` cosigned it, by its own clock; none if it has not.
    pub fn cosigned_at(&self, witness: &VerifyingKey) -> Option<u64> {
        let (_, line) = self.cosignatures.iter().find(|(key, _)| key == witness)?;
        let parsed = Signature::from_bytes(line.trim_end_matches('\n').as_bytes()).ok()?;
        parsed.signature().first_chunk::<8>().map(|time| u64::from_be_bytes(*time))
    }

    /// The note as its log signed it, without cosignatures.
    pub fn bare(&self) -> String {
        format!("{}\n{}", self.text, self.signature)
    }

    /// Adds a cosignature line by `witness` when it is valid.
    pub fn add(&mut self, witness: &VerifyingKey, line: &str) -> Result<(), NoteError> {
        let refused = || NoteError::Signature(witness.name().to_owned());
        let parsed =
            Signature::from_bytes(line.trim_end_matches('\n').as_bytes()).map_err(|_| refused())?;
        let ours = parsed.name() == witness.name() && parsed.id() == witness.id();
        if !ours || !witness.accepts(self.text.as_bytes(), parsed.signature()) {
            return Err(refused());
        }
        self.cosignatures.retain(|(key, _)| key != witness);
        self.cosignatures
            .push((witness.clone(), String::from_utf8_lossy(&parsed.to_bytes()).into_owned()));
        Ok(())
    }
}

impl fmt::Display for Checkpoint {
    /// The note, with the cosignatures kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bare())?;
        self.cosignatures.iter().try_for_each(|(_, line)| f.write_str(line))
    }
}

/// The three lines of a checkpoint. Extension lines, which no audit could check, are
/// refused.
fn content(text: &[u8]) -> Option<(&str, u64, Hash)> {
    let mut lines = std::str::from_utf8(text).ok()?.strip_suffix('\n')?.split('\n');
    let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    let number: u64 = size.parse().ok()?;
    let root = STANDARD.decode(root).ok()?.try_into().ok()?;
    (lines.next().is_none() && number.to_string() == size).then_some((origin, number, root))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn key(seed: u8, name: &str, kind: KeyKind) -> SigningKey {
        SigningKey::parse(&SigningKey::text(&[seed; 32], name, kind).unwrap()).unwrap()
    }

    /// The example keys of the signed-note and cosignature specifications are readable, and ours
    /// are readable by the implementation that we did not write.
    #[test]
    fn keys_are_those_of_signed_note() {
        let ours = key(7, "example.com/log", KeyKind::Log);
        let theirs = signed_note::StandardVerifier::new(&ours.public().to_string()).unwrap();
        let note =
            Note::from_bytes(ours.checkpoint(0, &crate::tree::root(&[])).as_bytes()).unwrap();
        note.verify(&VerifierList::new(vec![Box::new(theirs)])).unwrap();
        let text = SigningKey::generate("example.com/log", KeyKind::Log).unwrap();
        signed_note::StandardSigner::new(&text).unwrap();
        let peter = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(peter.parse::<VerifyingKey>().unwrap().to_string(), peter);
        assert!(peter.replace("c74f", "c74e").parse::<VerifyingKey>().is_err());
        assert!(SigningKey::parse(peter).is_err());
        assert!(SigningKey::generate("a b", KeyKind::Log).is_err());
    }

    #[test]
    fn checkpoints_are_opened_with_their_cosignatures_and_nothing_else() {
        let log = key(1, "log.example", KeyKind::Log);
        let witness = key(2, "keys.example", KeyKind::Witness);
        let other = key(3, "other.example", KeyKind::Witness);
        let note = log.checkpoint(5, &[9; 32]);
        let mut checkpoint = Checkpoint::open(note.as_bytes(), log.public(), &[]).unwrap();
        assert_eq!((checkpoint.size(), checkpoint.root()), (5, &[9; 32]));
        assert_eq!(checkpoint.to_string(), note);
        let line = witness.cosign(&checkpoint, 1_700_000_000);
        assert!(checkpoint.add(other.public(), &line).is_err());
        checkpoint.add(witness.public(), &line).unwrap();
        let cosigned = checkpoint.to_string();
        let witnesses = [witness.public().clone(), other.public().clone()];
        let opened = Checkpoint::open(cosigned.as_bytes(), log.public(), &witnesses).unwrap();
        assert_eq!(opened.witnesses().collect::<Vec<_>>(), [witness.public()]);
        assert_eq!(opened.cosigned_at(witness.public()), Some(1_700_000_000));
        assert_eq!(opened.cosigned_at(other.public()), None);
        assert_eq!(opened.bare(), note);
        assert_eq!(opened.to_string(), cosigned);
        for i in 0..cosigned.len() {
            let mut bad = cosigned.clone().into_bytes();
            if let Some(byte) = bad.get_mut(i) {
                *byte ^= 1;
            }
            let opened = Checkpoint::open(&bad, log.public(), &witnesses);
            assert!(opened.is_err_and(|_| true) || i > note.len(), "byte {i}");
        }
        assert!(matches!(
            Checkpoint::open(note.as_bytes(), other.public(), &[]),
            Err(NoteError::Origin { .. })
        ));
        assert!(Checkpoint::open(b"", log.public(), &[]).is_err());
    }
}
