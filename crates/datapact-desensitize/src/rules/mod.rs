//! The rule file: TOML that says for every column what becomes of its values.
//!
//! Reading is strict: an unknown key or value is refused with its line.
//! `docs/spec/desensitization.md` specifies it.

mod read;
mod transform;
mod write;

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use datapact_core::id::Digest;

use crate::error::{Error, Result, printable};
use crate::format::{Format, Formulas, Options};
use crate::table::{Column, Kind};
pub use transform::{
    Alphabet, Bound, DateStep, Entities, Hierarchy, KAnonymity, Levels, Spread, Transform,
};

/// The longest rule file, in bytes.
pub const RULES_BYTES_MAX: usize = 32 << 20;

/// A whole rule file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// What is said about the data's format.
    pub options: Options,
    /// How numbers and dates are written in the data.
    pub reading: Reading,
    /// What is done to cells that a spreadsheet would run.
    pub formulas: Formulas,
    /// One rule for each column, in the file's order.
    pub columns: Vec<Rule>,
    /// k-anonymity over the columns whose transform is `quasi-identifier`.
    pub k_anonymity: Option<KAnonymity>,
}

/// How numbers and dates are written in the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What separates decimals: `.` or `,`.
    pub decimal: u8,
    /// Which comes first in dates such as `5/6/2024`; without it such dates are not read.
    pub dates: Option<DayOrder>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { decimal: b'.', dates: None }
    }
}

/// Day or month first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayOrder {
    /// `31/12/2024`
    DayMonth,
    /// `12/31/2024`
    MonthDay,
}

/// What becomes of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The column's name, exactly.
    pub name: String,
    /// What is done.
    pub transform: Transform,
    /// What detection found in the column, for people: the name of an entity (`email`). It has no
    /// effect.
    pub found: Option<String>,
    /// How sure detection is, 0 to 1.
    pub confidence: Option<f64>,
    /// Why a person must look at the rule. Sharing is refused until this mark is removed.
    pub review: Option<String>,
    /// Comments that [`Rules::to_toml`] writes before the rule, such as masked examples. Not read
    /// back.
    pub comments: Vec<String>,
    /// The line in the rule file, from 1; 0 for a rule that was not read from one.
    pub line: usize,
}

impl Reading {
    /// What separates the decimals of a field. Numbers of JSON and Parquet always have a point.
    pub(crate) fn mark(self, kind: Kind) -> u8 {
        if kind == Kind::Number { b'.' } else { self.decimal }
    }
}

impl Rule {
    /// The hierarchy that it names, if it names one.
    pub(crate) fn hierarchy(&self) -> Option<&Hierarchy> {
        match &self.transform {
            Transform::Generalize { levels: Levels::Hierarchy(hierarchy), .. }
            | Transform::QuasiIdentifier(Levels::Hierarchy(hierarchy)) => Some(hierarchy),
            _ => None,
        }
    }

    /// A rule without a mark.
    pub fn new(name: impl Into<String>, transform: Transform) -> Self {
        Self {
            name: name.into(),
            transform,
            found: None,
            confidence: None,
            review: None,
            comments: Vec::new(),
            line: 0,
        }
    }
}

impl Rules {
    /// Reads a rule file.
    ///
    /// # Errors
    ///
    /// [`Error::Rules`] with the line of the first fault.
    pub fn parse(text: &str) -> Result<Self> {
        read::parse(text)
    }

    /// Writes it as a rule file, with its comments.
    pub fn to_toml(&self) -> String {
        write::to_toml(self)
    }

    /// The digest (SHA-256) of a rule file's bytes, by which a manifest names it.
    pub fn digest(file: &[u8]) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, file).as_ref());
        Digest(bytes)
    }

    /// The names of columns whose rules a person must still look at.
    pub fn to_review(&self) -> impl Iterator<Item = &Rule> {
        self.columns.iter().filter(|rule| rule.review.is_some())
    }

    /// The rule of each column of a table, in the table's order.
    ///
    /// # Errors
    ///
    /// A column without a rule; a rule without a column, except for JSON lines, whose columns are
    /// known only at the end.
    pub fn for_columns(&self, columns: &[Column], format: Format) -> Result<Vec<&Rule>> {
        let rules = self.by_name();
        let found: Vec<&Rule> = columns
            .iter()
            .map(|column| {
                rules.get(column.name.as_str()).copied().ok_or_else(|| {
                    let (detail, hint) = without_rule(column);
                    Error::mismatch(detail, hint)
                })
            })
            .collect::<Result<_>>()?;
        if format != Format::JsonLines {
            let names: std::collections::HashSet<&str> =
                columns.iter().map(|column| column.name.as_str()).collect();
            if let Some(rule) = self.columns.iter().find(|rule| !names.contains(rule.name.as_str()))
            {
                return Err(no_such_column(rule));
            }
        }
        Ok(found)
    }

    /// The rules by their columns' names.
    pub fn by_name(&self) -> HashMap<&str, &Rule> {
        self.columns.iter().map(|rule| (rule.name.as_str(), rule)).collect()
    }
}

/// Why a table with this column is refused, and how to go on.
pub(crate) fn without_rule(column: &Column) -> (String, &'static str) {
    let detail = format!("the column `{}` has no rule", printable(&column.name));
    (detail, "add a rule for it; `transform = \"keep\"` is one, `\"drop\"` another")
}

pub(crate) fn no_such_column(rule: &Rule) -> Error {
    Error::Rules {
        line: rule.line,
        detail: format!("the data have no column `{}`", printable(&rule.name)),
        hint: "remove the rule, or correct its name",
    }
}

#[cfg(test)]
mod tests;
