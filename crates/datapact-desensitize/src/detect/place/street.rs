//! Streets with house numbers, in scripts with spaces between words.

use crate::detect::fold::{
    Folded, IDEOGRAPH, LETTER, at, count_while, digits, is_word, plain, previous, skip,
};
use crate::detect::words;

/// The words from `start` on, at most six of one line: where each begins and ends.
fn words(bytes: &[u8], start: usize) -> Vec<(usize, usize)> {
    let letter =
        |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, LETTER | b'\'' | b'-' | b'.');
    let (mut index, mut found) = (start, Vec::new());
    while found.len() < 6 {
        let length = count_while(bytes, index, 32, letter);
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

/// Where the street ends that starts with a house number: `221B Baker Street`, `12 rue de Rivoli`,
/// `12, rue de Rivoli`.
pub(super) fn number_first(text: &Folded<'_>, start: usize) -> Option<usize> {
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
    if is_one_of(text, first, &words::STREET_BEFORE)
        && words.len() > 1
        && words.iter().skip(1).any(capital)
    {
        let last =
            words.iter().skip(1).take_while(|word| capital(word) || word.1 - word.0 <= 3).last()?;
        return Some(last.1);
    }
    let kind = words
        .iter()
        .enumerate()
        .skip(1)
        .find(|(_, word)| is_one_of(text, **word, &words::STREET_AFTER))?;
    // `Pennsylvania Avenue NW` has the quarter behind it.
    let quarter = words.get(kind.0 + 1).filter(|(start, end)| {
        matches!(
            bytes.get(*start..*end),
            Some(b"NW" | b"NE" | b"SW" | b"SE" | b"N" | b"S" | b"E" | b"W")
        )
    });
    words.iter().take(kind.0).all(capital).then_some(quarter.unwrap_or(kind.1).1)
}

/// Where the street ends that starts with its name: `Hauptstraße 12`, `Calle Mayor, 5`, `ul. Długa
/// 7`.
pub(super) fn name_first(text: &Folded<'_>, start: usize) -> Option<usize> {
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
        let ending = words::STREET_END
            .iter()
            .any(|end| name.ends_with(end) && (name.len() > end.len() + 2 || word.0 > start));
        if ending
            && (first.is_ascii_uppercase() || first == LETTER)
            && let Some(end) = number(word.1)
        {
            return Some(end);
        }
    }
    if is_one_of(text, whole, &words::STREET_BEFORE) && words.len() > 1 {
        return number(words.last()?.1);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::detect::testing::{no, whole};

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
