//! Logs that show what no honest ledger would, and the keys that sign them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datapact_log::entry::bundle;
use datapact_log::note::{KeyKind, SigningKey};
use datapact_log::path::Resource;
use datapact_log::source::{LogSource, SourceError};
use datapact_log::tree::{Edge, TILE_WIDTH, leaf_hash};

/// A key from a seed byte, for a log or a witness.
pub fn signing_key(seed: u8, name: &str, kind: KeyKind) -> SigningKey {
    let text = SigningKey::text(&[seed; 32], name, kind).expect("the name is plain");
    SigningKey::parse(&text).expect("the text is a key")
}

/// A log that holds and signs whatever a test wants: what a corrupt management could show.
pub struct MemoryLog {
    key: SigningKey,
    state: Mutex<MemoryState>,
}

#[derive(Default)]
struct MemoryState {
    entries: Vec<Vec<u8>>,
    altered: BTreeMap<String, Option<Vec<u8>>>,
}

impl MemoryLog {
    /// An empty log that `key` signs.
    pub fn new(key: SigningKey) -> Self {
        Self { key, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the entries as a log may not.
    pub fn edit(&self, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
        edit(&mut self.state().entries);
    }

    /// Serves `bytes`, or nothing, at `path` instead of what belongs there.
    pub fn alter(&self, path: &str, bytes: Option<Vec<u8>>) {
        self.state().altered.insert(path.to_owned(), bytes);
    }

    /// Serves what belongs there again.
    pub fn restore(&self) {
        self.state().altered.clear();
    }

    /// The checkpoint of the present entries.
    pub fn checkpoint(&self) -> String {
        let mut edge = Edge::default();
        self.state().entries.iter().for_each(|entry| edge.push(leaf_hash(entry), |_, _| {}));
        self.key.checkpoint(edge.size(), &edge.root())
    }

    fn resource(&self, path: &str) -> Option<Vec<u8>> {
        let resource = Resource::parse(path)?;
        if resource == Resource::Checkpoint {
            return Some(self.checkpoint().into_bytes());
        }
        let state = self.state();
        match resource {
            Resource::Entries(index, width) => {
                let first = index as usize * TILE_WIDTH;
                Some(bundle(state.entries.get(first..first + width)?))
            }
            Resource::Tile(id, width) => {
                let mut edge = Edge::default();
                let mut tiles = BTreeMap::new();
                for entry in &state.entries {
                    edge.push(leaf_hash(entry), |id, hashes| {
                        tiles.insert(id, hashes);
                    });
                }
                tiles.extend(edge.partial().map(|(id, hashes)| (id, hashes.to_vec())));
                Some(tiles.get(&id)?.get(..width)?.concat())
            }
            Resource::Checkpoint | Resource::Cosigned => None,
        }
    }
}

#[async_trait]
impl LogSource for MemoryLog {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let altered = self.state().altered.get(path).cloned();
        Ok(altered.unwrap_or_else(|| self.resource(path)))
    }

    async fn wait_newer(&self, _size: u64, _timeout: Duration) -> Result<(), SourceError> {
        Ok(())
    }
}
