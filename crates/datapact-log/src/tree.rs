//! The Merkle tree of a log (RFC 6962, section 2.1) as it grows, in the tiles of C2SP tlog-tiles.

use aws_lc_rs::digest::{Context, SHA256};

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
const WIDTH: u64 = TILE_WIDTH as u64;

/// A SHA-256 hash of the tree.
pub type Hash = [u8; 32];

/// The hash of an entry: SHA-256(0x00, entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// The hash of an inner node: SHA-256(0x01, left, right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The root over `hashes`, each of which stands for one leaf or for equally many leaves (the last
/// for fewer).
pub fn root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => sha256(&[]),
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len().next_power_of_two() / 2);
            node_hash(&root(left), &root(right))
        }
    }
}

/// A tile's place: its level and its index within the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// From 0, which holds the leaves' hashes.
    pub level: u8,
    /// From 0.
    pub index: u64,
}

/// The right edge of a tree: all that is needed to append to it and to compute its root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// For each level the hashes of its last tile, fewer than [`TILE_WIDTH`].
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of a tree of `size` entries from its partial tiles. `tile` gives the hashes of one;
    /// each has just the number of hashes that `size` demands, or there is no such tree.
    pub fn load(size: u64, mut tile: impl FnMut(TileId) -> Option<Vec<Hash>>) -> Option<Self> {
        let mut levels = Vec::new();
        let mut width = size;
        while width > 0 {
            let partial = (width % WIDTH) as usize;
            let id = TileId { level: levels.len() as u8, index: width / WIDTH };
            let hashes = if partial == 0 { Vec::new() } else { tile(id)? };
            levels.push(Some(hashes).filter(|hashes| hashes.len() == partial)?);
            width /= WIDTH;
        }
        Some(Self { size, levels })
    }

    /// Which partial tiles [`Edge::load`] asks for.
    pub fn tiles(size: u64) -> Vec<TileId> {
        let mut ids = Vec::new();
        let mut width = size;
        let mut level = 0;
        while width > 0 {
            if !width.is_multiple_of(WIDTH) {
                ids.push(TileId { level, index: width / WIDTH });
            }
            width /= WIDTH;
            level += 1;
        }
        ids
    }

    /// How many entries the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry by its hash. `changed` gets each tile that the entry completes.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(TileId, Vec<Hash>)) {
        let mut hash = leaf;
        let mut index = self.size / WIDTH;
        self.size += 1;
        for level in 0..=8 {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(tile) = self.levels.get_mut(level) else { return };
            tile.push(hash);
            if tile.len() < TILE_WIDTH {
                return;
            }
            let tile = std::mem::take(tile);
            hash = root(&tile);
            full(TileId { level: level as u8, index }, tile);
            index /= WIDTH;
        }
    }

    /// The partial tiles at the edge.
    pub fn partial(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        let mut width = self.size;
        self.levels.iter().enumerate().filter_map(move |(level, hashes)| {
            width /= WIDTH;
            let id = TileId { level: level as u8, index: width };
            (!hashes.is_empty()).then_some((id, hashes.as_slice()))
        })
    }

    /// The root hash of the tree.
    pub fn root(&self) -> Hash {
        let mut below: Option<Hash> = None;
        for level in &self.levels {
            let mut hashes = level.clone();
            hashes.extend(below);
            below = (!hashes.is_empty()).then(|| root(&hashes));
        }
        below.unwrap_or_else(|| root(&[]))
    }
}

/// The inclusion proof of entry `index` in the tree of `size` entries (RFC 6962, section 2.1.1),
/// from its tiles. `tile` gives a tile's hashes; none when it lacks it.
pub fn inclusion_proof(
    index: u64,
    size: u64,
    tile: &mut impl FnMut(TileId) -> Option<Vec<Hash>>,
) -> Option<Vec<Hash>> {
    if index >= size {
        return None;
    }
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    while high - low > 1 {
        let middle = low + (high - low).next_power_of_two() / 2;
        if index < middle {
            proof.push(subtree(middle, high, tile)?);
            high = middle;
        } else {
            proof.push(subtree(low, middle, tile)?);
            low = middle;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The hash over the entries from `low` to before `high`, an aligned subtree at the left of which
/// lies a whole number of subtrees of its size.
pub(crate) fn subtree(
    low: u64,
    high: u64,
    tile: &mut impl FnMut(TileId) -> Option<Vec<Hash>>,
) -> Option<Hash> {
    let count = high - low;
    // The highest level at which this subtree is still made of whole hashes of one tile.
    let mut level = 0;
    let mut each = 1;
    while count.is_power_of_two() && count >= each * WIDTH {
        each *= WIDTH;
        level += 1;
    }
    if count.is_power_of_two() {
        let first = low / each;
        let hashes = tile(TileId { level, index: first / WIDTH })?;
        let from = (first % WIDTH) as usize;
        return Some(root(hashes.get(from..from + (count / each) as usize)?));
    }
    let middle = low + count.next_power_of_two() / 2;
    Some(node_hash(&subtree(low, middle, tile)?, &subtree(middle, high, tile)?))
}

/// The root that an inclusion proof leads to; none when the proof has not the length that `index`
/// and `size` demand (RFC 9162, section 2.1.3.2).
pub fn root_from_proof(index: u64, size: u64, leaf: Hash, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node % 2 == 0 && node != 0 {
                node /= 2;
                last /= 2;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node /= 2;
        last /= 2;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tlog_tiles::tlog;

    struct Stored(Vec<tlog::Hash>);

    impl tlog::HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
            Ok(indexes.iter().map(|&i| *self.0.get(i as usize).unwrap()).collect())
        }
    }

    /// Every root and proof is that of an implementation which we did not write.
    #[test]
    fn roots_and_proofs_agree_with_tlog_tiles() {
        let mut edge = Edge::default();
        let mut tiles = BTreeMap::new();
        let mut stored = Stored(Vec::new());
        let interesting =
            |n: u64| n < 20 || (250..=260).contains(&n) || n.is_multiple_of(4099) || n > 66_000;
        for n in 0..66_050_u64 {
            let entry = n.to_be_bytes();
            edge.push(leaf_hash(&entry), |id, hashes| assert!(tiles.insert(id, hashes).is_none()));
            let hashes = tlog::stored_hashes(n, &entry, &stored).unwrap();
            stored.0.extend(hashes);
            let size = n + 1;
            if !interesting(size) {
                continue;
            }
            let root = edge.root();
            assert_eq!(root, tlog::tree_hash(size, &stored).unwrap().0, "{size}");
            let mut all = tiles.clone();
            all.extend(edge.partial().map(|(id, hashes)| (id, hashes.to_vec())));
            assert_eq!(Edge::load(size, |id| all.get(&id).cloned()).unwrap(), edge);
            for index in (0..20).chain((0..size).step_by(977)).filter(|i| *i < size) {
                let proof = inclusion_proof(index, size, &mut |id| all.get(&id).cloned()).unwrap();
                let theirs = tlog::prove_record(size, index, &stored).unwrap();
                assert_eq!(
                    proof,
                    theirs.iter().map(|h| h.0).collect::<Vec<_>>(),
                    "{index} in {size}"
                );
                let leaf = leaf_hash(&index.to_be_bytes());
                assert_eq!(root_from_proof(index, size, leaf, &proof), Some(root));
                assert_ne!(root_from_proof(index, size, leaf_hash(b"other"), &proof), Some(root));
                assert_ne!(root_from_proof(index + 1, size, leaf, &proof), Some(root));
                let longer = [proof.as_slice(), &[[0; 32]]].concat();
                assert_eq!(root_from_proof(index, size, leaf, &longer), None);
                if let Some((_, shorter)) = proof.split_last() {
                    assert_ne!(root_from_proof(index, size, leaf, shorter), Some(root));
                }
            }
        }
    }

    #[test]
    fn an_edge_with_a_missing_or_short_tile_is_no_tree() {
        assert_eq!(Edge::load(300, |_| None), None);
        assert_eq!(Edge::load(3, |_| Some(vec![[0; 32]; 2])), None);
        assert_eq!(Edge::load(0, |_| None), Some(Edge::default()));
    }
}
