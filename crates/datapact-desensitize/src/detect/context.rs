//! Words beside a value that announce it: `Tel.: 030 123456`.

use super::fold::{Folded, plain};

/// How far before a value its announcement may stand, in bytes of text.
const BEFORE: usize = 56;
/// How far behind a value a word may still speak of it, in bytes of text.
const AFTER: usize = 24;

/// What makes an amount of the number before it.
const UNITS: &[&str] = &[
    "eur",
    "euro",
    "euros",
    "usd",
    "dollars",
    "dollar",
    "gbp",
    "chf",
    "jpy",
    "cny",
    "inr",
    "pln",
    "zl",
    "kc",
    "czk",
    "sek",
    "nok",
    "dkk",
    "kr",
    "rub",
    "руб",
    "try",
    "tl",
    "brl",
    "krw",
    "huf",
    "ft",
    "ron",
    "mio",
    "million",
    "millionen",
    "millions",
    "km",
    "kg",
    "mb",
    "gb",
    "kb",
    "bytes",
    "ms",
    "m2",
    "kwh",
    "%",
    "€",
    "$",
    "£",
    "¥",
    "₹",
    "₽",
    "₩",
    "元",
    "円",
    "원",
    "人",
    "people",
    "items",
    "units",
    "pcs",
];

/// What stands around a value, in small letters without accents.
pub(super) struct Context {
    before: String,
    after: String,
}

impl Context {
    pub(super) fn of(text: &Folded<'_>, start: usize, end: usize) -> Self {
        Self { before: plain(text.before(start, BEFORE)), after: plain(text.after(end, AFTER)) }
    }

    /// The same start, with another end.
    pub(super) fn end_at(&mut self, text: &Folded<'_>, end: usize) -> &Self {
        self.after = plain(text.after(end, AFTER));
        self
    }

    /// Whether one of the words stands before the value, or close behind it.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        words.iter().any(|word| contains(&self.before, word) || contains(&self.after, word))
    }

    /// Whether one of the words stands before the value.
    pub(super) fn has_before(&self, words: &[&str]) -> bool {
        words.iter().any(|word| contains(&self.before, word))
    }

    /// Whether one of the words stands among the last few before the value.
    pub(super) fn has_just_before(&self, words: &[&str]) -> bool {
        let start = self.before.len().saturating_sub(20);
        let start = (start..=self.before.len()).find(|&at| self.before.is_char_boundary(at)).unwrap_or(start);
        let near = self.before.get(start..).unwrap_or_default();
        words.iter().any(|word| contains(near, word))
    }

    /// Whether a currency or a unit makes an amount of the value.
    pub(super) fn is_amount(&self) -> bool {
        let after = self.after.trim_start();
        let unit = |unit: &&str| {
            after.strip_prefix(*unit).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        };
        UNITS.iter().any(unit) || self.before.trim_end().ends_with(['€', '$', '£', '¥', '₹', '₽', '₩'])
    }

    /// Whether the text around the value is Chinese, Japanese or Korean.
    pub(super) fn is_east_asian(&self) -> bool {
        self.before.chars().chain(self.after.chars()).any(|c| (0x2E80..0xE000).contains(&u32::from(c)))
    }

    /// Whether one of the words is the very last before the value.
    pub(super) fn ends_with(&self, words: &[&str]) -> bool {
        let before = self.before.trim_end_matches(|c: char| !c.is_alphanumeric());
        words.iter().any(|word| before.ends_with(word) && contains(before, word))
    }
}

/// Whether `word` stands in `text` as a word. A word of four letters or more may go on (`telefon` in
/// `telefonnummer`); an ideographic one stands anywhere.
pub(super) fn contains(text: &str, word: &str) -> bool {
    let spaced = word.chars().next().is_some_and(|first| u32::from(first) < 0x2E80);
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|rest| rest.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|rest| rest.chars().next());
        let starts = before.is_none_or(|c| !c.is_alphanumeric() || u32::from(c) >= 0x2E80);
        let ends = word.len() >= 4 || after.is_none_or(|c| !c.is_alphabetic() || u32::from(c) >= 0x2E80);
        !spaced || (starts && ends)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_their_limits() {
        assert!(contains("meine telefonnummer ist", "telefon"));
        assert!(contains("tel.: ", "tel"));
        assert!(!contains("hotel: ", "tel"));
        assert!(!contains("telling ", "tel"));
        assert!(contains("我的电话是", "电话"));
    }
}
