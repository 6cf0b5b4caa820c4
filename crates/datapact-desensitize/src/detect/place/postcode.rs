//! Postcodes: those of a form that no other code has, and digits that a word announces.

use crate::detect::context::Context;
use crate::detect::fold::{Folded, at, count_while, digits, is_word};
use crate::detect::{Candidate, Entity, words};

/// `SW1A 1AA`: the Royal Mail's forms; the space is needed, since product codes look the same
/// without it.
pub(super) fn british(bytes: &[u8], start: usize) -> Option<usize> {
    let word = |from: usize| count_while(bytes, from, 4, is_word);
    let outward = word(start);
    let head: Vec<u8> =
        bytes.iter().skip(start).take(outward).map(u8::to_ascii_uppercase).collect();
    let kind: Vec<bool> = head.iter().map(u8::is_ascii_digit).collect();
    let shaped = matches!(
        *kind,
        [false, true]
            | [false, true, true]
            | [false, false, true]
            | [false, false, true, true]
            | [false, true, false]
            | [false, false, true, false]
    );
    // The inward code never has the letters that are easily misread.
    let letters = |byte: u8| {
        byte.is_ascii_alphabetic()
            && !matches!(byte.to_ascii_uppercase(), b'C' | b'I' | b'K' | b'M' | b'O' | b'V')
    };
    let inward = start + outward + 1;
    let same_case = bytes
        .get(start..inward + 3)?
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .all(u8::is_ascii_uppercase)
        || bytes
            .get(start..inward + 3)?
            .iter()
            .filter(|byte| byte.is_ascii_alphabetic())
            .all(u8::is_ascii_lowercase);
    let good = shaped
        && same_case
        && !matches!(head.first(), Some(b'Q' | b'V' | b'X'))
        && at(bytes, inward - 1) == b' '
        && word(inward) == 3
        && at(bytes, inward).is_ascii_digit()
        && letters(at(bytes, inward + 1))
        && letters(at(bytes, inward + 2));
    good.then_some(inward + 3)
}

/// `K1A 0B1`.
pub(super) fn canadian(bytes: &[u8], start: usize) -> Option<usize> {
    let gap = usize::from(matches!(at(bytes, start + 3), b' ' | b'-'));
    let code: Vec<u8> = [0, 1, 2, 3 + gap, 4 + gap, 5 + gap]
        .iter()
        .map(|index| at(bytes, start + index).to_ascii_uppercase())
        .collect();
    let letter = |index: usize| {
        code.get(index).is_some_and(|byte| {
            byte.is_ascii_uppercase() && !matches!(byte, b'D' | b'F' | b'I' | b'O' | b'Q' | b'U')
        })
    };
    let digit = |index: usize| code.get(index).is_some_and(u8::is_ascii_digit);
    let good = letter(0)
        && !matches!(code.first(), Some(b'W' | b'Z'))
        && digit(1)
        && letter(2)
        && digit(3)
        && letter(4)
        && digit(5);
    (good && gap == 1 && !is_word(at(bytes, start + 7))).then_some(start + 7)
}

/// Proposes digits that a word before them makes a postcode.
pub(super) fn announced(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    let mut end = start + digits(bytes, start, 9);
    if !(3..=8).contains(&(end - start)) {
        return;
    }
    let more = digits(bytes, end + 1, 4);
    if at(bytes, end) == b'-' && (2..=4).contains(&more) {
        end += 1 + more;
    }
    let announced = text.before(start, 6).trim_end().ends_with('〒')
        || Context::of(text, start, start).has_just_before(&words::POSTCODE);
    if !is_word(at(bytes, end)) && announced {
        out.push(Candidate::new(start, end, Entity::PostalCode, 0.8));
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{is, no, whole};

    #[test]
    fn postcodes() {
        for text in ["SW1A 1AA", "M1 1AE", "EC1A 1BB", "K1A 0B1"] {
            whole(text, "postal-code");
        }
        for text in ["PLZ 10115", "ZIP code: 20500-0003", "邮编100000"] {
            is(text, "postal-code");
        }
        for text in ["10115", "SW1A 1CC", "A1 2bc", "K1A 0D1", "B2 4x4"] {
            no(text, "postal-code");
        }
    }
}
