//! Detection: what in a text identifies people.
//!
//! [`find`] looks for entities in free text. Each family of entities has a file: a function that
//! proposes what starts at one place of a text (`fold::Folded`, one byte a character) with a
//! confidence, from its form, its check digits and the words around it. It goes back and ahead only
//! a bounded number of characters, so that the time grows with the length of the text alone. Names
//! of people are found in free text only if they are in a dictionary ([`Names`]): more needs a
//! model of the language.
//!
//! Values never go into errors.

mod card;
pub(crate) mod context;
mod crypto;
mod date;
mod email;
pub(crate) mod fold;
mod iban;
mod names;
mod national;
mod network;
mod phone;
mod place;
mod url;
pub(crate) mod words;

use std::ops::Range;

use crate::entity::Entity;
use fold::{Folded, at, is_word, previous};
pub use names::Names;
pub use national::NationalId;

/// [`find`] does not report what is less sure than this.
pub const CONFIDENCE_MIN: f32 = 0.5;
/// From this confidence on a finding needs no review.
pub(crate) const SURE: f32 = 0.8;

/// How much of a text is looked at in one piece, in bytes, so that memory stays bounded.
const WINDOW: usize = if cfg!(test) { 16 << 10 } else { 256 << 10 };
/// How far a piece looks beyond its end: longer than any entity.
const AHEAD: usize = 4 << 10;
/// How far a piece looks back, for words before an entity and for what it may be part of.
const BEHIND: usize = 512;

/// An entity in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is.
    pub entity: Entity,
    /// Which national identifier, for [`Entity::NationalId`].
    pub kind: Option<NationalId>,
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// How sure that is, 0 to 1.
    pub confidence: f32,
}

impl Found {
    /// The name of what it is: the national identifier's code, or the entity's name.
    pub fn name(&self) -> &'static str {
        self.kind.map_or(self.entity.name(), NationalId::code)
    }
}

/// What a recognizer proposes, in places of the folded text.
#[derive(Debug, Clone)]
struct Candidate {
    start: usize,
    end: usize,
    entity: Entity,
    kind: Option<NationalId>,
    confidence: f32,
}

impl Candidate {
    fn new(start: usize, end: usize, entity: Entity, confidence: f32) -> Self {
        Self { start, end, entity, kind: None, confidence }
    }
}

/// Finds these entities in a text of any length, in order and without overlaps; `found` is emptied
/// first. Memory stays bounded.
pub fn find(text: &str, entities: &[Entity], found: &mut Vec<Found>) {
    found.clear();
    let mut from = 0;
    while from < text.len() {
        let to = boundary(text, from.saturating_add(WINDOW));
        let (low, high) =
            (boundary(text, from.saturating_sub(BEHIND)), boundary(text, to.saturating_add(AHEAD)));
        let piece = text.get(low..high).unwrap_or_default();
        for mut one in find_in_piece(piece, entities) {
            one.range = low + one.range.start..low + one.range.end;
            let fresh = found.last().is_none_or(|last| last.range.end <= one.range.start);
            if (from..to).contains(&one.range.start) && fresh {
                found.push(one);
            }
        }
        from = to;
    }
}

/// The last boundary of a character at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn find_in_piece(text: &str, entities: &[Entity]) -> Vec<Found> {
    let folded = Folded::new(text);
    let mut candidates = collect(&folded);
    candidates.retain(|one| one.confidence >= CONFIDENCE_MIN);
    let chosen = resolve(candidates);
    let wanted = chosen.into_iter().filter(|one| entities.contains(&one.entity));
    wanted.map(|one| one.placed(&folded)).collect()
}

/// Everything that the whole of a value may be, apart from white space around it.
pub(crate) fn whole(value: &str) -> Vec<Found> {
    let value = value.trim();
    let folded = Folded::new(value);
    let length = folded.bytes().len();
    let all = collect(&folded).into_iter();
    all.filter(|one| one.start == 0 && one.end == length).map(|one| one.placed(&folded)).collect()
}

/// Whether the whole of a value surely identifies a person, by its form or its check digits.
pub(crate) fn identifies(value: &str) -> bool {
    const BY_FORM: [Entity; 7] = [
        Entity::Email,
        Entity::Phone,
        Entity::PaymentCard,
        Entity::Iban,
        Entity::NationalId,
        Entity::Ip,
        Entity::Mac,
    ];
    whole(value).iter().any(|one| BY_FORM.contains(&one.entity) && one.confidence >= SURE)
}

impl Candidate {
    fn placed(self, text: &Folded<'_>) -> Found {
        let range = text.offset(self.start)..text.end_offset(self.end);
        Found { entity: self.entity, kind: self.kind, range, confidence: self.confidence }
    }
}

/// What all recognizers propose, however unsure.
fn collect(text: &Folded<'_>) -> Vec<Candidate> {
    let bytes = text.bytes();
    // Each recognizer is asked only where its entity can start: most bytes are inside of words and
    // cost no more than this match.
    let mut out = Vec::new();
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'@' => email::at_sign(bytes, index, &mut out),
            b':' => {
                url::at_colon(bytes, index, &mut out);
                if at(bytes, index + 1) == b':' && !is_word(previous(bytes, index)) {
                    network::at_start(text, index, &mut out);
                }
            }
            b'+' | b'(' => phone::at_start(text, index, &mut out),
            b'-' if at(bytes, index + 1).is_ascii_digit() => {
                place::coordinates::at_start(text, index, &mut out)
            }
            fold::IDEOGRAPH if previous(bytes, index) != fold::IDEOGRAPH => {
                place::east_asia::at_ideograph(text, index, &mut out);
            }
            _ if !is_word(byte) || is_word(previous(bytes, index)) => {}
            b'0'..=b'9' => {
                network::at_start(text, index, &mut out);
                date::at_digit(text, index, &mut out);
                card::at_digit(text, index, &mut out);
                crypto::at_word(bytes, index, &mut out);
                national::at_word(text, index, &mut out);
                phone::at_start(text, index, &mut out);
                place::coordinates::at_start(text, index, &mut out);
                place::at_word(text, index, &mut out);
                url::at_word(bytes, index, &mut out);
            }
            _ => {
                network::at_start(text, index, &mut out);
                date::at_letter(text, index, &mut out);
                iban::at_letter(text, index, &mut out);
                crypto::at_word(bytes, index, &mut out);
                national::at_word(text, index, &mut out);
                if matches!(byte, b'N' | b'S') {
                    place::coordinates::at_start(text, index, &mut out);
                }
                place::at_word(text, index, &mut out);
                url::at_word(bytes, index, &mut out);
            }
        }
    }
    out
}

/// Of candidates that overlap, the surest stays, then the longest.
fn resolve(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then((b.end - b.start).cmp(&(a.end - a.start)))
            .then(a.start.cmp(&b.start))
    });
    let mut taken = std::collections::BTreeMap::<usize, usize>::new();
    let mut chosen = Vec::new();
    for one in candidates {
        let before = taken.range(..one.end).next_back();
        if before.is_none_or(|(_, end)| *end <= one.start) {
            taken.insert(one.start, one.end);
            chosen.push(one);
        }
    }
    chosen.sort_by_key(|one| one.start);
    chosen
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
