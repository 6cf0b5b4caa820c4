//! The pseudonym key, and what is computed with it: keyed pseudonyms and format-preserving
//! encryption.

use aes::Aes256;
use aws_lc_rs::hmac;
use fpe::ff1::{FF1, FlexibleNumeralString};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::rules::Alphabet;

/// How long the key is, in bytes.
const KEY_BYTES: usize = 32;
/// The most numerals that FF1 encrypts at once.
const NUMERALS_MAX: usize = 256;

const HINT: &str = "make one with `datapact desensitize key FILE`";

/// The key from which pseudonyms come. Who has it can tell whether a pseudonym belongs to a guessed
/// value.
pub struct PseudonymKey(Zeroizing<[u8; KEY_BYTES]>);

impl PseudonymKey {
    /// A fresh key.
    pub fn random() -> Self {
        Self(Zeroizing::new(datapact_core::id::random()))
    }

    /// What stands in its file: 64 lower-case hexadecimal digits and a line feed.
    pub fn to_file(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(hex::encode(self.0.as_slice()));
        text.push('\n');
        text
    }

    /// Reads a key file.
    pub fn from_file(bytes: &[u8]) -> Result<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(bytes.trim_ascii_end(), key.as_mut_slice()).map_err(|_| {
            Error::Key {
                detail: format!(
                    "a pseudonym key is a file of {} hexadecimal digits",
                    2 * KEY_BYTES
                ),
                hint: HINT,
            }
        })?;
        Ok(Self(key))
    }

    /// A key for one use: HMAC-SHA-256 of the use's label.
    fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        let tag =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()), label.as_bytes());
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(tag.as_ref());
        key
    }
}

pub(crate) fn missing() -> Error {
    Error::Key {
        detail: "these rules need a pseudonym key".to_owned(),
        hint: "add `--pseudonym-key FILE`; `datapact desensitize key FILE` makes one",
    }
}

/// Makes pseudonyms.
pub(crate) struct Pseudonyms {
    /// Has taken the key, the domain and a zero byte; each value goes on from there.
    begun: hmac::Context,
    digits: usize,
}

impl Pseudonyms {
    pub(crate) fn new(key: &PseudonymKey, domain: &str, digits: usize) -> Self {
        let key = hmac::Key::new(
            hmac::HMAC_SHA256,
            key.derive("datapact desensitize 1 pseudonym").as_slice(),
        );
        let mut begun = hmac::Context::with_key(&key);
        begun.update(domain.as_bytes());
        begun.update(&[0]);
        Self { begun, digits }
    }

    /// Appends the pseudonym of a value.
    pub(crate) fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut context = self.begun.clone();
        context.update(value);
        let tag = context.sign();
        // In this way all digits are made at once.
        let digit = |value: u8| value.wrapping_add(if value < 10 { b'0' } else { b'a' - 10 });
        let mut digits = [0; 64];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(tag.as_ref()) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        out.extend_from_slice(digits.get(..self.digits).unwrap_or(&digits));
    }
}

/// Encrypts the characters of an alphabet, each into one of the same; others stay where they are.
pub(crate) struct Encryption {
    ff1: FF1<Aes256>,
    tweak: Vec<u8>,
    characters: &'static [u8],
    numeral_of: [Option<u16>; 128],
}

impl Encryption {
    pub(crate) fn new(key: &PseudonymKey, domain: &str, alphabet: Alphabet) -> Result<Self> {
        let characters = alphabet.characters();
        let key = key.derive("datapact desensitize 1 ff1");
        let ff1 = FF1::new(key.as_slice(), characters.len() as u32).map_err(|_| Error::Key {
            detail: "the alphabet has a wrong size".to_owned(),
            hint: HINT,
        })?;
        let mut numeral_of = [None; 128];
        for (numeral, character) in characters.iter().enumerate() {
            if let Some(known) = numeral_of.get_mut(usize::from(*character)) {
                *known = Some(numeral as u16);
            }
        }
        Ok(Self { ff1, tweak: domain.as_bytes().to_vec(), characters, numeral_of })
    }

    /// Appends the encrypted value. False, and nothing is appended, if the value has a letter or
    /// digit that is not in the alphabet, or so few or many characters that FF1 does not protect
    /// them.
    pub(crate) fn write(&self, value: &[u8], out: &mut Vec<u8>) -> bool {
        let mut numerals = Vec::with_capacity(value.len());
        for byte in value {
            match self.numeral_of.get(usize::from(*byte)) {
                Some(Some(numeral)) => numerals.push(*numeral),
                // Separators are no secret; anything else would pass unencrypted.
                Some(None) if b" -./:+()_#".contains(byte) => {}
                _ => return false,
            }
        }
        if numerals.len() > NUMERALS_MAX {
            return false;
        }
        let Ok(encrypted) = self.ff1.encrypt(&self.tweak, &FlexibleNumeralString::from(numerals))
        else {
            return false;
        };
        let encrypted: Vec<u16> = encrypted.into();
        let mut encrypted = encrypted.into_iter();
        for byte in value {
            let is_numeral = self.numeral_of.get(usize::from(*byte)).is_some_and(Option::is_some);
            let replaced = if is_numeral { encrypted.next() } else { None };
            let character =
                replaced.and_then(|numeral| self.characters.get(usize::from(numeral)).copied());
            out.push(character.unwrap_or(*byte));
        }
        true
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
