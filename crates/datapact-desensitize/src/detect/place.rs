//! Places: coordinates, postcodes that are unmistakable, and streets with house numbers.

use super::context::Context;
use super::fold::{DEGREE, Folded, IDEOGRAPH, LETTER, at, is_word, plain, previous, starts_at};
use super::{Candidate, Entity};

/// Words that announce a postcode.
pub(super) const POSTCODE: &[&str] = &[
    "zip",
    "zip code",
    "zipcode",
    "postcode",
    "postal code",
    "post code",
    "plz",
    "postleitzahl",
    "code postal",
    "codigo postal",
    "cap",
    "postnummer",
    "postnr",
    "postinumero",
    "kod pocztowy",
    "psc",
    "cep",
    "pincode",
    "pin code",
    "индекс",
    "邮编",
    "郵便番号",
    "우편번호",
    "iranyitoszam",
    "posta kodu",
];

/// Kinds of streets that stand behind the name: `12 Baker Street`.
const STREET_AFTER: &[&str] = &[
    "street",
    "st",
    "avenue",
    "ave",
    "road",
    "rd",
    "lane",
    "ln",
    "drive",
    "dr",
    "boulevard",
    "blvd",
    "court",
    "ct",
    "square",
    "sq",
    "way",
    "place",
    "pl",
    "terrace",
    "ter",
    "crescent",
    "close",
    "highway",
    "hwy",
    "parkway",
    "pkwy",
    "circle",
    "cir",
    "row",
    "walk",
    "mews",
    "gardens",
    "grove",
    "hill",
    "trail",
    "plaza",
    "junction",
    "crossing",
    "park",
    "point",
    "ridge",
    "view",
    "estate",
    "estates",
    "manor",
    "meadow",
    "meadows",
    "heights",
];
/// Kinds of streets that stand before the name: `rue de Rivoli`.
const STREET_BEFORE: &[&str] = &[
    "rue",
    "avenue",
    "boulevard",
    "place",
    "allee",
    "chemin",
    "impasse",
    "quai",
    "route",
    "calle",
    "avenida",
    "avda",
    "plaza",
    "paseo",
    "carrer",
    "ronda",
    "camino",
    "via",
    "viale",
    "corso",
    "piazza",
    "piazzale",
    "vicolo",
    "strada",
    "largo",
    "rua",
    "travessa",
    "alameda",
    "praca",
    "ul",
    "ulica",
    "al",
    "aleja",
    "os",
    "calea",
    "bulevardul",
    "улица",
    "ул",
    "проспект",
    "пр",
    "переулок",
    "пер",
    "вулиця",
    "вул",
    "οδος",
];
/// Ends of the names of streets: `Hauptstraße 12`.
const STREET_END: &[&str] = &[
    "strasse", "str", "weg", "platz", "allee", "gasse", "ring", "damm", "ufer", "straat", "laan",
    "plein", "gracht", "kade", "dreef", "vej", "gade", "veien", "vegen", "gata", "gaten", "gatan",
    "vagen", "katu", "tie", "polku", "kuja", "utca", "utja", "caddesi", "sokak", "sokagi",
];

/// Words that announce coordinates.
const COORDINATES: &[&str] = &[
    "lat",
    "latitude",
    "lng",
    "lon",
    "longitude",
    "gps",
    "coord",
    "geo",
    "position",
    "koordinat",
    "kordinat",
    "breitengrad",
    "coordonnees",
    "coordenadas",
    "координат",
    "坐标",
    "座標",
    "좌표",
];

/// Proposes the pair of coordinates that starts at `start`: decimal degrees, or degrees, minutes
/// and seconds.
pub(super) fn coordinates(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
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
        let announced = Context::of(text, start, start).has_just_before(COORDINATES);
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

fn skip(bytes: &[u8], mut index: usize, what: &[u8], most: usize) -> usize {
    let limit = index + most;
    while index < limit && what.contains(&at(bytes, index)) && at(bytes, index) != 0 {
        index += 1;
    }
    index
}

fn digits(bytes: &[u8], start: usize, most: usize) -> usize {
    bytes.iter().skip(start).take(most + 1).take_while(|byte| byte.is_ascii_digit()).count()
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
fn angle(bytes: &[u8], start: usize, most: u32) -> Option<(usize, u8)> {
    let direction = |index: usize| {
        let letter = at(bytes, index).to_ascii_uppercase();
        matches!(letter, b'N' | b'S' | b'E' | b'W' | b'O').then_some(letter)
    };
    let before = direction(start);
    let mut index = if before.is_some() { skip(bytes, start + 1, b" ", 1) } else { start };
    let mut end = index;
    for (place, limit, marks) in [(0, most, [DEGREE, DEGREE]), (1, 59, *b"''"), (2, 59, *b"\"'")] {
        let count = digits(bytes, index, 3);
        let value = bytes
            .iter()
            .skip(index)
            .take(count)
            .fold(0u32, |sum, byte| sum * 10 + u32::from(byte - b'0'));
        if count == 0 && place > 0 {
            break;
        }
        if !(1..=3).contains(&count) || value > limit {
            return None;
        }
        index += count;
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

/// Proposes the postcode or the street that starts with the word at `start`.
pub(super) fn at_word(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    if !starts_at(bytes, start) {
        return;
    }
    if let Some(end) = british(bytes, start).or_else(|| canadian(bytes, start)) {
        out.push(Candidate::new(start, end, Entity::PostalCode, 0.7));
    } else if at(bytes, start).is_ascii_digit() {
        announced_postcode(text, start, out);
    }
    let street = if at(bytes, start).is_ascii_digit() {
        number_first(text, start)
    } else {
        name_first(text, start)
    };
    if let Some(end) = street {
        out.push(Candidate::new(start, end, Entity::Address, 0.62));
    }
}

/// `SW1A 1AA`: the Royal Mail's forms; the space is needed, since product codes look the same
/// without it.
fn british(bytes: &[u8], start: usize) -> Option<usize> {
    let word =
        |from: usize| bytes.iter().skip(from).take(5).take_while(|byte| is_word(**byte)).count();
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
fn canadian(bytes: &[u8], start: usize) -> Option<usize> {
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

fn announced_postcode(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
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
        || Context::of(text, start, start).has_just_before(POSTCODE);
    if !is_word(at(bytes, end)) && announced {
        out.push(Candidate::new(start, end, Entity::PostalCode, 0.8));
    }
}

/// The words from `start` on, at most six of one line: where each begins and ends.
fn words(bytes: &[u8], start: usize) -> Vec<(usize, usize)> {
    let letter =
        |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, LETTER | b'\'' | b'-' | b'.');
    let (mut index, mut found) = (start, Vec::new());
    while found.len() < 6 {
        let length = bytes.iter().skip(index).take(33).take_while(|byte| letter(**byte)).count();
        if length == 0 || length > 32 {
            break;
        }
        found.push((index, index + length));
        index += length;
        if at(bytes, index) != b' ' {
            break;
        }
        index += 1;
    }
    found
}

fn is_one_of(text: &Folded<'_>, (start, end): (usize, usize), list: &[&str]) -> bool {
    let word =
        plain(text.after(start, text.end_offset(end).saturating_sub(text.end_offset(start))));
    list.contains(&word.trim_end_matches('.'))
}

/// A house number of up to five digits and perhaps a letter.
fn house_number(bytes: &[u8], start: usize) -> Option<usize> {
    let count = digits(bytes, start, 5);
    let mut end = start + count;
    if !(1..=5).contains(&count) {
        return None;
    }
    if at(bytes, end).is_ascii_alphabetic() && !is_word(at(bytes, end + 1)) {
        end += 1;
    } else if at(bytes, end) == b' '
        && matches!(at(bytes, end + 1), b'A'..=b'H')
        && matches!(at(bytes, end + 2), 0 | b',' | b';' | b'.' | b'\n')
    {
        // A staircase.
        end += 2;
    } else if matches!(at(bytes, end), b'-' | b'/') && matches!(digits(bytes, end + 1, 4), 1..=4) {
        end += 1 + digits(bytes, end + 1, 4);
    }
    (!is_word(at(bytes, end))).then_some(end)
}

/// `221B Baker Street`, `12 rue de Rivoli`, `12, rue de Rivoli`.
fn number_first(text: &Folded<'_>, start: usize) -> Option<usize> {
    let bytes = text.bytes();
    let after = house_number(bytes, start)?;
    let repeated = [" bis", " ter"].iter().find(|word| {
        bytes.get(after..after + 4).is_some_and(|next| next == word.as_bytes())
            && !is_word(at(bytes, after + 4))
    });
    let after = after + repeated.map_or(0, |word| word.len());
    let gap = skip(bytes, after, b", ", 2);
    if gap == after {
        return None;
    }
    let words = words(bytes, gap);
    let capital = |(start, _): &(usize, usize)| {
        at(bytes, *start).is_ascii_uppercase() || at(bytes, *start) == LETTER
    };
    let first = *words.first()?;
    if is_one_of(text, first, STREET_BEFORE) && words.len() > 1 && words.iter().skip(1).any(capital)
    {
        let last =
            words.iter().skip(1).take_while(|word| capital(word) || word.1 - word.0 <= 3).last()?;
        return Some(last.1);
    }
    let kind =
        words.iter().enumerate().skip(1).find(|(_, word)| is_one_of(text, **word, STREET_AFTER))?;
    // `Pennsylvania Avenue NW` has the quarter behind it.
    let quarter = words.get(kind.0 + 1).filter(|(start, end)| {
        matches!(
            bytes.get(*start..*end),
            Some(b"NW" | b"NE" | b"SW" | b"SE" | b"N" | b"S" | b"E" | b"W")
        )
    });
    words.iter().take(kind.0).all(capital).then_some(quarter.unwrap_or(kind.1).1)
}

/// `Hauptstraße 12`, `Calle Mayor, 5`, `ul. Długa 7`.
fn name_first(text: &Folded<'_>, start: usize) -> Option<usize> {
    let bytes = text.bytes();
    let first = at(bytes, start);
    if !(first.is_ascii_alphabetic() || first == LETTER) || previous(bytes, start) == IDEOGRAPH {
        return None;
    }
    let words = words(bytes, start);
    let number = |end: usize| {
        let gap = skip(bytes, end, b", ", 2);
        // `ул. Ленина, д. 5` says that a house follows.
        let house = plain(text.after(gap, 8));
        let house =
            ["д.", "дом", "no.", "nr.", "n.", "nº"].iter().find(|word| house.starts_with(**word));
        let gap = house.map_or(gap, |word| skip(bytes, gap + word.chars().count(), b" ", 1));
        (gap > end).then(|| house_number(bytes, gap)).flatten()
    };
    let whole = *words.first()?;
    // `Lange Straße 12` starts one word before its kind.
    for word in words.iter().take(2) {
        let name = plain(
            text.after(word.0, text.end_offset(word.1).saturating_sub(text.end_offset(word.0))),
        );
        let name = name.trim_end_matches('.');
        let ending = STREET_END
            .iter()
            .any(|end| name.ends_with(end) && (name.len() > end.len() + 2 || word.0 > start));
        if ending
            && (first.is_ascii_uppercase() || first == LETTER)
            && let Some(end) = number(word.1)
        {
            return Some(end);
        }
    }
    if is_one_of(text, whole, STREET_BEFORE) && words.len() > 1 {
        return number(words.last()?.1);
    }
    None
}

/// Ends of the names of regions, towns and quarters, and of streets, in Chinese and Japanese.
const QUARTERS: &str = "省市县縣区區都府県州町村镇鎮郷乡";
const ROADS: &str = "路街道巷弄";
/// The same in Korean.
const QUARTERS_KOREAN: &str = "시도구군읍면동";
const ROADS_KOREAN: &str = "로길";
/// What stands before an address in a sentence, glued to it.
const LEADS: &str = "は在于於住址所：";
const HOUSES: &str = "号號番地丁目室楼階层層号栋棟之の-－ー";

/// Proposes the address that starts with the ideograph at `start`: `北京市朝阳区建国路88号`,
/// `東京都千代田区丸の内1-1-1`, `서울특별시 중구 세종대로 110`.
pub(super) fn at_ideograph(text: &Folded<'_>, start: usize, out: &mut Vec<Candidate>) {
    let bytes = text.bytes();
    let behind: Vec<char> = text.after(start, 160).chars().collect();
    let (mut begin, mut units, mut apart, mut road, mut end) = (0, 0, 0, false, None);
    for (index, character) in behind.iter().enumerate() {
        let korean = ('가'..='힣').contains(character);
        let (quarters, roads) =
            if korean { (QUARTERS_KOREAN, ROADS_KOREAN) } else { (QUARTERS, ROADS) };
        // What ends a name is not its begin, and in Korean it ends a word.
        let ends = index >= apart + 2
            && (!korean || behind.get(index + 1).is_none_or(|next| *next == ' '));
        if ends && (quarters.contains(*character) || roads.contains(*character)) {
            (units, apart, road) = (units + 1, index, roads.contains(*character));
        } else if units == 0 && LEADS.contains(*character) {
            (begin, apart) = (index + 1, index);
        } else if at(bytes, start + index).is_ascii_digit() {
            end = (units >= 2 && (road || !korean)).then_some(index + 1).or(end);
        } else if end.is_some() && HOUSES.contains(*character) {
            end = Some(index + 1);
        } else if end.is_some()
            || !(at(bytes, start + index) == IDEOGRAPH || (*character == ' ' && units > 0))
        {
            break;
        }
    }
    if let Some(end) = end {
        out.push(Candidate::new(start + begin, start + end, Entity::Address, 0.7));
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

    #[test]
    fn streets() {
        for text in [
            "221B Baker Street",
            "1600 Pennsylvania Avenue",
            "12 rue de Rivoli",
            "Hauptstraße 12",
            "Lange Straße 5a",
            "Calle Mayor, 5",
            "Via Roma 12",
            "Storgatan 7",
            "ul. Długa 7",
            "Rua Augusta, 1500",
            "12 bis, avenue Foch",
            "1600 Pennsylvania Avenue NW",
            "ул. Ленина, д. 5",
            "東京都千代田区丸の内1-1-1",
            "北京市朝阳区建国路88号",
            "서울특별시 중구 세종대로 110",
        ] {
            whole(text, "address");
        }
        for text in [
            "12 people walk",
            "in 1985 Street",
            "Step 12",
            "the street 12 is",
            "During 1984",
            "5 way",
            "2024年北京市区12人",
            "他走了5路",
        ] {
            no(text, "address");
        }
    }
}
