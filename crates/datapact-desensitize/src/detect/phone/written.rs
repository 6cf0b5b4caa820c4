//! How much the way in which a national number is written says.

use super::number::Number;
use super::plan::{self, Verdict};

/// How much the way in which a national number is written says; 0 for what is none.
pub(super) fn confidence(number: &Number, national: Verdict) -> f32 {
    let (digits, groups) = (number.digits(), number.groups.as_slice());
    let valid = national == Verdict::Valid;
    let high = |index: usize| digits.get(index).is_some_and(|digit| *digit >= b'2');
    let leading_zero = digits.starts_with(b"0") && !digits.starts_with(b"00");
    // `0.98765432` is a number with decimals, and `10.1000/182` one with parts of several kinds.
    let decimals = groups.len() == 2 && number.separator == b'.' && digits.starts_with(b"0");
    if !number.bracketed
        && ((number.mixed && !leading_zero) || (decimals && groups.first() == Some(&1)))
    {
        return 0.2;
    }
    let either = |yes: f32, no: f32| if valid { yes } else { no };
    if number.bracketed {
        return match (groups, digits.len()) {
            ([3, 3, 4], _) if high(0) => 0.85,
            (_, 9..=13) => either(0.75, 0.6),
            (_, 7 | 8) => either(0.5, 0.3),
            _ => 0.0,
        };
    }
    match groups {
        [3, 3, 4] | [1, 3, 3, 4]
            if !leading_zero && (groups.len() == 3 || digits.starts_with(b"1")) =>
        {
            let first = groups.len() - 3;
            let american = plan::north_american(digits) == Verdict::Valid && high(first + 3);
            match number.separator {
                b' ' => {
                    if american {
                        0.65
                    } else {
                        0.5
                    }
                }
                _ if american => 0.8,
                _ => 0.55,
            }
        }
        // Dates, sums and versions are written like this too.
        // So only mobile numbers in Indonesia.
        [4, 4, 4] if digits.starts_with(b"08") && valid && number.separator == b'-' => 0.55,
        [4, 4, 4] | [4, 4, 4, 4] => 0.2,
        [4, 2, 2] | [2, 2, 4] | [1, 2, 4] | [2, 1, 4] | [1, 1, 4] => 0.1,
        [1, 3, 3, 2, 2] | [1, 3, 3, 4] if matches!(digits.first(), Some(b'7' | b'8')) => {
            either(0.8, 0.5)
        }
        [_] => match digits.len() {
            10 | 11 if leading_zero => either(0.5, 0.25),
            11 if digits.starts_with(b"1") && matches!(digits.get(1), Some(b'3'..=b'9')) => 0.45,
            7..=15 => 0.2,
            _ => 0.0,
        },
        [2, 2, 2, 2] if number.separator == b' ' => either(0.55, 0.5),
        _ if leading_zero && (9..=12).contains(&digits.len()) && groups.len() <= 6 => {
            either(0.72, 0.5)
        }
        _ if leading_zero && (7..=8).contains(&digits.len()) => either(0.4, 0.25),
        [3, 4, 4] if digits.starts_with(b"1") => either(0.7, 0.4),
        [3, 2, 2, 2]
        | [3, 3, 2, 2]
        | [2, 3, 2, 2]
        | [3, 2, 3]
        | [2, 2, 2, 2]
        | [3, 3, 3]
        | [2, 3, 4]
        | [2, 4, 4]
        | [2, 5, 4]
        | [5, 5]
        | [1, 4, 4]
        | [2, 4, 3]
        | [2, 3, 3] => either(0.52, 0.3),
        [3, 4] | [4, 4] => 0.35,
        _ if digits.len() >= 7 && groups.len() <= 5 => either(0.35, 0.2),
        _ if digits.len() >= 5 && groups.len() <= 4 => 0.1,
        _ => 0.0,
    }
}
