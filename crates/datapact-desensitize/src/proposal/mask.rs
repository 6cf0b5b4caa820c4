//! Examples that show the form of a value and nothing of its content.

/// The longest example, in characters.
const LENGTH_MAX: usize = 40;

/// The form of a value: each letter is `x` or `X`, each digit `9`; only punctuation stays.
pub(super) fn mask(value: &str) -> String {
    let mut out: String = value.trim().chars().take(LENGTH_MAX).map(shape).collect();
    if value.trim().chars().nth(LENGTH_MAX).is_some() {
        out.push('…');
    }
    out
}

fn shape(character: char) -> char {
    match character {
        _ if character.is_uppercase() => 'X',
        _ if character.is_alphabetic() => 'x',
        _ if character.is_numeric() => '9',
        _ if character.is_whitespace() => ' ',
        '!'..='~' => character,
        _ => '·',
    }
}

/// The forms of up to three values that differ in it.
pub(super) fn examples<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for value in values {
        let form = mask(value);
        if !form.is_empty() && !out.contains(&form) {
            out.push(form);
        }
        if out.len() == 3 {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_content_shows() {
        assert_eq!(mask("Jane.Doe@example.com"), "Xxxx.Xxx@xxxxxxx.xxx");
        assert_eq!(mask("+49 30 ١٢٣ 李\t\u{1b}"), "+99 99 999 x ·");
        assert_eq!(mask(&"a".repeat(50)), format!("{}…", "x".repeat(40)));
        assert_eq!(examples(["1", "2", "a", "", "b"].into_iter()), ["9", "x"]);
    }
}
