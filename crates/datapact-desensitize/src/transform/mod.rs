//! Rules made ready to run: one value in, one value out.

pub(crate) mod coarse;
pub(crate) mod date;
pub(crate) mod number;

use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::rand;

use self::coarse::{Hierarchies, Scale};
use crate::detect::{self, Found, Names};
use crate::entity::Entity;
use crate::error::Result;
use crate::key::{self, Encryption, PseudonymKey, Pseudonyms};
use crate::rules::{Bound, Entities, Reading, Spread, Transform};
use crate::table::{Field, Kind};

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// There is none.
    Absent(Kind),
    /// It did not change.
    Unchanged(Kind),
    /// It became another.
    Changed(Kind),
    /// The rule cannot read it, so it is left out.
    Redacted,
}

impl From<Done> for Kind {
    fn from(done: Done) -> Self {
        match done {
            Done::Absent(kind) | Done::Unchanged(kind) | Done::Changed(kind) => kind,
            Done::Redacted => Self::Null,
        }
    }
}

/// A transform, ready to run.
pub(crate) enum Op {
    Keep,
    Drop,
    Redact(Option<Vec<u8>>),
    Mask {
        first: usize,
        last: usize,
        with: char,
    },
    Pseudonym(Box<Pseudonyms>),
    Ff1(Box<Encryption>),
    Coarse {
        scale: Scale,
        level: usize,
    },
    Grid {
        cell: f64,
        decimals: usize,
        reading: Reading,
    },
    Noise {
        deviation: f64,
        reading: Reading,
        random: Random,
    },
    TopBottom {
        bottom: Limit,
        top: Limit,
        reading: Reading,
    },
    Scrub {
        entities: Entities,
        names: Option<Arc<Names>>,
        found: Vec<Found>,
        named: Vec<Range<usize>>,
    },
}

/// What the first pass found out about a column, where its rule needs that.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ColumnFacts {
    /// The level of a quasi-identifier.
    pub(crate) level: usize,
    /// The standard deviation of relative noise.
    pub(crate) deviation: f64,
    /// The bounds that are percentiles.
    pub(crate) bottom: Option<f64>,
    pub(crate) top: Option<f64>,
}

/// What ops are made with.
pub(crate) struct Resources<'r> {
    pub(crate) reading: Reading,
    pub(crate) hierarchies: &'r Hierarchies,
    pub(crate) key: Option<&'r PseudonymKey>,
    /// The dictionary that the rule names.
    pub(crate) names: Option<Arc<Names>>,
}

impl Op {
    /// The op of a transform.
    pub(crate) fn new(
        transform: &Transform,
        resources: Resources<'_>,
        facts: ColumnFacts,
    ) -> Result<Self> {
        let Resources { reading, hierarchies, key, names } = resources;
        // `Plan::new` has refused rules without the key that they need; this checks again.
        let needed = || key.ok_or_else(key::missing);
        Ok(match transform {
            Transform::Keep => Self::Keep,
            Transform::Drop => Self::Drop,
            Transform::Redact { with } => {
                Self::Redact(with.as_ref().map(|text| text.as_bytes().to_vec()))
            }
            Transform::Mask { keep_first, keep_last, with } => {
                Self::Mask { first: *keep_first, last: *keep_last, with: *with }
            }
            Transform::Pseudonym { domain, length } => {
                Self::Pseudonym(Box::new(Pseudonyms::new(needed()?, domain, *length)))
            }
            Transform::Ff1 { domain, alphabet } => {
                Self::Ff1(Box::new(Encryption::new(needed()?, domain, *alphabet)?))
            }
            Transform::Generalize { levels, level } => {
                Self::Coarse { scale: Scale::new(levels, reading, hierarchies), level: *level }
            }
            Transform::Grid { cell } => {
                Self::Grid { cell: *cell, decimals: number::decimals(*cell), reading }
            }
            Transform::Noise(spread) => {
                let deviation = match spread {
                    Spread::Absolute(deviation) => *deviation,
                    Spread::Relative(_) => facts.deviation,
                };
                Self::Noise { deviation, reading, random: Random::default() }
            }
            Transform::TopBottom { bottom, top } => Self::TopBottom {
                bottom: Limit::new(Bound::known(*bottom).or(facts.bottom), f64::NEG_INFINITY),
                top: Limit::new(Bound::known(*top).or(facts.top), f64::INFINITY),
                reading,
            },
            Transform::QuasiIdentifier(levels) => {
                Self::Coarse { scale: Scale::new(levels, reading, hierarchies), level: facts.level }
            }
            Transform::Scrub { entities, .. } => Self::Scrub {
                entities: entities.clone(),
                names,
                found: Vec::new(),
                named: Vec::new(),
            },
        })
    }

    /// Whether the column is left out.
    pub(crate) fn drops(&self) -> bool {
        matches!(self, Self::Drop)
    }

    /// Appends what becomes of the value. If that is nothing, nothing is appended.
    pub(crate) fn apply(&mut self, field: Field<'_>, out: &mut Vec<u8>) -> Done {
        // At the last level absent values become `*`, too: their absence may tell a record from
        // others.
        let is_any =
            |op: &Self| matches!(op, Self::Coarse { scale, level } if *level >= scale.top());
        if field.is_absent() && !is_any(self) {
            return Done::Absent(field.kind);
        }
        let value = field.bytes;
        if field.kind == Kind::Nested
            && !matches!(self, Self::Keep | Self::Redact(_) | Self::Pseudonym(_))
            && !is_any(self)
        {
            return Done::Redacted;
        }
        let begin = out.len();
        let read = match self {
            Self::Keep => {
                out.extend_from_slice(value);
                return Done::Unchanged(field.kind);
            }
            Self::Drop => return Done::Changed(Kind::Missing),
            Self::Redact(None) => return Done::Changed(Kind::Null),
            Self::Redact(Some(with)) => {
                out.extend_from_slice(with);
                return Done::Changed(Kind::Text);
            }
            Self::Mask { first, last, with } => mask(field, *first, *last, *with, out),
            Self::Pseudonym(pseudonyms) => {
                pseudonyms.write(value, out);
                true
            }
            Self::Ff1(encryption) => encryption.write(value, out),
            Self::Coarse { scale, level } => scale.write(*level, field, out),
            Self::Grid { cell, decimals, reading } => {
                grid(value, *cell, *decimals, reading.mark(field.kind), out)
            }
            Self::Noise { deviation, reading, random } => {
                match number::parse(value, reading.mark(field.kind)) {
                    Some(number) => {
                        let noisy = number.value + random.laplace(*deviation);
                        number::write(noisy, number.decimals, reading.mark(field.kind), out)
                    }
                    None => false,
                }
            }
            Self::TopBottom { bottom, top, reading } => {
                match number::parse(value, reading.mark(field.kind)) {
                    Some(number) if number.value > top.at => {
                        number::write(top.at, top.decimals, reading.mark(field.kind), out)
                    }
                    Some(number) if number.value < bottom.at => {
                        number::write(bottom.at, bottom.decimals, reading.mark(field.kind), out)
                    }
                    Some(_) => {
                        out.extend_from_slice(value);
                        true
                    }
                    None => false,
                }
            }
            Self::Scrub { entities, names, found, named } => {
                detect::find(field.as_str(), &entities.0, found);
                if let Some(names) = names {
                    names.find(field.as_str(), named);
                }
                scrub(field.as_str(), found, named, out);
                true
            }
        };
        if !read {
            out.truncate(begin);
            return Done::Redacted;
        }
        let same = out.get(begin) == value.first() && out.get(begin..) == Some(value);
        let kind = match (same, &*self) {
            (true, _) | (_, Self::Noise { .. } | Self::TopBottom { .. } | Self::Grid { .. }) => {
                field.kind
            }
            _ => Kind::Text,
        };
        if same { Done::Unchanged(kind) } else { Done::Changed(kind) }
    }
}

/// Keeps the first and last characters, unless that would be all of them.
fn mask(field: Field<'_>, first: usize, last: usize, with: char, out: &mut Vec<u8>) -> bool {
    let bounds = |count: usize| if first + last < count { (first, last) } else { (0, 0) };
    if field.bytes.is_ascii() && with.is_ascii() {
        let count = field.bytes.len();
        let (first, last) = bounds(count);
        out.extend_from_slice(field.bytes.get(..first).unwrap_or_default());
        out.resize(out.len() + count - first - last, with as u8);
        out.extend_from_slice(field.bytes.get(count - last..).unwrap_or_default());
        return true;
    }
    let text = field.as_str();
    let count = text.chars().count();
    let (first, last) = bounds(count);
    let mut replacement = [0; 4];
    let replacement = with.encode_utf8(&mut replacement).as_bytes();
    for (index, c) in text.chars().enumerate() {
        if index < first || index >= count - last {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.extend_from_slice(replacement);
        }
    }
    true
}

/// One coordinate, or two behind each other.
fn grid(value: &[u8], cell: f64, decimals: usize, mark: u8, out: &mut Vec<u8>) -> bool {
    let separators: &[u8] = if mark == b',' { b"; " } else { b",; " };
    let mut parts =
        value.trim_ascii().split(|byte| separators.contains(byte)).filter(|part| !part.is_empty());
    let (Some(first), second, None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let write = |part: &[u8], out: &mut Vec<u8>| match number::parse(part, mark) {
        Some(number) => number::write(number::floor_to(number.value, cell), decimals, mark, out),
        None => false,
    };
    if !write(first, out) {
        return false;
    }
    let Some(second) = second else { return true };
    out.push(if mark == b',' { b';' } else { b',' });
    write(second, out)
}

/// Replaces what was found. Where a name and an entity overlap, both are replaced as one.
fn scrub(text: &str, found: &[Found], named: &[Range<usize>], out: &mut Vec<u8>) {
    let mut pieces: Vec<(Range<usize>, Entity)> =
        found.iter().map(|found| (found.range.clone(), found.entity)).collect();
    pieces.extend(named.iter().map(|range| (range.clone(), Entity::PersonName)));
    pieces.sort_by_key(|(range, _)| range.start);
    pieces.dedup_by(|(next, next_is), (range, is)| {
        let overlap = next.start < range.end;
        if overlap {
            range.end = range.end.max(next.end);
            *is = if *is == Entity::PersonName { *next_is } else { *is };
        }
        overlap
    });
    let mut from = 0;
    for (range, entity) in pieces {
        out.extend_from_slice(text.get(from..range.start).unwrap_or_default().as_bytes());
        out.push(b'[');
        out.extend_from_slice(entity.name().as_bytes());
        out.push(b']');
        from = range.end;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default().as_bytes());
}

/// A bound, and with how many decimals it is written.
pub(crate) struct Limit {
    at: f64,
    decimals: usize,
}

impl Limit {
    /// The limit at a number; `open` is beyond all numbers, for none.
    fn new(at: Option<f64>, open: f64) -> Self {
        let at = at.unwrap_or(open);
        Self { at, decimals: number::decimals(at) }
    }
}

/// Random numbers from the cryptographic generator, fetched in blocks.
#[derive(Default)]
pub(crate) struct Random {
    block: Vec<[u8; 8]>,
}

impl Random {
    /// Uniform, above 0 and up to 1.
    fn uniform(&mut self) -> f64 {
        let bits = loop {
            if let Some(bits) = self.block.pop() {
                break u64::from_le_bytes(bits);
            }
            let mut bytes = [0; 4096];
            rand::fill(&mut bytes).expect("the operating system has random bytes");
            self.block.extend_from_slice(bytes.as_chunks().0);
        };
        ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Laplace-distributed around 0 with this standard deviation.
    fn laplace(&mut self, deviation: f64) -> f64 {
        let magnitude = -self.uniform().ln() * deviation / std::f64::consts::SQRT_2;
        if self.uniform() > 0.5 { magnitude } else { -magnitude }
    }
}

#[cfg(test)]
mod tests;
