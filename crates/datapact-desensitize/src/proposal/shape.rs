//! What the shape of a single value allows it to be.

/// How many digits, of any script, a value has.
pub(super) fn digits(value: &str) -> usize {
    value.chars().filter(|c| c.is_numeric()).count()
}

/// How many words a value has; in scripts without spaces, pairs of letters count.
pub(super) fn words(value: &str) -> usize {
    let dense = value.chars().filter(|c| u32::from(*c) >= 0x2E80).count();
    value.split_whitespace().count() + dense / 2
}

pub(super) fn has_letter(value: &str) -> bool {
    value.chars().any(char::is_alphabetic)
}

/// The name of a person: one to six words of letters.
pub(super) fn is_name(value: &str) -> bool {
    let in_name = |c: char| {
        c.is_alphabetic()
            || matches!(c, '\'' | '’' | '-' | '.' | ',' | ' ' | '·' | '・' | '(' | ')')
            // Combining accents, and the vowel signs of Indic scripts and of Thai.
            || matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{d7f}' | '\u{e00}'..='\u{e7f}')
    };
    value.chars().all(in_name)
        && has_letter(value)
        && value.chars().count() <= 64
        && (1..=6).contains(&value.split_whitespace().count())
}

pub(super) fn is_postcode(value: &str) -> bool {
    (3..=10).contains(&value.len())
        && digits(value) >= 1
        && value.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'))
}

/// Letters, digits and separators, with two digits at least.
pub(super) fn is_code(value: &str) -> bool {
    let in_code =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '+');
    (4..=40).contains(&value.len()) && digits(value) >= 2 && value.chars().all(in_code)
}

pub(super) fn is_account(value: &str) -> bool {
    is_code(value) && value.len() >= 6
}

pub(super) fn is_phone(value: &str) -> bool {
    digits(value) >= 5 && value.len() <= 32
}

/// Degrees of latitude or longitude, with a decimal point or comma.
pub(super) fn is_degrees(value: &str) -> bool {
    value.replacen(',', ".", 1).parse::<f64>().is_ok_and(|degrees| degrees.abs() <= 180.0)
}
