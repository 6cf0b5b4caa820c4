//! Accounts: payment cards (ISO/IEC 7812), IBAN (ISO 13616) and addresses of crypto-currencies.

use aws_lc_rs::digest::{SHA256, digest};

use super::context::Context;
use super::fold::{Folded, at, ends_at, is_word, previous, starts_at};
use super::national::checks::luhn;
use super::{Candidate, Entity};

/// Proposes the card number that starts with the digit at `start`.
pub(super) fn card(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    if !starts_at(bytes, start) {
        return;
    }
    let (mut digits, mut length, mut end, mut groups) = ([0u8; 19], 0usize, start, vec![]);
    let (mut separator, mut group) = (None, 0u8);
    let (mut best, mut unknown) = (None, None);
    // Every end of a group may be the number's; the longest that fits is.
    loop {
        let byte = at(bytes, end);
        if byte.is_ascii_digit() {
            let Some(place) = digits.get_mut(length) else { break };
            *place = byte;
            length += 1;
            group += 1;
            end += 1;
            continue;
        }
        groups.push(group);
        if let Some(number) = digits.get(..length).filter(|_| length >= 12 && ends_at(bytes, end))
            && luhn(number)
            && !number.windows(2).all(|pair| pair.first() == pair.last())
            && let Some(sure) = grouping(&groups)
        {
            if issuer(number) {
                best = Some((end, sure * rarity(length)));
            } else {
                unknown = Some((end, 0.05));
            }
        }
        let spaced =
            matches!(byte, b' ' | b'-' | b'.' | b'/') && at(bytes, end + 1).is_ascii_digit();
        if !spaced || group == 0 || *separator.get_or_insert(byte) != byte {
            break;
        }
        group = 0;
        end += 1;
    }
    // A number of an issuer that is not known counts where it is called a card.
    let Some((end, sure)) = best.or(unknown) else { return };
    let announced = Context::of(text, start, end).has(&[
        "card",
        "cc",
        "visa",
        "mastercard",
        "amex",
        "credit",
        "debit",
        "carte",
        "karte",
        "tarjeta",
        "cartao",
        "carta",
        "kort",
        "kreditkart",
        "karta",
        "kaart",
        "pan",
        "卡",
        "カード",
        "카드",
        "kart",
        "kortti",
        "kartya",
        "καρτα",
        "कार्ड",
        "بطاقة",
        "כרטיס",
        "บัตร",
        "карта",
        "карты",
    ]);
    out.push(Candidate::new(
        start,
        end,
        Entity::PaymentCard,
        match (announced, best.is_some()) {
            (true, true) => 0.98,
            (true, false) => 0.75,
            _ => sure,
        },
    ));
}

/// Cards of other lengths than 14 to 16 digits are rare, and other numbers of these lengths common.
fn rarity(digits: usize) -> f32 {
    match digits {
        14..=16 => 1.0,
        13 | 19 => 0.65,
        _ => 0.5,
    }
}

/// How sure the groups of digits make it: as on a card, in one piece, or in some other way.
fn grouping(groups: &[u8]) -> Option<f32> {
    match groups {
        [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, 3] | [4, 4, 4, 4, 2] | [4, 4, 4, 1] => {
            Some(0.95)
        }
        [_] => Some(0.85),
        _ if groups.len() <= 6 && groups.iter().all(|group| (2..=8).contains(group)) => Some(0.6),
        _ => None,
    }
}

/// The issuers' prefixes and lengths (ISO/IEC 7812-1; the issuers' own published ranges).
fn issuer(number: &[u8]) -> bool {
    let prefix = |digits: usize| {
        number.iter().take(digits).fold(0u32, |sum, byte| sum * 10 + u32::from(byte - b'0'))
    };
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    match number.len() {
        13 => two / 10 == 4,
        14 => matches!(three, 300..=305) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37) || matches!(four, 1800 | 2131),
        16 => {
            two / 10 == 4
                || matches!(two, 51..=55 | 30 | 35 | 36 | 38 | 39 | 56..=58 | 60..=65 | 67..=69 | 81 | 82)
                || matches!(four, 2200..=2204 | 2221..=2720 | 3528..=3589 | 5018 | 5020 | 5038 | 9792)
        }
        12 | 17..=19 => {
            (number.len() == 19 && two / 10 == 4)
                || matches!(two, 56..=58 | 60..=65 | 67..=69 | 36 | 50)
                || matches!(four, 2200..=2204 | 3528..=3589)
        }
        _ => false,
    }
}

/// The lengths of the IBAN registry (ISO 13616, SWIFT) and of countries that use the format outside
/// of it.
const IBAN: &[(&[u8; 2], u8)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AO", 25),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BF", 28),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BJ", 28),
    (b"BR", 29),
    (b"BY", 28),
    (b"CF", 27),
    (b"CG", 27),
    (b"CH", 21),
    (b"CI", 28),
    (b"CM", 27),
    (b"CR", 22),
    (b"CV", 25),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"DZ", 26),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GA", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GQ", 27),
    (b"GR", 27),
    (b"GT", 28),
    (b"GW", 25),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IR", 26),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KM", 27),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MA", 28),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MG", 27),
    (b"MK", 19),
    (b"ML", 28),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"MZ", 25),
    (b"NE", 28),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SN", 28),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TD", 27),
    (b"TG", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// Proposes the IBAN that starts with the word at `start`.
pub(super) fn iban(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    // Some write the word and the number in one.
    let glued = bytes.get(start..start + 4).is_some_and(|word| word.eq_ignore_ascii_case(b"IBAN"));
    let start = if glued { start + 4 } else { start };
    let country =
        [at(bytes, start).to_ascii_uppercase(), at(bytes, start + 1).to_ascii_uppercase()];
    let Some((_, length)) = IBAN.iter().find(|(code, _)| **code == country) else { return };
    if !starts_at(bytes, start) && !glued {
        return;
    }
    let (mut head, mut rest, mut count, mut end) = (0u64, 0u64, 0u8, start);
    let mut mistaken = None;
    while count < 34 {
        let byte = at(bytes, end).to_ascii_uppercase();
        let value = match byte {
            b'0'..=b'9' => u64::from(byte - b'0'),
            b'A'..=b'Z' => u64::from(byte - b'A') + 10,
            b' ' | b'-' | b'.' if count >= 2 && at(bytes, end + 1).is_ascii_alphanumeric() => {
                end += 1;
                continue;
            }
            _ => break,
        };
        if matches!(count, 2 | 3) && value > 9 {
            return;
        }
        // The first four characters are read last.
        let read = if count < 4 { &mut head } else { &mut rest };
        *read = (*read * if value > 9 { 100 } else { 10 } + value) % 970_000_000;
        if count >= 4 {
            rest %= 97;
        }
        (count, end) = (count + 1, end + 1);
        if count >= 15 && !is_word(at(bytes, end)) && (rest * 1_000_000 + head) % 97 == 1 {
            if count == *length {
                out.push(Candidate::new(start, end, Entity::Iban, 0.98));
                return;
            }
            mistaken = Some(end);
        }
    }
    // The check digits are right, the length is not the country's.
    if let Some(end) = mistaken {
        let announced = glued
            || Context::of(text, start, end)
                .has_before(&["iban", "account", "konto", "compte", "cuenta"]);
        out.push(Candidate::new(start, end, Entity::Iban, if announced { 0.8 } else { 0.52 }));
    }
}

/// Proposes the crypto-currency address that starts with the word at `start`.
pub(super) fn crypto(bytes: &[u8], start: usize, out: &mut Vec<Candidate>) {
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
    use super::*;
    use crate::detect::testing::{no, whole};

    #[test]
    fn cards() {
        for text in [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111111111111111",
            "378282246310005",
            "3782 822463 10005",
            "5555.5555.5555.4444",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "2223003122003222",
            "４１１１　１１１１　１１１１　１１１１",
            "6304000000000000",
            "4222222222222",
        ] {
            whole(text, "payment-card");
        }
    }

    #[test]
    fn no_cards() {
        for text in [
            "4111 1111 1111 1112",
            "9999999999999995",
            "0000000000000000",
            "41111111111111111",
            "4111-1111 1111-1111",
            "1.4111111111111111",
        ] {
            no(text, "payment-card");
        }
    }

    #[test]
    fn ibans() {
        for text in [
            "GB29 NWBK 6016 1331 9268 19",
            "DE89370400440532013000",
            "de89 3704 0044 0532 0130 00",
            "FR14 2004 1010 0505 0001 3M02 606",
            "NO93 8601 1117 947",
            "MT84-MALT-0110-0001-2345-MTLC-AST0-01S",
            "IBANNL91ABNA0417164300",
        ] {
            let found = crate::detect::testing::find(text);
            assert!(
                found
                    .iter()
                    .any(|span| span.entity == Entity::Iban && span.range.end == text.len()),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn no_ibans() {
        for text in [
            "GB28 NWBK 6016 1331 9268 19",
            "DE8937040044053201300",
            "XX89370400440532013000",
            "DE89370400440532013000X",
        ] {
            no(text, "iban");
        }
    }

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

    #[test]
    fn the_registry_is_sorted_and_whole() {
        assert!(
            IBAN.windows(2)
                .all(|pair| pair.first().map(|(code, _)| code) < pair.last().map(|(code, _)| code))
        );
        assert!(IBAN.len() >= 105 && IBAN.iter().all(|(_, length)| (15..=34).contains(length)));
    }
}
