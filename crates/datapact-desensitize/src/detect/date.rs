//! Dates, and dates of birth where a word says so.

use super::context::Context;
use super::fold::{Folded, LETTER, at, count_while, is_word, number, plain, skip, starts_at};
use super::{Candidate, Entity, words};

/// Whether there is such a day in the Gregorian calendar.
pub(super) fn exists(year: u64, month: u64, day: u64) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Proposes the date that starts with the digit at `start`.
pub(super) fn at_digit(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    if !starts_at(bytes, start) {
        return;
    }
    let found = numeric(bytes, start)
        .or_else(|| day_first(text, start))
        .or_else(|| east_asian(text, start));
    push(text, start, found, out);
}

/// Proposes the date that starts with the name of a month at `start`: `March 12, 1985`.
pub(super) fn at_letter(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    let length = word_length(bytes, start);
    if !(3..=12).contains(&length) {
        return;
    }
    let index = skip(bytes, start + length, b". ", 2);
    if index == start + length || !at(bytes, index).is_ascii_digit() {
        return;
    }
    let Some((day, after)) = number(bytes, index, 2) else { return };
    let mut index = after;
    if let Some(tail) = bytes.get(index..index + 2)
        && [b"st", b"nd", b"rd", b"th"].iter().any(|ordinal| tail.eq_ignore_ascii_case(*ordinal))
    {
        index += 2;
    }
    // The ordinal and what follows it have four characters.
    index = skip(bytes, index, b", ", after + 4 - index);
    let Some((year, end)) = number(bytes, index, 4).filter(|(_, end)| *end == index + 4) else {
        return;
    };
    let Some(month) = month(text, start, length) else { return };
    let found = (index > after && plausible(year) && exists(year, month, day) && ends(bytes, end))
        .then_some((end, 0.85));
    push(text, start, found, out);
}

fn push(text: &Folded<'_>, start: usize, found: Option<(usize, f32)>, out: &mut Vec<Candidate>) {
    let Some((end, sure)) = found else { return };
    out.push(Candidate::new(start, end, Entity::Date, sure));
    if Context::of(text, start, end).has_before(&words::BIRTH) {
        out.push(Candidate::new(start, end, Entity::BirthDate, 0.95));
    }
}

fn plausible(year: u64) -> bool {
    (1850..2100).contains(&year)
}

/// Whether a date may end before `index`: a time of day may follow, more digits may not.
fn ends(bytes: &[u8], index: usize) -> bool {
    let next = at(bytes, index);
    let time = matches!(next, b'T' | b't') && at(bytes, index + 1).is_ascii_digit();
    let joined = matches!(next, b'-' | b'.' | b'/') && at(bytes, index + 1).is_ascii_digit();
    time || !(is_word(next) || joined)
}

/// `1985-03-12`, `12.03.1985`, `3/12/85`, `12. 3. 1985` and eight digits in a row.
fn numeric(bytes: &[u8], start: usize) -> Option<(usize, f32)> {
    if let Some((whole, end)) = number(bytes, start, 8).filter(|(_, end)| *end == start + 8) {
        let good =
            plausible(whole / 10_000) && exists(whole / 10_000, whole / 100 % 100, whole % 100);
        return (good && ends(bytes, end)).then_some((end, 0.3));
    }
    let (first, mut index) = number(bytes, start, 4)?;
    let first_digits = index - start;
    let separator = at(bytes, index);
    if !matches!(separator, b'-' | b'.' | b'/') {
        return None;
    }
    let step = |index: usize| {
        let spaced = separator == b'.' && at(bytes, index + 1) == b' ';
        (at(bytes, index) == separator).then_some(index + if spaced { 2 } else { 1 })
    };
    index = step(index)?;
    let (second, after) = number(bytes, index, 2)?;
    let second_digits = after - index;
    index = step(after)?;
    let (third, end) = number(bytes, index, 4)?;
    let third_digits = end - index;
    if !ends(bytes, end) {
        return None;
    }
    let two_orders = |year: u64| exists(year, second, first) || exists(year, first, second);
    match (first_digits, third_digits) {
        (4, 1 | 2) if plausible(first) && exists(first, second, third) => Some((end, 0.85)),
        (1 | 2, 4) if plausible(third) && two_orders(third) => Some((end, 0.85)),
        (2, 2)
            if second_digits == 2
                && (two_orders(2000 + third) || exists(2000 + first, second, third)) =>
        {
            Some((end, if separator == b'/' { 0.65 } else { 0.55 }))
        }
        (1 | 2, 2) if separator == b'/' && two_orders(2000 + third) => Some((end, 0.55)),
        _ => None,
    }
}

/// `12 March 1985`, `12. März 1985`, `12-Mar-85`, `1er mars 1985`, `12 de marzo de 1985`.
fn day_first(text: &Folded<'_>, start: usize) -> Option<(usize, f32)> {
    let bytes = text.bytes();
    let (day, mut index) = number(bytes, start, 2)?;
    for ordinal in [b"st".as_slice(), b"nd", b"rd", b"th", b"er"] {
        if bytes.get(index..index + 2).is_some_and(|tail| tail.eq_ignore_ascii_case(ordinal)) {
            index += 2;
            break;
        }
    }
    let gap = |index: usize| skip(bytes, index, b". -/,", 2);
    let link = |index: usize| {
        let word = bytes.get(index..index + 3).unwrap_or_default();
        let linked = [b"de ", b"of ", b"di "].iter().any(|link| word.eq_ignore_ascii_case(*link));
        if linked { index + 3 } else { index }
    };
    index = link(gap(index));
    let length = word_length(bytes, index);
    if !(3..=14).contains(&length) {
        return None;
    }
    let month = month(text, index, length)?;
    index = link(gap(index + length));
    let (year, end) = number(bytes, index, 4)?;
    let full = match end - index {
        4 => year,
        2 => 2000 + year,
        _ => return None,
    };
    (plausible(full) && exists(full, month, day) && ends(bytes, end)).then_some((end, 0.85))
}

/// `1985年3月12日`, `1985년 3월 12일`.
fn east_asian(text: &Folded<'_>, start: usize) -> Option<(usize, f32)> {
    let bytes = text.bytes();
    let mark = |index: usize, marks: [char; 2]| {
        let next = text.after(index, 4).chars().next();
        next.is_some_and(|next| marks.contains(&next)).then(|| {
            let spaced = at(bytes, index + 1) == b' ';
            index + if spaced { 2 } else { 1 }
        })
    };
    let (year, index) = number(bytes, start, 4)?;
    let index = mark(index, ['年', '년'])?;
    let (month, index) = number(bytes, index, 2)?;
    let index = mark(index, ['月', '월'])?;
    let (day, index) = number(bytes, index, 2)?;
    mark(index, ['日', '일'])?;
    (plausible(year) && exists(year, month, day)).then_some((index + 1, 0.9))
}

fn word_length(bytes: &[u8], start: usize) -> usize {
    count_while(bytes, start, 15, |byte| byte.is_ascii_alphabetic() || byte == LETTER)
}

/// The month that a word names, by its name or an abbreviation of three letters or more.
fn month(text: &Folded<'_>, start: usize, length: usize) -> Option<u64> {
    let word = plain(
        text.after(start, text.end_offset(start + length).saturating_sub(text.offset(start))),
    );
    let letters = word.chars().count();
    if letters < 3 {
        return None;
    }
    let names = |names: &str| {
        names.split(' ').any(|name| name == word || (letters <= 4 && name.starts_with(&word)))
    };
    words::MONTH.iter().position(|month| names(month)).map(|place| place as u64 + 1)
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{is, no, whole};

    #[test]
    fn dates() {
        for text in [
            "1985-03-12",
            "12.03.1985",
            "3/12/1985",
            "12/3/85",
            "12 March 1985",
            "12. März 1985",
            "March 12, 1985",
            "Mar 12 1985",
            "12-Mar-85",
            "12 de marzo de 1985",
            "1er mars 1985",
            "12. 3. 1985",
            "1985年3月12日",
            "1985년 3월 12일",
            "12 марта 1985",
            "29/02/2000",
        ] {
            whole(text, "date");
        }
    }

    #[test]
    fn near_misses() {
        for text in [
            "1985-13-12",
            "31.04.1985",
            "29/02/1900",
            "1.2.3",
            "12 Marching 1985",
            "1985-03-12-1",
            "10.0.0.1",
            "32 March 1985",
        ] {
            no(text, "date");
        }
    }

    #[test]
    fn births_are_announced() {
        for text in [
            "born on 12.03.1985",
            "geb. am 12. März 1985",
            "DOB: 3/12/85",
            "生年月日：1985年3月12日",
            "Дата рождения 12.03.1985",
            "née le 12/03/1985",
        ] {
            is(text, "birth-date");
        }
        no("paid on 12.03.1985", "birth-date");
    }
}
