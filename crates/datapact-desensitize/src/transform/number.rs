//! Numbers in text: read strictly, written with as many decimals as they came with.

use std::io::Write as _;

/// The most decimals that are kept.
const DECIMALS_MAX: usize = 17;

/// A number as it stood in a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number {
    /// Finite.
    pub(crate) value: f64,
    /// How many digits stood behind the decimal mark.
    pub(crate) decimals: usize,
}

/// Reads `12`, `-3.5`, `+1e6`; `mark` separates the decimals. No groups of thousands: what they
/// mean is a guess.
pub(crate) fn parse(bytes: &[u8], mark: u8) -> Option<Number> {
    let bytes = bytes.trim_ascii();
    let digits = bytes.strip_prefix(b"-").or(bytes.strip_prefix(b"+")).unwrap_or(bytes);
    if digits.is_empty() || digits.len() > 40 {
        return None;
    }
    if let Some(read) = parse_short(digits, mark) {
        return read.map(|Number { value, decimals }| Number {
            value: if bytes.first() == Some(&b'-') { -value } else { value },
            decimals,
        });
    }
    // The standard library reads only a point: the mark is replaced in a copy.
    let mut plain = [0; 41];
    let plain = plain.get_mut(..digits.len())?;
    plain.copy_from_slice(digits);
    if mark != b'.' && plain.contains(&b'.') {
        return None;
    }
    let at = plain.iter().position(|byte| *byte == mark);
    if let Some(byte) = at.and_then(|at| plain.get_mut(at)) {
        *byte = b'.';
    }
    if !plain.iter().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte))
        || !plain.first()?.is_ascii_digit()
    {
        return None;
    }
    let decimals = at.map_or(0, |at| {
        plain
            .get(at + 1..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    });
    if at.is_some() && decimals == 0 {
        return None;
    }
    let value: f64 = std::str::from_utf8(plain).ok()?.parse().ok()?;
    let value = if bytes.first() == Some(&b'-') { -value } else { value };
    value.is_finite().then_some(Number { value, decimals: decimals.min(DECIMALS_MAX) })
}

/// Most numbers are whole, or up to 15 digits and a mark, which a float holds as well as the power
/// of ten that divides them: the quotient is the nearest float. The outer none is for longer ones
/// and such with an exponent.
fn parse_short(digits: &[u8], mark: u8) -> Option<Option<Number>> {
    if digits.len() > 19 {
        return None;
    }
    let (mut units, mut at) = (0_u64, None);
    for (index, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // Nineteen digits fit.
            units = units.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == mark && at.is_none() && index > 0 {
            at = Some(index);
        } else {
            return if matches!(byte, b'e' | b'E') { None } else { Some(None) };
        }
    }
    let Some(at) = at else { return Some(Some(Number { value: units as f64, decimals: 0 })) };
    if digits.len() > 16 {
        return None;
    }
    let decimals = digits.len() - at - 1;
    let power = POWERS.get(decimals).filter(|_| decimals > 0);
    Some(power.map(|power| Number { value: units as f64 / power, decimals }))
}

/// Powers of ten, up to the most decimals of 15 digits.
const POWERS: [f64; 15] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];

/// Appends a number with this many decimals; false if it is too large to be one.
pub(crate) fn write(value: f64, decimals: usize, mark: u8, out: &mut Vec<u8>) -> bool {
    // Most numbers are short; the standard library's way takes several times as long.
    if let Some(units) = POWERS.get(decimals).and_then(|power| nearest(value * power)) {
        write_units(units, decimals, mark, out);
        return true;
    }
    if !value.is_finite() {
        return false;
    }
    let from = out.len();
    let written = write!(out, "{value:.decimals$}");
    debug_assert!(written.is_ok(), "memory takes everything");
    if mark != b'.' {
        for byte in out.get_mut(from..).unwrap_or_default() {
            if *byte == b'.' {
                *byte = mark;
            }
        }
    }
    true
}

/// The nearest whole number, of numbers of up to 15 digits: `f64::round` is a call on most
/// processors.
fn nearest(value: f64) -> Option<i64> {
    (value.abs() < 1e15).then(|| (value + 0.5_f64.copysign(value)) as i64)
}

/// Appends a whole number of units, of which ten to the power of `decimals`, at most 14, make one.
pub(crate) fn write_units(units: i64, decimals: usize, mark: u8, out: &mut Vec<u8>) {
    if units < 0 {
        out.push(b'-');
    }
    let (mut text, mut rest, mut used) = ([0; 32], units.unsigned_abs(), 0);
    // From the last digit to the first; a mark takes a place, too.
    let least = if decimals > 0 { decimals + 2 } else { 1 };
    for byte in text.iter_mut().rev() {
        if used == decimals && decimals > 0 {
            *byte = mark;
        } else {
            *byte = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        used += 1;
        if rest == 0 && used >= least {
            break;
        }
    }
    out.extend_from_slice(text.get(text.len() - used..).unwrap_or_default());
}

/// How many decimals a width needs to be written exactly: 0 for 5, 1 for 2.5; at most 9.
pub(crate) fn decimals(width: f64) -> usize {
    let text = format!("{width:.9}");
    text.trim_end_matches('0').rsplit_once('.').map_or(0, |(_, decimals)| decimals.len())
}

/// The greatest multiple of `width` that is not above `value`. A value that is a multiple but for
/// the error of binary fractions counts as one.
pub(crate) fn floor_to(value: f64, width: f64) -> f64 {
    let ratio = value / width;
    let near = nearest(ratio).map_or_else(|| ratio.round(), |near| near as f64);
    let is_near = (ratio - near).abs() < 1e-9 * near.abs().max(1.0);
    let steps = if is_near || near <= ratio { near } else { near - 1.0 };
    steps * width
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_those_that_the_standard_library_reads_and_writes(
            text in "-?[0-9]{1,16}(\\.[0-9]{1,9})?",
        ) {
            let read = parse(text.as_bytes(), b'.').unwrap();
            prop_assert_eq!(read.value, text.parse::<f64>().unwrap());
            let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            prop_assert_eq!(read.decimals, decimals);
            let mut out = Vec::new();
            write(read.value, read.decimals, b'.', &mut out);
            let again: f64 = String::from_utf8(out).unwrap().parse().unwrap();
            prop_assert_eq!(again, read.value);
        }
    }

    #[test]
    fn numbers_are_read_strictly() {
        let number = |value, decimals| Some(Number { value, decimals });
        assert_eq!(parse(b"12", b'.'), number(12.0, 0));
        assert_eq!(parse(b" -3.50 ", b'.'), number(-3.5, 2));
        assert_eq!(parse(b"+1e6", b'.'), number(1e6, 0));
        assert_eq!(parse(b"-3,50", b','), number(-3.5, 2));
        assert_eq!(parse(b"12345678901234567890", b'.'), number(12_345_678_901_234_567_890.0, 0));
        for wrong in [
            "", "-", "1,5", "1.", ".5", "1 000", "0x10", "NaN", "inf", "1e999", "1.2.3", "--1",
            "1-2",
        ] {
            assert_eq!(parse(wrong.as_bytes(), b'.'), None, "{wrong}");
        }
        assert_eq!(parse(b"1.500", b','), None);
    }

    #[test]
    fn numbers_fall_into_bins_by_their_decimal_value() {
        let floor = |value, width| {
            let mut out = Vec::new();
            write(floor_to(value, width), decimals(width), b'.', &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(floor(27.0, 5.0), "25");
        assert_eq!(floor(-1.0, 5.0), "-5");
        assert_eq!(floor(0.3, 0.1), "0.3");
        assert_eq!(floor(52.529, 0.01), "52.52");
        assert_eq!(floor(-0.0001, 2.5), "-2.5");
        assert_eq!(floor(0.0, 2.5), "0.0");
        let whole = |value| {
            let mut out = Vec::new();
            write(value, 0, b'.', &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [0.0, -0.0, 7.6, -7.6, 1e14, -120.0, 1e15, 1e17].map(whole),
            [
                "0",
                "0",
                "8",
                "-8",
                "100000000000000",
                "-120",
                "1000000000000000",
                "100000000000000000"
            ]
        );
        let decimals = |value, decimals| {
            let mut out = Vec::new();
            write(value, decimals, b',', &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(decimals(-0.04, 1), "0,0");
        assert_eq!(decimals(-0.05, 2), "-0,05");
        assert_eq!(decimals(12.5, 3), "12,500");
        assert_eq!(decimals(123_456_789_012.25, 14), "123456789012,25000000000000");
    }
}
