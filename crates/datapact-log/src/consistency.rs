//! Proofs that one tree continues another (RFC 6962, section 2.1.2).

use crate::tree::{Hash, TileId, node_hash, root, subtree};

/// The longest proof between two trees of at most 2^64 entries: C2SP tlog-witness allows no more.
pub const HASHES_MAX: usize = 63;

/// The proof that the tree of `size` entries continues the one of its first `old`. `tile` gives a
/// tile's hashes, at least as many as the tree has there; none when it lacks it. None also if `old`
/// is larger than `size`.
pub fn prove(
    old: u64,
    size: u64,
    tile: &mut impl FnMut(TileId) -> Option<Vec<Hash>>,
) -> Option<Vec<Hash>> {
    let mut proof = Vec::new();
    // Every tree continues the empty one, and itself.
    if old == 0 || old >= size {
        return (old <= size).then_some(proof);
    }
    // The smaller tree ends within the entries from `low` to before `high`. While `low` is 0, its
    // own root is what the proof begins with, which the verifier has.
    let (mut low, mut high) = (0, size);
    while old < high {
        let middle = low + (high - low).next_power_of_two() / 2;
        if old <= middle {
            proof.push(subtree(middle, high, tile)?);
            high = middle;
        } else {
            proof.push(subtree(low, middle, tile)?);
            low = middle;
        }
    }
    if low > 0 {
        proof.push(subtree(low, high, tile)?);
    }
    proof.reverse();
    Some(proof)
}

/// The root of the first `size` entries, from the tiles of a tree that has at least as many.
pub fn root_at(size: u64, tile: &mut impl FnMut(TileId) -> Option<Vec<Hash>>) -> Option<Hash> {
    if size == 0 { Some(root(&[])) } else { subtree(0, size, tile) }
}

/// Whether `proof` shows that the tree `new` continues the tree `old`, each given by its size and
/// root (RFC 9162, section 2.1.4.2).
pub fn verify(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 {
        return proof.is_empty()
            && *old_root == root(&[])
            && (new_size > 0 || old_root == new_root);
    }
    if old_size >= new_size {
        return old_size == new_size && old_root == new_root && proof.is_empty();
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node % 2 == 1 {
        (node, last) = (node / 2, last / 2);
    }
    let mut hashes = proof.iter();
    // The first of two powers of two is a whole subtree, whose root the verifier has.
    let first = if old_size.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let Some(first) = first else { return false };
    let (mut of_old, mut of_new) = (*first, *first);
    for hash in hashes {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            of_old = node_hash(hash, &of_old);
            of_new = node_hash(hash, &of_new);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node / 2, last / 2);
            }
        } else {
            of_new = node_hash(&of_new, hash);
        }
        (node, last) = (node / 2, last / 2);
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::tree::{Edge, leaf_hash};
    use std::collections::BTreeMap;
    use tlog_tiles::tlog;

    struct Stored(Vec<tlog::Hash>);

    impl tlog::HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
            Ok(indexes.iter().map(|&i| *self.0.get(i as usize).unwrap()).collect())
        }
    }

    /// Every proof is that of an implementation which we did not write, and proves nothing else.
    #[test]
    fn proofs_agree_with_tlog_tiles() {
        let (mut edge, mut tiles) = (Edge::default(), BTreeMap::new());
        let mut stored = Stored(Vec::new());
        let mut roots = vec![edge.root()];
        for n in 0..800_u64 {
            let entry = n.to_be_bytes();
            edge.push(leaf_hash(&entry), |id, hashes| drop(tiles.insert(id, hashes)));
            let hashes = tlog::stored_hashes(n, &entry, &stored).unwrap();
            stored.0.extend(hashes);
            roots.push(edge.root());
        }
        tiles.extend(edge.partial().map(|(id, hashes)| (id, hashes.to_vec())));
        let mut tile = |id| tiles.get(&id).cloned();
        let at = |size: u64| roots.get(size as usize).unwrap();
        let sizes = || (0..20).chain([255, 256, 257, 300, 511, 512, 513, 700, 799, 800]);
        for size in sizes() {
            assert_eq!(root_at(size, &mut tile).as_ref(), Some(at(size)));
            for old in sizes().filter(|old| *old <= size) {
                let proof = prove(old, size, &mut tile).unwrap();
                if old > 0 {
                    let theirs = tlog::prove_tree(size, old, &stored).unwrap();
                    assert_eq!(proof, theirs.iter().map(|h| h.0).collect::<Vec<_>>());
                }
                assert!(verify((old, at(old)), (size, at(size)), &proof), "{old} in {size}");
                let longer = [proof.as_slice(), &[[0; 32]]].concat();
                assert!(!verify((old, at(old)), (size, at(size)), &longer));
                if old > 0 && old < size {
                    assert!(!verify((old, &[1; 32]), (size, at(size)), &proof));
                    assert!(!verify((old, at(old)), (size, &[1; 32]), &proof));
                    let shorter = proof.split_last().unwrap().1;
                    assert!(!verify((old, at(old)), (size, at(size)), shorter));
                }
            }
        }
        assert_eq!(prove(5, 4, &mut tile), None);
        assert!(!verify((5, at(5)), (4, at(4)), &[]));
        assert!(!verify((4, at(4)), (4, at(5)), &[]));
        assert_eq!(prove(2, 1_000, &mut tile), None);
    }
}
