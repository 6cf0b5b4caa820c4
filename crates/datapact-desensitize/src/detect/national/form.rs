//! The forms in which identifiers are written.

use crate::detect::fold::{at, ends_at};

/// The longest identifier, in letters and digits.
pub(super) const LENGTH_MAX: usize = 24;

/// The letters and digits of a text that has a form.
pub(super) struct Found {
    letters: [u8; LENGTH_MAX],
    length: usize,
    pub(super) end: usize,
}

impl Found {
    fn push(&mut self, byte: u8) -> Option<()> {
        *self.letters.get_mut(self.length)? = byte.to_ascii_uppercase();
        self.length += 1;
        Some(())
    }

    /// Capital letters and digits, without separators.
    pub(super) fn compact(&self) -> &[u8] {
        self.letters.get(..self.length).unwrap_or_default()
    }
}

/// The signs of centuries in Finland's identifiers.
fn is_century(byte: u8) -> bool {
    matches!(byte, b'+' | b'-' | b'A'..=b'F' | b'U'..=b'Y')
}

/// Matches a form: `9` a digit, `A` a letter, `X` either, `~` a separator and `_` perhaps one (all
/// of a form are the same), `?` the sign of a century in Finland; anything else stands for itself.
/// Nothing is tried twice.
#[inline]
pub(super) fn matched(form: &str, bytes: &[u8], start: usize) -> Option<Found> {
    let mut found = Found { letters: [0; LENGTH_MAX], length: 0, end: start };
    let mut separator: Option<Option<u8>> = None;
    for element in form.bytes() {
        let byte = at(bytes, found.end);
        match element {
            b'9' if byte.is_ascii_digit() => found.push(byte)?,
            b'A' if byte.is_ascii_alphabetic() => found.push(byte)?,
            b'X' if byte.is_ascii_alphanumeric() => found.push(byte)?,
            b'?' if is_century(byte.to_ascii_uppercase()) => found.push(byte)?,
            b'~' | b'_' => {
                let here = matches!(byte, b' ' | b'-' | b'.' | b'/').then_some(byte);
                let agreed = *separator.get_or_insert(here);
                if agreed.is_none() && element == b'~' {
                    return None;
                }
                if let Some(agreed) = agreed {
                    if agreed != byte {
                        return None;
                    }
                    found.end += 1;
                }
                continue;
            }
            b'9' | b'A' | b'X' | b'?' => return None,
            literal if literal == byte => {}
            _ => return None,
        }
        found.end += 1;
    }
    ends_at(bytes, found.end).then_some(found)
}
