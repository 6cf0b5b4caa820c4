//! One view of a text for all recognizers: one byte a character, whatever the script and the width
//! of its digits.

use std::borrow::Cow;

/// A letter of a script that puts spaces between words, other than A to Z.
pub(super) const LETTER: u8 = 0x80;
/// A character that is not a letter.
pub(super) const OTHER: u8 = 0x81;
/// A letter of a script without spaces (Chinese, Japanese, Korean, Thai ...): words and numbers
/// touch it.
pub(super) const IDEOGRAPH: u8 = 0x82;
/// The sign of degrees.
pub(super) const DEGREE: u8 = 0x83;

/// A text with its digits, spaces, hyphens and full-width characters folded to ASCII and invisible
/// characters left out. ASCII text is borrowed and costs nothing.
pub(super) struct Folded<'a> {
    text: &'a str,
    bytes: Cow<'a, [u8]>,
    /// For each folded byte, where its character starts in the text.
    offsets: Option<Vec<usize>>,
}

impl<'a> Folded<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        if text.is_ascii() {
            return Self { text, bytes: Cow::Borrowed(text.as_bytes()), offsets: None };
        }
        let (mut bytes, mut offsets) =
            (Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
        for (offset, character) in text.char_indices() {
            if let Some(byte) = fold(character) {
                bytes.push(byte);
                offsets.push(offset);
            }
        }
        Self { text, bytes: Cow::Owned(bytes), offsets: Some(offsets) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the folded byte at `index` starts in the text.
    pub(super) fn offset(&self, index: usize) -> usize {
        match &self.offsets {
            None => index.min(self.text.len()),
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.text.len()),
        }
    }

    /// Where the folded byte before `index` ends in the text: invisible characters after it stay
    /// outside.
    pub(super) fn end_offset(&self, index: usize) -> usize {
        match (&self.offsets, index.checked_sub(1)) {
            (Some(_), Some(last)) => {
                let start = self.offset(last);
                let rest = self.text.get(start..).unwrap_or_default();
                start + rest.chars().next().map_or(0, char::len_utf8)
            }
            _ => self.offset(index),
        }
    }

    /// At most `bytes` bytes of the text before the folded byte at `index`.
    pub(super) fn before(&self, index: usize, bytes: usize) -> &'a str {
        let end = self.offset(index);
        let start = (end.saturating_sub(bytes)..=end)
            .find(|&at| self.text.is_char_boundary(at))
            .unwrap_or(end);
        self.text.get(start..end).unwrap_or_default()
    }

    /// At most `bytes` bytes of the text after the folded byte before `index`.
    pub(super) fn after(&self, index: usize, bytes: usize) -> &'a str {
        let start = self.end_offset(index);
        let most = start.saturating_add(bytes).min(self.text.len());
        let end = (start..=most).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }
}

/// The byte at `index`; 0 beyond the end.
pub(super) fn at(bytes: &[u8], index: usize) -> u8 {
    bytes.get(index).copied().unwrap_or(0)
}

/// The byte before `index`; 0 at the start.
pub(super) fn previous(bytes: &[u8], index: usize) -> u8 {
    index.checked_sub(1).map_or(0, |before| at(bytes, before))
}

/// Whether a byte belongs to a word, so that nothing starts or ends beside it.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == LETTER || byte == b'_'
}

/// Whether a number that ends before `index` is not the start of a longer one, as in `1.2.3` or
/// `12-34`.
pub(super) fn ends_at(bytes: &[u8], index: usize) -> bool {
    let next = at(bytes, index);
    let joined =
        matches!(next, b'-' | b'.' | b'/' | b',' | b':') && at(bytes, index + 1).is_ascii_digit();
    !is_word(next) && !joined
}

/// Whether a number that starts at `index` is not the rest of a longer one.
pub(super) fn starts_at(bytes: &[u8], index: usize) -> bool {
    let Some(before) = index.checked_sub(1) else { return true };
    let byte = at(bytes, before);
    let joined =
        matches!(byte, b'-' | b'.' | b'/' | b',') && previous(bytes, before).is_ascii_digit();
    !is_word(byte) && !joined
}

/// How many bytes from `start` on are of this kind; more than `most` count as one more.
pub(super) fn count_while(
    bytes: &[u8],
    start: usize,
    most: usize,
    is: impl Fn(u8) -> bool,
) -> usize {
    bytes.iter().skip(start).take(most + 1).take_while(|byte| is(**byte)).count()
}

/// How many digits are at `start`; more than `most` count as one more.
pub(super) fn digits(bytes: &[u8], start: usize, most: usize) -> usize {
    count_while(bytes, start, most, |byte| byte.is_ascii_digit())
}

/// The number that up to `most` digits at `start` write, and where they end; none if there are no
/// digits or more.
pub(super) fn number(bytes: &[u8], start: usize, most: usize) -> Option<(u64, usize)> {
    let count = digits(bytes, start, most);
    let written = bytes.iter().skip(start).take(count);
    let value = written.fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0'));
    (1..=most).contains(&count).then_some((value, start + count))
}

/// Passes over up to `most` of the bytes in `what`.
pub(super) fn skip(bytes: &[u8], start: usize, what: &[u8], most: usize) -> usize {
    let passed = bytes.iter().skip(start).take(most).take_while(|byte| what.contains(byte));
    start + passed.count()
}

fn fold(character: char) -> Option<u8> {
    let code = u32::from(character);
    if let Ok(byte) = u8::try_from(code)
        && byte.is_ascii()
    {
        return Some(byte);
    }
    let digit = |zero: u32| u8::try_from(code - zero).ok().map(|value| b'0' + value);
    match code {
        0x00AD
        | 0x061C
        | 0x200B..=0x200F
        | 0x202A..=0x202E
        | 0x2060..=0x2069
        | 0xFE00..=0xFE0F
        | 0xFEFF => None,
        0x0660..=0x0669 => digit(0x0660),
        0x06F0..=0x06F9 => digit(0x06F0),
        0x0966..=0x096F => digit(0x0966),
        0x09E6..=0x09EF => digit(0x09E6),
        0x0E50..=0x0E59 => digit(0x0E50),
        0xFF01..=0xFF5E => u8::try_from(code - 0xFEE0).ok(),
        0x00A0 | 0x2000..=0x200A | 0x202F | 0x205F | 0x3000 => Some(b' '),
        0x2010..=0x2015 | 0x2212 | 0xFE58 | 0xFE63 => Some(b'-'),
        0x2018 | 0x2019 | 0x2032 | 0x02BC => Some(b'\''),
        0x201C | 0x201D | 0x2033 => Some(b'"'),
        0x2044 | 0x2215 => Some(b'/'),
        0x3002 => Some(b'.'),
        0x00B0 | 0x00BA => Some(DEGREE),
        0x0300..=0x036F => Some(LETTER),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..
            if character.is_alphabetic() =>
        {
            Some(IDEOGRAPH)
        }
        _ if character.is_alphabetic() => Some(LETTER),
        _ => Some(OTHER),
    }
}

/// A text in small letters without accents, for comparing words: `Téléphone` is `telephone`.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character.to_ascii_lowercase());
            continue;
        }
        // A table instead of Unicode's decompositions: it also has letters that do not decompose.
        for small in character.to_lowercase() {
            match small {
                'à'..='å' | 'ā' | 'ă' | 'ą' => out.push('a'),
                'æ' => out.push_str("ae"),
                'ç' | 'ć' | 'č' | 'ĉ' | 'ċ' => out.push('c'),
                'ð' | 'ď' | 'đ' => out.push('d'),
                'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => out.push('e'),
                'ğ' | 'ĝ' | 'ġ' | 'ģ' => out.push('g'),
                'ì'..='ï' | 'ī' | 'į' | 'ı' => out.push('i'),
                'ķ' => out.push('k'),
                'ł' | 'ľ' | 'ļ' | 'ĺ' => out.push('l'),
                'ñ' | 'ń' | 'ň' | 'ņ' => out.push('n'),
                'ò'..='ö' | 'ø' | 'ō' | 'ő' => out.push('o'),
                'œ' => out.push_str("oe"),
                'ŕ' | 'ř' => out.push('r'),
                'ś' | 'š' | 'ş' | 'ș' => out.push('s'),
                'ß' => out.push_str("ss"),
                'ţ' | 'ť' | 'ț' => out.push('t'),
                'þ' => out.push_str("th"),
                'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ų' => out.push('u'),
                'ý' | 'ÿ' => out.push('y'),
                'ź' | 'ż' | 'ž' => out.push('z'),
                '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{feff}' => {}
                '\u{ff01}'..='\u{ff5e}' => {
                    out.extend(
                        char::from_u32(u32::from(small) - 0xFEE0)
                            .map(|narrow| narrow.to_ascii_lowercase()),
                    );
                }
                other => out.push(other),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_widths_scripts_and_invisible_characters() {
        let text = "tél\u{a0}０６\u{200b}\u{2011}٣४";
        let folded = Folded::new(text);
        assert_eq!(folded.bytes(), [b't', LETTER, b'l', b' ', b'0', b'6', b'-', b'3', b'4']);
        assert_eq!(text.get(folded.offset(4)..folded.end_offset(6)), Some("０６"));
        assert_eq!(folded.before(3, 3), "él");
        assert_eq!(folded.after(8, 9), "४");
    }

    #[test]
    fn plain_words() {
        assert_eq!(plain("Téléphone ＮＯ Straße Прізвище"), "telephone no strasse прізвище");
    }
}
