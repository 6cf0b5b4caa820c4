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

/// Reads `12`, `-3.5`, `+1e6`; `mark` separates the decimals. No groups of thousands: what they mean is a guess.
pub(crate) fn parse(bytes: &[u8], mark: u8) -> Option<Number> {
    let bytes = bytes.trim_ascii();
    let digits = bytes.strip_prefix(b"-").or(bytes.strip_prefix(b"+")).unwrap_or(bytes);
    if digits.is_empty() || digits.len() > 40 {
        return None;
    }
    // Most numbers are short and whole.
    if digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit) {
        let whole = digits.iter().fold(0_i64, |whole, digit| whole * 10 + i64::from(digit - b'0'));
        let value = if bytes.first() == Some(&b'-') { -whole } else { whole };
        return Some(Number { value: value as f64, decimals: 0 });
    }
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
        plain.get(at + 1..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    });
    if at.is_some() && decimals == 0 {
        return None;
    }
    let value: f64 = std::str::from_utf8(plain).ok()?.parse().ok()?;
    let value = if bytes.first() == Some(&b'-') { -value } else { value };
    value.is_finite().then_some(Number { value, decimals: decimals.min(DECIMALS_MAX) })
}

/// Appends a number with this many decimals.
pub(crate) fn write(value: f64, decimals: usize, mark: u8, out: &mut Vec<u8>) {
    let value = if value == 0.0 { 0.0 } else { value }; // not `-0`
    let from = out.len();
    if decimals == 0 && value.abs() < 1e15 {
        // Towards zero would be wrong for what noise makes.
        write_whole(value.round() as i64, out);
        return;
    }
    let written = write!(out, "{value:.decimals$}");
    debug_assert!(written.is_ok(), "memory takes everything");
    if mark != b'.' {
        for byte in out.get_mut(from..).unwrap_or_default() {
            if *byte == b'.' {
                *byte = mark;
            }
        }
    }
}

/// Appends a whole number; most numbers are, and the standard library's way takes several times as long.
fn write_whole(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let begin = out.len();
    let mut rest = value.unsigned_abs();
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.get_mut(begin..).unwrap_or_default().reverse();
}

/// How many decimals a width needs to be written exactly: 0 for 5, 1 for 2.5; at most 9.
pub(crate) fn decimals(width: f64) -> usize {
    let text = format!("{width:.9}");
    text.trim_end_matches('0').rsplit_once('.').map_or(0, |(_, decimals)| decimals.len())
}

/// The greatest multiple of `width` that is not above `value`. A value that is a multiple but for the error of
/// binary fractions counts as one.
pub(crate) fn floor_to(value: f64, width: f64) -> f64 {
    let ratio = value / width;
    let nearest = ratio.round();
    let steps = if (ratio - nearest).abs() < 1e-9 * nearest.abs().max(1.0) { nearest } else { ratio.floor() };
    steps * width
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_read_strictly() {
        let number = |value, decimals| Some(Number { value, decimals });
        assert_eq!(parse(b"12", b'.'), number(12.0, 0));
        assert_eq!(parse(b" -3.50 ", b'.'), number(-3.5, 2));
        assert_eq!(parse(b"+1e6", b'.'), number(1e6, 0));
        assert_eq!(parse(b"-3,50", b','), number(-3.5, 2));
        assert_eq!(parse(b"12345678901234567890", b'.'), number(12_345_678_901_234_567_890.0, 0));
        for wrong in
            ["", "-", "1,5", "1.", ".5", "1 000", "0x10", "NaN", "inf", "1e999", "1.2.3", "--1", "1-2"]
        {
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
            [0.0, -0.0, 7.6, -7.6, 1e14, -120.0].map(whole),
            ["0", "0", "8", "-8", "100000000000000", "-120"]
        );
    }
}
