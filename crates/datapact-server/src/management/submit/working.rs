//! The documents being worked on: one task at a time for each, and their content in memory for the
//! projector.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use datapact_api::problem::{Kind, Problem};
use datapact_core::contract::Documents;
use datapact_core::id::Digest;

use crate::management::failure::Result;

/// The most documents that are worked on at once.
const WORKING_MAX: usize = 10_000;

/// One lock for each document being worked on, so that repeats of a call wait for the first.
#[derive(Default)]
pub(super) struct DocumentLocks(Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>);

impl DocumentLocks {
    /// The lock of the document `id`.
    ///
    /// # Errors
    /// Busy, with [`WORKING_MAX`] documents being worked on.
    pub(super) fn of(&self, id: Digest) -> Result<Arc<tokio::sync::Mutex<()>>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&id).and_then(Weak::upgrade) {
            return Ok(lock);
        }
        // Locks that no task holds stay until there are too many, so that most calls do not walk
        // the map.
        if locks.len() >= WORKING_MAX {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        if locks.len() >= WORKING_MAX {
            let detail = "too many calls at once; try again in a moment";
            return Err(Problem::new(Kind::Busy, detail).into());
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(id, Arc::downgrade(&lock));
        Ok(lock)
    }
}

/// The documents of calls under way, which the projector need not read from the intents. Intents
/// are authoritative: what is missing here is there.
#[derive(Default)]
pub(super) struct DocumentsInMemory(Mutex<HashMap<Digest, Arc<Documents>>>);

impl DocumentsInMemory {
    pub(super) fn get(&self, id: &Digest) -> Option<Arc<Documents>> {
        self.lock().get(id).cloned()
    }

    /// Holds `documents` until the guard is dropped.
    pub(super) fn hold(&self, id: Digest, documents: &Arc<Documents>) -> HeldDocuments<'_> {
        self.lock().insert(id, Arc::clone(documents));
        HeldDocuments(self, id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Documents>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Documents in memory until this is dropped.
pub(super) struct HeldDocuments<'a>(&'a DocumentsInMemory, Digest);

impl Drop for HeldDocuments<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}
