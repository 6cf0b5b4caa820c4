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

/// The samples that NIST publishes with SP 800-38G ("FF1samples"): key, radix, tweak, plaintext,
/// ciphertext.
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
        let numerals: Vec<u16> = plain.chars().map(|c| c.to_digit(36).unwrap() as u16).collect();
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
    let shape: String = phone.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
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
        prop_assert_eq!(a == b, encrypted(Alphabet::Digits, &a) == encrypted(Alphabet::Digits, &b));
    }
}
