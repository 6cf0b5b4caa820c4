//! Words beside a value that announce it: `Tel.: 030 123456`.

use super::fold::{Folded, plain};
use super::words;

/// How far before a value its announcement may be, in bytes of text.
const BEFORE: usize = 56;
/// How far behind a value a word may still announce it, in bytes of text.
const AFTER: usize = 24;

/// The text around a value, in small letters without accents.
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

    /// Whether one of the words is before the value, or close behind it.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        contains_any(&self.before, words) || contains_any(&self.after, words)
    }

    /// Whether one of the words is before the value.
    pub(super) fn has_before(&self, words: &[&str]) -> bool {
        contains_any(&self.before, words)
    }

    /// Whether one of the words is close behind the value.
    pub(super) fn has_after(&self, words: &[&str]) -> bool {
        contains_any(&self.after, words)
    }

    /// Whether one of the words is among the last few before the value.
    pub(super) fn has_just_before(&self, words: &[&str]) -> bool {
        let start = self.before.len().saturating_sub(20);
        let start = (start..=self.before.len())
            .find(|&at| self.before.is_char_boundary(at))
            .unwrap_or(start);
        let near = self.before.get(start..).unwrap_or_default();
        contains_any(near, words)
    }

    /// Whether a currency or a unit makes an amount of the value.
    pub(super) fn is_amount(&self) -> bool {
        let after = self.after.trim_start();
        let unit = |unit: &&str| {
            after
                .strip_prefix(*unit)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        };
        words::UNIT.iter().any(unit)
            || self.before.trim_end().ends_with(['€', '$', '£', '¥', '₹', '₽', '₩'])
    }

    /// Whether the text around the value is Chinese, Japanese or Korean.
    pub(super) fn is_east_asian(&self) -> bool {
        self.before
            .chars()
            .chain(self.after.chars())
            .any(|c| (0x2E80..0xE000).contains(&u32::from(c)))
    }

    /// Whether one of the words is the very last before the value.
    pub(super) fn ends_with(&self, words: &[&str]) -> bool {
        let before = self.before.trim_end_matches(|c: char| !c.is_alphanumeric());
        words.iter().any(|word| before.ends_with(word) && contains(before, word))
    }
}

/// Whether `text` has `word` as a word. A word of four letters or more may go on (`telefon` in
/// `telefonnummer`); an ideographic one counts anywhere.
pub(crate) fn contains(text: &str, word: &str) -> bool {
    contains_any(text, &[word])
}

/// Whether `text` has one of the words, each of which begins with a letter. They are looked for
/// only where words begin: a list of numbers has none, and takes no time.
fn contains_any(text: &str, words: &[&str]) -> bool {
    let is_dense = |c: char| u32::from(c) >= 0x2E80;
    let mut before: Option<char> = None;
    text.char_indices().any(|(at, c)| {
        let begins = is_dense(c)
            || (c.is_alphabetic()
                && before.is_none_or(|before| !before.is_alphanumeric() || is_dense(before)));
        before = Some(c);
        let rest = if begins { text.get(at..).unwrap_or_default() } else { return false };
        count_looks(words.len());
        words.iter().any(|word| {
            let Some(behind) = rest.strip_prefix(word) else { return false };
            let after = behind.chars().next();
            is_dense(c)
                || word.len() >= 4
                || after.is_none_or(|after| !after.is_alphabetic() || is_dense(after))
        })
    })
}

#[cfg(test)]
thread_local! {
    /// How many words were compared with the text at one place: what the time of detection depends
    /// on.
    pub(super) static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn count_looks(_words: usize) {
    #[cfg(test)]
    LOOKS.set(LOOKS.get() + _words);
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
