//! How values are read. An error says what is expected.

use toml::de::DeValue;

use crate::error::printable;

pub(super) fn integer(value: &DeValue<'_>) -> Result<i64, String> {
    match value {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
        _ => None,
    }
    .ok_or_else(|| "a whole number".to_owned())
}

pub(super) fn count(value: &DeValue<'_>, min: usize, max: usize) -> Result<usize, String> {
    let found = integer(value).ok().and_then(|found| usize::try_from(found).ok());
    found
        .filter(|found| (min..=max).contains(found))
        .ok_or_else(|| format!("a whole number from {min} to {max}"))
}

pub(super) fn number(value: &DeValue<'_>, min: f64, max: f64) -> Result<f64, String> {
    let found = match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        other => integer(other).ok().map(|integer| integer as f64),
    };
    found.filter(|found| (min..=max).contains(found)).ok_or_else(|| {
        if max < 1e200 {
            format!("a number from {min:e} to {max:e}")
        } else {
            "a number that fits".to_owned()
        }
    })
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(boolean) => Ok(*boolean),
        _ => Err("true or false".to_owned()),
    }
}

pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        _ => Err("a text in quotes".to_owned()),
    }
}

pub(super) fn character(value: &DeValue<'_>) -> Result<char, String> {
    let text = text(value).unwrap_or_default();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) if !only.is_control() => Ok(only),
        _ => Err("one character in quotes".to_owned()),
    }
}

pub(super) fn ascii(value: &DeValue<'_>) -> Result<u8, String> {
    let text = text(value).unwrap_or_default();
    match text.as_bytes() {
        [only]
            if (only.is_ascii_graphic() || b"\t ".contains(only))
                && !only.is_ascii_alphanumeric() =>
        {
            Ok(*only)
        }
        _ => Err("one ASCII character, neither a letter nor a digit, in quotes".to_owned()),
    }
}

pub(super) fn one_of<T>(
    value: &DeValue<'_>,
    named: impl Fn(&str) -> Option<T>,
    known: &str,
) -> Result<T, String> {
    match value {
        DeValue::String(name) => {
            named(name).ok_or_else(|| format!("one of {known}, not `{}`", printable(name)))
        }
        _ => Err(format!("one of {known}, in quotes")),
    }
}

pub(super) fn list<T>(
    value: &DeValue<'_>,
    read: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match value {
        DeValue::Array(values) if (1..=64).contains(&values.len()) => {
            values.iter().map(|value| read(value.get_ref())).collect()
        }
        _ => Err("a list of 1 to 64, in brackets".to_owned()),
    }
}
