//! Which levels cost least: by trying all in the order of their loss, or, where that is too much,
//! step by step.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::Labels;
use super::classes::{Classes, Sum};
use crate::error::Result;

/// How many class looks the exhaustive search may take.
const LOOKS_MAX: usize = 40_000_000;
/// The most combinations of levels that are tried exhaustively.
const NODES_MAX: usize = 4096;

/// One quasi-identifier.
pub(super) struct Axis {
    /// Where its labels are among those of a class, the first being that of the exact value.
    begin: usize,
    /// The share of the entropy of exact values that is lost at each level.
    losses: Vec<f64>,
}

impl Axis {
    pub(super) fn new(classes: &Classes, begin: usize, top: usize) -> Result<Self> {
        let mut entropies = (begin..begin + top)
            .map(|place| entropy(classes, |labels| labels.get(place).copied().unwrap_or(0)))
            .collect::<Result<Vec<f64>>>()?;
        // All values are `*`.
        entropies.push(0.0);
        let exact = entropies.first().copied().unwrap_or(0.0);
        let loss =
            |entropy: f64| if exact > 0.0 { (1.0 - entropy / exact).clamp(0.0, 1.0) } else { 0.0 };
        Ok(Self { begin, losses: entropies.into_iter().map(loss).collect() })
    }

    /// How many levels it has, with `*`.
    pub(super) fn levels(&self) -> usize {
        self.losses.len()
    }

    pub(super) fn loss(&self, level: usize) -> f64 {
        self.losses.get(level).copied().unwrap_or(0.0)
    }
}

/// The entropy of labels over all records.
fn entropy(classes: &Classes, label: impl Fn(&[u64]) -> u64) -> Result<f64> {
    // In the order of weights, so that it does not depend on the order of what is counted.
    let mut weights = BTreeMap::<u64, u64>::new();
    classes.fold(
        |labels| u128::from(label(labels)) << 64 | u128::from(label(labels)),
        |sums| {
            sums.values().for_each(|sum| *weights.entry(sum.records).or_default() += 1);
            Ok(ControlFlow::Continue(()))
        },
    )?;
    let share = |weight: u64| weight as f64 / classes.records().max(1) as f64;
    Ok(weights
        .into_iter()
        .map(|(weight, count)| -(count as f64) * share(weight) * share(weight).log2())
        .sum())
}

/// Looks for levels.
pub(super) struct Search<'a> {
    pub(super) classes: &'a Classes,
    pub(super) labels: &'a Labels,
    pub(super) axes: Vec<Axis>,
    pub(super) k: u64,
}

impl Search<'_> {
    /// The key of the class at these levels that holds the one with these labels.
    pub(super) fn key(&self, labels: &[u64], levels: &[usize]) -> u128 {
        self.labels.class(self.axes.iter().zip(levels).map(|(axis, level)| {
            let exists = level + 1 < axis.levels();
            labels.get(axis.begin + level).copied().filter(|_| exists).unwrap_or(0)
        }))
    }

    /// Whether a class is large and diverse enough.
    pub(super) fn fits(&self, sum: &Sum) -> bool {
        sum.records >= self.k && sum.different() >= self.classes.l()
    }

    /// How many records would have to be left out; some number above `limit` if they are more.
    pub(super) fn suppressed(&self, levels: &[usize], limit: u64) -> Result<u64> {
        let mut suppressed = 0;
        self.classes.fold(
            |labels| self.key(labels, levels),
            |sums| {
                suppressed +=
                    sums.values().filter(|sum| !self.fits(sum)).map(|sum| sum.records).sum::<u64>();
                Ok(if suppressed > limit {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            },
        )?;
        Ok(suppressed)
    }

    pub(super) fn loss(&self, levels: &[usize]) -> f64 {
        self.axes.iter().zip(levels).map(|(axis, level)| axis.loss(*level)).sum()
    }

    /// How many combinations of levels there are; none if too many to count.
    pub(super) fn nodes(&self) -> Option<usize> {
        self.axes.iter().try_fold(1_usize, |nodes, axis| nodes.checked_mul(axis.levels()))
    }

    /// The levels of least loss that leave out no more records than allowed.
    pub(super) fn cheapest(&self, allowed: u64) -> Result<Option<Vec<usize>>> {
        let mut classes = 0_usize;
        self.classes.fold(
            |labels| self.key(labels, &vec![0; self.axes.len()]),
            |sums| {
                classes += sums.len();
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let few = |nodes: &usize| *nodes <= NODES_MAX && nodes.saturating_mul(classes) <= LOOKS_MAX;
        match self.nodes().filter(few) {
            Some(nodes) => self.exhaustively(nodes, allowed),
            None => self.greedily(allowed),
        }
    }

    pub(super) fn exhaustively(&self, nodes: usize, allowed: u64) -> Result<Option<Vec<usize>>> {
        let mut all: Vec<(f64, Vec<usize>)> = (0..nodes)
            .map(|mut node| {
                let levels: Vec<usize> = self
                    .axes
                    .iter()
                    .map(|axis| {
                        let level = node % axis.levels();
                        node /= axis.levels();
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
        for (_, levels) in all {
            if self.suppressed(&levels, allowed)? <= allowed {
                return Ok(Some(levels));
            }
        }
        Ok(None)
    }

    pub(super) fn greedily(&self, allowed: u64) -> Result<Option<Vec<usize>>> {
        let mut levels = vec![0; self.axes.len()];
        let mut suppressed = self.suppressed(&levels, u64::MAX)?;
        while suppressed > allowed {
            let mut best: Option<(f64, u64, Vec<usize>)> = None;
            for (index, axis) in self.axes.iter().enumerate() {
                let mut raised = levels.clone();
                let Some(level) = raised.get_mut(index).filter(|level| **level + 1 < axis.levels())
                else {
                    continue;
                };
                *level += 1;
                let left = self.suppressed(&raised, u64::MAX)?;
                let cost = self.loss(&raised) - self.loss(&levels);
                let rate = suppressed.saturating_sub(left) as f64 / cost.max(1e-9);
                if best.as_ref().is_none_or(|(best, ..)| rate >= *best) {
                    best = Some((rate, left, raised));
                }
            }
            let Some((_, left, raised)) = best else { return Ok(None) };
            (suppressed, levels) = (left, raised);
        }
        // Some early steps may not be needed any more.
        for index in 0..levels.len() {
            while let Some(lower) = levels.get(index).and_then(|level| level.checked_sub(1)) {
                let mut lowered = levels.clone();
                if let Some(level) = lowered.get_mut(index) {
                    *level = lower;
                }
                if self.suppressed(&lowered, allowed)? > allowed {
                    break;
                }
                levels = lowered;
            }
        }
        Ok(Some(levels))
    }
}
