//! Terms: who may access a share.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

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
