//! What a rule can do to a column.

use std::path::PathBuf;

use crate::entity::Entity;

/// What becomes of a column's values. Absent values (null, missing, empty) stay absent under every
/// transform.
#[derive(Debug, Clone, PartialEq)]
pub enum Transform {
    /// Nothing.
    Keep,
    /// The column is left out.
    Drop,
    /// Every value is replaced by nothing, or by a fixed text.
    Redact {
        /// The fixed text.
        with: Option<String>,
    },
    /// All characters but the first and last few are replaced.
    Mask {
        /// How many characters stay at the begin.
        keep_first: usize,
        /// How many characters stay at the end.
        keep_last: usize,
        /// The replacement of each of the others.
        with: char,
    },
    /// A keyed pseudonym (HMAC-SHA-256, RFC 2104), the same for the same value in all files under
    /// one key and domain.
    Pseudonym {
        /// Values of different domains get unrelated pseudonyms.
        domain: String,
        /// How many hexadecimal digits, 16 to 64.
        length: usize,
    },
    /// Format-preserving encryption (FF1, NIST SP 800-38G) of the characters of an alphabet; others
    /// stay.
    Ff1 {
        /// Values of different domains are encrypted differently.
        domain: String,
        /// Which characters are encrypted.
        alphabet: Alphabet,
    },
    /// The value becomes that at a level of a scale.
    Generalize {
        /// The scale.
        levels: Levels,
        /// Which level, from 1.
        level: usize,
    },
    /// A coordinate, or two separated by a comma, becomes the south-west corner of its cell.
    Grid {
        /// How wide and high cells are, in the coordinates' unit.
        cell: f64,
    },
    /// A random amount is added to a number.
    Noise(Spread),
    /// A number beyond a bound becomes the bound.
    TopBottom {
        /// The lowest number that stays.
        bottom: Option<Bound>,
        /// The highest number that stays.
        top: Option<Bound>,
    },
    /// The value is made as coarse as [`KAnonymity`] needs.
    QuasiIdentifier(Levels),
    /// Entities that detection finds in free text are replaced by their names, such as `[email]`.
    Scrub {
        /// Which.
        entities: Entities,
        /// A file of names of people, which are replaced, too; beside the rule file unless
        /// absolute.
        names: Option<PathBuf>,
    },
}

impl Transform {
    /// The first level of a scale.
    pub fn generalize(levels: Levels) -> Self {
        Self::Generalize { levels, level: 1 }
    }

    /// Its name in rule files and manifests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Redact { .. } => "redact",
            Self::Mask { .. } => "mask",
            Self::Pseudonym { .. } => "pseudonym",
            Self::Ff1 { .. } => "ff1",
            Self::Generalize { .. } | Self::Grid { .. } => "generalize",
            Self::Noise(_) => "noise",
            Self::TopBottom { .. } => "top-bottom",
            Self::QuasiIdentifier(_) => "quasi-identifier",
            Self::Scrub { .. } => "scrub",
        }
    }

    /// Whether it needs the pseudonym key.
    pub fn needs_key(&self) -> bool {
        matches!(self, Self::Pseudonym { .. } | Self::Ff1 { .. })
    }

    /// Whether a number stays a number, and so on: then the column's type in Parquet stays.
    pub(crate) fn keeps_type(&self) -> bool {
        matches!(
            self,
            Self::Keep
                | Self::Redact { with: None }
                | Self::Noise(_)
                | Self::TopBottom { .. }
                | Self::Grid { .. }
        )
    }

    /// Whether it cuts numbers at percentiles.
    pub(crate) fn cuts_at_percentiles(&self) -> bool {
        let is_percentile = |bound: &Option<Bound>| Bound::percentile(*bound).is_some();
        match self {
            Self::TopBottom { bottom, top } => is_percentile(bottom) || is_percentile(top),
            _ => false,
        }
    }

    /// The names of all transforms.
    pub const NAMES: [&'static str; 11] = [
        "keep",
        "drop",
        "redact",
        "mask",
        "pseudonym",
        "ff1",
        "generalize",
        "noise",
        "top-bottom",
        "quasi-identifier",
        "scrub",
    ];
}

/// The characters that FF1 encrypts, each into one of the same alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// `0` to `9`.
    Digits,
    /// `0` to `9`, `a` to `z`.
    Lower,
    /// `0` to `9`, `A` to `Z`.
    Upper,
    /// `0` to `9`, `A` to `Z`, `a` to `z`.
    Alphanumeric,
}

impl Alphabet {
    /// Its characters: the numerals 0, 1, 2, ... of FF1 in this order.
    pub fn characters(self) -> &'static [u8] {
        let all = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        match self {
            Self::Digits => b"0123456789",
            Self::Lower => b"0123456789abcdefghijklmnopqrstuvwxyz",
            Self::Upper => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            Self::Alphanumeric => all,
        }
    }

    /// Its name in rule files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Alphanumeric => "alphanumeric",
        }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Digits, Self::Lower, Self::Upper, Self::Alphanumeric];
}

/// What a date is rounded down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DateStep {
    /// `2024-05`
    Month,
    /// `2024-Q2`
    Quarter,
    /// `2024`
    Year,
    /// `2020s`
    Decade,
}

impl DateStep {
    /// Its name in rule files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
            Self::Decade => "decade",
        }
    }

    /// All of them, from fine to coarse.
    pub const ALL: [Self; 4] = [Self::Month, Self::Quarter, Self::Year, Self::Decade];
}

/// A file of values and their ancestors: CSV without header, `value,parent,grandparent,...` a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// The file, beside the rule file unless absolute.
    pub file: PathBuf,
}

/// The noise that is added to a number: Laplace-distributed, rounded to as many decimals as the
/// number has.
#[derive(Debug, Clone, PartialEq)]
pub enum Spread {
    /// Of this standard deviation.
    Absolute(f64),
    /// Of this many standard deviations of the column, which takes a pass of its own.
    Relative(f64),
}

/// A bound of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// This number.
    At(f64),
    /// The number at this percentile of the column, which takes a pass of its own.
    Percentile(f64),
}

impl Bound {
    /// The number, if it is known without the data.
    pub(crate) fn known(bound: Option<Self>) -> Option<f64> {
        match bound {
            Some(Self::At(number)) => Some(number),
            _ => None,
        }
    }

    /// The percentile, if it is one.
    pub(crate) fn percentile(bound: Option<Self>) -> Option<f64> {
        match bound {
            Some(Self::Percentile(percent)) => Some(percent),
            _ => None,
        }
    }
}

/// How a value can be made coarser, from fine to coarse. Before the first level is the exact value;
/// behind the last is `*`.
#[derive(Debug, Clone, PartialEq)]
pub enum Levels {
    /// Numbers, by widths of bins: a number becomes the bin that holds it, from a multiple of the
    /// width to below the next.
    Number(Vec<f64>),
    /// Dates.
    Date(Vec<DateStep>),
    /// Postcodes and other codes, by numbers of characters that stay.
    Postcode(Vec<usize>),
    /// Categories, by a hierarchy's levels.
    Hierarchy(Hierarchy),
    /// Categories that are exact or `*`.
    Category,
}

impl Levels {
    /// Its name in rule files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Number(_) => "number",
            Self::Date(_) => "date",
            Self::Postcode(_) => "postcode",
            Self::Hierarchy(_) => "hierarchy",
            Self::Category => "category",
        }
    }
}

/// k-anonymity: each record of the output has the same quasi-identifiers as at least `k` - 1
/// others.
#[derive(Debug, Clone, PartialEq)]
pub struct KAnonymity {
    /// At least so many records are alike; 2 or more.
    pub k: u64,
    /// The greatest share of records that may be left out so that the others can be finer, 0 to 1.
    pub suppress_max: f64,
    /// l-diversity: alike records have at least `l` different values of the sensitive column.
    pub diversity: Option<(u64, String)>,
}

/// The entities that [`Transform::Scrub`] looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entities(pub Vec<Entity>);
