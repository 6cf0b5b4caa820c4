//! Places: coordinates, postcodes, and streets with house numbers.

pub(super) mod coordinates;
pub(super) mod east_asia;
mod postcode;
mod street;

use super::fold::{Folded, at, starts_at};
use super::{Candidate, Entity};

/// Proposes the postcode or the street that starts with the word at `start`.
pub(super) fn at_word(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    if !starts_at(bytes, start) {
        return;
    }
    if let Some(end) = postcode::british(bytes, start).or_else(|| postcode::canadian(bytes, start))
    {
        out.push(Candidate::new(start, end, Entity::PostalCode, 0.7));
    } else if at(bytes, start).is_ascii_digit() {
        postcode::announced(text, start, out);
    }
    let street = if at(bytes, start).is_ascii_digit() {
        street::number_first(text, start)
    } else {
        street::name_first(text, start)
    };
    if let Some(end) = street {
        out.push(Candidate::new(start, end, Entity::Address, 0.62));
    }
}
