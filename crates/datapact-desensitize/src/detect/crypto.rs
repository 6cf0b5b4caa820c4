//! Addresses of crypto-currencies: Bitcoin, Litecoin and Ethereum.

use aws_lc_rs::digest::{SHA256, digest};

use super::fold::{is_word, previous};
use super::{Candidate, Entity};

/// Proposes the crypto-currency address that starts with the word at `start`.
pub(super) fn at_word(bytes: &[u8], start: usize, out: &mut Vec<Candidate>) {
    if matches!(previous(bytes, start), b'/' | b'-' | b'.' | b'=') {
        return;
    }
    let word = bytes.get(start..bytes.len().min(start + 96)).unwrap_or_default();
    let length = word.iter().take_while(|byte| is_word(**byte)).count();
    let word = word.get(..length).unwrap_or_default();
    let small = word.to_ascii_lowercase();
    let found = match word.first() {
        Some(b'1' | b'3') if (26..=35).contains(&length) => base58_check(word),
        Some(b'b' | b'B' | b'l' | b'L' | b't' | b'T')
            if small.starts_with(b"bc1")
                || small.starts_with(b"ltc1")
                || small.starts_with(b"tb1") =>
        {
            bech32(&small)
        }
        Some(b'0') if length == 42 && small.starts_with(b"0x") => {
            word.iter().skip(2).all(u8::is_ascii_hexdigit)
        }
        _ => false,
    };
    if found {
        out.push(Candidate::new(start, start + length, Entity::CryptoAddress, 0.95));
    }
}

/// Base 58 of 25 bytes: a version, a hash, and as checksum the first four bytes of their double
/// SHA-256.
fn base58_check(word: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut number = [0u8; 25];
    for byte in word {
        let Some(value) = ALPHABET.iter().position(|letter| letter == byte) else { return false };
        let mut carry = value as u32;
        for place in number.iter_mut().rev() {
            carry += u32::from(*place) * 58;
            *place = (carry % 256) as u8;
            carry /= 256;
        }
        if carry > 0 {
            return false;
        }
    }
    let (body, check) = number.split_at(21);
    let sum = digest(&SHA256, digest(&SHA256, body).as_ref());
    matches!(number.first(), Some(0 | 5)) && sum.as_ref().get(..4) == Some(check)
}

/// BIP 173 and BIP 350.
fn bech32(word: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let Some(one) = word.iter().rposition(|byte| *byte == b'1') else { return false };
    let (human, data) =
        (word.get(..one).unwrap_or_default(), word.get(one + 1..).unwrap_or_default());
    let mut sum = 1u32;
    let mut feed = |value: u32| {
        let top = sum >> 25;
        sum = ((sum & 0x1FF_FFFF) << 5) ^ value;
        for (bit, generator) in
            [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3].iter().enumerate()
        {
            if (top >> bit) & 1 == 1 {
                sum ^= generator;
            }
        }
    };
    human.iter().for_each(|byte| feed(u32::from(byte >> 5)));
    feed(0);
    human.iter().for_each(|byte| feed(u32::from(byte & 31)));
    for byte in data {
        let Some(value) = ALPHABET.iter().position(|letter| letter == byte) else { return false };
        feed(value as u32);
    }
    data.len() >= 12 && matches!(sum, 1 | 0x2BC8_30A3)
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{no, whole};

    #[test]
    fn crypto_addresses() {
        for text in [
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
            "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "0x52908400098527886E0F7030069857D2E4169EE7",
        ] {
            whole(text, "crypto-address");
        }
        for text in [
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVO0",
            "0x52908400",
        ] {
            no(text, "crypto-address");
        }
    }
}
