//! Reading a rule file: every key is taken by name, and what is left over is refused with its line.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::Range;
use std::path::PathBuf;

use encoding_rs::Encoding;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    Alphabet, Bound, DateStep, DayOrder, Entities, Generalize, Hierarchy, KAnonymity, Levels,
    RULES_BYTES_MAX, Reading, Rule, Rules, Spread, Transform,
};
use crate::entity::Entity;
use crate::error::{Error, Result, printable};
use crate::format::{Format, Formulas, Options};
use crate::table::{COLUMNS_MAX, NAME_BYTES_MAX};

/// The most columns that are cut at percentiles: a sample of each is held in memory.
const PERCENTILES_MAX: usize = 32;

const SEE: &str = "docs/desensitization.md shows rule files";

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
                format_args!("version {other} of rule files is not known"),
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
    // Rules stand in the file's order: lines are counted on, not anew.
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
        _ => return Err(fault(source, span, "`l` and `sensitive` belong together")),
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

fn transform(keys: &mut Keys<'_>) -> Result<Transform> {
    let known = Transform::NAMES.join(", ");
    let name = keys.need("transform", |value| {
        one_of(value, |name| Transform::NAMES.into_iter().find(|n| *n == name), &known)
    })?;
    keys.what = name;
    let domain = |keys: &mut Keys<'_>| {
        let domain = keys.take("domain", |value| {
            text(value)
                .ok()
                .filter(|text| !text.contains('\0'))
                .ok_or_else(|| "a text in quotes, without NUL".to_owned())
        })?;
        Ok::<_, Error>(domain.unwrap_or_default())
    };
    Ok(match name {
        "keep" => Transform::Keep,
        "drop" => Transform::Drop,
        "redact" => Transform::Redact {
            with: keys.take("with", |value| {
                let plain = text(value).ok().filter(|text| !text.contains(char::is_control));
                plain.ok_or_else(|| "a text of one line in quotes".to_owned())
            })?,
        },
        "mask" => Transform::Mask {
            keep_first: keys.take("keep-first", |value| count(value, 0, 1000))?.unwrap_or(0),
            keep_last: keys.take("keep-last", |value| count(value, 0, 1000))?.unwrap_or(0),
            with: keys.take("with", character)?.unwrap_or('*'),
        },
        "pseudonym" => Transform::Pseudonym {
            domain: domain(keys)?,
            length: keys.take("length", |value| count(value, 16, 64))?.unwrap_or(32),
        },
        "ff1" => Transform::Ff1 {
            domain: domain(keys)?,
            alphabet: keys
                .take("alphabet", |value| {
                    let named = |name: &str| {
                        Alphabet::ALL.into_iter().find(|alphabet| alphabet.name() == name)
                    };
                    one_of(value, named, "digits, lower, upper or alphanumeric")
                })?
                .unwrap_or(Alphabet::Digits),
        },
        "generalize" => Transform::Generalize(generalize(keys)?),
        "noise" => {
            let positive = |value: &DeValue<'_>| number(value, f64::MIN_POSITIVE, 1e300);
            match (keys.take("deviation", positive)?, keys.take("relative", positive)?) {
                (Some(deviation), None) => Transform::Noise(Spread::Absolute(deviation)),
                (None, Some(relative)) => Transform::Noise(Spread::Relative(relative)),
                _ => return Err(keys.fault("noise needs either `deviation` or `relative`")),
            }
        }
        "top-bottom" => {
            let (bottom, top) = (
                bound(keys, "bottom", "bottom-percentile")?,
                bound(keys, "top", "top-percentile")?,
            );
            let crossed = match (bottom, top) {
                (None, None) => {
                    return Err(keys.fault(
                        "top-bottom needs `bottom`, `top`, or one of them with `-percentile`",
                    ));
                }
                (Some(Bound::At(bottom)), Some(Bound::At(top))) => bottom >= top,
                (Some(Bound::Percentile(bottom)), Some(Bound::Percentile(top))) => bottom >= top,
                _ => false,
            };
            if crossed {
                return Err(keys.fault("`bottom` must be below `top`"));
            }
            Transform::TopBottom { bottom, top }
        }
        "quasi-identifier" => Transform::QuasiIdentifier(levels(keys)?),
        _ => {
            let entities = keys.take("entities", |value| {
                list(value, |value| {
                    one_of(value, Entity::of_name, "an entity's name, such as email")
                })
            })?;
            Transform::Scrub {
                entities: Entities(entities.unwrap_or_else(|| Entity::PERSONAL.to_vec())),
                names: keys.take("names", text)?.map(PathBuf::from),
            }
        }
    })
}

fn bound(keys: &mut Keys<'_>, at: &'static str, percentile: &'static str) -> Result<Option<Bound>> {
    let number_at = keys.take(at, |value| number(value, f64::MIN, f64::MAX))?;
    let percent = keys.take(percentile, |value| number(value, 0.001, 99.999))?;
    match (number_at, percent) {
        (Some(_), Some(_)) => Err(keys.fault("a bound is a number or a percentile, not both")),
        (Some(number), None) => Ok(Some(Bound::At(number))),
        (None, percent) => Ok(percent.map(Bound::Percentile)),
    }
}

fn date_step(value: &DeValue<'_>) -> Result<DateStep, String> {
    let named = |name: &str| DateStep::ALL.into_iter().find(|step| step.name() == name);
    one_of(value, named, "month, quarter, year or decade")
}

fn hierarchy(keys: &mut Keys<'_>) -> Result<Hierarchy> {
    Ok(Hierarchy { file: PathBuf::from(keys.need("file", text)?) })
}

const BIN: (f64, f64) = (1e-9, 1e15);

fn generalize(keys: &mut Keys<'_>) -> Result<Generalize> {
    let kinds = ["date", "number", "postcode", "grid", "hierarchy"];
    let named = |name: &str| kinds.into_iter().find(|kind| *kind == name);
    Ok(match keys.need("as", |value| one_of(value, named, &kinds.join(", ")))? {
        "date" => Generalize::Date(keys.need("to", date_step)?),
        "number" => {
            Generalize::Number { bin: keys.need("bin", |value| number(value, BIN.0, BIN.1))? }
        }
        "postcode" => {
            Generalize::Postcode { keep: keys.need("keep", |value| count(value, 1, 100))? }
        }
        "grid" => {
            Generalize::Grid { cell: keys.need("cell", |value| number(value, BIN.0, BIN.1))? }
        }
        _ => Generalize::Hierarchy {
            hierarchy: hierarchy(keys)?,
            level: keys.take("level", |value| count(value, 1, 16))?.unwrap_or(1),
        },
    })
}

fn levels(keys: &mut Keys<'_>) -> Result<Levels> {
    let kinds = ["number", "date", "postcode", "hierarchy", "category"];
    let named = |name: &str| kinds.into_iter().find(|kind| *kind == name);
    let kind = keys.need("as", |value| one_of(value, named, &kinds.join(", ")))?;
    let levels = match kind {
        "number" => Levels::Number(
            keys.need("levels", |value| list(value, |value| number(value, BIN.0, BIN.1)))?,
        ),
        "date" => Levels::Date(
            keys.take("levels", |value| list(value, date_step))?
                .unwrap_or_else(|| DateStep::ALL.to_vec()),
        ),
        "postcode" => Levels::Postcode(
            keys.need("levels", |value| list(value, |value| count(value, 1, 100)))?,
        ),
        "hierarchy" => Levels::Hierarchy(hierarchy(keys)?),
        _ => Levels::Category,
    };
    let rising = match &levels {
        // A bin must hold whole bins of the level before, or records that were alike would part
        // again.
        Levels::Number(bins) => bins.iter().zip(bins.iter().skip(1)).all(|(fine, coarse)| {
            let ratio = coarse / fine;
            ratio >= 2.0 && (ratio - ratio.round()).abs() < 1e-9
        }),
        Levels::Date(steps) => steps.is_sorted_by(|fine, coarse| fine < coarse),
        Levels::Postcode(kept) => kept.is_sorted_by(|fine, coarse| fine > coarse),
        Levels::Hierarchy(_) | Levels::Category => true,
    };
    if rising {
        return Ok(levels);
    }
    Err(keys.fault(
        "`levels` must go from fine to coarse, and each bin must be a multiple of the one before",
    ))
}

// How values are read. What is expected is said when one is something else.

fn integer(value: &DeValue<'_>) -> Result<i64, String> {
    match value {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
        _ => None,
    }
    .ok_or_else(|| "a whole number".to_owned())
}

fn count(value: &DeValue<'_>, min: usize, max: usize) -> Result<usize, String> {
    let found = integer(value).ok().and_then(|found| usize::try_from(found).ok());
    found
        .filter(|found| (min..=max).contains(found))
        .ok_or_else(|| format!("a whole number from {min} to {max}"))
}

fn number(value: &DeValue<'_>, min: f64, max: f64) -> Result<f64, String> {
    let found = match value {
        DeValue::Float(float) => float.as_str().parse().ok(),
        other => integer(other).ok().map(|integer| integer as f64),
    };
    found.filter(|found| (min..=max).contains(found)).ok_or_else(|| {
        if max < 1e200 {
            format!("a number from {min:e} to {max:e}")
        } else {
            "a number that fits".to_owned()
        }
    })
}

fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(boolean) => Ok(*boolean),
        _ => Err("true or false".to_owned()),
    }
}

fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        _ => Err("a text in quotes".to_owned()),
    }
}

fn character(value: &DeValue<'_>) -> Result<char, String> {
    let text = text(value).unwrap_or_default();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) if !only.is_control() => Ok(only),
        _ => Err("one character in quotes".to_owned()),
    }
}

fn ascii(value: &DeValue<'_>) -> Result<u8, String> {
    let text = text(value).unwrap_or_default();
    match text.as_bytes() {
        [only]
            if (only.is_ascii_graphic() || b"\t ".contains(only))
                && !only.is_ascii_alphanumeric() =>
        {
            Ok(*only)
        }
        _ => Err("one ASCII character that is no letter and no digit, in quotes".to_owned()),
    }
}

fn one_of<T>(
    value: &DeValue<'_>,
    named: impl Fn(&str) -> Option<T>,
    known: &str,
) -> Result<T, String> {
    match value {
        DeValue::String(name) => {
            named(name).ok_or_else(|| format!("one of {known}, not `{}`", printable(name)))
        }
        _ => Err(format!("one of {known}, in quotes")),
    }
}

fn list<T>(
    value: &DeValue<'_>,
    read: impl Fn(&DeValue<'_>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    match value {
        DeValue::Array(values) if (1..=64).contains(&values.len()) => {
            values.iter().map(|value| read(value.get_ref())).collect()
        }
        _ => Err("a list of 1 to 64, in brackets".to_owned()),
    }
}

/// The keys of one table that were not yet taken.
struct Keys<'a> {
    text: &'a str,
    span: Range<usize>,
    table: DeTable<'a>,
    what: &'static str,
}

impl<'a> Keys<'a> {
    fn remove(&mut self, key: &str) -> Option<Spanned<DeValue<'a>>> {
        let position = Spanned::new(0..0, std::borrow::Cow::Owned(key.to_owned()));
        self.table.remove(&position)
    }

    fn take<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let Some(value) = self.remove(key) else { return Ok(None) };
        let read = read(value.get_ref());
        read.map(Some).map_err(|expected| {
            fault(self.text, value.span(), format_args!("`{key}` must be {expected}"))
        })
    }

    fn need<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Result<T> {
        let what = self.what;
        self.take(key, read)?.ok_or_else(|| self.fault(format_args!("{what} needs `{key}`")))
    }

    fn table(&mut self, key: &str, what: &'static str) -> Result<Option<Keys<'a>>> {
        self.remove(key).map(|value| self.nested(value, what)).transpose()
    }

    fn tables(&mut self, key: &str, what: &'static str) -> Result<Vec<Keys<'a>>> {
        let Some(value) = self.remove(key) else { return Ok(Vec::new()) };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(values) => {
                values.into_iter().map(|value| self.nested(value, what)).collect()
            }
            _ => Err(fault(self.text, span, format_args!("write {what} before each rule"))),
        }
    }

    fn nested(&self, value: Spanned<DeValue<'a>>, what: &'static str) -> Result<Keys<'a>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Ok(Keys { text: self.text, span, table, what }),
            _ => Err(fault(self.text, span, format_args!("{what} must be a table"))),
        }
    }

    fn finish(self) -> Result<()> {
        match self.table.keys().min_by_key(|key| key.span().start) {
            Some(key) => {
                let detail = format!("{} has no key `{}`", self.what, printable(key.get_ref()));
                Err(fault(self.text, key.span(), detail))
            }
            None => Ok(()),
        }
    }

    fn fault(&self, detail: impl Display) -> Error {
        fault(self.text, self.span.clone(), detail)
    }
}

fn line_of(text: &str, at: usize) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes().get(..at).unwrap_or_default()).count() + 1
}

fn fault(text: &str, span: Range<usize>, detail: impl Display) -> Error {
    Error::Rules { line: line_of(text, span.start), detail: detail.to_string(), hint: SEE }
}
