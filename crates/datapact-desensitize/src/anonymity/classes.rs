//! The classes of exact quasi-identifiers: in memory as long as they fit, then in encrypted blocks.
//!
//! What is spilled is not sorted, and a class may be there several times: adding up classes
//! that became alike adds these up, too.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::ControlFlow;

use crate::error::Result;
use crate::spill::{BLOCK_BYTES, Spill};

/// Classes, or sums of classes, by their keys: these are spread evenly, and need no hash of their
/// own.
type ByKey<T> = HashMap<u128, T, BuildHasherDefault<Lower>>;

/// Sums of classes.
pub(super) type Sums = ByKey<Sum>;

/// The lower half of a key: what a range of keys has in common is in the upper.
#[derive(Default)]
pub(super) struct Lower(u64);

impl Hasher for Lower {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// How many records are alike, and how different their sensitive values are.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) records: u64,
    /// Hashes of different sensitive values, at most l; none if they do not matter.
    #[expect(clippy::box_collection, reason = "most sums have none, and there are very many")]
    sensitive: Option<Box<Vec<u64>>>,
}

impl Sum {
    pub(super) fn different(&self) -> usize {
        self.sensitive.as_ref().map_or(0, |hashes| hashes.len())
    }

    fn see(&mut self, hash: u64, l: usize) {
        let hashes = self.sensitive.get_or_insert_default();
        if hashes.len() < l && !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }

    fn sensitive(&self) -> &[u64] {
        self.sensitive.as_deref().map(Vec::as_slice).unwrap_or_default()
    }
}

/// A class as it is counted.
struct Class {
    labels: Box<[u64]>,
    sum: Sum,
}

/// The classes.
pub(super) struct Classes {
    /// How many labels a class has: one for each column and level.
    width: usize,
    l: usize,
    fresh: ByKey<Class>,
    /// How many classes, and how many sums of them, fit into memory.
    fresh_max: usize,
    sums_max: usize,
    spill: Option<Spill>,
    records: u64,
}

impl Classes {
    pub(super) fn new(width: usize, l: usize, memory: usize) -> Self {
        // A place of the table, which is not always full, and what is allocated for it.
        let sum = 80 + if l > 0 { 48 + 8 * l } else { 0 };
        let class = sum + 48 + 8 * width;
        let max = |bytes: usize| (memory / bytes).max(1);
        let (fresh_max, sums_max) = (max(class), max(sum));
        Self { width, l, fresh: ByKey::default(), fresh_max, sums_max, spill: None, records: 0 }
    }

    /// How many different sensitive values count.
    pub(super) fn l(&self) -> usize {
        self.l
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    #[cfg(test)]
    pub(super) fn is_spilled(&self) -> bool {
        self.spill.is_some()
    }

    /// Counts a record of the class with this key; `labels` are made if it is a new one.
    pub(super) fn add(
        &mut self,
        key: u128,
        sensitive: u64,
        labels: impl FnOnce() -> Box<[u64]>,
    ) -> Result<()> {
        self.records += 1;
        let new = || Class { labels: labels(), sum: Sum::default() };
        let class = self.fresh.entry(key).or_insert_with(new);
        class.sum.records += 1;
        if self.l > 0 {
            class.sum.see(sensitive, self.l);
        }
        if self.fresh.len() > self.fresh_max { self.write() } else { Ok(()) }
    }

    /// All records were counted.
    pub(super) fn close(&mut self) -> Result<()> {
        if self.spill.is_some() {
            self.write()?;
            self.fresh = ByKey::default();
        }
        Ok(())
    }

    /// The words of a class: its labels, how many records it has, how many sensitive values, and
    /// room for these.
    fn words(&self) -> usize {
        self.width + 1 + if self.l > 0 { 1 + self.l } else { 0 }
    }

    fn write(&mut self) -> Result<()> {
        let words = self.words();
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill::create()?),
        };
        let mut block = Vec::with_capacity(BLOCK_BYTES + 8 * words + 16);
        for (_, Class { labels, sum }) in self.fresh.drain() {
            let mut put = |word: u64| block.extend_from_slice(&word.to_le_bytes());
            labels.iter().copied().for_each(&mut put);
            put(sum.records);
            if self.l > 0 {
                put(sum.different() as u64);
                sum.sensitive().iter().copied().for_each(&mut put);
                (sum.different()..self.l).for_each(|_| put(0));
            }
            if block.len() >= BLOCK_BYTES {
                spill.append(&mut block)?;
            }
        }
        spill.append(&mut block)
    }

    /// Labels, records and sensitive values of all classes.
    fn for_each<F: FnMut(&[u64], u64, &[u64])>(&self, mut visit: F) -> Result<()> {
        for Class { labels, sum } in self.fresh.values() {
            visit(labels, sum.records, sum.sensitive());
        }
        let Some(spill) = &self.spill else { return Ok(()) };
        let (mut block, mut words) = (Vec::new(), Vec::new());
        for index in 0..spill.len() {
            spill.read(index, &mut block)?;
            words.clear();
            words.extend(block.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)));
            for class in words.chunks_exact(self.words()) {
                let (labels, rest) = class.split_at(self.width);
                let (records, sensitive) = rest.split_first().unwrap_or((&0, &[]));
                let sensitive = match sensitive.split_first() {
                    Some((count, hashes)) => hashes.get(..*count as usize).unwrap_or_default(),
                    None => &[],
                };
                visit(labels, *records, sensitive);
            }
        }
        Ok(())
    }

    /// Adds up the classes whose labels have the same key, and hands over the sums, as many at once
    /// as fit into memory: in the order of keys from one time to the next.
    pub(super) fn fold(
        &self,
        key: impl Fn(&[u64]) -> u128,
        mut take: impl FnMut(Sums) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut ranges = vec![(0, u128::MAX)];
        while let Some((low, mut high)) = ranges.pop() {
            let mut sums = Sums::default();
            self.for_each(|labels, records, sensitive| {
                let key = key(labels);
                if key < low || key > high {
                    return;
                }
                let sum = sums.entry(key).or_default();
                sum.records += records;
                sensitive.iter().for_each(|hash| sum.see(*hash, self.l));
                // What does not fit is for the next time.
                while sums.len() > self.sums_max && low < high {
                    let middle = low + (high - low) / 2;
                    sums.retain(|key, _| *key <= middle);
                    ranges.push((middle + 1, high));
                    high = middle;
                }
            })?;
            if take(sums)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
