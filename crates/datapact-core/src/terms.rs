//! Terms: who may access a share.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::commitment::Opening;
use crate::contract::LedgerTerms;
use crate::id::ShareId;
use crate::identity::Identity;

/// The most values that one kind of term may list.
pub const VALUES_MAX: usize = 256;

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

/// Why terms were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Nothing says who may access.
    #[error(
        "the terms name no users, organisations, industries or countries; name some, or say that anyone may access"
    )]
    Nobody,
    /// Both open and restricted.
    #[error(
        "the terms say that anyone may access and restrict access as well; leave out one of the two"
    )]
    AnyoneRestricted,
    /// More than [`VALUES_MAX`] values.
    #[error("the terms list {count} {kind}, and at most {VALUES_MAX} are allowed")]
    TooMany {
        /// The kind, in the plural.
        kind: &'static str,
        /// How many there are.
        count: usize,
    },
    /// Not the identity of a user.
    #[error("`{0}` cannot be a named user")]
    User(Identity),
    /// A named user without an opening, an opening of somebody who is not named, or two of one
    /// user.
    #[error("the commitments are not exactly one for each named user")]
    Openings,
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

/// The sections of ISIC Rev. 4 and NACE Rev. 2 with their first and last division, the same in
/// both.
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

/// The section of a code: a section's letter is its own, a division, group or class has its
/// division's.
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

/// Who may access: values of a kind are alternatives, and every kind that lists values must hold.
///
/// A policy that lists none must say `anyone`, so that openness is never an accident.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Said outright when no kind is restricted; with a restriction it is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anyone: bool,
    /// Named users.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<Identity>,
    /// Organisations, as administrators set them on accounts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub organisations: BTreeSet<Name>,
    /// Industries; each covers its subdivisions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub industries: BTreeSet<Industry>,
    /// Countries.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub countries: BTreeSet<Country>,
    /// Purposes, one of which the consumer must state.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub purposes: BTreeSet<Name>,
}

impl Terms {
    /// Checks what the type's documentation demands, the bounds, and that named users can be users.
    pub fn validate(&self) -> Result<(), TermsError> {
        well_formed(
            self.anyone,
            self.users.len(),
            self.organisations.len(),
            self.industries.len(),
            self.countries.len(),
            self.purposes.len(),
        )?;
        match self.users.iter().find(|user| user.is_server() || user.validate().is_err()) {
            Some(user) => Err(TermsError::User(user.clone())),
            None => Ok(()),
        }
    }

    /// These terms as they stand on the ledger: named users as commitments for `share`.
    ///
    /// # Errors
    /// [`TermsError::Openings`] unless `users` holds exactly one opening for each named user.
    pub fn to_ledger(&self, share: &ShareId, users: &[Opening]) -> Result<LedgerTerms, TermsError> {
        let opened: BTreeSet<&Identity> = users.iter().map(|opening| &opening.identity).collect();
        if users.len() != self.users.len() || !opened.into_iter().eq(&self.users) {
            return Err(TermsError::Openings);
        }
        Ok(LedgerTerms {
            anyone: self.anyone,
            users: users.iter().map(|opening| opening.commitment(share)).collect(),
            organisations: self.organisations.clone(),
            industries: self.industries.clone(),
            countries: self.countries.clone(),
            purposes: self.purposes.clone(),
        })
    }
}

impl LedgerTerms {
    /// Checks the same as [`Terms::validate`], as far as the ledger shows it.
    pub fn validate(&self) -> Result<(), TermsError> {
        well_formed(
            self.anyone,
            self.users.len(),
            self.organisations.len(),
            self.industries.len(),
            self.countries.len(),
            self.purposes.len(),
        )
    }
}

fn well_formed(
    anyone: bool,
    users: usize,
    organisations: usize,
    industries: usize,
    countries: usize,
    purposes: usize,
) -> Result<(), TermsError> {
    let restrictions = [
        ("users", users),
        ("organisations", organisations),
        ("industries", industries),
        ("countries", countries),
    ];
    for (kind, count) in restrictions.into_iter().chain([("purposes", purposes)]) {
        if count > VALUES_MAX {
            return Err(TermsError::TooMany { kind, count });
        }
    }
    match (anyone, restrictions.iter().any(|(_, count)| *count > 0)) {
        (false, false) => Err(TermsError::Nobody),
        (true, true) => Err(TermsError::AnyoneRestricted),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::id::{Digest, Salt};

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

    #[test]
    fn openness_is_said_outright() {
        let closed =
            Terms { countries: BTreeSet::from(["SE".parse().unwrap()]), ..Terms::default() };
        let purpose = BTreeSet::from(["research".parse().unwrap()]);
        assert_eq!(Terms::default().validate(), Err(TermsError::Nobody));
        assert_eq!(
            Terms { purposes: purpose.clone(), ..Terms::default() }.validate(),
            Err(TermsError::Nobody)
        );
        assert_eq!(
            Terms { anyone: true, purposes: purpose, ..Terms::default() }.validate(),
            Ok(())
        );
        assert_eq!(closed.validate(), Ok(()));
        assert_eq!(Terms { anyone: true, ..closed }.validate(), Err(TermsError::AnyoneRestricted));
    }

    #[test]
    fn terms_are_bounded() {
        let names = |count: usize| (0..count).map(|i| format!("n{i}").parse().unwrap()).collect();
        let with = |count| Terms { organisations: names(count), ..Terms::default() };
        assert_eq!(with(VALUES_MAX).validate(), Ok(()));
        let refused = TermsError::TooMany { kind: "organisations", count: VALUES_MAX + 1 };
        assert_eq!(with(VALUES_MAX + 1).validate(), Err(refused));
        let server = Identity::server("keys.example");
        let terms = Terms { users: BTreeSet::from([server.clone()]), ..Terms::default() };
        assert_eq!(terms.validate(), Err(TermsError::User(server)));
    }

    #[test]
    fn pr_1_the_ledger_gets_commitments_for_named_users() {
        let share = ShareId([1; 16]);
        let opening = |name: &str, salt: u8| Opening {
            identity: format!("lab:CN={name}").parse().unwrap(),
            salt: Salt([salt; 32]),
        };
        let (ann, bob) = (opening("Ann", 1), opening("Bob", 2));
        let terms = Terms {
            users: [&ann, &bob].map(|o| o.identity.clone()).into_iter().collect(),
            ..Terms::default()
        };
        let ledger = terms.to_ledger(&share, &[bob.clone(), ann.clone()]).unwrap();
        assert_eq!(ledger.users, BTreeSet::from([ann.commitment(&share), bob.commitment(&share)]));
        assert!(!serde_json::to_string(&ledger).unwrap().contains("Ann"));
        for wrong in
            [vec![], vec![ann.clone()], vec![ann.clone(), ann.clone()], vec![ann.clone(), bob, ann]]
        {
            assert_eq!(terms.to_ledger(&share, &wrong), Err(TermsError::Openings));
        }
    }
}
