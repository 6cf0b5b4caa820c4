//! A sample of a column's values from all over a table, in one pass and bounded memory.

use std::collections::HashSet;

use crate::detect::fold::plain;

/// How many values of a column are looked at, at most.
const VALUES_MAX: usize = 1000;
/// How many values of all columns are.
const VALUES_TOTAL: usize = 200_000;
/// How long a value that is looked at may be, in bytes; the rest of a longer one is not.
const VALUE_BYTES_MAX: usize = 4096;
/// How many bytes the samples of all columns may take.
const BYTES_TOTAL: usize = 48 << 20;
/// How many values with an `@` are kept beside the sample.
const MARKED_MAX: usize = 20;

/// Every value of the column had the same chance to be in it (algorithm L of Kim-Hung Li). The
/// choice is the same each time, so that a scan can be repeated.
pub(super) struct Sample {
    values: Vec<String>,
    /// Values with an `@`, which is rare enough to look for in all of them.
    marked: Vec<String>,
    /// How many values there were.
    pub(super) seen: u64,
    /// How many of them were nested (JSON).
    pub(super) nested: u64,
    /// How many were absent.
    pub(super) absent: u64,
    skip: u64,
    weight: f64,
    random: u64,
    most: usize,
    bytes_max: usize,
}

impl Sample {
    /// A sample of a column in a table of so many columns.
    pub(super) fn new(columns: usize, index: usize) -> Self {
        let columns = columns.max(1);
        let most = (VALUES_TOTAL / columns).clamp(20, VALUES_MAX);
        let random = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self {
            values: Vec::new(),
            marked: Vec::new(),
            seen: 0,
            nested: 0,
            absent: 0,
            skip: 0,
            weight: 1.0,
            random,
            most,
            bytes_max: (BYTES_TOTAL / columns / most).clamp(24, VALUE_BYTES_MAX),
        }
    }

    /// Takes note of the next value.
    pub(super) fn add(&mut self, value: &str) {
        self.seen += 1;
        if self.marked.len() < MARKED_MAX && memchr::memchr(b'@', value.as_bytes()).is_some() {
            self.marked.push(self.cut(value));
        }
        if self.values.len() < self.most {
            self.values.push(self.cut(value));
            if self.values.len() == self.most {
                self.draw();
            }
        } else if self.skip > 0 {
            self.skip -= 1;
        } else {
            let place = (self.next() * self.most as f64) as usize;
            let cut = self.cut(value);
            if let Some(old) = self.values.get_mut(place) {
                *old = cut;
            }
            self.draw();
        }
    }

    /// The values of the sample.
    pub(super) fn values(&self) -> &[String] {
        &self.values
    }

    /// Some of the values that have an `@`, whether or not the sample has one.
    pub(super) fn marked(&self) -> &[String] {
        &self.marked
    }

    /// How many of the sample's values differ.
    pub(super) fn distinct(&self) -> usize {
        self.values.iter().map(|value| plain(value)).collect::<HashSet<_>>().len()
    }

    /// Decides how many values are passed over before the next is taken.
    fn draw(&mut self) {
        self.weight *= (self.next().ln() / self.most as f64).exp();
        let skip = (self.next().ln() / (1.0 - self.weight).ln()).floor();
        self.skip = if skip.is_finite() { skip as u64 } else { u64::MAX };
    }

    /// A number above 0 and below 1 (xorshift64*).
    fn next(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn cut(&self, value: &str) -> String {
        let end = (0..=value.len().min(self.bytes_max))
            .rev()
            .find(|&at| value.is_char_boundary(at))
            .unwrap_or(0);
        value.get(..end).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn values_come_from_all_over_the_column() {
        let mut sample = Sample::new(1, 0);
        for number in 0..100_000 {
            sample.add(&number.to_string());
        }
        assert_eq!((sample.seen, sample.values().len()), (100_000, VALUES_MAX));
        let tenth = |tenth: usize| {
            sample
                .values()
                .iter()
                .filter(|value| value.parse::<usize>().unwrap() / 10_000 == tenth)
                .count()
        };
        // One tenth has 100 of 1000 on average, with a standard deviation of 9.5; the choice is
        // always the same.
        assert!(
            (0..10).all(|part| (60..140).contains(&tenth(part))),
            "{:?}",
            (0..10).map(tenth).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_rare_address_is_not_missed() {
        let mut sample = Sample::new(1, 0);
        for number in 0..50_000 {
            sample.add(if number == 31_234 { "a@b.example" } else { "x" });
        }
        assert_eq!(sample.marked(), ["a@b.example"]);
    }

    #[test]
    fn memory_is_bounded_whatever_the_table() {
        for columns in [1, 10, 1000, 100_000] {
            let sample = Sample::new(columns, 0);
            assert!(sample.most * sample.bytes_max * columns <= BYTES_TOTAL, "{columns}");
        }
        let mut sample = Sample::new(1, 0);
        sample.add(&"é".repeat(VALUE_BYTES_MAX));
        assert_eq!(sample.values().first().unwrap().len(), VALUE_BYTES_MAX);
    }
}
