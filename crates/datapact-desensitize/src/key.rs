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

/// The key from which pseudonyms come, 32 random bytes. With it, one can test whether a pseudonym
/// belongs to a guessed value.
pub struct PseudonymKey(Zeroizing<[u8; KEY_BYTES]>);

impl PseudonymKey {
    /// A fresh key.
    pub fn random() -> Self {
        Self(Zeroizing::new(datapact_core::id::random()))
    }

    /// The content of its file: 64 lower-case hexadecimal digits and a line feed.
    pub fn to_file(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(hex::encode(self.0.as_slice()));
        text.push('\n');
        text
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if it is not 64 hexadecimal digits.
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
        // Made in an array first, so that the compiler vectorizes it.
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
                // Separators are not secret; anything else would pass unencrypted.
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use aes::{Aes128, Aes192};
    use proptest::prelude::*;

    use super::*;

    const PATIENT: &str = "0b32be8219a2571390723e567ffe1ad5";

    fn key() -> PseudonymKey {
        PseudonymKey::from_file(
            &b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"[..],
        )
        .unwrap()
    }

    fn encrypted(alphabet: Alphabet, value: &str) -> Option<String> {
        let mut out = Vec::new();
        let done = Encryption::new(&key(), "", alphabet).unwrap().write(value.as_bytes(), &mut out);
        done.then(|| String::from_utf8(out).unwrap())
    }

    /// The samples that NIST publishes with SP 800-38G ("FF1samples"): key, radix, tweak,
    /// plaintext, ciphertext.
    #[test]
    fn ff1_gives_nists_samples() {
        const K128: &str = "2b7e151628aed2a6abf7158809cf4f3c";
        const K192: &str = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f";
        const K256: &str = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94";
        let digits = "0123456789";
        let letters = "0123456789abcdefghi";
        let (none, tens, sevens) = ("", "39383736353433323130", "3737373770717273373737");
        for (key, radix, tweak, plain, cipher) in [
            (K128, 10, none, digits, "2433477484"),
            (K128, 10, tens, digits, "6124200773"),
            (K128, 36, sevens, letters, "a9tv40mll9kdu509eum"),
            (K192, 10, none, digits, "2830668132"),
            (K192, 10, tens, digits, "2496655549"),
            (K192, 36, sevens, letters, "xbj3kv35jrawxv32ysr"),
            (K256, 10, none, digits, "6657667009"),
            (K256, 10, tens, digits, "1001623463"),
            (K256, 36, sevens, letters, "xs8a0azh2avyalyzuwd"),
        ] {
            let (key, tweak) = (hex::decode(key).unwrap(), hex::decode(tweak).unwrap());
            let numerals: Vec<u16> =
                plain.chars().map(|c| c.to_digit(36).unwrap() as u16).collect();
            let numerals = FlexibleNumeralString::from(numerals);
            let found = match key.len() {
                16 => FF1::<Aes128>::new(&key, radix).unwrap().encrypt(&tweak, &numerals),
                24 => FF1::<Aes192>::new(&key, radix).unwrap().encrypt(&tweak, &numerals),
                _ => FF1::<Aes256>::new(&key, radix).unwrap().encrypt(&tweak, &numerals),
            };
            let found: Vec<u16> = found.unwrap().into();
            let found: String =
                found.iter().map(|n| char::from_digit(u32::from(*n), 36).unwrap()).collect();
            assert_eq!(found, cipher);
        }
    }

    #[test]
    fn formats_are_preserved_and_what_cannot_be_encrypted_is_not_let_through() {
        let phone = encrypted(Alphabet::Digits, "+49 (170) 123-4567").unwrap();
        let shape: String =
            phone.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "+99 (999) 999-9999");
        assert_ne!(phone, "+49 (170) 123-4567");
        assert_eq!(encrypted(Alphabet::Digits, "1234567 ext. 5"), None);
        assert_eq!(encrypted(Alphabet::Digits, "12345"), None, "a domain below a million");
        assert_eq!(encrypted(Alphabet::Digits, "١٢٣٤٥٦٧"), None);
        assert_eq!(encrypted(Alphabet::Digits, &"1".repeat(NUMERALS_MAX + 1)), None);
        assert_eq!(encrypted(Alphabet::Upper, "ab123456"), None);
        assert!(encrypted(Alphabet::Alphanumeric, "ab12CD34").is_some());
    }

    #[test]
    fn pseudonyms_are_stable_and_apart_by_domain_and_key() {
        let pseudonym = |key: &PseudonymKey, domain: &str, value: &[u8]| {
            let mut out = Vec::new();
            Pseudonyms::new(key, domain, 32).write(value, &mut out);
            String::from_utf8(out).unwrap()
        };
        // Computed with Python: hmac(hmac(key, b"datapact desensitize 1 pseudonym"), b"patient\0" +
        // b"A-17").
        assert_eq!(pseudonym(&key(), "patient", b"A-17"), PATIENT);
        assert_ne!(pseudonym(&key(), "", b"A-17"), PATIENT);
        assert_ne!(pseudonym(&PseudonymKey::random(), "patient", b"A-17"), PATIENT);
        let maker = Pseudonyms::new(&key(), "patient", 16);
        let mut out = Vec::new();
        maker.write(b"another", &mut out);
        out.clear();
        maker.write(b"A-17", &mut out);
        assert_eq!(out, PATIENT.as_bytes().get(..16).unwrap());
    }

    #[test]
    fn a_key_file_reads_as_it_was_written_and_a_wrong_one_is_refused() {
        let key = PseudonymKey::random();
        assert_eq!(*PseudonymKey::from_file(key.to_file().as_bytes()).unwrap().0, *key.0);
        for wrong in ["", "00", "not a key"] {
            assert!(PseudonymKey::from_file(wrong.as_bytes()).is_err());
        }
    }

    proptest! {
        #[test]
        fn different_values_stay_different(a in "[0-9]{7}", b in "[0-9]{7}") {
            let [x, y] = [&a, &b].map(|text| encrypted(Alphabet::Digits, text));
            prop_assert_eq!(a == b, x == y);
        }
    }
}
