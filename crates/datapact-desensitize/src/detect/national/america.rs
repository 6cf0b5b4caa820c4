//! North and South America.

use super::Check;
use super::checks::{digit, luhn, number, short_date, uniform, weighted};

/// The checks of letters (capital) and digits without separators, by the identifier's code.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("us-ssn", us_ssn),
    ("us-itin", us_itin),
    // A first digit 0 is for fictitious numbers, 8 for businesses.
    ("ca-sin", |id| luhn(id) && !matches!(digit(id, 0), 0 | 8)),
    ("mx-curp", mx_curp),
    ("mx-rfc", |id| short_date(number(id, 4, 2), number(id, 6, 2), number(id, 8, 2))),
    ("br-cpf", br_cpf),
    ("ar-cuil", |id| {
        matches!(number(id, 0, 2), 20 | 23 | 24 | 25 | 26 | 27)
            && (weighted(id, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) + digit(id, 10)).is_multiple_of(11)
    }),
    ("cl-rut", cl_rut),
    ("uy-ci", |id| (weighted(id, &[2, 9, 8, 7, 6, 3, 4]) + digit(id, 7)).is_multiple_of(10)),
    ("ec-ci", |id| matches!(number(id, 0, 2), 1..=24 | 30) && digit(id, 2) < 6 && luhn(id)),
];

/// Which numbers are never issued: social security administration, "Social Security Number
/// Randomization" (2011).
fn us_ssn(id: &[u8]) -> bool {
    let (area, group, serial) = (number(id, 0, 3), number(id, 3, 2), number(id, 5, 4));
    // Two numbers that advertisements made unusable, and the run of digits that everybody types.
    let used_up = matches!(number(id, 0, 9), 78_051_120 | 219_099_999 | 123_456_789);
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0 && !used_up && !uniform(id)
}

/// Internal Revenue Service, publication 1915: the ranges of the fourth and fifth digit.
fn us_itin(id: &[u8]) -> bool {
    digit(id, 0) == 9 && matches!(number(id, 3, 2), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

fn mx_curp(id: &[u8]) -> bool {
    let value = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'N' => u32::from(byte - b'A') + 10,
        b'O'..=b'Z' => u32::from(byte - b'O') + 25, // Ñ is 24
        _ => 0,
    };
    let sum: u32 = (2..=18).rev().zip(id).map(|(weight, byte)| weight * value(*byte)).sum();
    matches!(id.get(10), Some(b'H' | b'M' | b'X'))
        && short_date(number(id, 4, 2), number(id, 6, 2), number(id, 8, 2))
        && (10 - sum % 10) % 10 == digit(id, 17)
}

fn br_cpf(id: &[u8]) -> bool {
    let check = |weights: &[u32]| weighted(id, weights) * 10 % 11 % 10;
    !uniform(id)
        && check(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) == digit(id, 9)
        && check(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == digit(id, 10)
}

fn cl_rut(id: &[u8]) -> bool {
    let Some((check, body)) = id.split_last() else { return false };
    let sum: u32 = body
        .iter()
        .rev()
        .zip([2, 3, 4, 5, 6, 7].into_iter().cycle())
        .map(|(d, w)| u32::from(d - b'0') * w)
        .sum();
    let expected = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        value => b'0' + value as u8,
    };
    *check == expected && !uniform(body)
}
