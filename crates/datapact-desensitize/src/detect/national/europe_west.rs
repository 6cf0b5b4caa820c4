//! Western and southern Europe.

use super::Check;
use super::checks::{ddmmyy, digit, mod_11_10, number, short_date, uniform, weighted, yymmdd};

/// The checks of letters (capital) and digits without separators, by the identifier's code.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("de-steuer-id", de_steuer_id),
    ("de-rvnr", de_rvnr),
    ("at-svnr", |id| {
        let check = weighted(id, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11;
        // Where no day is known, the month is 13 or more.
        digit(id, 0) != 0
            && check == digit(id, 3)
            && (ddmmyy(id, 4) || (matches!(number(id, 6, 2), 13..=15) && number(id, 4, 2) <= 31))
    }),
    ("ch-ahv", |id| {
        let sum = weighted(id, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
        number(id, 0, 3) == 756 && sum.is_multiple_of(10)
    }),
    ("fr-nir", fr_nir),
    ("be-nrn", be_nrn),
    ("nl-bsn", |id| {
        let sum = weighted(id, &[9, 8, 7, 6, 5, 4, 3, 2]);
        sum % 11 == digit(id, 8) && !uniform(id)
    }),
    ("es-dni", |id| {
        let Some((letter, digits)) = id.split_last() else { return false };
        es_letter(number(id, 0, digits.len())) == Some(letter)
    }),
    ("es-nie", |id| {
        let first = match id.first() {
            Some(b'X') => 0,
            Some(b'Y') => 1,
            Some(b'Z') => 2,
            _ => return false,
        };
        es_letter(first * 10_000_000 + number(id, 1, 7)) == id.get(8)
    }),
    ("pt-nif", |id| {
        let sum = weighted(id, &[9, 8, 7, 6, 5, 4, 3, 2]);
        let check = if sum % 11 <= 1 { 0 } else { 11 - sum % 11 };
        matches!(digit(id, 0), 1..=4) && check == digit(id, 8)
    }),
    ("it-codice-fiscale", it_codice_fiscale),
    ("gr-amka", |id| ddmmyy(id, 0) && super::checks::luhn(id)),
    ("gr-afm", |id| {
        weighted(id, &[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10 == digit(id, 8) && !uniform(id)
    }),
];

/// Federal Central Tax Office: among the first ten digits exactly one occurs twice or three times,
/// then MOD 11,10.
fn de_steuer_id(id: &[u8]) -> bool {
    let mut counts = [0u8; 10];
    for index in 0..10 {
        if let Some(count) = counts.get_mut(digit(id, index) as usize) {
            *count += 1;
        }
    }
    let repeated: Vec<u8> = counts.into_iter().filter(|count| *count > 1).collect();
    let in_a_row = id.windows(3).take(8).any(uniform);
    digit(id, 0) != 0 && matches!(*repeated, [2] | [3]) && !in_a_row && mod_11_10(id)
}

/// Area, date of birth, first letter of the name at birth, serial number, check digit (VKVV § 4).
fn de_rvnr(id: &[u8]) -> bool {
    let Some(letter) = id.get(8).filter(|letter| letter.is_ascii_uppercase()) else { return false };
    let place = letter - b'@';
    let mut digits = Vec::with_capacity(13);
    digits.extend(id.iter().take(8));
    digits.extend([b'0' + place / 10, b'0' + place % 10]);
    digits.extend(id.iter().skip(9));
    let sum: u32 = [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]
        .iter()
        .enumerate()
        .map(|(index, weight)| digit(&digits, index) * weight)
        .map(|product| product / 10 + product % 10)
        .sum();
    let day = number(id, 2, 2);
    // A day of 50 and more tells apart people with equal numbers.
    let day = if day > 50 { day - 50 } else { day };
    short_date(number(id, 6, 2), number(id, 4, 2), day) && sum % 10 == digit(&digits, 12)
}

/// INSEE: sex, year, month, place of birth, serial number, and 97 minus the rest modulo 97.
fn fr_nir(id: &[u8]) -> bool {
    let mut plain = id.to_vec();
    let less = match id.get(6) {
        Some(b'A') => 1_000_000,
        Some(b'B') => 2_000_000,
        Some(b'0'..=b'9') => 0,
        _ => return false,
    };
    if less > 0 && digit(id, 5) != 2 {
        return false;
    }
    if let Some(letter) = plain.get_mut(6).filter(|letter| !letter.is_ascii_digit()) {
        *letter = b'0';
    }
    let Some(body) = number(&plain, 0, 13).checked_sub(less) else { return false };
    matches!(digit(id, 0), 1..=4 | 7 | 8)
        && matches!(number(id, 3, 2), 1..=12 | 20..=42 | 50..=99)
        && 97 - body % 97 == number(id, 13, 2)
}

fn be_nrn(id: &[u8]) -> bool {
    let (body, check) = (number(id, 0, 9), number(id, 9, 2));
    // Month and day may be unknown; numbers of people without a register entry add 20 or 40 to the
    // month.
    let month = number(id, 2, 2) % 20;
    let dated =
        (month == 0 && number(id, 4, 2) <= 31) || month <= 12 && yymmdd_with_month(id, month);
    dated
        && number(id, 6, 3) != 0
        && (97 - body % 97 == check || 97 - (2_000_000_000 + body) % 97 == check)
}

fn yymmdd_with_month(id: &[u8], month: u64) -> bool {
    yymmdd(id, 0) || short_date(number(id, 0, 2), month, number(id, 4, 2))
}

fn es_letter(number: u64) -> Option<&'static u8> {
    b"TRWAGMYFPDXBNJZSQVHLCKE".get((number % 23) as usize)
}

/// Ministerial decree of 23 December 1976; letters stand for digits where two people would have the
/// same code.
fn it_codice_fiscale(id: &[u8]) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let plain = |byte: u8| match byte {
        b'L' => b'0',
        b'M' => b'1',
        b'N' => b'2',
        b'P' => b'3',
        b'Q' => b'4',
        b'R' => b'5',
        b'S' => b'6',
        b'T' => b'7',
        b'U' => b'8',
        b'V' => b'9',
        other => other,
    };
    // Year, day and place of birth; the month is a letter.
    let mut digits = Vec::with_capacity(7);
    for index in [6, 7, 9, 10, 12, 13, 14] {
        digits.extend(id.get(index).map(|byte| plain(*byte)).filter(u8::is_ascii_digit));
    }
    let value = |byte: u8| {
        if byte.is_ascii_digit() { u32::from(byte - b'0') } else { u32::from(byte - b'A') }
    };
    let sum: u32 = id
        .iter()
        .take(15)
        .enumerate()
        .map(|(index, byte)| {
            if index % 2 == 0 {
                ODD.get(value(*byte) as usize).copied().unwrap_or(0)
            } else {
                value(*byte)
            }
        })
        .sum();
    let day = number(&digits, 2, 2);
    // The day of birth of a woman is 40 more.
    digits.len() == 7
        && id.get(8).is_some_and(|month| b"ABCDEHLMPRST".contains(month))
        && matches!(day, 1..=31 | 41..=71)
        && id.get(15).map(|check| u32::from(check - b'A')) == Some(sum % 26)
}
