//! k-anonymity: how coarse quasi-identifiers must become, and which records must be left out, so
//! that each record is like at least k - 1 others (Samarati and Sweeney).
//!
//! All values of a column get the same level (full-domain generalization), and records whose class
//! stays too small are suppressed. The classes are counted in one pass. Only hashes of values
//! are kept, under a key of this process. Those that do not fit into memory are spilled, encrypted;
//! the outcome is the same.

mod admitted;
mod classes;
mod search;

use std::hash::{BuildHasher as _, RandomState};
use std::ops::ControlFlow;

use self::admitted::Admitted;
use self::classes::Classes;
use self::search::{Axis, Search};
use crate::error::{Error, Result};
use crate::rules::KAnonymity;
use crate::table::{Field, Kind};
use crate::transform::coarse::Scale;

/// How much memory classes may take, in bytes, estimated; what is decided by them takes about as
/// much for a while.
pub(crate) const MEMORY_BYTES: usize = 40 << 20;

/// Counts the classes of records.
pub(crate) struct Survey<'a> {
    rule: &'a KAnonymity,
    scales: Vec<&'a Scale>,
    labels: Labels,
    classes: Classes,
    memory: usize,
    exact: Vec<u64>,
}

/// What was decided.
pub(crate) struct Solution {
    labels: Labels,
    /// The level of each quasi-identifier.
    pub(crate) levels: Vec<usize>,
    /// How much of each quasi-identifier's information that costs, 0 to 1.
    pub(crate) losses: Vec<f64>,
    /// The classes that are large and diverse enough.
    admitted: Admitted,
    /// The records of the smallest class.
    pub(crate) k: u64,
    /// The different sensitive values of the least diverse class, at most `l`.
    pub(crate) l: Option<u64>,
    /// How many records were counted.
    pub(crate) records: u64,
    /// How many of them must be left out.
    pub(crate) suppressed: u64,
}

impl Solution {
    /// How many classes there are.
    pub(crate) fn classes(&self) -> u64 {
        self.admitted.len()
    }

    /// Whether a record with these quasi-identifiers, in order and each with its scale, may stay.
    pub(crate) fn admits<'f>(
        &mut self,
        quasi: impl Iterator<Item = (&'f Scale, Field<'f>)>,
    ) -> Result<bool> {
        let Self { labels, levels, admitted, .. } = self;
        let mut key = 0;
        for (column, ((scale, field), level)) in quasi.zip(levels).enumerate() {
            let label = labels.of(scale, *level, field);
            key = labels.add(key, column, label);
        }
        admitted.holds(key)
    }
}

/// Hashes of what quasi-identifiers become. Of 64 bits each, those of a million different values of
/// a column are all different but for one chance in 30 million, and since the key is random,
/// nothing in the data can raise it.
struct Labels {
    state: RandomState,
    /// A random odd factor for each column.
    factors: Vec<u128>,
    scratch: Vec<u8>,
}

impl Labels {
    fn new(columns: usize) -> Self {
        let factor = || u128::from_le_bytes(datapact_core::id::random()) | 1;
        let factors = (0..columns).map(|_| factor()).collect();
        Self { state: RandomState::new(), factors, scratch: Vec::new() }
    }

    /// The hash of what becomes of a value at a level; 0 at the last, where all are alike.
    fn of(&mut self, scale: &Scale, level: usize, field: Field<'_>) -> u64 {
        if level >= scale.top() {
            return 0;
        }
        self.scratch.clear();
        label(scale, level, field, &mut self.scratch);
        self.hash(&self.scratch)
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        self.state.hash_one(bytes)
    }

    /// Adds the label of a column to the key of a class: the sum of its labels, each times the
    /// column's factor.
    fn add(&self, key: u128, column: usize, label: u64) -> u128 {
        let factor = self.factors.get(column).copied().unwrap_or_default();
        key.wrapping_add(factor.wrapping_mul(u128::from(label)))
    }

    /// The key of the class with these labels.
    fn class(&self, labels: impl Iterator<Item = u64>) -> u128 {
        labels.enumerate().fold(0, |key, (column, label)| self.add(key, column, label))
    }
}

/// Appends what becomes of a value; nothing if there is none or it is not of the scale's kind.
pub(crate) fn label(scale: &Scale, level: usize, field: Field<'_>, out: &mut Vec<u8>) {
    if level >= scale.top() || !(field.is_absent() || field.kind == Kind::Nested) {
        let begin = out.len();
        if !scale.write(level, field, out) {
            out.truncate(begin);
        }
    }
}

impl<'a> Survey<'a> {
    /// Nothing counted yet; classes take up to `memory` bytes.
    pub(crate) fn new(rule: &'a KAnonymity, scales: Vec<&'a Scale>, memory: usize) -> Self {
        let labels = Labels::new(scales.len());
        let width = scales.iter().map(|scale| scale.top()).sum();
        let l = rule.diversity.as_ref().map_or(0, |(l, _)| *l as usize);
        let classes = Classes::new(width, l, memory);
        Self { rule, scales, labels, classes, memory, exact: Vec::new() }
    }

    /// Counts a record: its quasi-identifiers in order, and its sensitive value.
    pub(crate) fn add<'f>(
        &mut self,
        fields: impl Iterator<Item = Field<'f>> + Clone,
        sensitive: &[u8],
    ) -> Result<()> {
        let Self { scales, labels, exact, classes, .. } = self;
        exact.clear();
        exact.extend(
            fields.clone().zip(scales.iter()).map(|(field, scale)| labels.of(scale, 0, field)),
        );
        let key = labels.class(exact.iter().copied());
        let sensitive = labels.hash(sensitive);
        // What a value becomes at higher levels follows from what it is at the first.
        classes.add(key, sensitive, || {
            let of_all = fields.zip(scales.iter()).zip(exact.iter());
            of_all
                .flat_map(|((field, scale), exact)| {
                    let mut all = vec![*exact];
                    all.extend((1..scale.top()).map(|level| labels.of(scale, level, field)));
                    all
                })
                .collect()
        })
    }

    /// What all levels cost.
    fn search(&self) -> Result<Search<'_>> {
        let mut begin = 0;
        let axes = self.scales.iter().map(|scale| {
            let axis = Axis::new(&self.classes, begin, scale.top());
            begin += scale.top();
            axis
        });
        let axes = axes.collect::<Result<Vec<Axis>>>()?;
        Ok(Search { classes: &self.classes, labels: &self.labels, axes, k: self.rule.k })
    }

    /// Finds the levels that cost least and leave out no more records than allowed.
    pub(crate) fn solve(mut self) -> Result<Solution> {
        self.classes.close()?;
        let search = self.search()?;
        let records = self.classes.records();
        let (k, l) = (self.rule.k, self.classes.l());
        let allowed = (self.rule.suppress_max * records as f64) as u64;
        let levels = search.cheapest(allowed)?.ok_or_else(|| {
            let detail = match l {
                0 => format!("{k}-anonymity cannot be reached with {records} records"),
                _ => format!("{k}-anonymity with {l}-diversity cannot be reached"),
            };
            Error::mismatch(detail, "lower `k` or `l`, or raise `suppress-max`")
        })?;
        // The classes at these levels once more, now to say which of them may go out: sums come in
        // ranges of rising keys, so sorting each range sorts all.
        let mut admitted = Admitted::new(self.memory);
        let (mut suppressed, mut reached, mut diverse) = (0, u64::MAX, u64::MAX);
        self.classes.fold(
            |labels| search.key(labels, &levels),
            |sums| {
                let mut keys = Vec::new();
                for (key, sum) in sums {
                    if search.fits(&sum) {
                        reached = reached.min(sum.records);
                        diverse = diverse.min(sum.different() as u64);
                        keys.push(key);
                    } else {
                        suppressed += sum.records;
                    }
                }
                keys.sort_unstable();
                admitted.push(&keys)?;
                Ok(ControlFlow::Continue(()))
            },
        )?;
        admitted.close()?;
        let none = admitted.len() == 0;
        let losses =
            search.axes.iter().zip(&levels).map(|(axis, level)| axis.loss(*level)).collect();
        Ok(Solution {
            labels: self.labels,
            levels,
            losses,
            admitted,
            k: if none { 0 } else { reached },
            l: (l > 0).then_some(if none { 0 } else { diverse }),
            records,
            suppressed,
        })
    }
}

#[cfg(test)]
mod tests;
