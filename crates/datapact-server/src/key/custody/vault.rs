//! Keys in the database, encrypted under the key-encryption key in its file (KS-2).

use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use datapact_api::problem::Problem;
use datapact_core::id::{Digest, KeyId, ShareId};
use datapact_store::Store;

use super::kek::{self, Bound, FIRST_VERSION, Kek, Plain};
use super::table::{self, StoredKey};
use crate::key::failure::{OpenError, Result};

/// Encrypts and decrypts stored keys.
pub(in crate::key) struct Vault {
    kek: Kek,
    store: Store,
}

impl Vault {
    /// Opens the file `path` and proves that it holds what the database is encrypted with.
    pub(in crate::key) async fn open(
        path: &Path,
        store: &Store,
    ) -> std::result::Result<Self, OpenError> {
        let wrong = || OpenError::WrongKek(path.to_owned());
        let proofs = store.read(table::kek_proofs).await?;
        let database = PathBuf::from(store.location().to_string());
        let kek = Kek::open(path, &database, !proofs.is_empty())?;
        for (version, proof) in &proofs {
            kek.open_sealed(Bound::proof(*version), proof).map_err(|_| wrong())?;
        }
        if proofs.is_empty() {
            let proof = kek.seal(Bound::proof(FIRST_VERSION), &[0; 32]).ok_or_else(wrong)?;
            store.write(move |tx| table::write_kek_proof(tx, FIRST_VERSION, &proof)).await?;
        }
        Ok(Self { kek, store: store.clone() })
    }

    /// Encrypts a key under the version of the key-encryption key that is in use.
    pub(super) async fn seal(
        &self,
        id: &KeyId,
        share: ShareId,
        package: Digest,
        plain: &[u8; 32],
    ) -> Result<StoredKey> {
        let kek = self.store.read(table::kek_in_use).await?;
        self.load_version(kek)?;
        let sealed = self.kek.seal(Bound::key(id, &package, kek), plain);
        let missing = || Problem::internal("the key-encryption key in use is missing");
        Ok(StoredKey { share, package, kek, sealed: sealed.ok_or_else(missing)? })
    }

    /// Decrypts a stored key. One that a rotation has just encrypted again is read again.
    pub(in crate::key) async fn open_key(&self, id: &KeyId, stored: &StoredKey) -> Result<Plain> {
        self.load_version(stored.kek)?;
        let open = |stored: &StoredKey| {
            let bound = Bound::key(id, &stored.package, stored.kek);
            self.kek.open_sealed(bound, &stored.sealed)
        };
        if let Ok(plain) = open(stored) {
            return Ok(plain);
        }
        let key = *id;
        let newest = self.store.read(move |db| table::key(db, &key)).await?;
        let newest = newest.and_then(|entry| entry.stored).filter(|newest| newest.kek > stored.kek);
        if let Some(newest) = newest {
            self.load_version(newest.kek)?;
            if let Ok(plain) = open(&newest) {
                return Ok(plain);
            }
        }
        tracing::error!(key = %id, "a stored key does not open: its row was altered");
        Err(Problem::internal(kek::OpenError).into())
    }

    /// Whether `plain` is the stored key, compared in constant time.
    pub(super) async fn holds(
        &self,
        id: &KeyId,
        stored: &StoredKey,
        plain: &[u8; 32],
    ) -> Result<bool> {
        let held = self.open_key(id, stored).await?;
        Ok(verify_slices_are_equal(held.as_slice(), plain).is_ok())
    }

    /// Reads the file again if a rotation has put a version into it that is not loaded yet.
    fn load_version(&self, version: u32) -> Result<()> {
        if self.kek.has(version) {
            return Ok(());
        }
        Ok(self.kek.reload().map_err(Problem::internal)?)
    }
}
