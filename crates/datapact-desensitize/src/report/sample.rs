//! A uniform sample of records before and after, from which the quality of what remains is
//! estimated.
//!
//! It keeps hashes and numbers only: no value can be recovered from it.

use std::hash::{BuildHasher as _, RandomState};

use super::{Correlation, Distribution, Loss};
use crate::reservoir::{Reservoir, put};
use crate::rules::{Reading, Transform};
use crate::table::{Field, Record};
use crate::transform::{date, number};

/// The most records of a sample.
const RECORDS_MAX: usize = 10_000;
/// The most fields of a sample.
const FIELDS_MAX: usize = 400_000;
/// The most numeric columns whose correlations are reported.
const CORRELATED_MAX: usize = 12;
/// In place of an absent value's hash.
const NONE: u32 = u32::MAX;
/// How many bars a distribution has.
const BARS: usize = 16;

/// One field before and after.
#[derive(Clone, Copy, Default)]
struct Cell {
    before: Value,
    after: Value,
}

#[derive(Clone, Copy, Default)]
struct Value {
    /// None for an absent value.
    hash: Option<u32>,
    /// The number, date or middle of a range that it is; NaN if it is none.
    number: f64,
}

const ABSENT: Value = Value { hash: None, number: f64::NAN };

/// The sample.
pub(crate) struct Sample {
    columns: usize,
    records: Vec<Box<[Cell]>>,
    reservoir: Reservoir,
    hasher: RandomState,
    reading: Reading,
}

impl Sample {
    pub(crate) fn new(columns: usize, reading: Reading) -> Self {
        Self {
            columns,
            records: Vec::new(),
            reservoir: Reservoir::new(
                (FIELDS_MAX / columns.max(1)).clamp(1, RECORDS_MAX),
                u64::from_le_bytes(datapact_core::id::random()) | 1,
            ),
            hasher: RandomState::new(),
            reading,
        }
    }

    /// How many records it has.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes a record or not; `place` says where each column is in what goes out.
    pub(crate) fn offer(
        &mut self,
        before: &Record,
        after: &Record,
        place: impl Fn(usize) -> Option<usize>,
    ) {
        let Some(chosen) = self.reservoir.place() else { return };
        let cells = (0..self.columns)
            .map(|index| Cell {
                before: self.value(before.field(index)),
                after: place(index).map(|place| self.value(after.field(place))).unwrap_or(ABSENT),
            })
            .collect();
        put(&mut self.records, chosen, cells);
    }

    fn value(&self, field: Field<'_>) -> Value {
        if field.is_absent() {
            return ABSENT;
        }
        let number = measure(field, self.reading).unwrap_or(f64::NAN);
        Value { hash: Some((self.hasher.hash_one(field.bytes) as u32).min(NONE - 1)), number }
    }

    fn column(&self, index: usize) -> impl Iterator<Item = Cell> {
        self.records.iter().filter_map(move |record| record.get(index).copied())
    }

    /// What a column's values lost, and how they were and are distributed.
    pub(crate) fn loss(&self, index: usize, transform: &Transform) -> Loss {
        // Both hashes of each value in one number, the one before in the upper half.
        let mut joint: Vec<u64> = Vec::with_capacity(self.records.len());
        let mut after: Vec<u64> = Vec::with_capacity(self.records.len());
        for cell in self.column(index) {
            if let Some(hash) = cell.before.hash {
                joint.push(u64::from(hash) << 32 | u64::from(cell.after.hash.unwrap_or(NONE)));
                after.push(u64::from(cell.after.hash.unwrap_or(NONE)));
            }
        }
        let total = joint.len();
        joint.sort_unstable();
        after.sort_unstable();
        let before: Vec<u64> = joint.iter().map(|both| both >> 32).collect();
        let of_before = entropy(&before);
        // What remains unknown of the value before to who knows the value after, H(before | after),
        // as a share of H(before).
        let open = entropy(&joint) - entropy(&after);
        let numeric = self.numeric(index);
        let information = match transform {
            _ if total == 0 => 0.0,
            Transform::Keep => 0.0,
            Transform::Drop | Transform::Redact { .. } => 1.0,
            // Every noisy value is another one; what counts is how much of the variance is still
            // the value's.
            Transform::Noise(_) => numeric.as_ref().map_or(1.0, |(before, after)| {
                let r = pearson(before, after).unwrap_or(0.0);
                1.0 - r * r
            }),
            _ if of_before <= 0.0 => 0.0,
            _ => open / of_before,
        };
        let distribution = numeric.map(|(before, after)| Distribution::new(&before, &after, BARS));
        Loss {
            information: information.clamp(0.0, 1.0),
            distinct_before: runs(&before).count() as u64,
            distinct_after: runs(&after).filter(|run| run.first() != Some(&u64::from(NONE))).count()
                as u64,
            distribution,
        }
    }

    /// The numbers of a column before and after, where both are numbers nearly everywhere.
    fn numeric(&self, index: usize) -> Option<(Vec<f64>, Vec<f64>)> {
        let present = self.column(index).filter(|cell| cell.before.hash.is_some()).count();
        let pairs = self
            .column(index)
            .filter(|cell| cell.before.number.is_finite() && cell.after.number.is_finite())
            .map(|cell| (cell.before.number, cell.after.number));
        let (before, after): (Vec<f64>, Vec<f64>) = pairs.unzip();
        (before.len() * 10 >= present * 9 && before.len() >= 2).then_some((before, after))
    }

    /// How pairs of numeric columns were and are correlated.
    pub(crate) fn correlations(&self, names: &[String]) -> Vec<Correlation> {
        let numeric: Vec<usize> = (0..self.columns)
            .filter(|index| self.numeric(*index).is_some())
            .take(CORRELATED_MAX)
            .collect();
        let mut correlations = Vec::new();
        for (place, first) in numeric.iter().enumerate() {
            for second in numeric.iter().skip(place + 1) {
                let pairs = self.records.iter().filter_map(|record| {
                    let (a, b) = (record.get(*first)?, record.get(*second)?);
                    let numbers =
                        [a.before.number, b.before.number, a.after.number, b.after.number];
                    numbers.iter().all(|number| number.is_finite()).then_some(numbers)
                });
                let [mut a, mut b, mut c, mut d] = [const { Vec::new() }; 4];
                for [a_before, b_before, a_after, b_after] in pairs {
                    a.push(a_before);
                    b.push(b_before);
                    c.push(a_after);
                    d.push(b_after);
                }
                let (Some(before), Some(after)) = (pearson(&a, &b), pearson(&c, &d)) else {
                    continue;
                };
                let name = |index: usize| names.get(index).cloned().unwrap_or_default();
                correlations.push(Correlation {
                    first: name(*first),
                    second: name(*second),
                    before,
                    after,
                });
            }
        }
        correlations
    }
}

/// Equal values in sorted ones.
fn runs(sorted: &[u64]) -> impl Iterator<Item = &[u64]> {
    sorted.chunk_by(|a, b| a == b)
}

/// Of how values are distributed, in bits.
fn entropy(sorted: &[u64]) -> f64 {
    let share = |run: &[u64]| run.len() as f64 / sorted.len() as f64;
    runs(sorted).map(|run| -share(run) * share(run).log2()).sum()
}

/// A value as a number: itself, the middle of a range, or a date in years.
fn measure(field: Field<'_>, reading: Reading) -> Option<f64> {
    let bytes = field.bytes.trim_ascii();
    // Most values are text.
    if !matches!(bytes.first(), Some(b'0'..=b'9' | b'+' | b'-')) {
        return None;
    }
    if let Some(number) = number::parse(bytes, reading.mark(field.kind)) {
        return Some(number.value);
    }
    let split = |mark: &[u8; 2]| {
        let at = bytes.array_windows().position(|pair| pair == mark)?;
        Some((bytes.get(..at)?, bytes.get(at + 2..)?))
    };
    if let Some((low, high)) = split(b"..") {
        let low = number::parse(low, reading.decimal)?.value;
        let high = number::parse(high, reading.decimal)?.value;
        return Some(f64::midpoint(low, high));
    }
    if let Some(decade) = bytes.strip_suffix(b"s") {
        return Some(number::parse(decade, b'.')?.value + 5.0);
    }
    if let Some((year, quarter)) = split(b"-Q") {
        let quarter = number::parse(quarter, b'.')?.value;
        return Some(number::parse(year, b'.')?.value + (quarter - 0.5) / 4.0);
    }
    let date = date::parse(bytes, reading.dates)?;
    Some(f64::from(date.year) + date.month.map_or(0.5, |month| (f64::from(month) - 0.5) / 12.0))
}

fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let count = a.len() as f64;
    if a.len() < 3 {
        return None;
    }
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / count, b.iter().sum::<f64>() / count);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        ab += (a - mean_a) * (b - mean_b);
        aa += (a - mean_a).powi(2);
        bb += (b - mean_b).powi(2);
    }
    let r = ab / (aa * bb).sqrt();
    r.is_finite().then_some(r.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rules::{Levels, Spread};

    fn sample(pairs: impl Iterator<Item = (String, String)>) -> Sample {
        let mut sample = Sample::new(1, Reading::default());
        let (mut before, mut after) = (Record::default(), Record::default());
        for (b, a) in pairs {
            before.clear();
            after.clear();
            before.push(Field::text(b.as_bytes()));
            after.push(Field::text(a.as_bytes()));
            sample.offer(&before, &after, Some);
        }
        sample
    }

    #[test]
    fn loss_is_what_cannot_be_known_any_more() {
        let bins = Transform::generalize(Levels::Number(vec![2.0]));
        let halved = sample((0..1024).map(|i| (format!("{}", i % 4), format!("{}", i % 4 / 2))));
        assert!((halved.loss(0, &bins).information - 0.5).abs() < 1e-9);
        let renamed = sample((0..1024).map(|i| (format!("{}", i % 4), format!("x{}", i % 4))));
        assert!(renamed.loss(0, &bins).information < 1e-9);
        let gone = sample((0..1024).map(|i| (format!("{}", i % 4), String::new())));
        assert!((gone.loss(0, &bins).information - 1.0).abs() < 1e-9);
        let noisy = sample((0..1024).map(|i| (format!("{i}"), format!("{}", i + i % 3))));
        let loss = noisy.loss(0, &Transform::Noise(Spread::Absolute(1.0))).information;
        assert!((0.0..0.01).contains(&loss), "{loss}");
    }

    #[test]
    fn values_are_measured_as_numbers() {
        let year = |text: &str| measure(Field::text(text.as_bytes()), Reading::default());
        assert_eq!(year("20..30"), Some(25.0));
        assert_eq!(year("2020s"), Some(2025.0));
        assert_eq!(year("2024-Q2"), Some(2024.375));
        assert_eq!(year("2024-01-31"), Some(2024.0 + 0.5 / 12.0));
        assert_eq!(year("*"), None);
    }

    #[test]
    fn a_sample_is_bounded() {
        let sample = sample((0..RECORDS_MAX + 500).map(|i| (i.to_string(), i.to_string())));
        assert_eq!(sample.len(), RECORDS_MAX);
    }
}
