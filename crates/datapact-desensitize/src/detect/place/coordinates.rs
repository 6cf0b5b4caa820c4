//! Coordinates: decimal degrees, or degrees, minutes and seconds.

use crate::detect::context::Context;
use crate::detect::fold::{DEGREE, Folded, at, digits, is_word, number, previous, skip, starts_at};
use crate::detect::{Candidate, Entity, words};

/// Proposes the pair of coordinates that starts at `start`: decimal degrees, or degrees, minutes
/// and seconds.
pub(in crate::detect) fn at_start(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    if !starts_at(bytes, start) {
        return;
    }
    let decimal = || {
        if previous(bytes, start) == b' '
            && start.checked_sub(2).is_some_and(|before| at(bytes, before) == b',')
            && start.checked_sub(3).is_some_and(|before| at(bytes, before).is_ascii_digit())
        {
            return None;
        }
        let (latitude, after, places) = degrees(bytes, start)?;
        let mut index =
            skip(bytes, after, &[b' ', b',', b';', DEGREE, b'N', b'S', b'n', b's', b'/'], 4);
        if index == after {
            return None;
        }
        index = skip(bytes, index, b" ", 2);
        let (longitude, end, more) = degrees(bytes, index)?;
        let end = skip(bytes, end, &[DEGREE], 1);
        let direction = skip(bytes, end, b" ", 1);
        let end = if matches!(at(bytes, direction), b'E' | b'W' | b'e' | b'w') {
            direction + 1
        } else {
            end
        };
        let fits = latitude <= 90.0 && longitude <= 180.0 && !is_word(at(bytes, end));
        let places = places.min(more);
        // A third number makes a vector of it.
        let further =
            at(bytes, end) == b',' && degrees(bytes, skip(bytes, end, b", ", 2)).is_some();
        let further = further || (at(bytes, end) == b'.' && at(bytes, end + 1).is_ascii_digit());
        if !fits || further {
            return None;
        }
        let announced = Context::of(text, start, start).has_just_before(&words::COORDINATES);
        // Two numbers side by side may be any; a pair with a comma and no space is one value.
        let spaced =
            bytes.get(after..index).is_some_and(|gap| gap.iter().all(|byte| *byte == b' '));
        let sure = match places {
            3.. if spaced && bytes.get(start..end).is_some_and(|pair| !pair.contains(&b'-')) => {
                0.45
            }
            4.. => 0.8,
            3 => 0.5,
            _ => 0.3,
        };
        Some((end, if announced { 0.9 } else { sure }))
    };
    let sexagesimal = || {
        let (end, north) = angle(bytes, start, 90)?;
        let index = skip(bytes, end, b" ,;", 3);
        let (end, east) = angle(bytes, index, 180)?;
        (matches!(north, b'N' | b'S') && !matches!(east, b'N' | b'S')).then_some((end, 0.93))
    };
    if let Some((end, sure)) = sexagesimal().or_else(decimal) {
        out.push(Candidate::new(start, end, Entity::Coordinates, sure));
    }
}

/// A number with decimals, its end and how many decimals it has.
fn degrees(bytes: &[u8], start: usize) -> Option<(f64, usize, usize)> {
    let signed = usize::from(matches!(at(bytes, start), b'-' | b'+'));
    let whole = digits(bytes, start + signed, 3);
    let point = start + signed + whole;
    if !(1..=3).contains(&whole) || at(bytes, point) != b'.' {
        return None;
    }
    let places = digits(bytes, point + 1, 15);
    if !(1..=15).contains(&places) {
        return None;
    }
    let text = std::str::from_utf8(bytes.get(start + signed..point + 1 + places)?).ok()?;
    Some((text.parse().ok()?, point + 1 + places, places))
}

/// `48°51'24.5"N`, `N 48° 51.4'`: where it ends, and its direction.
fn angle(bytes: &[u8], start: usize, most: u64) -> Option<(usize, u8)> {
    let direction = |index: usize| {
        let letter = at(bytes, index).to_ascii_uppercase();
        matches!(letter, b'N' | b'S' | b'E' | b'W' | b'O').then_some(letter)
    };
    let before = direction(start);
    let mut index = if before.is_some() { skip(bytes, start + 1, b" ", 1) } else { start };
    let mut end = index;
    for (place, limit, marks) in [(0, most, [DEGREE, DEGREE]), (1, 59, *b"''"), (2, 59, *b"\"'")] {
        // Minutes and seconds may be missing.
        if place > 0 && !at(bytes, index).is_ascii_digit() {
            break;
        }
        let (_, after) = number(bytes, index, 3).filter(|(value, _)| *value <= limit)?;
        index = after;
        if at(bytes, index) == b'.' {
            index += 1 + digits(bytes, index + 1, 8);
        }
        if !marks.contains(&at(bytes, index)) {
            return None;
        }
        end = index + 1;
        index = skip(bytes, end, b"' ", 2);
    }
    match before {
        Some(before) => Some((end, before)),
        None => direction(index)
            .filter(|_| !is_word(at(bytes, index + 1)))
            .map(|after| (index + 1, after)),
    }
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{is, no, whole};

    #[test]
    fn coordinates() {
        for text in [
            "48.8566, 2.3522",
            "-33.86882,151.20930",
            "48°51'24\"N 2°21'08\"E",
            "48°51′24.5″ N, 2°21′8″ E",
            "48.8566° N, 2.3522° E",
            "40.7128;-74.0060",
            "N 59° 19.766' E 18° 4.117'",
        ] {
            whole(text, "coordinates");
        }
        is("GPS 59.3,18.1", "coordinates");
        for text in [
            "3.14159 2.71828",
            "98.8566, 2.3522",
            "1.5, 2.5",
            "48.8566",
            "48.8566, 2.3522, 3.1415",
            "12.34, 56.78",
        ] {
            no(text, "coordinates");
        }
    }
}
