//! National identifiers of persons: their forms, check digits and the words that announce them.

mod america;
mod asia;
pub(super) mod checks;
mod europe_east;
mod europe_north;
mod europe_west;
mod form;

use std::fmt;
use std::sync::LazyLock;

use super::context::Context;
use super::fold::{Folded, at, starts_at};
use super::{Candidate, Entity, words};

/// Whether letters (capital) and digits, without separators, are an identifier.
type Check = fn(&[u8]) -> bool;

/// One kind of identifier: a line of `data/national.tsv`, which says what each part means, and its
/// check.
struct Scheme {
    code: &'static str,
    words: Vec<&'static str>,
    /// The first form that fits counts.
    forms: Vec<(&'static str, f32)>,
    chance: f32,
    check: Check,
}

static SCHEMES: LazyLock<Vec<Scheme>> = LazyLock::new(|| lines().filter_map(scheme).collect());

fn lines() -> impl Iterator<Item = &'static str> {
    include_str!("../../../data/national.tsv").lines().filter(|line| !line.starts_with('#'))
}

fn scheme(line: &'static str) -> Option<Scheme> {
    let mut parts = line.split('\t');
    let mut next = || parts.next();
    let (code, _name, words, forms) = (next()?, next()?, next()?, next()?);
    let form = |form: &'static str| {
        let (form, sure) = form.rsplit_once('=')?;
        Some((form, sure.parse().ok()?))
    };
    Some(Scheme {
        code,
        words: words.split(", ").collect(),
        forms: forms.split("; ").filter_map(form).collect(),
        chance: next()?.parse().ok()?,
        check: check(code)?,
    })
}

fn check(code: &str) -> Option<Check> {
    let regions = [
        america::CHECKS,
        asia::CHECKS,
        europe_east::CHECKS,
        europe_north::CHECKS,
        europe_west::CHECKS,
    ];
    regions.iter().copied().flatten().find(|(name, _)| *name == code).map(|(_, check)| *check)
}

/// A kind of national identifier.
#[derive(Clone, Copy)]
pub struct NationalId(&'static Scheme);

impl NationalId {
    /// All kinds that are known.
    pub fn all() -> impl Iterator<Item = Self> {
        SCHEMES.iter().map(Self)
    }

    /// The code, such as `us-ssn`.
    pub fn code(self) -> &'static str {
        self.0.code
    }

    /// The words that announce it, in small letters without accents.
    pub(crate) fn words(self) -> &'static [&'static str] {
        &self.0.words
    }

    /// How likely letters and digits of its form pass the check by chance, 0 to 1.
    pub(crate) fn chance(self) -> f32 {
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

/// Proposes every identifier that starts with the word at `start`.
pub(super) fn at_word(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    if !starts_at(bytes, start) || !holds_digit(bytes, start) {
        return;
    }
    let digit_first = at(bytes, start).is_ascii_digit();
    // What comes before is the same for all.
    let mut context = None;
    for id in NationalId::all() {
        for (form, sure) in &id.0.forms {
            let first = form.bytes().next();
            if (digit_first && first == Some(b'A')) || (!digit_first && first == Some(b'9')) {
                continue;
            }
            let Some(found) = form::matched(form, bytes, start) else { continue };
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
            } else if context.ends_with(&words::OTHER_NUMBER) {
                // `order 2839-4104-8390` is the number of something.
                *sure * 0.55
            } else if context.has(&words::NATIONAL_ID) {
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
    !words::NATIONAL_ID.contains(&word)
        && NationalId::all().filter(|id| id.words().contains(&word)).count() == 1
}

/// Whether an identifier may start here at all: a digit soon, as plain words have none.
fn holds_digit(bytes: &[u8], start: usize) -> bool {
    bytes.iter().skip(start).take(9).any(u8::is_ascii_digit)
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
        assert_eq!(count, lines().count(), "a line is not understood or has no check");
        for id in NationalId::all() {
            assert!(
                id.0.forms
                    .iter()
                    .all(|(form, sure)| form.len() <= form::LENGTH_MAX && (0.0..1.0).contains(sure))
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
        for line in include_str!("../../../testdata/national.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let mut parts = line.split('|').map(str::trim);
            let (Some(code), Some(good), Some(bad)) = (parts.next(), parts.next(), parts.next())
            else {
                panic!("`{line}`")
            };
            assert!(NationalId::all().any(|id| id.code() == code), "{code}");
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
        let corpus = include_str!("../../../testdata/national.txt");
        for id in NationalId::all() {
            assert!(
                corpus.lines().any(|line| line.starts_with(&format!("{} |", id.code()))),
                "{id:?}"
            );
        }
    }
}
