//! The BLAKE3 tree over a package's content: its root is what the provider signs, and the chaining
//! values of its groups let a reader check any part by itself.
//!
//! A group is an aligned subtree of BLAKE3's own tree, so the root is the plain BLAKE3 hash of the
//! content. The group grows with the content such that the list of chaining values, and with it the
//! memory of writer and reader, stays bounded.

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root,
    merge_subtrees_root,
};

use crate::id::Digest;

/// Bytes in the smallest group.
pub const GROUP_MIN: u64 = 256 * 1024;
/// Bytes in the largest group.
pub const GROUP_MAX: u64 = 8 * 1024 * 1024;
/// The most groups in a package.
#[cfg(not(test))]
pub const GROUPS_MAX: usize = 1 << 18;
/// So few that this crate's tests reach every group size, and the limit, with a few megabytes.
#[cfg(test)]
pub const GROUPS_MAX: usize = 4;
/// The most bytes of content, header and ciphertext together, in a package: 2 TiB.
pub const CONTENT_BYTES_MAX: u64 = GROUP_MAX * GROUPS_MAX as u64;

/// How content of one length divides into groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Groups {
    content: u64,
    size: u64,
}

impl Groups {
    /// The groups of `content` bytes: the smallest power of two from [`GROUP_MIN`] on that makes at
    /// most [`GROUPS_MAX`] of them. None when that exceeds [`GROUP_MAX`].
    pub(crate) fn of(content: u64) -> Option<Self> {
        let mut size = GROUP_MIN;
        while content.div_ceil(size) > GROUPS_MAX as u64 {
            size *= 2;
        }
        (size <= GROUP_MAX).then_some(Self { content, size })
    }

    /// Bytes in all of them.
    pub(crate) fn content(&self) -> u64 {
        self.content
    }

    /// Bytes in every group but the last.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.content.div_ceil(self.size)
    }

    /// Bytes in group `index`.
    pub(crate) fn len(&self, index: u64) -> u64 {
        self.size.min(self.content.saturating_sub(index * self.size))
    }

    /// Entries of the list of chaining values: none for a single group, which the root itself
    /// fixes.
    pub(crate) fn entries(&self) -> u64 {
        if self.count() > 1 { self.count() } else { 0 }
    }
}

/// The chaining values of all groups, checked against a root.
pub(crate) struct Tree {
    groups: Groups,
    root: blake3::Hash,
    list: Vec<ChainingValue>,
}

impl Tree {
    /// The tree of `list`; none when its root is another than `root`.
    pub(crate) fn new(groups: Groups, list: Vec<ChainingValue>, root: &Digest) -> Option<Self> {
        let root = blake3::Hash::from_bytes(root.0);
        let fits =
            list.len() as u64 == groups.entries() && (list.is_empty() || merge(&list) == root);
        fits.then_some(Self { groups, root, list })
    }

    pub(crate) fn groups(&self) -> Groups {
        self.groups
    }

    /// Whether `bytes` are the content of group `index`.
    pub(crate) fn verifies(&self, index: u64, bytes: &[u8]) -> bool {
        if bytes.is_empty() || bytes.len() as u64 != self.groups.len(index) {
            return false;
        }
        if self.list.is_empty() {
            return blake3::hash(bytes) == self.root;
        }
        let Some(expected) = usize::try_from(index).ok().and_then(|index| self.list.get(index))
        else {
            return false;
        };
        &group_value(index * self.groups.size, bytes) == expected
    }
}

/// The root of at least two groups.
fn merge(list: &[ChainingValue]) -> blake3::Hash {
    let (left, right) = halves(list);
    merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash)
}

fn subtree(list: &[ChainingValue]) -> ChainingValue {
    match list {
        [] => unreachable!("a tree of two groups or more has no empty side"),
        [one] => *one,
        _ => {
            let (left, right) = halves(list);
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The left subtree holds the largest power of two of groups that leaves something for the right
/// one.
fn halves(list: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    let bytes = list.len() as u64 * GROUP_MIN;
    list.split_at((left_subtree_len(bytes) / GROUP_MIN) as usize)
}

/// The chaining value of a group at `offset` in content of more than one group.
pub(crate) fn group_value(offset: u64, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset).update(bytes);
    hasher.finalize_non_root()
}

/// The root of content that is a single group.
pub(crate) fn root_of_one(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// Builds the tree of at least two groups of [`GROUP_MIN`] bytes, of which the last may be shorter.
/// How many there are need not be known before the end.
#[derive(Default)]
pub(crate) struct TreeBuilder {
    /// The newest group, held back because the last one is merged in another way.
    held: Option<ChainingValue>,
    /// Groups of the list are `GROUP_MIN << level` bytes long.
    level: u32,
    list: Vec<ChainingValue>,
    /// Subtrees below `level` that wait for their right neighbour, the largest first.
    pending: Vec<(u32, ChainingValue)>,
}

impl TreeBuilder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes the next group's chaining value.
    pub(crate) fn add(&mut self, value: ChainingValue) {
        if let Some(full) = self.held.replace(value) {
            self.push(full);
        }
    }

    /// The root and the list of chaining values.
    pub(crate) fn finish(mut self) -> (Digest, Vec<ChainingValue>) {
        let Some(mut last) = self.held else { unreachable!("two groups or more were added") };
        while let Some((_, left)) = self.pending.pop() {
            last = merge_subtrees_non_root(&left, &last, Mode::Hash);
        }
        if self.list.len() == GROUPS_MAX {
            self.collapse();
        }
        self.list.push(last);
        (Digest(*merge(&self.list).as_bytes()), self.list)
    }

    /// Takes the chaining value of one more group of [`GROUP_MIN`] bytes that something follows.
    fn push(&mut self, mut value: ChainingValue) {
        let mut level = 0;
        while level < self.level
            && let Some((_, left)) = self.pending.pop_if(|(pending, _)| *pending == level)
        {
            value = merge_subtrees_non_root(&left, &value, Mode::Hash);
            level += 1;
        }
        if level == self.level && self.list.len() == GROUPS_MAX {
            self.collapse();
        }
        if level == self.level {
            self.list.push(value);
        } else {
            self.pending.push((level, value));
        }
    }

    /// Doubles the group.
    fn collapse(&mut self) {
        let (pairs, _) = self.list.as_chunks::<2>();
        self.list = pairs
            .iter()
            .map(|[left, right]| merge_subtrees_non_root(left, right, Mode::Hash))
            .collect();
        self.level += 1;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn content(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn tree_of(content: &[u8]) -> (Digest, Vec<ChainingValue>) {
        if content.len() as u64 <= GROUP_MIN {
            return (root_of_one(content), Vec::new());
        }
        let mut builder = TreeBuilder::new();
        for (index, bytes) in (0..).zip(content.chunks(GROUP_MIN as usize)) {
            builder.add(group_value(index * GROUP_MIN, bytes));
        }
        builder.finish()
    }

    #[test]
    fn the_root_is_the_hash_of_the_content_and_every_group_verifies() {
        let group = GROUP_MIN as usize;
        for len in
            [1, 1000, group - 1, group, group + 1, 2 * group, 3 * group, 5 * group + 7, 8 * group]
        {
            let content = content(len);
            let (root, list) = tree_of(&content);
            assert_eq!(&root.0, blake3::hash(&content).as_bytes(), "{len}");
            let tree = Tree::new(Groups::of(len as u64).unwrap(), list.clone(), &root).unwrap();
            let size = tree.groups().size() as usize;
            for (index, bytes) in content.chunks(size).enumerate() {
                assert!(tree.verifies(index as u64, bytes), "{len} {index}");
                assert!(!tree.verifies(index as u64 + 1, bytes));
                assert!(!tree.verifies(index as u64, &bytes[1..]));
            }
            for index in 0..list.len() {
                let mut bad = list.clone();
                bad[index][0] ^= 1;
                assert!(Tree::new(Groups::of(len as u64).unwrap(), bad, &root).is_none());
            }
        }
    }

    #[test]
    fn a_full_list_doubles_its_groups() {
        let group = GROUP_MIN as usize;
        for (groups, extra) in
            [(4, 0), (4, 1), (5, 0), (6, 1), (7, 3), (8, 0), (8, 1), (9, 0), (16, 0), (17, 1)]
        {
            let content = content(groups * group + extra);
            let (root, list) = tree_of(&content);
            assert_eq!(&root.0, blake3::hash(&content).as_bytes());
            let mut size = group;
            while content.len().div_ceil(size) > 4 {
                size *= 2;
            }
            let expected: Vec<_> = content
                .chunks(size)
                .enumerate()
                .map(|(index, bytes)| {
                    let mut hasher = blake3::Hasher::new();
                    hasher.set_input_offset((index * size) as u64).update(bytes);
                    hasher.finalize_non_root()
                })
                .collect();
            assert_eq!(list, expected, "{groups} groups and {extra} bytes");
        }
    }

    #[test]
    fn groups_grow_with_the_content_up_to_a_limit() {
        let most = GROUP_MIN * GROUPS_MAX as u64;
        assert_eq!(Groups::of(most).unwrap().size(), GROUP_MIN);
        assert_eq!(Groups::of(most + 1).unwrap().size(), 2 * GROUP_MIN);
        assert_eq!(Groups::of(CONTENT_BYTES_MAX).unwrap().size(), GROUP_MAX);
        assert_eq!(Groups::of(CONTENT_BYTES_MAX + 1), None);
        assert_eq!(Groups::of(u64::MAX / 2), None);
    }
}
