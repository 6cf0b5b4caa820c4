//! k-anonymity: how coarse quasi-identifiers must become, and which records must be left out, so that every record
//! is like at least k - 1 others.
//!
//! All values of a column get the same level (full-domain generalization), and records whose class stays too small
//! are suppressed. The classes are counted in one pass; if they outgrow the memory bound, the column with most
//! values is made coarser there and then, so that nothing is ever spilled.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use crate::error::{Error, Result};
use crate::rules::KAnonymity;
use crate::table::Field;
use crate::transform::coarse::Scale;

/// How much memory classes and values may take, in bytes, estimated.
const MEMORY_BYTES: usize = 32 << 20;
/// How many class looks the exhaustive search may take.
const LOOKS_MAX: usize = 40_000_000;
/// The most combinations of levels that are tried exhaustively.
const NODES_MAX: usize = 4096;

/// Counts the classes of records.
pub(crate) struct Survey<'a> {
    rule: &'a KAnonymity,
    axes: Vec<Axis<'a>>,
    classes: HashMap<Box<[u32]>, Class>,
    bytes: usize,
    memory: usize,
    hasher: RandomState,
    scratch: Vec<u8>,
}

/// One quasi-identifier.
struct Axis<'a> {
    scale: &'a Scale,
    /// The level at which it is counted.
    base: usize,
    codes: HashMap<Box<[u8]>, u32>,
    /// A value of each code; what it becomes at higher levels, all values of the code become.
    values: Vec<Box<[u8]>>,
}

#[derive(Clone, Default)]
struct Class {
    records: u64,
    /// Hashes of different sensitive values, at most l.
    sensitive: Vec<u64>,
}

impl Class {
    fn see(&mut self, hash: u64, l: usize) {
        if self.sensitive.len() < l && !self.sensitive.contains(&hash) {
            self.sensitive.push(hash);
        }
    }
}

/// What was decided.
pub(crate) struct Solution {
    /// The level of each quasi-identifier.
    pub(crate) levels: Vec<usize>,
    /// How much of each quasi-identifier's information that costs, 0 to 1.
    pub(crate) losses: Vec<f64>,
    /// The classes that are large and diverse enough.
    classes: HashSet<Box<[u8]>>,
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
        self.classes.len() as u64
    }

    /// Whether a record with this [`class_key`] may stay.
    pub(crate) fn admits(&self, class: &[u8]) -> bool {
        self.classes.contains(class)
    }
}

/// Appends one quasi-identifier of a record to the key of its class.
pub(crate) fn class_key(label: &[u8], key: &mut Vec<u8>) {
    key.extend_from_slice(&(label.len() as u64).to_le_bytes());
    key.extend_from_slice(label);
}

/// Appends what becomes of a value; nothing if there is none or it is not of the scale's kind.
pub(crate) fn label(scale: &Scale, level: usize, value: &[u8], out: &mut Vec<u8>) {
    if level >= scale.top() || !value.is_empty() {
        let begin = out.len();
        if !scale.write(level, value, out) {
            out.truncate(begin);
        }
    }
}

impl<'a> Survey<'a> {
    pub(crate) fn new(rule: &'a KAnonymity, scales: Vec<&'a Scale>) -> Self {
        let axes = scales
            .into_iter()
            .map(|scale| Axis { scale, base: 0, codes: HashMap::new(), values: Vec::new() })
            .collect();
        Self {
            rule,
            axes,
            classes: HashMap::new(),
            bytes: 0,
            memory: MEMORY_BYTES,
            hasher: RandomState::new(),
            scratch: Vec::new(),
        }
    }

    fn l(&self) -> usize {
        self.rule.diversity.as_ref().map_or(0, |(l, _)| *l as usize)
    }

    /// Counts a record: its quasi-identifiers in order, and its sensitive value.
    pub(crate) fn add<'f>(&mut self, fields: impl Iterator<Item = Field<'f>>, sensitive: &[u8]) {
        let mut codes = Vec::with_capacity(self.axes.len());
        for (axis, field) in self.axes.iter_mut().zip(fields) {
            let (code, bytes) = axis.code(field.bytes, &mut self.scratch);
            codes.push(code);
            self.bytes += bytes;
        }
        let (hash, l) = (self.hasher.hash_one(sensitive), self.l());
        let class_bytes = 144 + 4 * self.axes.len() + 8 * l;
        let class = self.classes.entry(codes.into_boxed_slice()).or_insert_with(|| {
            self.bytes += class_bytes;
            Class::default()
        });
        class.records += 1;
        class.see(hash, l);
        while self.bytes > self.memory && self.coarsen() {}
    }

    /// Makes the column with most values coarser; false if none can be.
    fn coarsen(&mut self) -> bool {
        let most = (0..self.axes.len())
            .filter(|index| self.axes.get(*index).is_some_and(|axis| axis.base < axis.scale.top()))
            .max_by_key(|index| self.axes.get(*index).map_or(0, |axis| axis.values.len()));
        let Some((index, axis)) = most.and_then(|index| Some((index, self.axes.get_mut(index)?))) else {
            return false;
        };
        let (scale, base) = (axis.scale, axis.base + 1);
        let mut coarser = Axis { scale, base, codes: HashMap::new(), values: Vec::new() };
        let new_codes: Vec<u32> =
            axis.values.iter().map(|value| coarser.code(value, &mut self.scratch).0).collect();
        *axis = coarser;
        let l = self.l();
        let mut classes: HashMap<Box<[u32]>, Class> = HashMap::new();
        for (mut codes, class) in std::mem::take(&mut self.classes) {
            if let Some(code) = codes.get_mut(index) {
                *code = new_codes.get(*code as usize).copied().unwrap_or_default();
            }
            let merged = classes.entry(codes).or_default();
            merged.records += class.records;
            class.sensitive.into_iter().for_each(|hash| merged.see(hash, l));
        }
        self.classes = classes;
        let values: usize =
            self.axes.iter().flat_map(|axis| &axis.values).map(|value| value_bytes(value)).sum();
        self.bytes = values + self.classes.len() * (144 + 4 * self.axes.len() + 8 * l);
        true
    }

    /// Finds the levels that cost least and leave out no more records than allowed.
    pub(crate) fn solve(mut self) -> Result<Solution> {
        let records: u64 = self.classes.values().map(|class| class.records).sum();
        let l = self.l();
        // Class keys are packed into 128 bits.
        while self.axes.iter().map(|axis| bits(axis.values.len())).sum::<u32>() > 128 && self.coarsen() {}
        let axes: Vec<Ladder> = self.ladders();
        let search = Search { classes: &self.classes, axes: &axes, k: self.rule.k, l };
        let allowed = (self.rule.suppress_max * records as f64) as u64;
        let levels = search.cheapest(allowed).ok_or_else(|| {
            let detail = match l {
                0 => format!("{}-anonymity cannot be reached with {records} records", self.rule.k),
                _ => format!("{}-anonymity with {l}-diversity cannot be reached", self.rule.k),
            };
            Error::mismatch(detail, "lower `k` or `l`, or raise `suppress-max`")
        })?;
        let merged = search.merged(&levels);
        let mut solution = Solution {
            losses: axes.iter().zip(&levels).map(|(axis, level)| axis.loss(*level)).collect(),
            levels: axes.iter().zip(&levels).map(|(axis, level)| axis.base + level).collect(),
            classes: HashSet::new(),
            k: u64::MAX,
            l: (l > 0).then_some(u64::MAX),
            records,
            suppressed: 0,
        };
        for class in merged.values() {
            if !search.fits(class) {
                solution.suppressed += class.records;
            } else {
                solution.k = solution.k.min(class.records);
                solution.l = solution.l.map(|l| l.min(class.sensitive.len() as u64));
            }
        }
        for codes in self.classes.keys() {
            let packed = search.pack(codes, &levels);
            if merged.get(&packed).is_none_or(|class| !search.fits(class)) {
                continue;
            }
            let mut key = Vec::new();
            for ((axis, code), level) in self.axes.iter().zip(codes).zip(&solution.levels) {
                let value = axis.values.get(*code as usize).map(|value| &**value).unwrap_or_default();
                self.scratch.clear();
                label(axis.scale, *level, value, &mut self.scratch);
                class_key(&self.scratch, &mut key);
            }
            solution.classes.insert(key.into_boxed_slice());
        }
        if solution.classes.is_empty() {
            solution.k = 0;
            solution.l = solution.l.map(|_| 0);
        }
        Ok(solution)
    }

    fn ladders(&self) -> Vec<Ladder> {
        let mut ladders = Vec::with_capacity(self.axes.len());
        for (index, axis) in self.axes.iter().enumerate() {
            let mut weights = vec![0_u64; axis.values.len()];
            for (codes, class) in &self.classes {
                let weight = codes.get(index).and_then(|code| weights.get_mut(*code as usize));
                if let Some(weight) = weight {
                    *weight += class.records;
                }
            }
            let steps = (axis.base..=axis.scale.top()).map(|level| {
                let mut coarser =
                    Axis { scale: axis.scale, base: level, codes: HashMap::new(), values: Vec::new() };
                let mut scratch = Vec::new();
                let codes: Vec<u32> =
                    axis.values.iter().map(|value| coarser.code(value, &mut scratch).0).collect();
                let mut merged = vec![0_u64; coarser.values.len()];
                for (code, weight) in codes.iter().zip(&weights) {
                    if let Some(merged) = merged.get_mut(*code as usize) {
                        *merged += weight;
                    }
                }
                Step { codes, count: coarser.values.len(), entropy: entropy(&merged) }
            });
            ladders.push(Ladder { base: axis.base, steps: steps.collect() });
        }
        ladders
    }
}

impl Axis<'_> {
    /// The code of a value at the base level, and how many bytes a new one takes.
    fn code(&mut self, value: &[u8], scratch: &mut Vec<u8>) -> (u32, usize) {
        scratch.clear();
        label(self.scale, self.base, value, scratch);
        if let Some(code) = self.codes.get(scratch.as_slice()) {
            return (*code, 0);
        }
        let code = self.values.len() as u32;
        // An unreadable value is kept as none: it must not become readable at another level.
        let kept: &[u8] = if scratch.is_empty() { &[] } else { value };
        self.values.push(Box::from(kept));
        self.codes.insert(Box::from(scratch.as_slice()), code);
        (code, value_bytes(kept))
    }
}

/// About what a value costs: itself, its label, and their places.
fn value_bytes(value: &[u8]) -> usize {
    2 * value.len() + 112
}

fn bits(count: usize) -> u32 {
    usize::BITS - count.leading_zeros()
}

fn entropy(weights: &[u64]) -> f64 {
    let total: u64 = weights.iter().sum();
    let share = |weight: &u64| *weight as f64 / total.max(1) as f64;
    weights.iter().filter(|weight| **weight > 0).map(|weight| -share(weight) * share(weight).log2()).sum()
}

/// One quasi-identifier's levels from its base up.
struct Ladder {
    base: usize,
    steps: Vec<Step>,
}

struct Step {
    /// The code at this level of each code of the base level.
    codes: Vec<u32>,
    count: usize,
    entropy: f64,
}

impl Ladder {
    /// The share of the base level's entropy that is lost.
    fn loss(&self, level: usize) -> f64 {
        let entropy = |level| self.steps.get(level).map_or(0.0, |step: &Step| step.entropy);
        if entropy(0) > 0.0 { (1.0 - entropy(level) / entropy(0)).clamp(0.0, 1.0) } else { 0.0 }
    }
}

struct Search<'a> {
    classes: &'a HashMap<Box<[u32]>, Class>,
    axes: &'a [Ladder],
    k: u64,
    l: usize,
}

impl Search<'_> {
    fn fits(&self, class: &Class) -> bool {
        class.records >= self.k && class.sensitive.len() >= self.l
    }

    fn pack(&self, codes: &[u32], levels: &[usize]) -> u128 {
        let mut packed = 0;
        for ((axis, code), level) in self.axes.iter().zip(codes).zip(levels) {
            let Some(step) = axis.steps.get(*level) else { continue };
            let code = step.codes.get(*code as usize).copied().unwrap_or_default();
            packed = packed << bits(step.count) | u128::from(code);
        }
        packed
    }

    fn merged(&self, levels: &[usize]) -> HashMap<u128, Class> {
        let mut merged: HashMap<u128, Class> = HashMap::new();
        for (codes, class) in self.classes {
            let into = merged.entry(self.pack(codes, levels)).or_default();
            into.records += class.records;
            class.sensitive.iter().for_each(|hash| into.see(*hash, self.l));
        }
        merged
    }

    /// How many records would have to be left out.
    fn suppressed(&self, levels: &[usize]) -> u64 {
        self.merged(levels).values().filter(|class| !self.fits(class)).map(|class| class.records).sum()
    }

    fn loss(&self, levels: &[usize]) -> f64 {
        self.axes.iter().zip(levels).map(|(axis, level)| axis.loss(*level)).sum()
    }

    /// The levels of least loss: by trying all in the order of their loss, or, where that is too much, step by step.
    fn cheapest(&self, allowed: u64) -> Option<Vec<usize>> {
        let nodes = self.axes.iter().try_fold(1_usize, |nodes, axis| nodes.checked_mul(axis.steps.len()));
        match nodes
            .filter(|nodes| *nodes <= NODES_MAX && nodes.saturating_mul(self.classes.len()) <= LOOKS_MAX)
        {
            Some(nodes) => self.exhaustively(nodes, allowed),
            None => self.greedily(allowed),
        }
    }

    fn exhaustively(&self, nodes: usize, allowed: u64) -> Option<Vec<usize>> {
        let mut all: Vec<(f64, Vec<usize>)> = (0..nodes)
            .map(|mut node| {
                let levels: Vec<usize> = self
                    .axes
                    .iter()
                    .map(|axis| {
                        let level = node % axis.steps.len();
                        node /= axis.steps.len();
                        level
                    })
                    .collect();
                (self.loss(&levels), levels)
            })
            .collect();
        all.sort_by(|(a, a_levels), (b, b_levels)| {
            let sum = |levels: &[usize]| levels.iter().sum::<usize>();
            a.total_cmp(b).then_with(|| sum(a_levels).cmp(&sum(b_levels)))
        });
        all.into_iter().map(|(_, levels)| levels).find(|levels| self.suppressed(levels) <= allowed)
    }

    fn greedily(&self, allowed: u64) -> Option<Vec<usize>> {
        let mut levels = vec![0; self.axes.len()];
        let mut suppressed = self.suppressed(&levels);
        while suppressed > allowed {
            let raised = (0..levels.len()).filter_map(|index| {
                let mut raised = levels.clone();
                *raised.get_mut(index)? += 1;
                (*raised.get(index)? < self.axes.get(index)?.steps.len()).then_some(raised)
            });
            let rate = |candidate: &[usize], left: u64| {
                let cost = self.loss(candidate) - self.loss(&levels);
                (suppressed - left.min(suppressed)) as f64 / cost.max(1e-9)
            };
            let tried = raised.map(|levels| (self.suppressed(&levels), levels));
            let best =
                tried.max_by(|(a_left, a), (b_left, b)| rate(a, *a_left).total_cmp(&rate(b, *b_left)))?;
            (suppressed, levels) = best;
        }
        // Some early steps may not be needed any more.
        for index in 0..levels.len() {
            while let Some(lower) = levels.get(index).and_then(|level| level.checked_sub(1)) {
                let mut lowered = levels.clone();
                if let Some(level) = lowered.get_mut(index) {
                    *level = lower;
                }
                if self.suppressed(&lowered) > allowed {
                    break;
                }
                levels = lowered;
            }
        }
        Some(levels)
    }
}

#[cfg(test)]
#[path = "anonymity_tests.rs"]
mod tests;
