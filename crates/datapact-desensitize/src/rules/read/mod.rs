//! Reading a rule file: every key is taken by name, and what is left over is refused with its line.

mod keys;
mod transform;
mod values;

use std::collections::HashSet;

use encoding_rs::Encoding;
use toml::de::{DeTable, DeValue};

use self::keys::{Keys, SEE, fault, line_of};
use self::transform::transform;
use self::values::{ascii, boolean, count, integer, number, one_of, text};
use super::{DayOrder, KAnonymity, RULES_BYTES_MAX, Reading, Rule, Rules, Transform};
use crate::error::{Error, Result, printable};
use crate::format::{Format, Formulas, Options};
use crate::table::{COLUMNS_MAX, NAME_BYTES_MAX};

/// The most columns that are cut at percentiles: a sample of each is held in memory.
const PERCENTILES_MAX: usize = 32;

pub(super) fn parse(text: &str) -> Result<Rules> {
    if text.len() > RULES_BYTES_MAX {
        return Err(fault(
            text,
            0..0,
            format_args!("the rule file is longer than {RULES_BYTES_MAX} bytes"),
        ));
    }
    let table = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        fault(text, span, format_args!("not TOML: {}", error.message()))
    })?;
    let span = table.span();
    let mut keys =
        Keys { text, span: span.clone(), table: table.into_inner(), what: "the rule file" };
    match keys.take("version", integer)? {
        Some(1) => {}
        Some(other) => {
            return Err(fault(
                text,
                span,
                format_args!("rule files of version {other} are not supported"),
            ));
        }
        None => return Err(fault(text, span, "`version = 1` is missing")),
    }
    let options = Options {
        format: keys.take("format", |value| {
            one_of(value, Format::of_name, "csv, jsonl, text or parquet")
        })?,
        encoding: keys.take("encoding", |value| {
            one_of(
                value,
                |name| Encoding::for_label(name.as_bytes()),
                "an encoding such as utf-8 or windows-1252",
            )
        })?,
        delimiter: keys.take("delimiter", ascii)?,
        quote: keys.take("quote", ascii)?,
        header: keys.take("header", boolean)?,
    };
    let formulas = keys
        .take("formulas", |value| {
            let named = |name: &str| match name {
                "escape" => Some(Formulas::Escape),
                "keep" => Some(Formulas::Keep),
                _ => None,
            };
            one_of(value, named, "escape or keep")
        })?
        .unwrap_or_default();
    let decimal = |name: &str| [b'.', b','].into_iter().find(|mark| name.as_bytes() == [*mark]);
    let dates = |name: &str| match name {
        "day-month" => Some(DayOrder::DayMonth),
        "month-day" => Some(DayOrder::MonthDay),
        _ => None,
    };
    let reading = Reading {
        decimal: keys
            .take("decimal", |value| one_of(value, decimal, "`.` or `,`"))?
            .unwrap_or(b'.'),
        dates: keys.take("dates", |value| one_of(value, dates, "day-month or month-day"))?,
    };
    let k_anonymity = keys.table("k-anonymity", "[k-anonymity]")?.map(k_anonymity).transpose()?;
    let columns = keys.tables("column", "[[column]]")?;
    keys.finish()?;
    if columns.len() > COLUMNS_MAX {
        return Err(fault(text, 0..0, format_args!("there are more than {COLUMNS_MAX} rules")));
    }
    // Rules come in the file's order, so lines are counted from one rule to the next: a file may
    // have 100,000 of them.
    let (mut at, mut line) = (0, 1);
    let columns = columns
        .into_iter()
        .map(|keys| {
            let start = keys.span.start.max(at);
            line += line_of(text.get(at..start).unwrap_or_default(), start - at) - 1;
            at = start;
            rule(keys, line)
        })
        .collect::<Result<Vec<_>>>()?;
    let rules = Rules { options, reading, formulas, columns, k_anonymity };
    check(&rules)?;
    Ok(rules)
}

/// What one rule alone cannot see.
fn check(rules: &Rules) -> Result<()> {
    let at = |line, detail: String| Err(Error::Rules { line, detail, hint: SEE });
    let mut names = HashSet::new();
    if let Some(rule) = rules.columns.iter().find(|rule| !names.insert(rule.name.as_str())) {
        return at(rule.line, format!("the column `{}` has two rules", printable(&rule.name)));
    }
    if let Some(rule) = rules
        .columns
        .iter()
        .filter(|rule| rule.transform.cuts_at_percentiles())
        .nth(PERCENTILES_MAX)
    {
        return at(
            rule.line,
            format!("no more than {PERCENTILES_MAX} columns can be cut at percentiles"),
        );
    }
    let quasi =
        rules.columns.iter().find(|rule| matches!(rule.transform, Transform::QuasiIdentifier(_)));
    match (&rules.k_anonymity, quasi) {
        (None, Some(rule)) => {
            at(rule.line, "a `quasi-identifier` needs `[k-anonymity]` with a `k`".to_owned())
        }
        (Some(_), None) => at(
            1,
            "`[k-anonymity]` needs columns with `transform = \"quasi-identifier\"`".to_owned(),
        ),
        (Some(KAnonymity { diversity: Some((_, sensitive)), .. }), Some(_)) => {
            let rule = rules.columns.iter().find(|rule| rule.name == *sensitive);
            match rule.map(|rule| &rule.transform) {
                Some(Transform::QuasiIdentifier(_)) => at(
                    1,
                    format!(
                        "`{}` cannot be sensitive and a quasi-identifier",
                        printable(sensitive)
                    ),
                ),
                // How diverse classes are is counted before percentiles are known.
                Some(transform) if transform.cuts_at_percentiles() => at(
                    1,
                    format!(
                        "`{}` cannot be sensitive and cut at percentiles",
                        printable(sensitive)
                    ),
                ),
                Some(_) => Ok(()),
                None => {
                    at(1, format!("the sensitive column `{}` has no rule", printable(sensitive)))
                }
            }
        }
        _ => Ok(()),
    }
}

fn k_anonymity(mut keys: Keys<'_>) -> Result<KAnonymity> {
    let k = keys.need("k", |value| count(value, 2, 1_000_000))?;
    let suppress_max = keys.take("suppress-max", |value| number(value, 0.0, 1.0))?.unwrap_or(0.05);
    let l = keys.take("l", |value| count(value, 2, 64))?;
    let sensitive = keys.take("sensitive", text)?;
    let span = keys.span.clone();
    let source = keys.text;
    keys.finish()?;
    let diversity = match (l, sensitive) {
        (Some(l), Some(sensitive)) => Some((l as u64, sensitive)),
        (None, None) => None,
        _ => return Err(fault(source, span, "`l` needs `sensitive`, and `sensitive` needs `l`")),
    };
    Ok(KAnonymity { k: k as u64, suppress_max, diversity })
}

fn rule(mut keys: Keys<'_>, line: usize) -> Result<Rule> {
    let name = keys.need("name", text)?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(fault(
            keys.text,
            keys.span,
            format_args!("a column's name has 1 to {NAME_BYTES_MAX} bytes"),
        ));
    }
    let found = keys.take("found", text)?;
    let confidence = keys.take("confidence", |value| number(value, 0.0, 1.0))?;
    let review = keys.take("review", |value| match value {
        DeValue::Boolean(true) => Ok(Some("marked by hand".to_owned())),
        DeValue::Boolean(false) => Ok(None),
        DeValue::String(text) => Ok(Some(text.clone().into_owned())),
        _ => Err("a text that says why, or true".to_owned()),
    })?;
    let transform = transform(&mut keys)?;
    keys.finish()?;
    Ok(Rule {
        name,
        transform,
        found,
        confidence,
        review: review.flatten(),
        comments: Vec::new(),
        line,
    })
}
