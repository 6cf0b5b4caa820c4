//! Reading what a rule does to its column.

use std::path::PathBuf;

use toml::de::DeValue;

use super::keys::Keys;
use super::values::{character, count, list, number, one_of, text};
use crate::entity::Entity;
use crate::error::{Error, Result};
use crate::rules::{Alphabet, Bound, DateStep, Entities, Hierarchy, Levels, Spread, Transform};

/// Reads what a rule does, with the keys of its transform.
pub(super) fn transform(keys: &mut Keys<'_>) -> Result<Transform> {
    let known = Transform::NAMES.join(", ");
    let name = keys.need("transform", |value| {
        one_of(value, |name| Transform::NAMES.into_iter().find(|n| *n == name), &known)
    })?;
    // From here on, faults speak of the transform: `keep has no key `with``.
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
    // Defaults are those that hide most; what has no safe default is needed.
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
        "generalize" => generalize(keys)?,
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

fn generalize(keys: &mut Keys<'_>) -> Result<Transform> {
    let kinds = ["date", "number", "postcode", "grid", "hierarchy"];
    let named = |name: &str| kinds.into_iter().find(|kind| *kind == name);
    let width = |value: &DeValue<'_>| number(value, BIN.0, BIN.1);
    Ok(Transform::generalize(
        match keys.need("as", |value| one_of(value, named, &kinds.join(", ")))? {
            "date" => Levels::Date(vec![keys.need("to", date_step)?]),
            "number" => Levels::Number(vec![keys.need("bin", width)?]),
            "postcode" => Levels::Postcode(vec![keys.need("keep", |value| count(value, 1, 100))?]),
            "grid" => return Ok(Transform::Grid { cell: keys.need("cell", width)? }),
            _ => {
                let levels = Levels::Hierarchy(hierarchy(keys)?);
                let level = keys.take("level", |value| count(value, 1, 16))?.unwrap_or(1);
                return Ok(Transform::Generalize { levels, level });
            }
        },
    ))
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
