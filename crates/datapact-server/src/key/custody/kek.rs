//! Keys at rest (KS-2): AES-256-GCM under a key-encryption key that is in a file of its own.
//!
//! The file has one line a version of the key: its number, a space, and 64 lower-case hexadecimal
//! digits; the first version may be without its number. It has one version except during a rotation
//! ([`super::rekey`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use datapact_core::id::{Digest, KeyId, random};
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

/// The version that a new file begins with.
pub(super) const FIRST_VERSION: u32 = 1;
/// The most versions in a file: the one in use, and the one that is being rotated to.
const VERSIONS_MAX: usize = 2;

/// The key-encryption key, in all versions that the file holds.
pub(super) struct Kek {
    path: PathBuf,
    versions: RwLock<BTreeMap<u32, RandomizedNonceKey>>,
}

/// The stored form does not open: it was altered, moved to another key's row, or is of another KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored key does not open under the key-encryption key")]
pub(super) struct OpenError;

/// What is encrypted; the encryption binds it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// A key, with the package that it opens.
    Key(&'a KeyId, &'a Digest),
    /// Nothing: it proves a version of the key-encryption key.
    Proof,
}

/// What is encrypted, and the version of the key-encryption key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) content: Content<'a>,
    pub(super) kek: u32,
}

impl<'a> Bound<'a> {
    pub(super) fn key(key: &'a KeyId, package: &'a Digest, kek: u32) -> Self {
        Self { content: Content::Key(key, package), kek }
    }

    /// What proves a version of the key-encryption key.
    pub(super) fn proof(kek: u32) -> Self {
        Self { content: Content::Proof, kek }
    }

    /// KEK version (4 bytes, big-endian); then, of a key, its id (16) and the package's digest
    /// (32).
    fn aad(&self) -> Vec<u8> {
        let kek = self.kek.to_be_bytes();
        match self.content {
            Content::Key(key, package) => {
                [&kek, key.as_bytes().as_slice(), package.as_bytes()].concat()
            }
            Content::Proof => kek.to_vec(),
        }
    }
}

/// A key in the clear: at one place in memory, which is overwritten when it goes. A move would
/// leave a copy on the stack.
pub(in crate::key) type Plain = Box<Zeroizing<[u8; 32]>>;

/// The versions in a file, as text, to be written again.
pub(super) type Lines = BTreeMap<u32, Zeroizing<String>>;

/// What the file at `path` holds; none when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Lines>, SecretFileError> {
    let wrong =
        || SecretFileError::Content(path.to_owned(), "one or two versions of a key-encryption key");
    let Some(text) = secret_file::read(path)? else { return Ok(None) };
    let mut lines = Lines::new();
    for line in text.lines() {
        let (version, digits) = match line.split_once(' ') {
            Some((version, digits)) => (version.parse().map_err(|_| wrong())?, digits),
            None => (FIRST_VERSION, line),
        };
        decode(digits).ok_or_else(wrong)?;
        if lines.insert(version, Zeroizing::new(digits.to_owned())).is_some() {
            return Err(wrong());
        }
    }
    if lines.is_empty() || lines.len() > VERSIONS_MAX { Err(wrong()) } else { Ok(Some(lines)) }
}

/// Puts `lines` in the place of what the file holds: after a crash it is the one or the other.
pub(super) fn write(path: &Path, lines: &Lines) -> Result<(), SecretFileError> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    for (version, digits) in lines {
        text.push_str(&version.to_string());
        text.push(' ');
        text.push_str(digits);
        text.push('\n');
    }
    secret_file::replace(path, &text)
}

/// A new version's line.
pub(super) fn new_line() -> Zeroizing<String> {
    Zeroizing::new(hex::encode(Zeroizing::new(random::<32>()).as_slice()))
}

impl Kek {
    /// Reads the file `path`, making it at the first start: only when `database` holds nothing
    /// encrypted yet.
    pub(super) fn open(path: &Path, database: &Path, used: bool) -> Result<Self, SecretFileError> {
        if !used {
            secret_file::read_or_make(path, new_line)?;
        }
        let missing = || SecretFileError::Missing(path.to_owned(), database.to_owned());
        let lines = read(path)?.ok_or_else(missing)?;
        Ok(Self { path: path.to_owned(), versions: RwLock::new(keys(&lines)) })
    }

    /// Reads the file again, which a rotation has changed. What cannot be read leaves everything as
    /// it was.
    pub(super) fn reload(&self) -> Result<(), SecretFileError> {
        if let Some(lines) = read(&self.path)? {
            *self.versions.write().unwrap_or_else(PoisonError::into_inner) = keys(&lines);
        }
        Ok(())
    }

    /// Whether the file held the version when it was last read.
    pub(super) fn has(&self, version: u32) -> bool {
        self.versions.read().unwrap_or_else(PoisonError::into_inner).contains_key(&version)
    }

    /// Encrypts 32 bytes: nonce (12), ciphertext (32), tag (16), as hexadecimal. None without that
    /// version.
    pub(super) fn seal(&self, bound: Bound<'_>, plain: &[u8; 32]) -> Option<String> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let key = versions.get(&bound.kek)?;
        // Room for the tag, so that the plaintext is never left behind by a reallocation.
        let mut text = Zeroizing::new(Vec::with_capacity(64));
        text.extend_from_slice(plain);
        let nonce = key
            .seal_in_place_append_tag(Aad::from(bound.aad()), &mut *text)
            .expect("32 bytes are not too long for AES-GCM");
        Some(hex::encode([nonce.as_ref().as_slice(), text.as_slice()].concat()))
    }

    /// Decrypts what [`Kek::seal`] made for the same key and package.
    pub(super) fn open_sealed(&self, bound: Bound<'_>, sealed: &str) -> Result<Plain, OpenError> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let opens = versions.get(&bound.kek).ok_or(OpenError)?;
        let mut bytes = Zeroizing::new(hex::decode(sealed).map_err(|_| OpenError)?);
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(OpenError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError)?;
        let plain =
            opens.open_in_place(nonce, Aad::from(bound.aad()), text).map_err(|_| OpenError)?;
        let mut key = Plain::default();
        if plain.len() != key.len() {
            return Err(OpenError);
        }
        key.copy_from_slice(plain);
        Ok(key)
    }
}

fn keys(lines: &Lines) -> BTreeMap<u32, RandomizedNonceKey> {
    let key = |digits: &Zeroizing<String>| {
        RandomizedNonceKey::new(&AES_256_GCM, decode(digits)?.as_slice()).ok()
    };
    lines.iter().filter_map(|(version, digits)| Some((*version, key(digits)?))).collect()
}

/// 32 bytes from 64 lower-case hexadecimal digits.
pub(super) fn decode(text: &str) -> Option<Plain> {
    let mut bytes = Plain::default();
    let lower = text.bytes().all(|b| !b.is_ascii_uppercase());
    (lower && hex::decode_to_slice(text, bytes.as_mut_slice()).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kek(dir: &Path) -> Kek {
        Kek::open(&dir.join("kek"), &dir.join("db"), false).unwrap()
    }

    #[test]
    fn ks_2_a_stored_key_opens_only_where_it_belongs() {
        let dir = tempfile::tempdir().unwrap();
        let (kek, other) = (kek(dir.path()), kek(&dir.path().join("other")));
        let (key, package, plain) = (KeyId::random(), Digest(random()), random::<32>());
        let (other_key, other_package) = (KeyId::random(), Digest(random()));
        let bound = Bound::key(&key, &package, FIRST_VERSION);
        let sealed = kek.seal(bound, &plain).unwrap();
        assert_eq!(**kek.open_sealed(bound, &sealed).unwrap(), plain);
        assert_ne!(kek.seal(bound, &plain).unwrap(), sealed, "each nonce is fresh");
        assert!(!sealed.contains(&hex::encode(plain)));
        assert!(other.open_sealed(bound, &sealed).is_err());
        let moved = Bound::key(&other_key, &package, FIRST_VERSION);
        assert!(kek.open_sealed(moved, &sealed).is_err());
        let moved = Bound::key(&key, &other_package, FIRST_VERSION);
        assert!(kek.open_sealed(moved, &sealed).is_err());
        assert!(kek.open_sealed(Bound::proof(FIRST_VERSION), &sealed).is_err());
        assert!(kek.open_sealed(Bound { kek: 2, ..bound }, &sealed).is_err());
        assert!(kek.seal(Bound { kek: 2, ..bound }, &plain).is_none());
        for position in [0, 30, sealed.len() - 1] {
            let mut altered = sealed.clone().into_bytes();
            altered[position] ^= 1;
            assert!(kek.open_sealed(bound, std::str::from_utf8(&altered).unwrap()).is_err());
        }
        for bad in ["", "00", &sealed[2..], &sealed[..sealed.len() - 2]] {
            assert!(kek.open_sealed(bound, bad).is_err());
        }
    }

    #[test]
    fn the_kek_file_is_made_once_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek");
        drop(kek(dir.path()));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            (text.len(), std::fs::metadata(&path).unwrap().permissions().mode() & 0o777),
            (65, 0o600)
        );
        drop(kek(dir.path()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no part is left");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Kek::open(&path, dir.path(), true);
        assert!(matches!(refused, Err(SecretFileError::Readable(_, 0o640))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for bad in [
            "",
            "00",
            &text.to_uppercase().replace(char::is_numeric, "A"),
            &format!("{}0", text.trim()),
            &format!("{text}{text}"),
            &format!("{text}1 {text}"),
            &format!("x {text}"),
            &format!("{text}2 {text}3 {text}"),
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(
                matches!(Kek::open(&path, dir.path(), true), Err(SecretFileError::Content(..))),
                "{bad}"
            );
        }
        let lines: Lines = [(1, Zeroizing::new(text.trim().to_owned())), (7, new_line())].into();
        write(&path, &lines).unwrap();
        assert_eq!(read(&path).unwrap(), Some(lines));
        assert!(Kek::open(&path, dir.path(), true).unwrap().has(7));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Kek::open(&path, dir.path(), true), Err(SecretFileError::Missing(..))));
    }
}
