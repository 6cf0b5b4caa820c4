//! Check digits and dates, as national identifiers use them. All take ASCII digits (and capital
//! letters where said).

use crate::detect::date;

/// The value of the digit at `index`; 0 for anything else.
pub(super) fn digit(id: &[u8], index: usize) -> u32 {
    id.get(index).filter(|byte| byte.is_ascii_digit()).map_or(0, |byte| u32::from(byte - b'0'))
}

/// The number that `length` digits from `start` write.
pub(super) fn number(id: &[u8], start: usize, length: usize) -> u64 {
    (start..start + length)
        .fold(0u64, |sum, index| sum.wrapping_mul(10).wrapping_add(digit(id, index).into()))
}

/// The sum of digits times weights, from the first digit on.
pub(super) fn weighted(id: &[u8], weights: &[u32]) -> u32 {
    weights.iter().enumerate().map(|(index, weight)| digit(id, index) * weight).sum()
}

/// Whether all digits are one and the same.
pub(super) fn uniform(id: &[u8]) -> bool {
    id.windows(2).all(|pair| pair.first() == pair.last())
}

/// Luhn's formula (ISO/IEC 7812-1 annex B) over all digits, the last being the check digit.
pub(in crate::detect) fn luhn(id: &[u8]) -> bool {
    let sum: u32 = id
        .iter()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let value = u32::from(byte.wrapping_sub(b'0'));
            if place % 2 == 1 { value * 2 - if value > 4 { 9 } else { 0 } } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// ISO/IEC 7064, MOD 11,10.
pub(super) fn mod_11_10(id: &[u8]) -> bool {
    let Some((_, body)) = id.split_last() else { return false };
    let product = body.iter().fold(10u32, |product, byte| {
        let sum = (product + u32::from(byte.wrapping_sub(b'0'))) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == digit(id, body.len())
}

/// Verhoeff's formula over all digits, the last being the check digit.
pub(super) fn verhoeff(id: &[u8]) -> bool {
    const TURN: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    // The dihedral group of ten elements: rotations 0 to 4, reflections 5 to 9.
    let multiply = |left: u8, right: u8| match (left < 5, right < 5) {
        (true, true) => (left + right) % 5,
        (true, false) => 5 + (left + right - 5) % 5,
        (false, true) => 5 + (left - right) % 5,
        (false, false) => (left + 5 - right) % 5,
    };
    id.iter().rev().enumerate().fold(0u8, |sum, (place, byte)| {
        let turned =
            TURN.get(place % 8).and_then(|row| row.get(usize::from(byte.wrapping_sub(b'0'))));
        multiply(sum, turned.copied().unwrap_or(0))
    }) == 0
}

/// Whether six digits from `start` are year, month and day of some century.
pub(super) fn yymmdd(id: &[u8], start: usize) -> bool {
    short_date(number(id, start, 2), number(id, start + 2, 2), number(id, start + 4, 2))
}

/// Whether six digits from `start` are day, month and year of some century.
pub(super) fn ddmmyy(id: &[u8], start: usize) -> bool {
    short_date(number(id, start + 4, 2), number(id, start + 2, 2), number(id, start, 2))
}

/// Whether a year of two digits, a month and a day are a date; 29 February counts every fourth
/// year.
pub(super) fn short_date(year: u64, month: u64, day: u64) -> bool {
    date::exists(2000 + year, month, day)
}

/// Whether eight digits from `start` are a year from 1850 to 2099, a month and a day.
pub(super) fn yyyymmdd(id: &[u8], start: usize) -> bool {
    let year = number(id, start, 4);
    (1850..2100).contains(&year)
        && date::exists(year, number(id, start + 4, 2), number(id, start + 6, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples() {
        assert!(luhn(b"79927398713") && !luhn(b"79927398710"));
        assert!(verhoeff(b"2363") && verhoeff(b"123451") && !verhoeff(b"123456"));
        assert!(mod_11_10(b"86095742719") && !mod_11_10(b"86095742718"));
    }
}
