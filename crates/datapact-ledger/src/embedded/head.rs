//! The newest state of the log: in the tables, and as far as this process has seen it.

use std::sync::{Mutex, PoisonError};

use datapact_core::id::Timestamp;
use datapact_log::note::{Checkpoint, SigningKey};
use datapact_log::tree::Edge;
use datapact_store::Tx;
use tokio::sync::watch;

use crate::port::LedgerError;
use crate::tables;

/// What the log is after its newest entry.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) edge: Edge,
    /// The time of the newest entry.
    pub(super) time: Timestamp,
}

impl Head {
    /// What the tables hold, which must be what was signed; an empty log if they hold nothing.
    pub(super) fn begin_or_load(tx: &Tx, key: &SigningKey) -> Result<Self, LedgerError> {
        let Some(size) = tables::newest_size(tx)? else {
            let edge = Edge::default();
            tables::write_checkpoint(tx, 0, &key.checkpoint(0, &edge.root()))?;
            return Ok(Self { edge, time: 0 });
        };
        let note = tables::checkpoint(tx, size)?.unwrap_or_default();
        let signed = Checkpoint::open(note.as_bytes(), key.public(), &[]).map_err(|error| {
            LedgerError::Misconfigured(format!(
                "the ledger in this database was signed by another key: {error}"
            ))
        })?;
        let edge = tables::edge(tx, size)?;
        if edge.root() != *signed.root() || !tables::entries(tx, size, 1)?.is_empty() {
            let reason = format!(
                "the tree of {size} entries is not the one that was signed; restore a backup"
            );
            return Err(LedgerError::Corrupt { position: None, reason });
        }
        Ok(Self { edge, time: tables::newest_time(tx)? })
    }

    /// This one, if nothing was added since; otherwise what the tables hold. Nothing else is added
    /// before `tx` ends.
    pub(super) fn current(self, tx: &Tx, key: &SigningKey) -> Result<Self, LedgerError> {
        if tables::newest_size(tx)? == Some(self.edge.size()) {
            return Ok(self);
        }
        Self::begin_or_load(tx, key)
    }
}

/// The newest head that this process has seen; the tables may be ahead of it.
pub(super) struct NewestHead {
    // Held only to copy it.
    head: Mutex<Head>,
    grown: watch::Sender<u64>,
}

impl NewestHead {
    /// Begins with `head`; `grown` is told of each larger size.
    pub(super) fn new(head: Head, grown: watch::Sender<u64>) -> Self {
        Self { head: Mutex::new(head), grown }
    }

    pub(super) fn get(&self) -> Head {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was written is durable. Two commits may be told of in the wrong order.
    pub(super) fn committed(&self, head: &Head) {
        let size = head.edge.size();
        let mut newest = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if size > newest.edge.size() {
            *newest = head.clone();
        }
        drop(newest);
        raise(&self.grown, size);
    }
}

/// Sets what is watched to `value`, unless it is larger already.
pub(super) fn raise(watched: &watch::Sender<u64>, value: u64) {
    watched.send_if_modified(|newest| std::mem::replace(newest, value.max(*newest)) < value);
}
