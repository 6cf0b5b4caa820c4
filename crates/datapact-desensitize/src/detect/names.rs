//! The dictionary of names: only these are found in free text.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::fold::plain;
use crate::error::{Error, Result};

/// The longest file of names, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The most words of a name.
const WORDS_MAX: usize = 6;

/// A dictionary of names.
#[derive(Debug)]
pub struct Names {
    file: PathBuf,
    /// The words of each name, folded, and whether it is also found in small letters.
    entries: HashMap<Box<str>, bool>,
    longest: usize,
}

impl Names {
    /// Reads a file in UTF-8 with a name a line; empty lines and lines that begin with `#`
    /// are skipped. A relative path begins at `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] for a file that cannot be read, is longer than 4 MiB, has no name, or
    /// has a name of more than six words.
    pub fn read(file: &Path, folder: &Path) -> Result<Self> {
        let shown = crate::error::printable(&file.to_string_lossy());
        let wrong = |detail: String| {
            Error::mismatch(detail, "a file of names is UTF-8 text with a name a line")
        };
        let path = folder.join(file);
        let unreadable = |error| wrong(format!("the names in `{shown}` cannot be read: {error}"));
        let length = std::fs::metadata(&path).map_err(unreadable)?.len();
        if length > FILE_BYTES_MAX {
            return Err(wrong(format!(
                "the file of names `{shown}` is longer than {FILE_BYTES_MAX} bytes"
            )));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let mut names = Self { file: file.to_owned(), entries: HashMap::new(), longest: 0 };
        for (line, name) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let name = name.trim();
            if name.is_empty() || name.starts_with('#') {
                continue;
            }
            let (mut key, mut words, mut at) = (String::new(), 0, 0);
            while let Some(word) = next_word(name, at) {
                push(&mut key, name, &word);
                words += 1;
                at = word.end;
            }
            if !(1..=WORDS_MAX).contains(&words) {
                return Err(wrong(format!(
                    "`{shown}`, line {line}: a name has 1 to {WORDS_MAX} words"
                )));
            }
            names.longest = names.longest.max(words);
            // Listed in small letters, a name is found in any case; `May` is not found in `may`.
            let any_case =
                name.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_lowercase);
            *names.entries.entry(key.into_boxed_str()).or_default() |= any_case;
        }
        if names.entries.is_empty() {
            return Err(wrong(format!("`{shown}` has no names")));
        }
        Ok(names)
    }

    /// The file, as rules name it.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Finds names in a text, in order; names that follow each other are one. `found` is emptied
    /// first.
    pub(crate) fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        found.clear();
        let (mut at, mut key) = (0, String::new());
        while let Some(first) = next_word(text, at) {
            at = first.end;
            let small = text
                .get(first.clone())
                .and_then(|word| word.chars().next())
                .is_some_and(char::is_lowercase);
            key.clear();
            let mut word = first.clone();
            let mut end = None;
            for _ in 0..self.longest {
                push(&mut key, text, &word);
                if self.entries.get(key.as_str()).is_some_and(|any_case| *any_case || !small) {
                    end = Some(word.end);
                }
                match next_word(text, word.end) {
                    Some(next) if joins(text, word.end..next.start) => word = next,
                    _ => break,
                }
            }
            let Some(end) = end else { continue };
            at = end;
            match found.last_mut() {
                Some(last) if joins(text, last.end..first.start) => last.end = end,
                _ => found.push(first.start..end),
            }
        }
    }
}

/// Appends a word to the key of a name.
fn push(key: &mut String, text: &str, word: &Range<usize>) {
    if !key.is_empty() {
        key.push(' ');
    }
    key.push_str(&plain(text.get(word.clone()).unwrap_or_default()));
}

/// Whether what is between two words leaves them one name.
fn joins(text: &str, between: Range<usize>) -> bool {
    let between = text.get(between).unwrap_or_default();
    between.len() <= 4
        && between
            .chars()
            .all(|c| matches!(c, ' ' | '\u{a0}' | '-' | '\'' | '’' | '.' | '·' | '・'))
}

/// The next word from `from` on. In scripts without spaces each character is one.
fn next_word(text: &str, from: usize) -> Option<Range<usize>> {
    let rest = text.get(from..)?;
    let is_word = |c: char| c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c);
    let is_dense = |c: char| u32::from(c) >= 0x2E80;
    let (start, first) = rest.char_indices().find(|(_, c)| is_word(*c))?;
    let behind = start + first.len_utf8();
    let length = match rest.get(behind..) {
        Some(more) if !is_dense(first) => {
            more.find(|c| !is_word(c) || is_dense(c)).unwrap_or(more.len())
        }
        _ => 0,
    };
    Some(from + start..from + behind + length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(text: &str) -> Result<Names> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("names.txt"), text).unwrap();
        Names::read(Path::new("names.txt"), folder.path())
    }

    fn check(names: &Names, text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        names.find(text, &mut found);
        let found: Vec<&str> = found.into_iter().map(|range| text.get(range).unwrap()).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn names_of_the_dictionary_are_found_and_others_are_not() {
        let names =
            names("# people\nAda\nLovelace\nMay\nJean-Luc Picard\nBjörk\nrose\n张伟\n").unwrap();
        check(&names, "Ada Lovelace met ADA.", &["Ada Lovelace", "ADA"]);
        check(&names, "She may come in May, adamant as Adam.", &["May"]);
        check(&names, "jean-luc picard; Jean Luc PICARD", &["Jean Luc PICARD"]);
        check(&names, "Bjork and Rose, a rose", &["Bjork", "Rose", "rose"]);
        check(&names, "我叫张伟。张三", &["张伟"]);
        check(&names, "Ada\nLovelace, Picard", &["Ada", "Lovelace"]);
    }

    #[test]
    fn broken_dictionaries_are_refused() {
        for (text, expected) in [
            ("", "has no names"),
            ("Ada\n---\n", "line 2: a name has 1 to 6 words"),
            ("a b c d e f g\n", "line 1: a name has 1 to 6 words"),
        ] {
            let error = names(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(
            Names::read(Path::new("none"), Path::new("."))
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }
}
