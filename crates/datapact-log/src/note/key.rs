//! Keys of logs and witnesses: C2SP signed-note and tlog-cosignature, with Ed25519 (RFC 8032).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::id::{Digest, random};
use signed_note::Verifier;
use zeroize::Zeroizing;

use super::{Checkpoint, NoteError};
use crate::tree::Hash;

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

    pub(super) fn id(&self) -> u32 {
        let digest = Digest::of(&[self.name.as_bytes(), b"\n", &self.tagged()].concat());
        let [a, b, c, d, ..] = digest.0;
        u32::from_be_bytes([a, b, c, d])
    }

    pub(super) fn accepts(&self, text: &[u8], signature: &[u8]) -> bool {
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
    /// signature line that goes under it.
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
