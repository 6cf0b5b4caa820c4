//! How far the ledger's events are applied: in the database, and as other parts of the process
//! follow it.

use std::sync::{Mutex, PoisonError};

use datapact_store::{Db, StoreError, Tx, number};
use tokio::sync::watch;

/// Up to where events are applied, and the numbers given out last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    /// The next position to apply.
    pub(super) next: u64,
    /// The number of the newest publication.
    pub(crate) event: u64,
    /// The number of the newest notification.
    pub(crate) sequence: u64,
}

impl Cursor {
    pub(super) fn read(db: &Db) -> Result<Self, StoreError> {
        let row = db.row("SELECT next, event, sequence FROM projection WHERE id = 1", [])?;
        let missing = || StoreError::Damaged("the projection has no cursor".to_owned());
        let row = row.ok_or_else(missing)?;
        Ok(Self { next: row.number(0)?, event: row.number(1)?, sequence: row.number(2)? })
    }

    pub(super) fn write(&self, tx: &Tx) -> Result<(), StoreError> {
        let sql = "UPDATE projection SET next = $1, event = $2, sequence = $3 WHERE id = 1";
        tx.run(sql, [number(self.next), number(self.event), number(self.sequence)]).map(drop)
    }
}

/// What this process knows of the cursor in the database. It is raised after the commit only, so
/// a caller that waits for a position reads what was applied there.
pub(super) struct Progress {
    next: watch::Sender<u64>,
    published: watch::Sender<u64>,
    /// Why the projector cannot go on, if it cannot.
    stuck: Mutex<Option<String>>,
}

impl Progress {
    pub(super) fn at(cursor: Cursor) -> Self {
        Self {
            next: watch::Sender::new(cursor.next),
            published: watch::Sender::new(cursor.event),
            stuck: Mutex::default(),
        }
    }

    /// The next position to apply.
    pub(super) fn next(&self) -> u64 {
        *self.next.borrow()
    }

    /// The next position to apply, to wait for.
    pub(super) fn watch_next(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// The number of the newest publication, to wait for.
    pub(super) fn watch_published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// `cursor` is durable. Jobs of the writer may be announced in another order than they were
    /// committed in, so neither number goes back.
    pub(super) fn raise(&self, cursor: &Cursor) {
        let raise = |watched: &watch::Sender<u64>, value: u64| {
            watched.send_if_modified(|newest| std::mem::replace(newest, value.max(*newest)) < value)
        };
        raise(&self.next, cursor.next);
        raise(&self.published, cursor.event);
    }

    /// Why the projector cannot go on, if it cannot.
    pub(super) fn stuck(&self) -> Option<String> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_stuck(&self, why: Option<String>) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}
