//! What a transaction appends: entries, and all that follows from them.

use std::collections::{BTreeMap, BTreeSet};

use datapact_core::contract::{
    Call, Outcome, Receipt, ShareRecord, Value, Values, access_key, share_key, usage_key,
};
use datapact_core::id::Timestamp;
use datapact_log::Position;
use datapact_log::tree::{Edge, Hash, TileId, leaf_hash};
use datapact_store::{Db, StoreError, Tx, json, number, text};

/// The key under which a call's record is found again.
fn record_key(call: &Call) -> String {
    match call {
        Call::SetPolicy(set) => share_key(&set.share),
        Call::RequestAccess(request) => access_key(&request.request),
        Call::RecordUsage(usage) => usage_key(&usage.report),
    }
}

/// The contract state that a batch of calls may touch, with what the batch has written so far.
#[derive(Default)]
pub(crate) struct Overlay {
    values: BTreeMap<String, (Value, Position)>,
    written: BTreeSet<String>,
}

impl Overlay {
    pub(crate) fn load(
        db: &Db,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<Self, StoreError> {
        let keys: BTreeSet<String> = keys.into_iter().collect();
        let sql = "SELECT key, value, position FROM ledger_state WHERE key IN";
        let mut overlay = Self::default();
        for row in db.rows_of(sql, keys.into_iter().map(Into::into))? {
            overlay.values.insert(row.text(0)?, (row.json(1)?, row.number(2)?));
        }
        Ok(overlay)
    }

    /// What it holds of `keys`.
    pub(super) fn part(&self, keys: Vec<String>) -> Self {
        let value = |key: String| {
            let value = self.values.get(&key)?.clone();
            Some((key, value))
        };
        Self { values: keys.into_iter().filter_map(value).collect(), written: BTreeSet::new() }
    }

    /// Takes the value of `key` out, and where it was written.
    pub(super) fn take(&mut self, key: &str) -> Option<(Value, Position)> {
        self.values.remove(key)
    }

    /// The values of `keys`, for [`datapact_core::contract::decide`].
    pub(crate) fn values(&self, keys: &[String]) -> Values {
        let value = |key: &String| Some((key.clone(), self.values.get(key)?.0.clone()));
        keys.iter().filter_map(value).collect()
    }

    /// The position of a call's record, if it is recorded.
    pub(crate) fn recorded(&self, call: &Call) -> Option<Position> {
        self.values.get(&record_key(call)).map(|(_, position)| *position)
    }

    fn apply(&mut self, writes: Values, position: Position) {
        for (key, value) in writes {
            self.written.insert(key.clone());
            self.values.insert(key, (value, position));
        }
    }
}

/// Entries to append, with all that follows from them.
pub(crate) struct Batch {
    pub(crate) edge: Edge,
    pub(crate) overlay: Overlay,
    entries: Vec<(Position, Timestamp, Vec<u8>, Receipt)>,
    tiles: BTreeMap<TileId, Vec<Hash>>,
}

impl Batch {
    pub(crate) fn new(edge: Edge, overlay: Overlay) -> Self {
        Self { edge, overlay, entries: Vec::new(), tiles: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends one entry and returns its position.
    pub(crate) fn push(&mut self, time: Timestamp, entry: Vec<u8>, outcome: Outcome) -> Position {
        let position = self.edge.size();
        self.edge.push(leaf_hash(&entry), |id, hashes| {
            self.tiles.insert(id, hashes);
        });
        self.overlay.apply(outcome.writes, position);
        self.entries.push((position, time, entry, outcome.receipt));
        position
    }

    /// Writes the batch; the edge goes on from there.
    pub(crate) fn write(mut self, tx: &Tx) -> Result<Edge, StoreError> {
        self.tiles.extend(self.edge.partial().map(|(id, hashes)| (id, hashes.to_vec())));
        let mut policies = Vec::new();
        let mut entries = Vec::with_capacity(self.entries.len());
        for (position, time, entry, receipt) in self.entries {
            if let Receipt::Policy(ShareRecord { policy, .. }) = &receipt {
                policies.push([text(policy.share), number(position)]);
            }
            entries.push([number(position), number(time), entry.into(), json(&receipt)?]);
        }
        tx.insert("ledger_entry (position, time, entry, receipt)", entries)?;
        tx.insert("ledger_policy (share, position)", policies)?;
        let mut state = Vec::with_capacity(self.overlay.written.len());
        for key in &self.overlay.written {
            if let Some((value, position)) = self.overlay.values.get(key) {
                state.push([text(key), json(value)?, number(*position)]);
            }
        }
        tx.insert_or(
            "ledger_state (key, value, position)",
            state,
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value, position = excluded.position",
        )?;
        let tile = |(id, hashes): (TileId, Vec<Hash>)| {
            [number(id.level.into()), number(id.index), hashes.concat().into()]
        };
        tx.insert_or(
            "ledger_tile (level, tile, hashes)",
            self.tiles.into_iter().map(tile).collect(),
            "ON CONFLICT (level, tile) DO UPDATE SET hashes = excluded.hashes",
        )?;
        Ok(self.edge)
    }
}
