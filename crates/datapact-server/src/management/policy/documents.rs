//! The signed policies, for all parts of management that need one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datapact_core::id::Digest;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use datapact_store::Store;

use super::table;
use crate::management::failure::Result;

/// The most policies that are held in memory, and the longest of them, in bytes: 8 MiB in all.
const CACHED_MAX: usize = 256;
const CACHED_BYTES_MAX: usize = 32 * 1024;

/// Reads policies. Those read for accesses are held in memory, since a share that is accessed often
/// needs the same one each time.
pub(crate) struct SignedPolicies {
    store: Store,
    cached: Mutex<HashMap<Digest, Signed<SharingPolicy>>>,
}

impl SignedPolicies {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, cached: Mutex::default() }
    }

    /// The policy `id`, unless it was erased.
    pub(crate) async fn get(&self, id: &Digest) -> Result<Option<Signed<SharingPolicy>>> {
        let id = *id;
        self.store.read(move |db| table::policy(db, &id)).await
    }

    /// The same, perhaps from memory: by another process it may have been erased since the last
    /// [`Self::forget`].
    pub(crate) async fn get_cached(&self, id: &Digest) -> Result<Option<Signed<SharingPolicy>>> {
        if let Some(policy) = self.cached().get(id).cloned() {
            return Ok(Some(policy));
        }
        let policy = self.get(id).await?;
        if let Some(policy) = &policy {
            let mut cached = self.cached();
            if cached.len() >= CACHED_MAX {
                cached.clear();
            }
            if policy.as_str().len() <= CACHED_BYTES_MAX {
                cached.insert(*id, policy.clone());
            }
        }
        Ok(policy)
    }

    /// Empties the memory: when a policy is erased, and each minute, since another process may have
    /// erased one.
    pub(crate) fn forget(&self) {
        self.cached().clear();
    }

    fn cached(&self) -> MutexGuard<'_, HashMap<Digest, Signed<SharingPolicy>>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
