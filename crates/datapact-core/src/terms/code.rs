//! The codes and names that terms list: countries, industries, plain names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Why a code was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Not an ISO 3166-1 alpha-2 code.
    #[error("`{0}` is not an ISO 3166-1 alpha-2 country code such as `SE`")]
    Country(String),
    /// Not `scheme:code`.
    #[error("`{0}` is not an industry code such as `isic4:86` or `nace2:86.1`")]
    Industry(String),
    /// Not a plain name.
    #[error("`{0}` is not a name of 1 to 64 letters, digits, `.`, `_` or `-`")]
    Name(String),
}

macro_rules! code {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The code's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

code!(
    /// An ISO 3166-1 alpha-2 country code, upper case.
    Country
);
code!(
    /// An industry: `isic4:` (ISIC Rev. 4) or `nace2:` (NACE Rev. 2) and a section, division, group
    /// or class.
    Industry
);
code!(
    /// A plain name of 1 to 64 of `A-Z a-z 0-9 . _ -`: an organisation, a purpose or a category.
    Name
);

impl FromStr for Country {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let upper = text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase());
        if upper && rust_iso3166::from_alpha2(text).is_some() {
            Ok(Self(text.to_owned()))
        } else {
            Err(CodeError::Country(text.to_owned()))
        }
    }
}

/// The sections with their first and last division: the same in ISIC Rev. 4 and NACE Rev. 2.
const SECTIONS: [(u8, u8, u8); 21] = [
    (b'A', 1, 3),
    (b'B', 5, 9),
    (b'C', 10, 33),
    (b'D', 35, 35),
    (b'E', 36, 39),
    (b'F', 41, 43),
    (b'G', 45, 47),
    (b'H', 49, 53),
    (b'I', 55, 56),
    (b'J', 58, 63),
    (b'K', 64, 66),
    (b'L', 68, 68),
    (b'M', 69, 75),
    (b'N', 77, 82),
    (b'O', 84, 84),
    (b'P', 85, 85),
    (b'Q', 86, 88),
    (b'R', 90, 93),
    (b'S', 94, 96),
    (b'T', 97, 98),
    (b'U', 99, 99),
];

/// The section of a code: a letter is a section itself, and a division, group or class belongs to
/// the section of its division.
fn section(code: &str) -> Option<u8> {
    match code.as_bytes() {
        [letter] => SECTIONS.iter().map(|(section, ..)| *section).find(|section| section == letter),
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] => {
            let division = (tens - b'0') * 10 + (ones - b'0');
            let holds = |(_, first, last): &&(u8, u8, u8)| (*first..=*last).contains(&division);
            SECTIONS.iter().find(holds).map(|(section, ..)| *section)
        }
        _ => None,
    }
}

impl FromStr for Industry {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let well_formed = text.split_once(':').is_some_and(|(scheme, code)| {
            let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            // The part below the division: a group has one digit, a class two; NACE sets them off
            // with a point.
            let below = code.get(2..).unwrap_or_default();
            let below = match scheme {
                "isic4" => Some(below),
                "nace2" if below.is_empty() => Some(below),
                "nace2" => below.strip_prefix('.').filter(|below| !below.is_empty()),
                _ => None,
            };
            section(code).is_some() && below.is_some_and(|below| below.len() <= 2 && digits(below))
        });
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(CodeError::Industry(text.to_owned()))
        }
    }
}

impl Industry {
    /// Whether this allowed industry covers `other`: the same code or one above it in the same
    /// scheme (`isic4:Q` covers `isic4:86`, which covers `isic4:8610`). The two schemes are never
    /// compared with each other.
    pub fn covers(&self, other: &Industry) -> bool {
        match (self.0.split_once(':'), other.0.split_once(':')) {
            (Some((scheme, code)), Some((other_scheme, other_code))) if scheme == other_scheme => {
                let is_section = code.len() == 1;
                other_code.starts_with(code) || (is_section && section(code) == section(other_code))
            }
            _ => false,
        }
    }
}

impl FromStr for Name {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let plain = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if plain { Ok(Self(text.to_owned())) } else { Err(CodeError::Name(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use super::*;
    use crate::id::Digest;
    use crate::terms::Terms;

    fn check_codes<C: FromStr<Err = CodeError> + fmt::Display>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(text.parse::<C>().unwrap().to_string(), **text);
        }
        for text in bad {
            assert!(text.parse::<C>().is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn countries_are_iso_3166_alpha_2() {
        check_codes::<Country>(
            &["SE", "DE", "NO", "AX", "TW", "US"],
            &[
                "",
                "S",
                "se",
                "Se",
                "SWE",
                "ZZ",
                "EU",
                "UK",
                "S\u{c9}",
                "\u{3b1}",
                " SE",
                "SE ",
                "\u{0}\u{0}",
            ],
        );
    }

    /// The ledger's rules depend on this list; a dependency that changes it would make followers
    /// disagree.
    #[test]
    fn the_list_of_countries_is_fixed() {
        let mut list = rust_iso3166::ALL_ALPHA2.to_vec();
        list.sort_unstable();
        assert_eq!(list.len(), 249);
        assert_eq!(
            Digest::of(list.join(",").as_bytes()).to_string(),
            "1e05631f6e613a0c8a7174d385daf8e92426f673fcb49fb791ef06e61c83e16f"
        );
    }

    #[test]
    fn industries_are_isic_or_nace_codes() {
        check_codes::<Industry>(
            &[
                "isic4:A",
                "isic4:U",
                "isic4:01",
                "isic4:86",
                "isic4:861",
                "isic4:8610",
                "nace2:Q",
                "nace2:86",
            ],
            &[
                "", ":", "86", "isic4", "isic4:", "isic4:V", "isic4:q", "isic4:8", "isic4:00",
                "isic4:04", "isic4:34",
            ],
        );
        check_codes::<Industry>(
            &["nace2:86.1", "nace2:86.10", "nace2:99.00"],
            &[
                "isic4:86.1",
                "isic4:86100",
                "isic4:86a",
                "nace2:861",
                "nace2:86.",
                "nace2:86.100",
                "nace2:86.x",
            ],
        );
        check_codes::<Industry>(
            &[],
            &[
                "naics:62",
                "ISIC4:86",
                "isic4:86:1",
                "isic4: 86",
                "isic4:\u{e9}6",
                "isic4:8\u{e9}",
                "isic4:QA",
                "nace2:Q.",
            ],
        );
    }

    #[test]
    fn an_industry_covers_its_subdivisions_in_its_scheme() {
        let covers = |a: &str, b: &str| a.parse::<Industry>().unwrap().covers(&b.parse().unwrap());
        for (above, below) in [
            ("isic4:Q", "isic4:Q"),
            ("isic4:Q", "isic4:86"),
            ("isic4:Q", "isic4:8810"),
            ("isic4:86", "isic4:86"),
            ("isic4:86", "isic4:861"),
            ("isic4:861", "isic4:8610"),
            ("nace2:86", "nace2:86.10"),
            ("nace2:86.1", "nace2:86.10"),
            ("nace2:A", "nace2:01.11"),
        ] {
            assert!(covers(above, below), "{above} does not cover {below}");
            assert!(above == below || !covers(below, above), "{below} covers {above}");
        }
        for (one, other) in [
            ("isic4:86", "nace2:86"),
            ("isic4:Q", "nace2:Q"),
            ("isic4:Q", "isic4:85"),
            ("isic4:P", "isic4:Q"),
            ("isic4:86", "isic4:87"),
            ("isic4:861", "isic4:862"),
            ("nace2:86.1", "nace2:86.21"),
        ] {
            assert!(!covers(one, other) && !covers(other, one), "{one} and {other}");
        }
    }

    #[test]
    fn names_are_plain() {
        let longest = "a".repeat(64);
        check_codes::<Name>(
            &["a", "clinic-a.example", "Health_2", &longest],
            &["", "a b", "caf\u{e9}", "a/b", "a:b", "a\n", &"a".repeat(65)],
        );
    }

    #[test]
    fn codes_are_parsed_in_json() {
        assert!(serde_json::from_str::<Country>("\"SE\"").is_ok());
        assert!(serde_json::from_str::<Country>("\"se\"").is_err());
        assert!(serde_json::from_str::<Terms>(r#"{"countries":["SE"],"color":1}"#).is_err());
    }
}
