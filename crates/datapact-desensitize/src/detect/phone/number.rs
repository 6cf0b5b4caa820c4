//! What may be a telephone number: digits in groups, and what separates them.

use crate::detect::fold::{self, at, is_word};

/// E.164 allows 15 digits, and an international prefix has up to four.
const DIGITS_MAX: usize = 19;
const GROUPS_MAX: usize = 8;

/// One way to read digits and what separates them.
#[derive(Clone)]
pub(super) struct Number {
    digits: [u8; DIGITS_MAX],
    length: usize,
    /// The lengths of groups of digits.
    pub(super) groups: Vec<usize>,
    pub(super) plus: bool,
    /// Whether the first group, or a part of it, is in brackets.
    pub(super) bracketed: bool,
    pub(super) separator: u8,
    pub(super) mixed: bool,
    pub(super) end: usize,
}

impl Number {
    pub(super) fn digits(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.digits.get_mut(self.length)? = byte;
        self.length += 1;
        Some(())
    }
}

/// The numbers that start here, from short to long: each ends with a group of digits.
pub(super) fn readings(bytes: &[u8], start: usize) -> Vec<Number> {
    // `(+44) 20 ...` has its country code in brackets.
    let wrapped = at(bytes, start) == b'(' && at(bytes, start + 1) == b'+';
    let plus = wrapped || at(bytes, start) == b'+';
    let mut number = Number {
        digits: [0; DIGITS_MAX],
        length: 0,
        groups: Vec::new(),
        plus,
        bracketed: false,
        separator: 0,
        mixed: false,
        end: start + usize::from(plus) + usize::from(wrapped),
    };
    let mut found = Vec::new();
    let mut open = wrapped;
    while number.groups.len() < GROUPS_MAX {
        // Between groups: up to three separators, and brackets in pairs.
        let (mut index, gap) = (number.end, number.end);
        while index < gap + 4 {
            match at(bytes, index) {
                b' ' => {}
                b'(' if !open && number.groups.len() <= 1 => {
                    (open, number.bracketed) = (true, true)
                }
                b')' if open => open = false,
                b'-' | b'.' | b'/' if !number.groups.is_empty() => {
                    let byte = at(bytes, index);
                    number.mixed |= number.separator != 0 && number.separator != byte;
                    number.separator = byte;
                }
                _ => break,
            }
            index += 1;
        }
        if index > gap
            && number.groups.len() > 1
            && bytes.get(gap..index).is_some_and(|gap| gap.iter().all(|b| *b == b' '))
        {
            number.mixed |= number.separator != 0 && number.separator != b' ';
            number.separator = b' ';
        }
        let digits = fold::digits(bytes, index, DIGITS_MAX);
        if digits == 0 || (index == gap && !number.groups.is_empty()) {
            break;
        }
        // The trunk prefix after a country code, `+44 (0)20`, is not dialled from abroad.
        let international = number.plus || number.digits().starts_with(b"00");
        let trunk = usize::from(
            open && at(bytes, index) == b'0' && international && !number.groups.is_empty(),
        );
        for byte in bytes.iter().skip(index + trunk).take(digits - trunk) {
            if number.push(*byte).is_none() {
                return found;
            }
        }
        if digits > trunk {
            number.groups.push(digits - trunk);
        }
        number.end = index + digits;
        // Numbers are not written digit by digit; lists of digits are common, and would take long.
        let apart = number.groups.iter().filter(|length| **length == 1).count();
        if apart > 2 {
            break;
        }
        if !open && digits > trunk && number.length >= 5 && ends(bytes, number.end) {
            found.push(number.clone());
        }
    }
    found
}

/// Whether a number may end here: before no further digit or letter, other than an extension's.
fn ends(bytes: &[u8], index: usize) -> bool {
    let next = at(bytes, index);
    let after = at(bytes, index + 1);
    if matches!(next, b'x' | b'X' | b'#') {
        return after.is_ascii_digit() || !is_word(after);
    }
    let joined = matches!(next, b'-' | b'.' | b'/' | b',' | b':' | b'@' | b'%' | b'=')
        && after.is_ascii_alphanumeric();
    !is_word(next) && !joined && next != b'%'
}
