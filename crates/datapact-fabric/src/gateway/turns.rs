//! Turns: a call that would conflict with another for certain waits for it instead.
//!
//! Two transactions that write the same key conflict when they share a block, and the later one has
//! cost all that a transaction costs. Calls on different keys never wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Queues = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

/// The callers on each key, one at a time.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Queues>);

/// A turn, until it is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    key: String,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn on `key`; first come, first served.
    pub(crate) async fn take(&self, key: String) -> Turn<'_> {
        let queue = Arc::clone(self.queues().entry(key.clone()).or_default());
        // Made before the wait: a caller that gives up leaves the queue like one that is done.
        let mut turn = Turn { turns: self, key, held: None };
        turn.held = Some(queue.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.queues();
        self.held = None;
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_on_a_key_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = turns.take("a".to_owned()).await;
        let other = turns.take("b".to_owned()).await;
        assert!(turns.take("a".to_owned()).now_or_never().is_none());
        drop(first);
        let second = turns.take("a".to_owned()).await;
        drop((second, other));
        assert!(turns.queues().is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_nothing_behind() {
        let turns = Turns::default();
        let first = turns.take("a".to_owned()).await;
        {
            let mut waiting = Box::pin(turns.take("a".to_owned()));
            assert!((&mut waiting).now_or_never().is_none());
            drop(first);
        }
        assert!(turns.queues().is_empty());
    }
}
