//! Intents: a call to a chain is stored before it is executed, so a crash at any step loses
//! nothing. Executing one again is harmless, since the contract knows a call by its document.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datapact_api::problem::{Kind, Problem};
use datapact_core::contract::{Call, Documents};
use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Db, Group, Row, Store, Tx, Value, json, number, text};
use futures_util::future::join_all;

use super::{Projection, Submission, Submit};
use crate::management::failure::{Failure, Result};
use crate::management::salt;
use crate::users::disabled;

/// How many open calls are executed at once.
const RETRIES_AT_ONCE: usize = 64;
/// How often open calls are looked for.
const RETRY_EVERY: Duration =
    if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(10) };
/// How long the documents of a refused call stay where another process may be executing it, in
/// seconds.
const REFUSED_SECONDS: u64 = 60 * 60;

/// Stores intents, all that wait in one transaction.
pub(super) type Intents = Group<Submission, State, Failure>;

/// What the database says of a submitted call.
pub(super) enum State {
    /// It is to be executed, as it was stored first.
    Open(Box<(Call, Arc<Documents>)>),
    /// It is on the ledger and applied.
    Applied,
    /// Another salt was drawn for the consumer in the meantime.
    SaltTaken,
}

/// The group that stores intents in `store`.
pub(super) fn intents(store: Store, projection: Arc<dyn Projection>) -> Intents {
    Group::writing(store, move |tx, submissions| store_all(tx, &*projection, submissions))
}

/// Stores the intents of a batch. Each document is worked on by one task at a time
/// ([`super::working::DocumentLocks`]), so no two are of the same document.
fn store_all(
    tx: &Tx,
    projection: &dyn Projection,
    submissions: Vec<Submission>,
) -> Result<Vec<Result<State>>> {
    let applied = projection.applied(tx, &submissions)?;
    let inactive = projection.inactive(tx, &submissions)?;
    let mut open = open_rows(tx, &submissions)?;
    let mut states = Vec::with_capacity(submissions.len());
    let mut inserted = Vec::with_capacity(submissions.len());
    for submission in submissions {
        if applied.contains(&submission.id) {
            states.push(Ok(State::Applied));
            continue;
        }
        if inactive.contains(submission.signer()) {
            states.push(Err(disabled().into()));
            continue;
        }
        let Submission { id, call, documents, drawn } = submission;
        if let Some(opening) = drawn
            && salt::settle(tx, call.share(), &opening)? != opening.salt
        {
            states.push(Ok(State::SaltTaken));
            continue;
        }
        states.push(match open.remove(&id) {
            None => {
                inserted.push(columns(id, &call, &documents)?);
                Ok(State::Open(Box::new((call, documents))))
            }
            // A call that was refused may be granted by now, under the terms of a newer policy.
            Some(row) => {
                tx.run("UPDATE intent SET refused = NULL WHERE id = $1", [text(id)])?;
                Ok(State::Open(Box::new(call_of(&row)?)))
            }
        });
    }
    insert_all(tx, inserted)?;
    Ok(states)
}

/// An intent's row.
pub(super) fn columns(id: Digest, call: &Call, documents: &Documents) -> Result<[Value; 3]> {
    Ok([text(id), json(call)?, json(documents)?])
}

/// Stores those intents that are not there yet.
pub(super) fn insert_all(tx: &Tx, rows: Vec<[Value; 3]>) -> Result<()> {
    tx.insert_or("intent (id, call, documents)", rows, "ON CONFLICT (id) DO NOTHING")?;
    Ok(())
}

/// The rows of those intents that are stored already.
fn open_rows(db: &Db, submissions: &[Submission]) -> Result<HashMap<Digest, Row>> {
    let sql = "SELECT call, documents, id FROM intent WHERE id IN";
    let found = db.rows_of(sql, submissions.iter().map(|submission| text(submission.id)))?;
    found.into_iter().map(|row| Ok((row.parse(2)?, row))).collect()
}

fn call_of(row: &Row) -> Result<(Call, Arc<Documents>)> {
    Ok((row.json(0)?, Arc::new(row.json(1)?)))
}

/// The documents of open calls, as far as they have an intent.
pub(super) fn documents(
    db: &Db,
    ids: impl IntoIterator<Item = Digest>,
) -> Result<HashMap<Digest, Arc<Documents>>> {
    let sql = "SELECT documents, id FROM intent WHERE id IN";
    let found = db.rows_of(sql, ids.into_iter().map(text))?;
    found.iter().map(|row| Ok((row.parse(1)?, Arc::new(row.json(0)?)))).collect()
}

/// Deletes the documents of calls that were refused long ago.
pub(crate) fn forget_refused(tx: &Tx, now: Timestamp) -> Result<()> {
    let before = number(now.saturating_sub(REFUSED_SECONDS));
    tx.run("DELETE FROM intent WHERE refused < $1", [before])?;
    Ok(())
}

/// Refuses while a call that names `identity` is being executed: it would bring back what an
/// erasure deletes.
pub(crate) fn none_under_way(db: &Db, identity: &Identity) -> Result<()> {
    let name = serde_json::to_string(identity).map_err(Problem::internal)?;
    let pattern = name.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    let sql = "SELECT 1 FROM intent WHERE documents LIKE $1 ESCAPE '!' LIMIT 1";
    if db.row(sql, [text(format!("%{pattern}%"))])?.is_none() {
        return Ok(());
    }
    let detail = "a call of this user is being recorded on the ledger";
    let hint = "the account is disabled; it is erased when that call is completed or given up";
    Err(Problem::new(Kind::Unavailable, detail).hint(hint).into())
}

impl Submit {
    /// Deletes the intent of a call that the ledger has refused. Another process may be executing
    /// it just now under terms that grant it, and needs its documents then; so where there may be
    /// another, they stay for a while.
    pub(super) async fn forget(&self, id: Digest) -> Result<()> {
        let is_shared = self.store.location().is_shared();
        let now = self.now();
        self.store
            .write(move |tx| {
                if is_shared {
                    let sql = "UPDATE intent SET refused = $2 WHERE id = $1";
                    tx.run(sql, [text(id), number(now)])?;
                } else {
                    tx.run("DELETE FROM intent WHERE id = $1", [text(id)])?;
                }
                Ok(())
            })
            .await
    }

    /// Executes what was open when the process ended, unless the ledger is away.
    pub(super) async fn recover(self: &Arc<Self>) -> Result<()> {
        let open = self.open_documents().await?;
        self.retry_all(open).await;
        Ok(())
    }

    /// Executes, for as long as the server lives, calls that are open because the ledger was away:
    /// their callers need not repeat them. `recovers` if it also does what [`Self::recover`] does.
    pub(super) async fn retry_open(self: Arc<Self>, recovers: bool) {
        if recovers && let Err(failure) = self.recover().await {
            tracing::error!(problem = %failure.0, "the calls left open cannot be read");
        }
        let mut open_before = BTreeSet::new();
        loop {
            tokio::time::sleep(RETRY_EVERY).await;
            let open = match self.open_documents().await {
                Ok(open) => open,
                Err(failure) => {
                    tracing::debug!(problem = %failure.0, "cannot read open calls; trying again");
                    continue;
                }
            };
            // A call that was begun since the last look is being worked on, by this process or
            // another.
            self.retry_all(open.intersection(&open_before).copied()).await;
            open_before = open;
        }
    }

    /// The documents whose calls are not on the ledger yet, or not applied.
    async fn open_documents(&self) -> Result<BTreeSet<Digest>> {
        self.store
            .read(|db| {
                let found = db.rows("SELECT id FROM intent WHERE refused IS NULL", [])?;
                found.iter().map(|row| row.parse(0).map_err(Failure::from)).collect()
            })
            .await
    }

    /// Executes these calls until the ledger is found to be away. Many at once: on a chain each
    /// waits for a block, and a block holds many.
    async fn retry_all(self: &Arc<Self>, ids: impl IntoIterator<Item = Digest>) {
        let ids: Vec<Digest> = ids.into_iter().collect();
        for some in ids.chunks(RETRIES_AT_ONCE) {
            let outcomes = join_all(some.iter().map(|id| self.retry(*id))).await;
            if outcomes.iter().any(Result::is_err) {
                return;
            }
        }
    }

    /// Executes an open call, unless another task is doing so.
    ///
    /// # Errors
    /// Unavailability, which other calls will meet as well.
    async fn retry(self: &Arc<Self>, id: Digest) -> Result<()> {
        let lock = self.locks.of(id)?;
        let Ok(_working) = lock.try_lock() else { return Ok(()) };
        let stored = self
            .store
            .read(move |db| {
                let sql = "SELECT call, documents FROM intent WHERE id = $1 AND refused IS NULL";
                db.row(sql, [text(id)])?.map(|row| call_of(&row)).transpose()
            })
            .await?;
        // Completed since it was listed.
        let Some((call, documents)) = stored else { return Ok(()) };
        match self.record(id, &call, &documents).await {
            Ok(_) => tracing::info!(document = %id, "completed an open call"),
            Err(failure) => {
                tracing::warn!(document = %id, problem = %failure.0, "an open call has failed");
                if matches!(failure.0.kind, Kind::Unavailable | Kind::Busy) {
                    return Err(failure);
                }
            }
        }
        Ok(())
    }
}
