//! Asia, Africa and Oceania.

use super::Check;
use super::checks::{
    digit, luhn, number, short_date, uniform, verhoeff, weighted, yymmdd, yyyymmdd,
};

/// The checks of letters (capital) and digits without separators, by the identifier's code.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("in-aadhaar", |id| digit(id, 0) >= 2 && verhoeff(id) && !uniform(id)),
    ("in-pan", |id| {
        matches!(id.get(3), Some(b'A'..=b'C' | b'F'..=b'H' | b'J' | b'L' | b'P' | b'T' | b'K'))
            && number(id, 5, 4) != 0
    }),
    ("cn-ric", cn_ric),
    ("tw-id", tw_id),
    ("hk-id", hk_id),
    // Numbers given since October 2020 end in chance, so that the check digit proves nothing
    // any more.
    ("kr-rrn", |id| yymmdd(id, 0) && matches!(digit(id, 6), 1..=8)),
    ("jp-my-number", jp_my_number),
    ("th-id", |id| {
        let sum = weighted(id, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
        digit(id, 0) != 0 && (11 - sum % 11) % 10 == digit(id, 12) && !uniform(id)
    }),
    ("sg-nric", sg_nric),
    ("my-nric", |id| {
        yymmdd(id, 0) && !matches!(number(id, 6, 2), 0 | 17..=20 | 69 | 70 | 73 | 80 | 81 | 94..=97)
    }),
    ("id-nik", id_nik),
    ("pk-cnic", |id| matches!(digit(id, 0), 1..=7) && !uniform(id)),
    ("il-id", |id| luhn(id) && !uniform(id)),
    ("tr-tckn", tr_tckn),
    ("kz-iin", kz_iin),
    ("za-id", |id| yymmdd(id, 0) && digit(id, 10) <= 2 && luhn(id)),
    ("au-tfn", |id| weighted(id, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11) && !uniform(id)),
    ("au-medicare", |id| {
        matches!(digit(id, 0), 2..=6)
            && weighted(id, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == digit(id, 8)
            && digit(id, 9) != 0
    }),
    ("nz-ird", nz_ird),
];

/// GB 11643: ISO/IEC 7064 MOD 11-2 over region, date of birth and serial number.
fn cn_ric(id: &[u8]) -> bool {
    let sum = weighted(id, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let check = b"10X98765432".get(sum as usize % 11);
    matches!(digit(id, 0), 1..=8) && digit(id, 1) != 0 && yyyymmdd(id, 6) && id.get(17) == check
}

fn tw_id(id: &[u8]) -> bool {
    // The order in which the letters were given out.
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let Some(place) =
        id.first().and_then(|first| LETTERS.iter().position(|letter| letter == first))
    else {
        return false;
    };
    let letter = place as u32 + 10;
    let body: u32 = (1..=8).map(|index| digit(id, index) * (9 - index as u32)).sum();
    matches!(digit(id, 1), 1 | 2 | 8 | 9)
        && (letter / 10 + letter % 10 * 9 + body + digit(id, 9)).is_multiple_of(10)
}

fn hk_id(id: &[u8]) -> bool {
    let Some((check, body)) = id.split_last() else { return false };
    let value = |byte: u8| {
        if byte.is_ascii_digit() { u32::from(byte - b'0') } else { u32::from(byte - b'A') + 10 }
    };
    // A single letter is preceded by a space, whose value is 36.
    let blank = if body.len() == 7 { 36 * 9 } else { 0 };
    let sum: u32 =
        body.iter().rev().zip(2..).map(|(byte, weight)| value(*byte) * weight).sum::<u32>() + blank;
    let expected = match (11 - sum % 11) % 11 {
        10 => b'A',
        digit => b'0' + digit as u8,
    };
    *check == expected
}

fn jp_my_number(id: &[u8]) -> bool {
    let sum = weighted(id, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]);
    let check = if sum % 11 <= 1 { 0 } else { 11 - sum % 11 };
    check == digit(id, 11) && !uniform(id)
}

fn sg_nric(id: &[u8]) -> bool {
    let sum: u32 = [2, 7, 6, 5, 4, 3, 2]
        .iter()
        .zip(1..)
        .map(|(weight, index)| weight * digit(id, index))
        .sum();
    let (table, shift): (&[u8], u32) = match id.first() {
        Some(b'S') => (b"JZIHGFEDCBA", 0),
        Some(b'T') => (b"JZIHGFEDCBA", 4),
        Some(b'F') => (b"XWUTRQPNMLK", 0),
        Some(b'G') => (b"XWUTRQPNMLK", 4),
        Some(b'M') => (b"XWUTRQPNJLK", 3),
        _ => return false,
    };
    table.get((sum + shift) as usize % 11) == id.get(8)
}

fn id_nik(id: &[u8]) -> bool {
    let day = number(id, 6, 2);
    let day = if day > 40 { day - 40 } else { day };
    matches!(number(id, 0, 2), 11..=21 | 31..=36 | 51..=53 | 61..=65 | 71..=76 | 81 | 82 | 91..=97)
        && short_date(number(id, 10, 2), number(id, 8, 2), day)
        && number(id, 12, 4) != 0
}

fn tr_tckn(id: &[u8]) -> bool {
    let odd: u32 = (0..9).step_by(2).map(|index| digit(id, index)).sum();
    let even: u32 = (1..8).step_by(2).map(|index| digit(id, index)).sum();
    let tenth = (odd * 7 + 90 - even) % 10;
    let eleventh = (odd + even + digit(id, 9)) % 10;
    digit(id, 0) != 0 && tenth == digit(id, 9) && eleventh == digit(id, 10)
}

fn kz_iin(id: &[u8]) -> bool {
    let first = weighted(id, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) % 11;
    let check =
        if first == 10 { weighted(id, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2]) % 11 } else { first };
    yymmdd(id, 0) && matches!(digit(id, 6), 1..=6) && check == digit(id, 11)
}

fn nz_ird(id: &[u8]) -> bool {
    let mut padded = [b'0'; 9];
    for (to, from) in padded.iter_mut().rev().zip(id.iter().rev()) {
        *to = *from;
    }
    let check = |weights: &[u32]| (11 - weighted(&padded, weights) % 11) % 11;
    let first = check(&[3, 2, 7, 6, 5, 4, 3, 2]);
    let last = if first == 10 { check(&[7, 4, 3, 2, 5, 2, 7, 6]) } else { first };
    (10_000_000..150_000_000).contains(&number(&padded, 0, 9)) && last == digit(&padded, 8)
}
