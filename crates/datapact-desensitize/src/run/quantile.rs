//! Percentiles of a column's numbers, in bounded memory.

use crate::reservoir::{Reservoir, put};

/// How many numbers are kept; of more, a uniform sample. The standard error at the 99th percentile
/// is then 0.04 percentiles.
const VALUES_MAX: usize = 64 << 10;

/// Numbers from which percentiles are taken.
pub(crate) struct Quantiles {
    values: Vec<f64>,
    reservoir: Reservoir,
}

impl Default for Quantiles {
    fn default() -> Self {
        // The choice is the same each time, so that a dry run shows what a run does.
        let reservoir = Reservoir::new(VALUES_MAX, 0x9e37_79b9_7f4a_7c15);
        Self { values: Vec::new(), reservoir }
    }
}

impl Quantiles {
    /// Takes note of a number.
    pub(crate) fn add(&mut self, value: f64) {
        if let Some(place) = self.reservoir.place() {
            put(&mut self.values, place, value);
        }
    }

    /// The numbers in order.
    pub(crate) fn sorted(mut self) -> Sorted {
        self.values.sort_unstable_by(f64::total_cmp);
        Sorted(self.values)
    }
}

/// Numbers in order.
pub(crate) struct Sorted(Vec<f64>);

impl Sorted {
    /// The least number that is not below `percent` percent of all (the nearest rank); none
    /// without numbers.
    pub(crate) fn percentile(&self, percent: f64) -> Option<f64> {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut quantiles = Quantiles::default();
        (1..=200).rev().for_each(|value| quantiles.add(f64::from(value)));
        let sorted = quantiles.sorted();
        assert_eq!(
            [0.1, 1.0, 50.0, 99.0, 99.9].map(|p| sorted.percentile(p)),
            [1.0, 2.0, 100.0, 198.0, 200.0].map(Some)
        );
        assert_eq!(Quantiles::default().sorted().percentile(50.0), None);
    }

    #[test]
    fn a_sample_of_many_tells_nearly_the_same_in_bounded_memory() {
        let mut quantiles = Quantiles::default();
        (0..1_000_000).for_each(|value| quantiles.add(f64::from(value)));
        let sorted = quantiles.sorted();
        assert_eq!(sorted.0.len(), VALUES_MAX);
        // The choice is the same each time. Ten standard errors.
        for (percent, error) in [(1.0, 4000.0), (50.0, 20_000.0), (99.0, 4000.0)] {
            let found = sorted.percentile(percent).unwrap_or(f64::NAN);
            assert!((found - percent * 10_000.0).abs() < error, "{percent}: {found}");
        }
    }
}
