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

/// Passes over up to `most` of the bytes in `what`.
fn skip(bytes: &[u8], mut index: usize, what: &[u8], most: usize) -> usize {
    let limit = index + most;
    while index < limit && what.contains(&at(bytes, index)) && at(bytes, index) != 0 {
        index += 1;
    }
    index
}

/// How many digits are at `start`; more than `most` count as one more.
fn digits(bytes: &[u8], start: usize, most: usize) -> usize {
    bytes.iter().skip(start).take(most + 1).take_while(|byte| byte.is_ascii_digit()).count()
}
