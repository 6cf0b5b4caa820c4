//! The tree over the entries, and the log's public resources, which are made from it.

use std::collections::BTreeMap;

use datapact_log::Position;
use datapact_log::consistency;
use datapact_log::entry::bundle;
use datapact_log::path::Resource;
use datapact_log::proof::Proof;
use datapact_log::tree::{Edge, Hash, TILE_WIDTH, TileId};
use datapact_store::{Db, StoreError, number};

use super::checkpoint::{cosigned_checkpoint, cosigned_size, newest_size};
use super::entry::entries;

/// The edge of the tree of `size` entries, which must be the newest.
pub(crate) fn edge(db: &Db, size: u64) -> Result<Edge, StoreError> {
    let mut tiles = tiles(db, Edge::tiles(size))?;
    Edge::load(size, |id| tiles.remove(&id)).ok_or_else(|| {
        StoreError::Damaged(format!("a tile of the tree of {size} entries is missing"))
    })
}

/// The hashes of tiles, none of those that are missing.
fn tiles(
    db: &Db,
    ids: impl IntoIterator<Item = TileId>,
) -> Result<BTreeMap<TileId, Vec<Hash>>, StoreError> {
    ids.into_iter().map(|id| Ok((id, tile(db, id)?.unwrap_or_default()))).collect()
}

/// The hashes of a tile, as many as there are.
fn tile(db: &Db, id: TileId) -> Result<Option<Vec<Hash>>, StoreError> {
    let sql = "SELECT hashes FROM ledger_tile WHERE level = $1 AND tile = $2";
    let Some(row) = db.row(sql, [number(id.level.into()), number(id.index)])? else {
        return Ok(None);
    };
    let bytes = row.bytes(0)?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(StoreError::Damaged("a tile is not made of whole hashes".to_owned()));
    }
    Ok(Some(hashes.to_vec()))
}

/// One of the log's resources; none when the log has none such (yet).
pub(crate) fn resource(db: &Db, resource: Resource) -> Result<Option<Vec<u8>>, StoreError> {
    match resource {
        Resource::Checkpoint | Resource::Cosigned => {
            let size = match resource {
                Resource::Checkpoint => newest_size(db)?,
                _ => cosigned_size(db)?,
            };
            let Some(size) = size else { return Ok(None) };
            Ok(cosigned_checkpoint(db, size)?.map(String::into_bytes))
        }
        Resource::Tile(id, width) => {
            // What no database can hold is not there.
            if i64::try_from(id.index).is_err() {
                return Ok(None);
            }
            let hashes = tile(db, id)?;
            Ok(hashes.and_then(|hashes| Some(hashes.get(..width)?.concat())))
        }
        Resource::Entries(index, width) => {
            let first =
                index.checked_mul(TILE_WIDTH as u64).filter(|first| i64::try_from(*first).is_ok());
            let Some(first) = first else { return Ok(None) };
            let entries = entries(db, first, width)?;
            Ok((entries.len() == width).then(|| bundle(&entries)))
        }
    }
}

/// The proof of `position` under the cosigned checkpoint of `size`, as C2SP tlog-proof. None if
/// there is no such checkpoint or entry.
pub(crate) fn proof(db: &Db, position: Position, size: u64) -> Result<Option<Proof>, StoreError> {
    match cosigned_checkpoint(db, size)? {
        Some(checkpoint) => proof_under(db, position, size, checkpoint),
        None => Ok(None),
    }
}

/// The same under a checkpoint that may have come from elsewhere, and that [`Proof::verify`]
/// compares.
pub(crate) fn proof_under(
    db: &Db,
    position: Position,
    size: u64,
    checkpoint: String,
) -> Result<Option<Proof>, StoreError> {
    let Some(needed) = Proof::tiles(position, size) else { return Ok(None) };
    let proof = Proof::from_tiles(position, size, &tiles(db, needed)?, checkpoint);
    proof.map(Some).ok_or_else(|| StoreError::Damaged("a tile is missing or short".to_owned()))
}

/// The proof that the tree of `size` entries continues that of the first `old`. None if the log has
/// no such trees.
pub(crate) fn consistency(db: &Db, old: u64, size: u64) -> Result<Option<Vec<Hash>>, StoreError> {
    if old > size || size > newest_size(db)?.unwrap_or(0) {
        return Ok(None);
    }
    let mut failed = None;
    let proof = consistency::prove(old, size, &mut |id| match tile(db, id) {
        Ok(hashes) => hashes,
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    match (failed, proof) {
        (Some(error), _) => Err(error),
        (None, Some(proof)) => Ok(Some(proof)),
        (None, None) => Err(StoreError::Damaged("a tile is missing or short".to_owned())),
    }
}
