//! Changing the key-encryption key (KS-2) while the key server runs. The change can be killed at
//! any moment; the next run goes on where it was.
//!
//! The steps, each durable before the next: the new version is in the file beside the old one; the
//! database has its proof, and from then on the server stores new keys under it only; the keys are
//! encrypted again, some at a time; the old version's proof goes from the database; the old version
//! goes from the file. What is found at the beginning says which of them are done.

use std::path::Path;
use std::sync::Arc;

use datapact_store::{Store, StoreError, Tx};
use serde::Serialize;

use super::kek::{self, Bound, Kek, Lines};
use super::table;
use crate::key::failure::OpenError;

/// How many keys are encrypted again in one commit.
const BATCH: u64 = 50;

/// What a change of the key-encryption key did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rekeyed {
    /// The version of the key-encryption key that is in use now.
    pub version: u32,
    /// How many keys this run encrypted again.
    pub keys: u64,
    /// Whether it finished a change that was begun before.
    pub resumed: bool,
}

/// Changes the key-encryption key in the file `path`, under which the keys in `store` are, or
/// finishes a change that was interrupted. No two may run at once.
pub(in crate::key) async fn rekey(store: &Store, path: &Path) -> Result<Rekeyed, OpenError> {
    let proofs = store.read(table::kek_proofs).await?;
    let Some((in_use, _)) = proofs.last() else { return Err(OpenError::Unused) };
    let mut lines = kek::read(path)?.unwrap_or_default();
    let wrong = || OpenError::WrongKek(path.to_owned());

    let (version, resumed) = begin(*in_use, proofs.len(), &mut lines).ok_or_else(wrong)?;
    kek::write(path, &lines)?;
    let kek = Kek::open(path, path, true)?;
    for (version, proof) in &proofs {
        kek.open_sealed(Bound::proof(*version), proof).map_err(|_| wrong())?;
    }
    if version != *in_use {
        let proof = kek.seal(Bound::proof(version), &[0; 32]).ok_or_else(wrong)?;
        store.write(move |tx| table::write_kek_proof(tx, version, &proof)).await?;
    }
    let kek = Arc::new(kek);
    let mut keys = 0;
    loop {
        keys += encrypt_all(store, &kek, version).await?;
        // In one transaction with a last look: nothing may need an old version any more.
        let done = store.write(move |tx| {
            let done = table::keys_before_kek(tx, version, 1)?.is_empty();
            if done {
                table::forget_keks(tx, version)?;
            }
            Ok::<_, StoreError>(done)
        });
        if done.await? {
            break;
        }
    }
    lines.retain(|in_file, _| *in_file == version);
    kek::write(path, &lines)?;
    Ok(Rekeyed { version, keys, resumed })
}

/// The version to change to, put into `lines` if it is new, and whether the change was begun
/// before. None when the file does not hold what is in use.
fn begin(in_use: u32, proofs: usize, lines: &mut Lines) -> Option<(u32, bool)> {
    lines.get(&in_use)?;
    let next = in_use.checked_add(1)?;
    if lines.contains_key(&next) {
        // Only the file was written.
        return Some((next, true));
    }
    if proofs > 1 || lines.len() > 1 {
        // The new version is in use, and the old one has not gone yet.
        return Some((in_use, true));
    }
    lines.insert(next, kek::new_line());
    Some((next, false))
}

/// Encrypts what is under versions before `version` again, [`BATCH`] keys in a commit; how many.
async fn encrypt_all(store: &Store, kek: &Arc<Kek>, version: u32) -> Result<u64, StoreError> {
    let mut done = 0;
    loop {
        let kek = Arc::clone(kek);
        match store.write(move |tx| encrypt_some(tx, &kek, version)).await? {
            0 => return Ok(done),
            some => done += some,
        }
    }
}

fn encrypt_some(tx: &Tx, kek: &Kek, version: u32) -> Result<u64, StoreError> {
    let keys = table::keys_before_kek(tx, version, BATCH)?;
    for (id, stored) in &keys {
        let bound = Bound::key(id, &stored.package, stored.kek);
        let damaged = |e: kek::OpenError| StoreError::Damaged(format!("the key `{id}`: {e}"));
        let plain = kek.open_sealed(bound, &stored.sealed).map_err(damaged)?;
        let sealed = kek.seal(Bound { kek: version, ..bound }, &plain);
        let sealed = sealed.ok_or_else(|| damaged(kek::OpenError))?;
        table::rekey(tx, id, version, &sealed)?;
    }
    Ok(keys.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each crash leaves, and where the next run goes on.
    #[test]
    fn what_is_found_says_how_far_a_change_has_come() {
        let lines = |versions: &[u32]| -> Lines {
            versions.iter().map(|version| (*version, kek::new_line())).collect()
        };
        // In use, proofs, file; to, resumed, file afterwards.
        for (in_use, proofs, file, to, resumed, after) in [
            (1, 1, &[1][..], 2, false, &[1, 2][..]),
            (1, 1, &[1, 2], 2, true, &[1, 2]),
            (2, 2, &[1, 2], 2, true, &[1, 2]),
            (2, 1, &[1, 2], 2, true, &[1, 2]),
            (2, 1, &[2], 3, false, &[2, 3]),
        ] {
            let mut lines = lines(file);
            assert_eq!(begin(in_use, proofs, &mut lines), Some((to, resumed)));
            assert_eq!(lines.keys().copied().collect::<Vec<_>>(), after);
        }
        assert_eq!(begin(2, 1, &mut lines(&[1])), None);
        assert_eq!(begin(1, 1, &mut lines(&[])), None);
        assert_eq!(begin(u32::MAX, 1, &mut lines(&[u32::MAX])), None);
    }
}
