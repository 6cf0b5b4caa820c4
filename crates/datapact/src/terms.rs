//! Terms as a provider writes them: options of the command line, or a TOML file.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use datapact_core::id::Timestamp;
use datapact_core::identity::Identity;
use datapact_core::permission::AccessTimes;
use datapact_core::terms::{Country, Industry, Name};
use serde::Deserialize;
use serde::de::Error as _;

use crate::failure::{Failure, Result};
use crate::files;
use crate::price::PriceText;

/// The longest terms file, in bytes.
const TERMS_BYTES_MAX: u64 = 256 * 1024;

/// `N` or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times(pub(crate) AccessTimes);

impl FromStr for Times {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self(AccessTimes::Unlimited));
        }
        match text.parse() {
            Ok(times) if times > 0 => Ok(Self(AccessTimes::Times(times))),
            _ => Err("access times are a number from 1 on, or `unlimited`".to_owned()),
        }
    }
}

/// A moment: in a duration from now (`30d`), or fixed (`2027-01-31` or RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So many seconds from now.
    In(u64),
    /// Then.
    At(Timestamp),
}

impl Moment {
    /// The moment, when it is `now`.
    pub(crate) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::In(seconds) => now.saturating_add(seconds),
            Self::At(at) => at,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Ok(duration) = humantime::parse_duration(text) {
            return Ok(Self::In(duration.as_secs()));
        }
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        humantime::parse_rfc3339(&full)
            .ok()
            .and_then(|moment| moment.duration_since(std::time::UNIX_EPOCH).ok())
            .map(|since| Self::At(since.as_secs()))
            .ok_or_else(|| {
                "a moment is a duration such as `30d`, a date such as `2027-01-31`, or \
                 `2027-01-31T12:00:00Z`"
                    .to_owned()
            })
    }
}

/// A terms file. Whatever it does not say, options or defaults do.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermsFile {
    pub(crate) title: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) categories: Option<Vec<Name>>,
    pub(crate) introduction: Option<String>,
    pub(crate) usage: Option<String>,
    pub(crate) price: Option<FromText<PriceText>>,
    /// A number or `"unlimited"`.
    pub(crate) times: Option<TimesValue>,
    pub(crate) expires: Option<FromText<Moment>>,
    pub(crate) not_before: Option<FromText<Moment>>,
    pub(crate) allow_edit: Option<bool>,
    pub(crate) key_server: Option<String>,
    pub(crate) storage_server: Option<String>,
    pub(crate) allow: Option<Allow>,
}

/// Who may access.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allow {
    #[serde(default)]
    pub(crate) anyone: bool,
    #[serde(default)]
    pub(crate) users: Vec<FromText<Identity>>,
    #[serde(default)]
    pub(crate) organisations: Vec<Name>,
    #[serde(default)]
    pub(crate) industries: Vec<Industry>,
    #[serde(default)]
    pub(crate) countries: Vec<Country>,
    #[serde(default)]
    pub(crate) purposes: Vec<Name>,
}

/// A value that a file writes as the command line does.
#[derive(Debug, Clone)]
pub(crate) struct FromText<T>(pub(crate) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for FromText<T> {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

/// Access times in a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum TimesValue {
    Number(u32),
    Text(FromText<Times>),
}

impl TimesValue {
    /// The access times; 0 is refused with all other terms.
    pub(crate) fn times(&self) -> AccessTimes {
        match self {
            Self::Number(times) => AccessTimes::Times(*times),
            Self::Text(FromText(Times(times))) => *times,
        }
    }
}

impl TermsFile {
    /// Reads a terms file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = files::read_small(path, TERMS_BYTES_MAX)?;
        let wrong = |detail: String| {
            Failure::usage(
                format!("`{}` is wrong: {detail}", path.display()),
                "see `datapact share create --help`",
            )
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn moments_are_durations_dates_or_rfc_3339() {
        assert_eq!("30d".parse::<Moment>().unwrap().at(100), 100 + 30 * 86_400);
        assert_eq!("1970-01-02".parse::<Moment>().unwrap().at(7), 86_400);
        assert_eq!("1970-01-01T00:01:00Z".parse::<Moment>().unwrap().at(7), 60);
        for bad in ["", "soon", "30", "2027-13-01", "2027-01-01T00:00:00+02:00", "1960-01-01"] {
            assert!(bad.parse::<Moment>().is_err(), "`{bad}` was accepted");
        }
    }

    #[test]
    fn times_are_positive_or_unlimited() {
        assert_eq!("3".parse::<Times>().unwrap().0, AccessTimes::Times(3));
        assert_eq!("unlimited".parse::<Times>().unwrap().0, AccessTimes::Unlimited);
        for bad in ["", "0", "-1", "many", "4294967296"] {
            assert!(bad.parse::<Times>().is_err(), "`{bad}` was accepted");
        }
    }
}
