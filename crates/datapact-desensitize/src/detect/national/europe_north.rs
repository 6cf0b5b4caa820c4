//! The Nordic and Baltic countries, Great Britain and Ireland.

use super::Check;
use super::checks::{ddmmyy, digit, luhn, number, short_date, uniform, weighted, yymmdd, yyyymmdd};

/// The checks of letters (capital) and digits without separators, by the identifier's code.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("gb-nhs", |id| {
        let sum = weighted(id, &[10, 9, 8, 7, 6, 5, 4, 3, 2]);
        (11 - sum % 11) % 11 == digit(id, 9) && !uniform(id)
    }),
    ("gb-nino", gb_nino),
    ("ie-pps", ie_pps),
    ("se-personnummer", se_personnummer),
    ("no-fodselsnummer", no_fodselsnummer),
    // Since 2007 numbers are given that do not pass the old check.
    ("dk-cpr", |id| ddmmyy(id, 0) && number(id, 6, 4) != 0),
    ("fi-hetu", fi_hetu),
    ("is-kennitala", |id| {
        let sum = weighted(id, &[3, 2, 7, 6, 5, 4, 3, 2]);
        ddmmyy(id, 0) && (11 - sum % 11) % 11 == digit(id, 8) && matches!(digit(id, 9), 0 | 8 | 9)
    }),
    ("ee-isikukood", baltic),
    ("lt-asmens-kodas", baltic),
    ("lv-personas-kods", lv_personas_kods),
];

/// HM Revenue and Customs, NIM39110: prefixes that are never used.
fn gb_nino(id: &[u8]) -> bool {
    let (Some(first), Some(second), Some(suffix)) = (id.first(), id.get(1), id.get(8)) else {
        return false;
    };
    let unused = matches!(
        (first, second),
        (b'B', b'G')
            | (b'G', b'B')
            | (b'K', b'N')
            | (b'N', b'K' | b'T')
            | (b'T', b'N')
            | (b'Z', b'Z')
    );
    !matches!(first, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V')
        && !matches!(second, b'D' | b'F' | b'I' | b'O' | b'Q' | b'U' | b'V')
        && !unused
        && matches!(suffix, b'A'..=b'D')
}

fn ie_pps(id: &[u8]) -> bool {
    let second = id.get(8).map_or(0, |letter| {
        if matches!(letter, b'T' | b'W' | b'X') { 0 } else { u32::from(letter.wrapping_sub(b'@')) }
    });
    let sum = weighted(id, &[8, 7, 6, 5, 4, 3, 2]) + second * 9;
    let check = if sum.is_multiple_of(23) { b'W' } else { b'@' + (sum % 23) as u8 };
    id.get(7) == Some(&check) && matches!(id.get(8), None | Some(b'A'..=b'I' | b'T' | b'W' | b'X'))
}

/// Skatteverket, SKV 704: Luhn over the last ten digits; a coordination number's day is 60 more.
fn se_personnummer(id: &[u8]) -> bool {
    let short = id.get(id.len().saturating_sub(10)..).unwrap_or_default();
    let day = number(short, 4, 2);
    let mut plain = id.to_vec();
    if let (61..=91, Some(tens)) = (day, plain.iter_mut().rev().nth(5)) {
        *tens -= 6;
    }
    let dated = if id.len() == 12 { yyyymmdd(&plain, 0) } else { yymmdd(&plain, 0) };
    dated && luhn(short) && number(short, 6, 3) != 0
}

/// Skatteetaten: two check digits modulo 11. D-numbers add 40 to the day, H-numbers 40 and
/// synthetic ones 80 to the month.
fn no_fodselsnummer(id: &[u8]) -> bool {
    let (day, month) = (number(id, 0, 2), number(id, 2, 2));
    let day = if day > 40 { day - 40 } else { day };
    let month = match month {
        81.. => month - 80,
        41.. => month - 40,
        _ => month,
    };
    let check = |weights: &[u32]| (11 - weighted(id, weights) % 11) % 11;
    short_date(number(id, 4, 2), month, day)
        && check(&[3, 7, 6, 1, 8, 9, 4, 5, 2]) == digit(id, 9)
        && check(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == digit(id, 10)
}

fn fi_hetu(id: &[u8]) -> bool {
    let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY"
        .get((number(id, 0, 6) * 1000 + number(id, 7, 3)) as usize % 31);
    ddmmyy(id, 0) && number(id, 7, 3) >= 2 && id.get(10) == check
}

/// Sex and century, year, month, day, serial number, and a check digit modulo 11 in two stages.
fn baltic(id: &[u8]) -> bool {
    let check = match weighted(id, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11 {
        10 => weighted(id, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10,
        value => value,
    };
    matches!(digit(id, 0), 1..=8) && yymmdd(id, 1) && check == digit(id, 10)
}

/// Numbers since July 2017 start with 32 and say nothing of a birth; older ones start with its
/// date.
fn lv_personas_kods(id: &[u8]) -> bool {
    let sum = weighted(id, &[1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let dated = ddmmyy(id, 0) && digit(id, 6) <= 2;
    (dated || number(id, 0, 2) == 32) && (1101 - sum) % 11 % 10 == digit(id, 10)
}
