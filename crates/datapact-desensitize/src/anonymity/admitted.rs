//! The classes that may go out: sorted keys, in memory or in encrypted blocks with an index of them
//! in memory.

use crate::error::Result;
use crate::spill::Spill;

/// How many keys a block has: the whole of it is read for one.
const BLOCK_KEYS: usize = 256;

/// A set of keys.
pub(super) struct Admitted {
    /// Sorted: those of all classes, or those that do not fill a block yet.
    keys: Vec<u128>,
    keys_max: usize,
    /// The blocks, and the first key of each.
    spilled: Option<(Spill, Vec<u128>)>,
    block: Vec<u8>,
    count: u64,
}

impl Admitted {
    pub(super) fn new(memory: usize) -> Self {
        Self { keys: Vec::new(), keys_max: memory / 16, spilled: None, block: Vec::new(), count: 0 }
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }

    #[cfg(test)]
    pub(super) fn is_spilled(&self) -> bool {
        self.spilled.is_some()
    }

    /// Adds sorted keys, all of them above those before.
    pub(super) fn push(&mut self, keys: &[u128]) -> Result<()> {
        self.count += keys.len() as u64;
        self.keys.extend_from_slice(keys);
        if self.spilled.is_some() || self.keys.len() > self.keys_max {
            self.write(BLOCK_KEYS)
        } else {
            Ok(())
        }
    }

    /// No more come.
    pub(super) fn close(&mut self) -> Result<()> {
        if self.spilled.is_some() {
            self.write(1)?;
            self.keys = Vec::new();
        }
        Ok(())
    }

    /// Writes blocks, up to one with fewer than `least` keys.
    fn write(&mut self, least: usize) -> Result<()> {
        let (spill, index) = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert((Spill::create()?, Vec::new())),
        };
        let mut rest = 0;
        for keys in self.keys.chunks(BLOCK_KEYS) {
            if keys.len() < least {
                rest = keys.len();
                break;
            }
            index.extend(keys.first());
            keys.iter().for_each(|key| self.block.extend_from_slice(&key.to_le_bytes()));
            spill.append(&mut self.block)?;
        }
        self.keys.drain(..self.keys.len() - rest);
        Ok(())
    }

    /// Whether a key is one of them.
    pub(super) fn holds(&mut self, key: u128) -> Result<bool> {
        let Some((spill, index)) = &self.spilled else {
            return Ok(self.keys.binary_search(&key).is_ok());
        };
        let Some(block) = index.partition_point(|first| *first <= key).checked_sub(1) else {
            return Ok(false);
        };
        spill.read(block, &mut self.block)?;
        let keys = self.block.as_chunks().0;
        Ok(keys.binary_search_by_key(&key, |bytes| u128::from_le_bytes(*bytes)).is_ok())
    }
}
