//! Saying what happened to a group that does not verify. Nothing here gives out plaintext or
//! changes a refusal; it only finds the right words for it.

use crate::package::cobblestone::{SEALED_CHUNK, TAG, chunks};
use crate::package::{OpenPackage, PackageError, ReadAt};

/// How many places before and after its own a chunk is looked for.
const REACH: u64 = 4096;

impl<S: ReadAt> OpenPackage<S> {
    /// Why group `index` does not verify.
    pub(super) fn diagnose(&self, index: u64) -> PackageError {
        let groups = self.tree.groups();
        let start = index * groups.size();
        let end = start + groups.len(index);
        let altered = PackageError::Altered { offset: start, group_bytes: end - start };
        let count = chunks(self.size());
        let mut sealed = vec![0; SEALED_CHUNK];
        let mut plaintext = vec![0; SEALED_CHUNK - TAG];
        let first = start.saturating_sub(self.chunk_range(0).start) / SEALED_CHUNK as u64;
        let mut all_authentic = true;
        for chunk in (first..count).take_while(|&chunk| self.chunk_range(chunk).start < end) {
            let range = self.chunk_range(chunk);
            let (sealed, _) = sealed.split_at_mut((range.end - range.start) as usize);
            let (plaintext, _) = plaintext.split_at_mut(sealed.len() - TAG);
            if self.source.read_exact_at(range.start, sealed).is_err() {
                return PackageError::Truncated;
            }
            if self.message.open_chunk(chunk, sealed, plaintext) {
                continue;
            }
            all_authentic = false;
            let mut others = chunk.saturating_sub(REACH)..count.min(chunk + REACH);
            if let Some(found) =
                others.find(|&other| self.message.open_chunk(other, sealed, plaintext))
            {
                return PackageError::Reordered { expected: chunk, found };
            }
        }
        // Every chunk is authentic under the key, and yet not what the provider signed.
        if all_authentic { PackageError::Resealed } else { altered }
    }
}
