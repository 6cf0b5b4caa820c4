//! The tables of a log: entries, tree, contract state and checkpoints. The embedded ledger and its
//! followers keep the same ones, so that a follower can prove and serve all that it has.

use datapact_log::proof::Proof;
use std::collections::{BTreeMap, BTreeSet};

use datapact_core::contract::{
    AccessRecord, Call, Counter, Outcome, Receipt, ShareRecord, Value, Values, access_key,
    counter_key, share_key, usage_key,
};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::port::{EVENTS_MAX, Event, Recorded};
use crate::store::{Group, Migration, Store, StoreError, padded, placeholders, statement};
use datapact_log::Position;
use datapact_log::path::Resource;
use datapact_log::tree::{Edge, Hash, TILE_WIDTH, TileId};

/// The tables of a log, for [`crate::store::Store::open`].
pub const MIGRATIONS: &[Migration] = &[
    Migration { module: "ledger", version: 1, statements: LOG },
    // The chain that the log is the mirror of, and its position behind the newest event mirrored.
    Migration {
        module: "ledger",
        version: 2,
        statements: &[
            "CREATE TABLE ledger_mirror (id BIGINT NOT NULL PRIMARY KEY, chain TEXT NOT NULL, next BIGINT NOT NULL)",
        ],
    },
];

const LOG: &[&str] = &[
    "CREATE TABLE ledger_entry (position BIGINT NOT NULL PRIMARY KEY, time BIGINT NOT NULL, \
     entry BYTEA NOT NULL, receipt TEXT NOT NULL)",
    "CREATE TABLE ledger_tile (level BIGINT NOT NULL, tile BIGINT NOT NULL, hashes BYTEA NOT NULL, \
     PRIMARY KEY (level, tile))",
    "CREATE TABLE ledger_state (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, position BIGINT NOT NULL)",
    "CREATE TABLE ledger_policy (share TEXT NOT NULL, position BIGINT NOT NULL, PRIMARY KEY (share, position))",
    "CREATE TABLE ledger_checkpoint (size BIGINT NOT NULL PRIMARY KEY, note TEXT NOT NULL)",
    "CREATE TABLE ledger_cosignature (size BIGINT NOT NULL REFERENCES ledger_checkpoint (size), \
     witness TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (size, witness))",
    "CREATE TABLE ledger_fault (id BIGINT NOT NULL PRIMARY KEY, position BIGINT, reason TEXT NOT NULL, \
     evidence TEXT NOT NULL)",
];

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
    pub(crate) async fn load(
        on: &impl ConnectionTrait,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<Self, StoreError> {
        let keys: Vec<String> = keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut overlay = Self::default();
        for chunk in keys.chunks(1024) {
            let chunk = padded(chunk.to_vec());
            let sql = format!(
                "SELECT key, value, position FROM ledger_state WHERE key IN {}",
                placeholders(on, 1, chunk.len())
            );
            for row in
                on.query_all_raw(statement(on, sql, chunk.into_iter().map(Into::into))).await?
            {
                let key: String = row.try_get_by_index(0)?;
                overlay.values.insert(
                    key,
                    (from_text(&row.try_get_by_index::<String>(1)?)?, position(&row, 2)?),
                );
            }
        }
        Ok(overlay)
    }

    /// What it holds of `keys`.
    fn part(&self, keys: Vec<String>) -> Self {
        let value = |key: String| {
            let value = self.values.get(&key)?.clone();
            Some((key, value))
        };
        Self { values: keys.into_iter().filter_map(value).collect(), written: BTreeSet::new() }
    }

    /// The values of `keys`, for [`datapact_core::contract::decide`].
    pub(crate) fn values(&self, keys: &[String]) -> Values {
        let value = |key: &String| Some((key.clone(), self.values.get(key)?.0.clone()));
        keys.iter().filter_map(value).collect()
    }

    /// Where the record of a call stands, if it is recorded.
    pub(crate) fn recorded(&self, call: &Call) -> Option<Position> {
        self.values.get(&record_key(call)).map(|(_, position)| *position)
    }

    pub(crate) fn apply(&mut self, writes: Values, position: Position) {
        for (key, value) in writes {
            self.written.insert(key.clone());
            self.values.insert(key, (value, position));
        }
    }
}

/// Reads values of the contract's state, by their keys, for all who wait.
pub(crate) type States = Group<Vec<String>, Overlay, StoreError>;

/// The states in `store`.
pub(crate) fn states(store: &Store) -> States {
    Group::reading(store.clone(), |on, asked: Vec<Vec<String>>| {
        Box::pin(async move {
            let all = Overlay::load(&on, asked.iter().flatten().cloned()).await?;
            Ok(asked.into_iter().map(|keys| Ok(all.part(keys))).collect())
        })
    })
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
        self.edge.push(datapact_log::tree::leaf_hash(&entry), |id, hashes| {
            self.tiles.insert(id, hashes);
        });
        self.overlay.apply(outcome.writes, position);
        self.entries.push((position, time, entry, outcome.receipt));
        position
    }

    /// Writes the batch; the edge goes on from there.
    pub(crate) async fn write(mut self, on: &impl ConnectionTrait) -> Result<Edge, StoreError> {
        self.tiles.extend(self.edge.partial().map(|(id, hashes)| (id, hashes.to_vec())));
        for chunk in self.entries.chunks(1000) {
            let mut values = Vec::with_capacity(chunk.len() * 4);
            for (position, time, entry, receipt) in chunk {
                values.extend([
                    int(*position),
                    int(*time),
                    entry.clone().into(),
                    to_text(receipt).into(),
                ]);
            }
            let rows = placeholders(on, chunk.len(), 4);
            let sql =
                format!("INSERT INTO ledger_entry (position, time, entry, receipt) VALUES {rows}");
            on.execute_raw(statement(on, sql, values)).await?;
        }
        for (position, _, _, receipt) in &self.entries {
            let Receipt::Policy(ShareRecord { policy, .. }) = receipt else { continue };
            let row = [policy.share.to_string().into(), int(*position)];
            let sql = "INSERT INTO ledger_policy (share, position) VALUES ($1, $2)";
            on.execute_raw(statement(on, sql, row)).await?;
        }
        let written: Vec<_> = self
            .overlay
            .written
            .iter()
            .filter_map(|key| Some((key, self.overlay.values.get(key)?)))
            .collect();
        for chunk in written.chunks(1000) {
            let row = |(key, (value, position)): &(&String, &(Value, Position))| {
                [key.as_str().into(), to_text(value).into(), int(*position)]
            };
            let sql = format!(
                "INSERT INTO ledger_state (key, value, position) VALUES {} ON CONFLICT (key) \
                 DO UPDATE SET value = excluded.value, position = excluded.position",
                placeholders(on, chunk.len(), 3)
            );
            on.execute_raw(statement(on, sql, chunk.iter().flat_map(row))).await?;
        }
        for chunk in self.tiles.iter().collect::<Vec<_>>().chunks(100) {
            let row = |(id, hashes): &(&TileId, &Vec<Hash>)| {
                [int(id.level.into()), int(id.index), hashes.concat().into()]
            };
            let sql = format!(
                "INSERT INTO ledger_tile (level, tile, hashes) VALUES {} ON CONFLICT (level, tile) \
                 DO UPDATE SET hashes = excluded.hashes",
                placeholders(on, chunk.len(), 3)
            );
            on.execute_raw(statement(on, sql, chunk.iter().flat_map(row))).await?;
        }
        Ok(self.edge)
    }
}

pub(crate) async fn write_checkpoint(
    on: &impl ConnectionTrait,
    size: u64,
    note: &str,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO ledger_checkpoint (size, note) VALUES ($1, $2) ON CONFLICT (size) DO NOTHING";
    on.execute_raw(statement(on, sql, [int(size), note.into()])).await?;
    Ok(())
}

/// Writes the checkpoint that follows the one of `before` entries, which must be the newest.
pub(crate) async fn advance_checkpoint(
    on: &impl ConnectionTrait,
    before: u64,
    size: u64,
    note: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger_checkpoint (size, note) SELECT $1, $2 \
               WHERE (SELECT MAX(size) FROM ledger_checkpoint) = $3";
    let values = [int(size), note.into(), int(before)];
    match on.execute_raw(statement(on, sql, values)).await?.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::Damaged(format!(
            "the checkpoint of {before} entries is not the newest"
        ))),
    }
}

pub(crate) async fn write_cosignature(
    on: &impl ConnectionTrait,
    size: u64,
    witness: &str,
    line: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger_cosignature (size, witness, line) VALUES ($1, $2, $3) \
               ON CONFLICT (size, witness) DO UPDATE SET line = excluded.line";
    on.execute_raw(statement(on, sql, [int(size), witness.into(), line.into()])).await?;
    Ok(())
}

/// The note of the checkpoint of `size`, as its log signed it, without cosignatures.
pub(crate) async fn checkpoint(
    on: &impl ConnectionTrait,
    size: u64,
) -> Result<Option<String>, StoreError> {
    let row = on
        .query_one_raw(statement(
            on,
            "SELECT note FROM ledger_checkpoint WHERE size = $1",
            [int(size)],
        ))
        .await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
}

/// The size of the newest checkpoint.
pub(crate) async fn newest_size(on: &impl ConnectionTrait) -> Result<Option<u64>, StoreError> {
    let row =
        on.query_one_raw(statement(on, "SELECT MAX(size) FROM ledger_checkpoint", [])).await?;
    let size: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    size.map(from_int).transpose()
}

/// The sizes of the newest checkpoint and of the newest cosigned one; 0 where there is none.
pub(crate) async fn sizes(on: &impl ConnectionTrait) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT (SELECT MAX(size) FROM ledger_checkpoint), (SELECT MAX(size) FROM ledger_cosignature)";
    let Some(row) = on.query_one_raw(statement(on, sql, [])).await? else { return Ok((0, 0)) };
    let size =
        |index| row.try_get_by_index::<Option<i64>>(index).map(|size| from_int(size.unwrap_or(0)));
    Ok((size(0)??, size(1)??))
}

/// The size of the newest cosigned checkpoint.
pub async fn cosigned_size(on: &impl ConnectionTrait) -> Result<Option<u64>, StoreError> {
    let row =
        on.query_one_raw(statement(on, "SELECT MAX(size) FROM ledger_cosignature", [])).await?;
    let size: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    size.map(from_int).transpose()
}

/// How many of the newest cosigned checkpoints are looked at for the one that most witnesses
/// cosigned.
const COSIGNED_LOOK: u64 = 64;

/// The size of the checkpoint of more than `position` entries that most witnesses have cosigned,
/// the newest of those.
pub(crate) async fn best_cosigned_size(
    on: &impl ConnectionTrait,
    position: Position,
) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT size FROM ledger_cosignature WHERE size IN (SELECT DISTINCT size FROM ledger_cosignature \
               WHERE size > $1 ORDER BY size DESC LIMIT $2) GROUP BY size ORDER BY COUNT(*) DESC, size DESC LIMIT 1";
    let row = on.query_one_raw(statement(on, sql, [int(position), int(COSIGNED_LOOK)])).await?;
    row.map(|row| from_int(row.try_get_by_index(0)?)).transpose()
}

/// The note of the checkpoint of `size` with its cosignatures.
pub(crate) async fn cosigned_checkpoint(
    on: &impl ConnectionTrait,
    size: u64,
) -> Result<Option<String>, StoreError> {
    let Some(mut note) = checkpoint(on, size).await? else { return Ok(None) };
    let sql = "SELECT line FROM ledger_cosignature WHERE size = $1 ORDER BY witness";
    for row in on.query_all_raw(statement(on, sql, [int(size)])).await? {
        note.push_str(&row.try_get_by_index::<String>(0)?);
    }
    Ok(Some(note))
}

/// The edge of the tree of `size` entries, which must be the newest.
pub(crate) async fn edge(on: &impl ConnectionTrait, size: u64) -> Result<Edge, StoreError> {
    let mut tiles = BTreeMap::new();
    for id in Edge::tiles(size) {
        tiles.insert(id, tile(on, id).await?.unwrap_or_default());
    }
    Edge::load(size, |id| tiles.remove(&id)).ok_or_else(|| {
        StoreError::Damaged(format!("a tile of the tree of {size} entries is missing"))
    })
}

/// The hashes of a tile, as many as there are.
pub(crate) async fn tile(
    on: &impl ConnectionTrait,
    id: TileId,
) -> Result<Option<Vec<Hash>>, StoreError> {
    let sql = "SELECT hashes FROM ledger_tile WHERE level = $1 AND tile = $2";
    let row = on.query_one_raw(statement(on, sql, [int(id.level.into()), int(id.index)])).await?;
    let Some(row) = row else { return Ok(None) };
    let bytes: Vec<u8> = row.try_get_by_index(0)?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(StoreError::Damaged("a tile is not made of whole hashes".to_owned()));
    }
    Ok(Some(hashes.to_vec()))
}

/// The bytes of up to `max` entries from `from` on.
pub(crate) async fn entries(
    on: &impl ConnectionTrait,
    from: Position,
    max: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let sql = "SELECT entry FROM ledger_entry WHERE position >= $1 ORDER BY position LIMIT $2";
    let rows = on.query_all_raw(statement(on, sql, [int(from), int(max as u64)])).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

/// How many entries the log in `on` has.
pub async fn size(on: &impl ConnectionTrait) -> Result<u64, StoreError> {
    count(on).await
}

/// How many entries there are.
pub(crate) async fn count(on: &impl ConnectionTrait) -> Result<u64, StoreError> {
    let row = on.query_one_raw(statement(on, "SELECT MAX(position) FROM ledger_entry", [])).await?;
    let newest: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    newest.map_or(Ok(0), |newest| Ok(from_int(newest)? + 1))
}

/// The chain that this log is the mirror of, and the chain's position behind the newest event
/// mirrored.
pub(crate) async fn mirror(
    on: &impl ConnectionTrait,
) -> Result<Option<(String, Position)>, StoreError> {
    let row = on
        .query_one_raw(statement(on, "SELECT chain, next FROM ledger_mirror WHERE id = 1", []))
        .await?;
    row.map(|row| Ok((row.try_get_by_index(0)?, position(&row, 1)?))).transpose()
}

pub(crate) async fn write_mirror(
    on: &impl ConnectionTrait,
    chain: &str,
    next: Position,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger_mirror (id, chain, next) VALUES (1, $1, $2) \
               ON CONFLICT (id) DO UPDATE SET chain = excluded.chain, next = excluded.next";
    on.execute_raw(statement(on, sql, [chain.into(), int(next)])).await?;
    Ok(())
}

/// Where the log holds just this receipt.
pub(crate) async fn position_of(
    on: &impl ConnectionTrait,
    receipt: &Receipt,
) -> Result<Option<Position>, StoreError> {
    let key = match receipt {
        Receipt::Access(record) => access_key(&record.request.request),
        Receipt::Usage(record) => usage_key(&record.usage.report),
        Receipt::Policy(record) => {
            let sql = "SELECT p.position, e.receipt FROM ledger_policy p \
                       JOIN ledger_entry e ON e.position = p.position WHERE p.share = $1 ORDER BY p.position DESC";
            for row in on
                .query_all_raw(statement(on, sql, [record.policy.share.to_string().into()]))
                .await?
            {
                if from_text::<Receipt>(&row.try_get_by_index::<String>(1)?)? == *receipt {
                    return Ok(Some(position(&row, 0)?));
                }
            }
            return Ok(None);
        }
    };
    Ok(match (value(on, key).await?, receipt) {
        (Some((Value::Access(stored), at)), Receipt::Access(record)) if stored == *record => {
            Some(at)
        }
        (Some((Value::Usage(stored), at)), Receipt::Usage(record)) if stored == *record => Some(at),
        _ => None,
    })
}

/// Why a follower stopped: the entry at fault and the reason.
pub(crate) async fn fault(
    on: &impl ConnectionTrait,
) -> Result<Option<(Option<Position>, String)>, StoreError> {
    let row = on
        .query_one_raw(statement(on, "SELECT position, reason FROM ledger_fault WHERE id = 1", []))
        .await?;
    let Some(row) = row else { return Ok(None) };
    let at: Option<i64> = row.try_get_by_index(0)?;
    Ok(Some((at.map(from_int).transpose()?, row.try_get_by_index(1)?)))
}

/// Keeps why a follower stopped, and the checkpoint that showed it; the first reason stays.
pub(crate) async fn write_fault(
    on: &impl ConnectionTrait,
    at: Option<Position>,
    reason: &str,
    evidence: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO ledger_fault (id, position, reason, evidence) VALUES (1, $1, $2, $3) \
               ON CONFLICT (id) DO NOTHING";
    let at = at.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
    on.execute_raw(statement(on, sql, [at.into(), reason.into(), evidence.into()])).await?;
    Ok(())
}

/// Forgets why a follower stopped.
pub(crate) async fn clear_fault(on: &impl ConnectionTrait) -> Result<(), StoreError> {
    on.execute_unprepared("DELETE FROM ledger_fault").await?;
    Ok(())
}

/// The time of the newest entry; 0 when there is none.
pub async fn newest_time(on: &impl ConnectionTrait) -> Result<Timestamp, StoreError> {
    let sql = "SELECT time FROM ledger_entry ORDER BY position DESC LIMIT 1";
    let row = on.query_one_raw(statement(on, sql, [])).await?;
    row.map_or(Ok(0), |row| position(&row, 0))
}

/// What is recorded from `from` on, in order; at most `max`, and at most [`EVENTS_MAX`].
pub async fn events(
    on: &impl ConnectionTrait,
    from: Position,
    max: usize,
) -> Result<Vec<Event>, StoreError> {
    let sql = "SELECT position, time, receipt FROM ledger_entry WHERE position >= $1 ORDER BY position LIMIT $2";
    let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
    let limit = int(max.min(EVENTS_MAX) as u64);
    let rows = on.query_all_raw(statement(on, sql, [from.into(), limit])).await?;
    rows.iter()
        .map(|row| {
            Ok(Event {
                position: position(row, 0)?,
                time: position(row, 1)?,
                receipt: from_text(&row.try_get_by_index::<String>(2)?)?,
            })
        })
        .collect()
}

/// One of the log's resources; none when the log has none such (yet).
pub(crate) async fn resource(
    on: &impl ConnectionTrait,
    resource: Resource,
) -> Result<Option<Vec<u8>>, StoreError> {
    match resource {
        Resource::Checkpoint | Resource::Cosigned => {
            let size = match resource {
                Resource::Checkpoint => newest_size(on).await?,
                _ => cosigned_size(on).await?,
            };
            let Some(size) = size else { return Ok(None) };
            Ok(cosigned_checkpoint(on, size).await?.map(String::into_bytes))
        }
        Resource::Tile(id, width) => {
            if i64::try_from(id.index).is_err() {
                return Ok(None);
            }
            let hashes = tile(on, id).await?;
            Ok(hashes.and_then(|hashes| Some(hashes.get(..width)?.concat())))
        }
        Resource::Entries(index, width) => {
            let first =
                index.checked_mul(TILE_WIDTH as u64).filter(|first| i64::try_from(*first).is_ok());
            let Some(first) = first else { return Ok(None) };
            let entries = entries(on, first, width).await?;
            Ok((entries.len() == width).then(|| datapact_log::entry::bundle(&entries)))
        }
    }
}

async fn value(
    on: &impl ConnectionTrait,
    key: String,
) -> Result<Option<(Value, Position)>, StoreError> {
    let sql = "SELECT value, position FROM ledger_state WHERE key = $1";
    let row = on.query_one_raw(statement(on, sql, [key.into()])).await?;
    row.map(|row| Ok((from_text(&row.try_get_by_index::<String>(0)?)?, position(&row, 1)?)))
        .transpose()
}

pub(crate) async fn share(
    on: &impl ConnectionTrait,
    share: &ShareId,
) -> Result<Option<ShareRecord>, StoreError> {
    match value(on, share_key(share)).await? {
        None => Ok(None),
        Some((Value::Share(record), _)) => Ok(Some(record)),
        Some(_) => Err(misplaced()),
    }
}

pub(crate) async fn access(
    on: &impl ConnectionTrait,
    request: &Digest,
) -> Result<Option<(Position, AccessRecord)>, StoreError> {
    match value(on, access_key(request)).await? {
        None => Ok(None),
        Some((Value::Access(record), position)) => Ok(Some((position, record))),
        Some(_) => Err(misplaced()),
    }
}

pub(crate) async fn counter(
    on: &impl ConnectionTrait,
    share: &ShareId,
    consumer: &Commitment,
) -> Result<Counter, StoreError> {
    match value(on, counter_key(share, consumer)).await? {
        None => Ok(Counter { granted: 0 }),
        Some((Value::Counter(counter), _)) => Ok(counter),
        Some(_) => Err(misplaced()),
    }
}

/// The newest policy of a share, and how many accesses a consumer was granted on it.
pub(crate) async fn standing(
    states: &States,
    share: &ShareId,
    consumer: &Commitment,
) -> Result<(Option<ShareRecord>, Counter), StoreError> {
    let (of_share, of_counter) = (share_key(share), counter_key(share, consumer));
    let mut found = states.ask(vec![of_share.clone(), of_counter.clone()]).await?.values;
    let share = match found.remove(&of_share) {
        None => None,
        Some((Value::Share(record), _)) => Some(record),
        Some(_) => return Err(misplaced()),
    };
    match found.remove(&of_counter) {
        None => Ok((share, Counter { granted: 0 })),
        Some((Value::Counter(counter), _)) => Ok((share, counter)),
        Some(_) => Err(misplaced()),
    }
}

/// A granted access to `share`, the share's newest policy, and the one by which the access was
/// decided.
pub(crate) async fn recorded(
    states: &States,
    on: &impl ConnectionTrait,
    share: &ShareId,
    request: &Digest,
) -> Result<Option<Recorded>, StoreError> {
    let (of_access, of_share) = (access_key(request), share_key(share));
    let mut found = states.ask(vec![of_access.clone(), of_share.clone()]).await?.values;
    let (access, newest) = match (found.remove(&of_access), found.remove(&of_share)) {
        (Some(access), Some(newest)) => (access, newest),
        _ => return Ok(None),
    };
    let (Value::Access(record), position) = access else { return Err(misplaced()) };
    let (Value::Share(newest), set) = newest else { return Err(misplaced()) };
    if record.request.share != *share {
        return Ok(None);
    }
    // A policy that was set before the access, and is the newest even now, was the newest then.
    let of_record = match set < position {
        true => newest.clone(),
        false => {
            let before = policy_before(on, share, position).await?;
            before
                .ok_or_else(|| StoreError::Damaged("an access is without its policy".to_owned()))?
        }
    };
    Ok(Some(Recorded { position, record, newest, of_record }))
}

pub(crate) async fn policy_before(
    on: &impl ConnectionTrait,
    share: &ShareId,
    before: Position,
) -> Result<Option<ShareRecord>, StoreError> {
    let sql = "SELECT receipt FROM ledger_entry WHERE position = \
               (SELECT MAX(position) FROM ledger_policy WHERE share = $1 AND position < $2)";
    let row = on.query_one_raw(statement(on, sql, [share.to_string().into(), int(before)])).await?;
    match row.map(|row| from_text(&row.try_get_by_index::<String>(0)?)).transpose()? {
        None => Ok(None),
        Some(Receipt::Policy(record)) => Ok(Some(record)),
        Some(_) => Err(misplaced()),
    }
}

fn misplaced() -> StoreError {
    StoreError::Damaged(
        "a value of the contract's state is of another kind than its key".to_owned(),
    )
}

/// Sizes, positions and times are far below 2^63; what is not cannot be in the database.
pub(crate) fn int(number: u64) -> sea_orm::Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn from_int(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged(format!("a negative number, {number}")))
}

fn position(row: &QueryResult, index: usize) -> Result<u64, StoreError> {
    from_int(row.try_get_by_index(index)?)
}

fn to_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("contract values have only string keys")
}

fn from_text<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("a contract value: {e}")))
}

/// The proof of `position` under the cosigned checkpoint of `size`, as C2SP tlog-proof. None if
/// there is no such checkpoint or entry.
pub(crate) async fn proof(
    on: &impl ConnectionTrait,
    position: Position,
    size: u64,
) -> Result<Option<Proof>, StoreError> {
    match cosigned_checkpoint(on, size).await? {
        Some(checkpoint) => proof_under(on, position, size, checkpoint).await,
        None => Ok(None),
    }
}

/// The same under a checkpoint that may have come from elsewhere, and that [`Proof::verify`]
/// compares.
pub(crate) async fn proof_under(
    on: &impl ConnectionTrait,
    position: Position,
    size: u64,
    checkpoint: String,
) -> Result<Option<Proof>, StoreError> {
    let Some(needed) = Proof::tiles(position, size) else { return Ok(None) };
    let mut tiles = BTreeMap::new();
    for id in needed {
        tiles.insert(id, tile(on, id).await?.unwrap_or_default());
    }
    let proof = Proof::from_tiles(position, size, &tiles, checkpoint);
    proof.map(Some).ok_or_else(|| StoreError::Damaged("a tile is missing or short".to_owned()))
}
