//! Replaying a log: the tree that its entries make, and what the contract makes of them.

use std::collections::BTreeMap;

use datapact_core::contract::{Value, keys};
use datapact_core::id::Timestamp;

use crate::Position;
use crate::consistency;
use crate::entry::{DISORDER_SECONDS_MAX, Entry, EntryFault};
use crate::proof::Proof;
use crate::tree::{Edge, Hash, TILE_WIDTH, TileId, leaf_hash};

/// A log as far as it was replayed, in memory: a hash for each entry, and the contract's state.
#[derive(Default)]
pub struct Replay {
    edge: Edge,
    full: BTreeMap<TileId, Vec<Hash>>,
    values: BTreeMap<String, Value>,
    time: Timestamp,
}

impl Replay {
    /// How many entries the tree has.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// The right edge of the tree.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The latest time of an entry.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Appends an entry to the tree, whatever it holds; its hash.
    pub fn append(&mut self, bytes: &[u8]) -> Hash {
        let leaf = leaf_hash(bytes);
        let full = &mut self.full;
        self.edge.push(leaf, |id, hashes| {
            full.insert(id, hashes);
        });
        leaf
    }

    /// Decides an entry again by the contract, after all those decided before.
    ///
    /// # Errors
    /// What is wrong with it; then nothing is changed.
    pub fn decide(&mut self, bytes: &[u8]) -> Result<Entry, EntryFault> {
        let entry = Entry::parse(bytes)?;
        let value = |key: String| self.values.get(&key).map(|value| (key.clone(), value.clone()));
        let values = keys(&entry.call).into_iter().filter_map(value).collect();
        // A mirror of a chain has entries a little out of order, and nothing here tells whether
        // the log is one.
        let earliest = self.time.saturating_sub(DISORDER_SECONDS_MAX);
        let outcome = entry.replay(earliest, &values)?;
        self.time = self.time.max(entry.time);
        self.values.extend(outcome.writes);
        Ok(entry)
    }

    /// The tiles of the tree, each with its hashes.
    pub fn tiles(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        let full = self.full.iter().map(|(id, hashes)| (*id, hashes.as_slice()));
        full.chain(self.edge.partial())
    }

    /// The hash of the entry at `position`; none behind the end.
    pub fn leaf(&self, position: Position) -> Option<Hash> {
        let id = TileId { level: 0, index: position / TILE_WIDTH as u64 };
        self.tile(id)?.get((position % TILE_WIDTH as u64) as usize).copied()
    }

    /// The hashes of a tile.
    fn tile(&self, id: TileId) -> Option<&[Hash]> {
        match self.full.get(&id) {
            Some(hashes) => Some(hashes),
            None => self.edge.partial().find(|(at, _)| *at == id).map(|(_, hashes)| hashes),
        }
    }

    /// The proof of `position` under `checkpoint`, of `size` entries. None if the tree has fewer,
    /// or the checkpoint does not cover the position.
    pub fn proof(&self, position: Position, size: u64, checkpoint: String) -> Option<Proof> {
        if size > self.size() {
            return None;
        }
        let mut tiles = BTreeMap::new();
        for id in Proof::tiles(position, size)? {
            // A partial tile of a smaller tree is the beginning of a larger tree's.
            tiles.insert(id, self.tile(id)?.to_vec());
        }
        Proof::from_tiles(position, size, &tiles, checkpoint)
    }

    /// The root of the first `size` entries; none if the tree has fewer.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        let known = size <= self.size();
        known.then(|| consistency::root_at(size, &mut |id| Some(self.tile(id)?.to_vec())))?
    }

    /// The proof that the tree of the first `size` entries continues that of the first `old`; none
    /// if this tree has fewer.
    pub fn consistency(&self, old: u64, size: u64) -> Option<Vec<Hash>> {
        let known = size <= self.size();
        known.then(|| consistency::prove(old, size, &mut |id| Some(self.tile(id)?.to_vec())))?
    }
}
