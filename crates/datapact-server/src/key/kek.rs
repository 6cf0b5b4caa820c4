//! Keys at rest (KS-2): AES-256-GCM under a key-encryption key that stands in a file of its own.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use datapact_core::id::{Digest, KeyId, random};
use zeroize::Zeroizing;

use crate::secret_file::{self, SecretFileError};

/// The version of the key-encryption key that the file holds; a later one marks keys that were encrypted anew.
pub(super) const KEK_VERSION: u32 = 1;

/// The key-encryption key.
pub(super) struct Kek {
    key: RandomizedNonceKey,
}

/// The stored form does not open: it was altered, moved to another key's row, or is of another KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored key does not open under the key-encryption key")]
pub(super) struct OpenError;

/// What a stored key belongs to; the encryption binds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) key: &'a KeyId,
    pub(super) package: &'a Digest,
}

impl Bound<'_> {
    /// Key id (16 bytes), KEK version (4, big-endian), package digest (32).
    fn aad(&self) -> Vec<u8> {
        let version = KEK_VERSION.to_be_bytes();
        [self.key.as_bytes().as_slice(), &version, self.package.as_bytes()].concat()
    }
}

impl Kek {
    /// Reads the file `path`, making it at the first start: only when `database` holds nothing encrypted yet.
    pub(super) fn open(path: &Path, database: &Path, used: bool) -> Result<Self, SecretFileError> {
        let text = if used {
            let missing = || SecretFileError::Missing(path.to_owned(), database.to_owned());
            secret_file::read(path)?.ok_or_else(missing)?
        } else {
            secret_file::read_or_make(path, || {
                Zeroizing::new(hex::encode(Zeroizing::new(random::<32>()).as_slice()))
            })?
        };
        let wrong = || SecretFileError::Content(path.to_owned(), "64 lower-case hexadecimal digits");
        let bytes = decode(&text).ok_or_else(wrong)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes.as_slice()).map_err(|_| wrong())?;
        Ok(Self { key })
    }

    /// Encrypts 32 bytes: nonce (12), ciphertext (32), tag (16), as hexadecimal.
    pub(super) fn seal(&self, bound: Bound<'_>, plain: &[u8; 32]) -> String {
        // Room for the tag, so that the plaintext is never left behind by a reallocation.
        let mut text = Zeroizing::new(Vec::with_capacity(64));
        text.extend_from_slice(plain);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(bound.aad()), &mut *text)
            .expect("32 bytes are not too long for AES-GCM");
        hex::encode([nonce.as_ref().as_slice(), text.as_slice()].concat())
    }

    /// Decrypts what [`Kek::seal`] made for the same key and package.
    pub(super) fn open_sealed(
        &self,
        bound: Bound<'_>,
        sealed: &str,
    ) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        let mut bytes = Zeroizing::new(hex::decode(sealed).map_err(|_| OpenError)?);
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(OpenError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError)?;
        let plain = self.key.open_in_place(nonce, Aad::from(bound.aad()), text).map_err(|_| OpenError)?;
        let mut key = Zeroizing::new([0; 32]);
        if plain.len() != key.len() {
            return Err(OpenError);
        }
        key.copy_from_slice(plain);
        Ok(key)
    }
}

/// 32 bytes from 64 lower-case hexadecimal digits.
pub(super) fn decode(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
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
        let bound = Bound { key: &key, package: &package };
        let sealed = kek.seal(bound, &plain);
        assert_eq!(*kek.open_sealed(bound, &sealed).unwrap(), plain);
        assert_ne!(kek.seal(bound, &plain), sealed, "each nonce is fresh");
        assert!(!sealed.contains(&hex::encode(plain)));
        assert!(other.open_sealed(bound, &sealed).is_err());
        assert!(kek.open_sealed(Bound { key: &KeyId::random(), ..bound }, &sealed).is_err());
        assert!(kek.open_sealed(Bound { package: &Digest(random()), ..bound }, &sealed).is_err());
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
        assert_eq!((text.len(), std::fs::metadata(&path).unwrap().permissions().mode() & 0o777), (65, 0o600));
        drop(kek(dir.path()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no part is left");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Kek::open(&path, dir.path(), true);
        assert!(matches!(refused, Err(SecretFileError::Readable(_, 0o640))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for bad in
            ["", "00", &text.to_uppercase().replace(char::is_numeric, "A"), &format!("{}0", text.trim())]
        {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(Kek::open(&path, dir.path(), true), Err(SecretFileError::Content(..))), "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Kek::open(&path, dir.path(), true), Err(SecretFileError::Missing(..))));
    }
}
