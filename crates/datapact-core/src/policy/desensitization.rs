//! The manifest of desensitization (DP-1, SH-1): how the data were changed before they were shared.
//! It is a part of the signed sharing information and holds counts, never a value of the data.

use serde::{Deserialize, Serialize};

use super::{NUMBER_MAX, PolicyError};
use crate::id::Digest;
use crate::identity::{is_plain, is_seen};

/// The most columns that a manifest lists.
pub const COLUMNS_MAX: usize = 256;
/// The longest name of a column in a manifest, in bytes; longer ones are cut.
pub const NAME_BYTES_MAX: usize = 120;
/// The longest of the other texts, in bytes.
const TEXT_BYTES_MAX: usize = 60;

/// How the data were desensitized, as a whole and column by column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Desensitization {
    /// The program and its version.
    pub tool: String,
    /// The digest (SHA-256) of the rule file.
    pub rules: Digest,
    /// The data's format: `csv`, `jsonl`, `text` or `parquet`.
    pub format: String,
    /// How many records went out.
    pub records: u64,
    /// How many records were left out.
    pub suppressed: u64,
    /// The columns in their order; at most [`COLUMNS_MAX`].
    pub columns: Vec<Column>,
    /// How many columns there were beyond [`COLUMNS_MAX`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_columns: u64,
    /// The k-anonymity that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k_anonymity: Option<Anonymity>,
}

/// How one column was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "DesensitizedColumn"))]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name, cut to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The transform, such as `drop`.
    pub transform: String,
    /// How many values were replaced or removed.
    pub changed: u64,
    /// How many values the rule could not read; they were left out.
    pub redacted: u64,
    /// How much of the values' information is lost, in thousandths, estimated from a sample.
    pub loss_permille: u16,
}

/// The anonymity reached: each record equals at least `reached` - 1 others in the
/// quasi-identifiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Anonymity {
    /// The k that the rules demand.
    pub k: u64,
    /// The k that holds: at least `k`, or 0 if no record went out.
    pub reached: u64,
    /// The l-diversity that holds: the least number of different sensitive values among records
    /// that are equal in the quasi-identifiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l: Option<u64>,
    /// The names of the quasi-identifying columns.
    pub quasi_identifiers: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Column {
    /// A column's name as a manifest writes it: control and invisible characters become spaces, and
    /// it is cut at a character's end to at most [`NAME_BYTES_MAX`] bytes.
    pub fn name(name: &str) -> String {
        let mut shown = String::new();
        for c in name.chars().map(|c| if is_seen(c) { c } else { ' ' }) {
            if shown.len() + c.len_utf8() > NAME_BYTES_MAX {
                break;
            }
            shown.push(c);
        }
        shown
    }
}

impl Desensitization {
    pub(crate) fn validate(&self) -> Result<(), PolicyError> {
        text(&self.tool, TEXT_BYTES_MAX)?;
        text(&self.format, TEXT_BYTES_MAX)?;
        let quasi_identifiers =
            self.k_anonymity.iter().flat_map(|anonymity| &anonymity.quasi_identifiers);
        if self.columns.len() > COLUMNS_MAX || quasi_identifiers.clone().count() > COLUMNS_MAX {
            return Err(PolicyError::Number("number of desensitized columns"));
        }
        quasi_identifiers
            .chain(self.columns.iter().map(|column| &column.name))
            .try_for_each(|name| text(name, NAME_BYTES_MAX))?;
        self.columns.iter().try_for_each(|column| text(&column.transform, TEXT_BYTES_MAX))?;
        let counts = [self.records, self.suppressed, self.more_columns].into_iter();
        let of_columns = self.columns.iter().flat_map(|column| [column.changed, column.redacted]);
        let of_anonymity = self.k_anonymity.iter().flat_map(|anonymity| {
            [anonymity.k, anonymity.reached, anonymity.l.unwrap_or_default()]
        });
        if counts.chain(of_columns).chain(of_anonymity).any(|count| count > NUMBER_MAX)
            || self.columns.iter().any(|column| column.loss_permille > 1000)
        {
            return Err(PolicyError::Number("desensitization's count"));
        }
        Ok(())
    }
}

fn text(text: &str, bytes_max: usize) -> Result<(), PolicyError> {
    let field = "desensitization's text";
    if text.len() > bytes_max {
        return Err(PolicyError::TooLong { field, bytes_max });
    }
    if !is_plain(text) {
        return Err(PolicyError::Control(field));
    }
    Ok(())
}
