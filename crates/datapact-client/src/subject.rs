//! A distinguished name, between its canonical text and a certificate signing request.

use std::fmt;
use std::str::FromStr;

use rcgen::{DistinguishedName, DnType, DnValue};

/// The subject of a certificate to be asked for: attributes, each once, in order. Its text is the
/// canonical one of identities: `CN=Ann Lee,O=Clinic`, with `, + " \ < > ; =`, a leading `#` and
/// spaces at either end escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(Vec<(String, String)>);

/// Why a subject was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a subject: write it like `CN=Ann Lee,O=Clinic`, each of CN, O, OU, C, L, ST, \
     UID, DC, serialNumber or emailAddress at most once, and a backslash before each of \
     `, + \" \\ < > ; =` in a value"
)]
pub struct SubjectError(String);

/// The attributes that can be asked for, with their object identifiers.
const ATTRIBUTES: [(&str, &[u64]); 10] = [
    ("CN", &[2, 5, 4, 3]),
    ("serialNumber", &[2, 5, 4, 5]),
    ("C", &[2, 5, 4, 6]),
    ("L", &[2, 5, 4, 7]),
    ("ST", &[2, 5, 4, 8]),
    ("O", &[2, 5, 4, 10]),
    ("OU", &[2, 5, 4, 11]),
    ("UID", &[0, 9, 2342, 19200300, 100, 1, 1]),
    ("DC", &[0, 9, 2342, 19200300, 100, 1, 25]),
    ("emailAddress", &[1, 2, 840, 113549, 1, 9, 1]),
];

impl Subject {
    /// The common name, and the organisation if any.
    ///
    /// # Errors
    /// [`SubjectError`] when a value is empty.
    pub fn new(common_name: &str, organisation: Option<&str>) -> Result<Self, SubjectError> {
        let mut parts = vec![("CN".to_owned(), common_name.to_owned())];
        parts.extend(organisation.map(|name| ("O".to_owned(), name.to_owned())));
        if parts.iter().any(|(_, value)| value.is_empty()) {
            return Err(SubjectError(common_name.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The name as certificates carry it, each value a UTF8String.
    pub(crate) fn name(&self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        for (attribute, value) in &self.0 {
            let oid = ATTRIBUTES
                .iter()
                .find(|(short, _)| short == attribute)
                .map_or(&[][..], |(_, oid)| *oid);
            name.push(DnType::from_oid(oid), DnValue::Utf8String(value.clone()));
        }
        name
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let refused = || SubjectError(text.chars().take(200).collect());
        let mut parts: Vec<(String, String)> = Vec::new();
        for part in split(text) {
            let (attribute, value) = part.split_once('=').ok_or_else(refused)?;
            let known = ATTRIBUTES.iter().any(|(short, _)| *short == attribute);
            if !known || parts.iter().any(|(other, _)| other == attribute) {
                return Err(refused());
            }
            parts.push((attribute.to_owned(), unescape(value).ok_or_else(refused)?));
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (attribute, value)) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{attribute}={}", datapact_core::trust::escape(value))?;
        }
        Ok(())
    }
}

/// The parts between commas that no backslash escapes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        if c == ',' && !escaped {
            parts.extend(text.get(start..i));
            start = i + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    parts.extend(text.get(start..));
    parts
}

/// The value behind its escaped text; none if that is not canonical.
fn unescape(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        value.push(if c == '\\' { chars.next()? } else { c });
    }
    (!value.is_empty() && datapact_core::trust::escape(&value) == text).then_some(value)
}
