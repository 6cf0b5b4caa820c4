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
    #[error("the terms say that anyone may access and restrict access as well; leave out one of the two")]
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
    /// A named user without an opening, an opening of somebody who is not named, or two of one user.
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
    /// An industry: `isic4:` (ISIC Rev. 4) or `nace2:` (NACE Rev. 2) and a section, division, group or class.
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

impl FromStr for Industry {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        let refused = || CodeError::Industry(text.to_owned());
        let (scheme, code) = text.split_once(':').ok_or_else(refused)?;
        let section = code.len() == 1 && code.bytes().all(|b| (b'A'..=b'U').contains(&b));
        let numeric = match scheme {
            "isic4" => (2..=4).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit()),
            "nace2" => {
                matches!(
                    code.as_bytes(),
                    [a, b] | [a, b, b'.', _] | [a, b, b'.', _, _]
                        if a.is_ascii_digit() && b.is_ascii_digit()
                ) && code.bytes().skip(3).all(|b| b.is_ascii_digit())
            }
            _ => return Err(refused()),
        };
        if section || numeric { Ok(Self(text.to_owned())) } else { Err(refused()) }
    }
}

impl Industry {
    /// Whether this allowed industry covers `other`: the same code or an ancestor of it in the same scheme
    /// (`isic4:86` covers `isic4:8610`). Sections (letters) cover only themselves.
    pub fn covers(&self, other: &Industry) -> bool {
        self == other
            || (self.0.as_bytes().last().is_some_and(u8::is_ascii_digit) && other.0.starts_with(&self.0))
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
