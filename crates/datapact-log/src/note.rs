//! Signed checkpoints: C2SP signed-note, tlog-checkpoint and tlog-cosignature, with Ed25519 (RFC
//! 8032).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::id::{Digest, random};
use signed_note::{Note, Signature, Verifier, VerifierList};
use zeroize::Zeroizing;

use crate::tree::Hash;

/// The longest checkpoint that is read, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 * 1024;

/// Why a key, note or checkpoint was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a key in the signed-note form.
    #[error("this is not an Ed25519 {0} of the C2SP signed-note form; take it from `ledger info`")]
    Key(&'static str),
    /// A name that cannot stand in a note.
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
    #[error("the checkpoint is of `{found}`, not of `{expected}`")]
    Origin {
        /// The log expected.
        expected: String,
        /// The log named.
        found: String,
    },
}

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// A log's own checkpoints (signature type 1).
    Log,
    /// Cosignatures of a witness (signature type 4, cosignature/v1).
    Witness,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Log, Self::Witness].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// A public key with its name: a vkey (`NAME+KEYID+BASE64`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey {
    name: String,
    kind: KeyKind,
    key: [u8; 32],
}

impl VerifyingKey {
    /// Whose key it is; a log's name is its origin, and so the ledger's id.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it verifies.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The Ed25519 public key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }

    fn tagged(&self) -> Vec<u8> {
        [&[self.kind.byte()], self.key.as_slice()].concat()
    }

    fn id(&self) -> u32 {
        let digest = Digest::of(&[self.name.as_bytes(), b"\n", &self.tagged()].concat());
        let [a, b, c, d, ..] = digest.0;
        u32::from_be_bytes([a, b, c, d])
    }

    fn accepts(&self, text: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        match self.kind {
            KeyKind::Log => key.verify(text, signature).is_ok(),
            KeyKind::Witness => {
                signature.split_first_chunk::<8>().is_some_and(|(time, signature)| {
                    let time = u64::from_be_bytes(*time);
                    time <= i64::MAX as u64 && key.verify(&cosigned(time, text), signature).is_ok()
                })
            }
        }
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id(), STANDARD.encode(self.tagged()))
    }
}

impl FromStr for VerifyingKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let refused = || NoteError::Key("public key");
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refused());
        };
        let (kind, key) = split_key(key).ok_or_else(refused)?;
        let this = Self { name: key_name(name)?, kind, key: *key };
        if format!("{:08x}", this.id()) == id { Ok(this) } else { Err(refused()) }
    }
}

impl Verifier for VerifyingKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id()
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        self.accepts(text, signature)
    }
}

/// A private key with its name (`PRIVATE+KEY+NAME+KEYID+BASE64`), of a log or of a witness.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// The text of a fresh key; keep it secret.
    pub fn generate(name: &str, kind: KeyKind) -> Result<Zeroizing<String>, NoteError> {
        let seed = Zeroizing::new(random::<32>());
        Self::text(&seed, name, kind)
    }

    /// The text of the key with this seed (RFC 8032, 32 bytes).
    pub fn text(
        seed: &[u8; 32],
        name: &str,
        kind: KeyKind,
    ) -> Result<Zeroizing<String>, NoteError> {
        let public = Self::from_seed(seed, name, kind)?.public;
        let mut tagged = Zeroizing::new(vec![kind.byte()]);
        tagged.extend_from_slice(seed);
        let key = Zeroizing::new(STANDARD.encode(&*tagged));
        Ok(Zeroizing::new(format!("PRIVATE+KEY+{name}+{:08x}+{}", public.id(), *key)))
    }

    /// Reads a key's text.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let refused = || NoteError::Key("private key");
        let rest = text.trim().strip_prefix("PRIVATE+KEY+").ok_or_else(refused)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refused());
        };
        let (kind, seed) = split_key(key).ok_or_else(refused)?;
        let this = Self::from_seed(&seed, name, kind)?;
        if format!("{:08x}", this.public.id()) == id { Ok(this) } else { Err(refused()) }
    }

    fn from_seed(seed: &[u8; 32], name: &str, kind: KeyKind) -> Result<Self, NoteError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key("private key"))?;
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { public: VerifyingKey { name: key_name(name)?, kind, key }, pair })
    }

    /// The public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signed checkpoint of the log that this key names.
    pub fn checkpoint(&self, size: u64, root: &Hash) -> String {
        let text = format!("{}\n{size}\n{}\n", self.public.name, STANDARD.encode(root));
        format!("{text}\n{}", self.line(self.pair.sign(text.as_bytes()).as_ref()))
    }

    /// A cosignature (cosignature/v1) of `checkpoint`, stating what this witness saw at `time`: the
    /// signature line to stand under it.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> String {
        let signature = self.pair.sign(&cosigned(time, checkpoint.text.as_bytes()));
        self.line(&[&time.to_be_bytes(), signature.as_ref()].concat())
    }

    fn line(&self, signature: &[u8]) -> String {
        let tagged = [&self.public.id().to_be_bytes(), signature].concat();
        format!("— {} {}\n", self.public.name, STANDARD.encode(tagged))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
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
        if origin != log.name {
            let found = origin.chars().take(128).collect();
            return Err(NoteError::Origin { expected: log.name.clone(), found });
        }
        let known = std::iter::once(log).chain(witnesses);
        let known = VerifierList::new(
            known.map(|key| Box::new(key.clone()) as Box<dyn Verifier>).collect(),
        );
        let (verified, _) = parsed.verify(&known).map_err(|error| match error {
            signed_note::NoteError::InvalidSignature { name, .. } => NoteError::Signature(name),
            signed_note::NoteError::UnverifiedNote => NoteError::Unsigned(log.name.clone()),
            _ => NoteError::Malformed,
        })?;
        let by = |key: &VerifyingKey| {
            let made = |s: &&Signature| s.name() == key.name && s.id() == key.id();
            verified.iter().find(made).map(|s| String::from_utf8_lossy(&s.to_bytes()).into_owned())
        };
        Ok(Self {
            size,
            root,
            text: String::from_utf8_lossy(text).into_owned(),
            signature: by(log).ok_or_else(|| NoteError::Unsigned(log.name.clone()))?,
            cosignatures: witnesses
                .iter()
                .filter_map(|key| Some((key.clone(), by(key)?)))
                .collect(),
        })
    }

    /// Which log it is of.
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

    /// Adds a cosignature line by `witness` when it is valid.
    pub fn add(&mut self, witness: &VerifyingKey, line: &str) -> Result<(), NoteError> {
        let refused = || NoteError::Signature(witness.name.clone());
        let parsed =
            Signature::from_bytes(line.trim_end_matches('\n').as_bytes()).map_err(|_| refused())?;
        let ours = parsed.name() == witness.name && parsed.id() == witness.id();
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
        write!(f, "{}\n{}", self.text, self.signature)?;
        self.cosignatures.iter().try_for_each(|(_, line)| f.write_str(line))
    }
}

/// The three lines of a checkpoint. Extension lines, which nobody could audit, are refused.
fn content(text: &[u8]) -> Option<(&str, u64, Hash)> {
    let mut lines = std::str::from_utf8(text).ok()?.strip_suffix('\n')?.split('\n');
    let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    let number: u64 = size.parse().ok()?;
    let root = STANDARD.decode(root).ok()?.try_into().ok()?;
    (lines.next().is_none() && number.to_string() == size).then_some((origin, number, root))
}

/// What a witness signs.
fn cosigned(time: u64, text: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat()
}

fn split_key(base64: &str) -> Option<(KeyKind, Zeroizing<[u8; 32]>)> {
    let bytes = Zeroizing::new(STANDARD.decode(base64).ok()?);
    let (kind, key) = bytes.split_first()?;
    Some((KeyKind::from_byte(*kind)?, Zeroizing::new(key.try_into().ok()?)))
}

fn key_name(name: &str) -> Result<String, NoteError> {
    let visible = name.bytes().all(|b| b.is_ascii_graphic() && b != b'+');
    if visible && (1..=128).contains(&name.len()) {
        Ok(name.to_owned())
    } else {
        Err(NoteError::Name(name.chars().take(128).collect()))
    }
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
