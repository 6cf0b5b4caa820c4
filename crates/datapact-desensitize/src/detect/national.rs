//! National identifiers of persons: their forms, check digits and the words that announce them.

mod america;
mod asia;
pub(super) mod checks;
mod europe_east;
mod europe_north;
mod europe_west;

use std::fmt;
use std::hash::{Hash, Hasher};

use super::context::Context;
use super::fold::{Folded, at, ends_at, starts_at};
use super::{Candidate, Entity, phone};

/// The longest identifier, in letters and digits.
const LENGTH_MAX: usize = 24;

/// Words that announce an identifier without saying which.
const WORDS: &[&str] = &[
    "national id",
    "identity number",
    "identification number",
    "id number",
    "id no",
    "personal id",
    "personal number",
    "citizen",
    "social security",
    "social insurance",
    "tax id",
    "taxpayer",
    "tax number",
    "ausweisnummer",
    "steuernummer",
    "sozialversicherung",
    "numero d'identite",
    "securite sociale",
    "identificacion",
    "documento",
    "identificativo",
    "personnummer",
    "身份证",
    "身份",
];

/// One kind of identifier.
struct Scheme {
    /// Its code, as in `us-ssn`: the country's ISO 3166-1 code and the identifier's usual short
    /// name.
    code: &'static str,
    /// Its full name.
    name: &'static str,
    /// Words that announce it, in small letters without accents.
    words: &'static [&'static str],
    /// How it is written, and how sure its check is in a text that says nothing of it; the first
    /// form that fits counts.
    forms: &'static [(&'static str, f32)],
    /// How likely letters and digits of its form pass the check by chance.
    chance: f32,
    /// Whether letters (capital) and digits, without separators, are one.
    check: fn(&[u8]) -> bool,
}

const ALL: &[&[Scheme]] = &[
    america::SCHEMES,
    asia::SCHEMES,
    europe_east::SCHEMES,
    europe_north::SCHEMES,
    europe_west::SCHEMES,
];

/// A kind of national identifier.
#[derive(Clone, Copy)]
pub struct NationalId(&'static Scheme);

impl NationalId {
    /// All kinds that are known.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().flat_map(|schemes| schemes.iter()).map(Self)
    }

    /// The kind with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::all().find(|id| id.code() == code)
    }

    /// The code, such as `us-ssn`.
    pub fn code(self) -> &'static str {
        self.0.code
    }

    /// The full name, such as `Social Security number (US)`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    pub(super) fn words(self) -> &'static [&'static str] {
        self.0.words
    }

    pub(super) fn chance(self) -> f32 {
        self.0.chance
    }
}

impl fmt::Debug for NationalId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl PartialEq for NationalId {
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code()
    }
}

impl Eq for NationalId {}

impl Hash for NationalId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.code().hash(state);
    }
}

/// Proposes every identifier that starts with the word at `start`.
pub(super) fn at_word(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    if !starts_at(bytes, start) || !holds_digit(bytes, start) {
        return;
    }
    let digit_first = at(bytes, start).is_ascii_digit();
    // What stands before is the same for all.
    let mut context = None;
    for id in NationalId::all() {
        for (form, sure) in id.0.forms {
            let first = form.bytes().next();
            if (digit_first && first == Some(b'A')) || (!digit_first && first == Some(b'9')) {
                continue;
            }
            let Some(found) = match_form(form, bytes, start) else { continue };
            let passes = (id.0.check)(found.compact());
            let context = context.get_or_insert_with(|| Context::of(text, start, start));
            let context = context.end_at(text, found.end);
            let confidence = if !passes {
                // What is called by the identifier's own name is one, if with a mistake in it.
                if !id.words().iter().any(|word| context.ends_with(&[word]) && is_own(word)) {
                    continue;
                }
                // Groups of digits with its name right before them are hardly anything else.
                if form.contains(['~', '-', '.']) { 0.75 } else { 0.55 }
            } else if context.is_amount() && *sure < 0.9 {
                0.1
            } else if context.has(id.words()) {
                sure.max(0.98)
            } else if context.ends_with(phone::OTHERS) {
                // `order 2839-4104-8390` is the number of something.
                *sure * 0.55
            } else if context.has(WORDS) {
                sure.max(0.75 - id.chance())
            } else {
                *sure
            };
            out.push(Candidate {
                start,
                end: found.end,
                entity: Entity::NationalId,
                kind: Some(id),
                confidence,
            });
            break;
        }
    }
}

/// Whether a word announces one kind of identifier only.
fn is_own(word: &str) -> bool {
    !WORDS.contains(&word) && NationalId::all().filter(|id| id.words().contains(&word)).count() == 1
}

/// Whether an identifier may start here at all: a digit soon, as plain words have none.
fn holds_digit(bytes: &[u8], start: usize) -> bool {
    bytes.iter().skip(start).take(9).any(u8::is_ascii_digit)
}

struct Found {
    letters: [u8; LENGTH_MAX],
    length: usize,
    end: usize,
}

impl Found {
    fn push(&mut self, byte: u8) -> Option<()> {
        *self.letters.get_mut(self.length)? = byte.to_ascii_uppercase();
        self.length += 1;
        Some(())
    }

    fn compact(&self) -> &[u8] {
        self.letters.get(..self.length).unwrap_or_default()
    }
}

/// Matches a form: `9` a digit, `A` a letter, `X` either, `~` a separator and `_` perhaps one (all
/// of a form are the same), `?` the sign of a century in Finland; anything else stands for itself.
/// Nothing is tried twice.
fn match_form(form: &str, bytes: &[u8], start: usize) -> Option<Found> {
    let mut found = Found { letters: [0; LENGTH_MAX], length: 0, end: start };
    let mut separator: Option<Option<u8>> = None;
    for element in form.bytes() {
        let byte = at(bytes, found.end);
        match element {
            b'9' if byte.is_ascii_digit() => found.push(byte)?,
            b'A' if byte.is_ascii_alphabetic() => found.push(byte)?,
            b'X' if byte.is_ascii_alphanumeric() => found.push(byte)?,
            b'?' if matches!(byte.to_ascii_uppercase(), b'+' | b'-' | b'A'..=b'F' | b'U'..=b'Y') => {
                found.push(byte)?;
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;

    fn kinds(text: &str) -> Vec<&'static str> {
        let (folded, mut out) = (Folded::new(text), Vec::new());
        at_word(&folded, 0, &mut out);
        let whole = out.into_iter().filter(|found| found.end == folded.bytes().len());
        whole.filter_map(|found| found.kind.map(NationalId::code)).collect()
    }

    #[test]
    fn codes_are_unique_and_forms_fit() {
        let mut codes: Vec<_> = NationalId::all().map(NationalId::code).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert!(count >= 55, "{count}");
        for id in NationalId::all() {
            assert!(
                id.0.forms
                    .iter()
                    .all(|(form, sure)| form.len() <= LENGTH_MAX && (0.0..1.0).contains(sure))
            );
            assert!(
                id.words().iter().all(|word| *word == super::super::fold::plain(word)),
                "{id:?}"
            );
        }
    }

    /// Each line: a code, values that are one, and after a bar values that are none (near misses).
    #[test]
    fn true_values_and_near_misses() {
        let mut wrong = Vec::new();
        for line in include_str!("../../testdata/national.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let mut parts = line.split('|').map(str::trim);
            let (Some(code), Some(good), Some(bad)) = (parts.next(), parts.next(), parts.next())
            else {
                panic!("`{line}`")
            };
            assert!(NationalId::of_code(code).is_some(), "{code}");
            let good = good.split(';').map(|value| (value.trim(), true));
            let bad = bad.split(';').map(|value| (value.trim(), false));
            for (value, expected) in good.chain(bad).filter(|(value, _)| !value.is_empty()) {
                if kinds(value).contains(&code) != expected {
                    wrong.push(format!("`{value}` is {code}: {expected}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_kind_has_a_true_value_in_the_corpus() {
        let corpus = include_str!("../../testdata/national.txt");
        for id in NationalId::all() {
            assert!(
                corpus.lines().any(|line| line.starts_with(&format!("{} |", id.code()))),
                "{id:?}"
            );
        }
    }
}
