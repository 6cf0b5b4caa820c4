//! Intents: what is to be on the ledger is stored first, so that a crash at any step loses nothing.
//! Executing one again is harmless, since the contract knows a call by its document.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use datapact_api::problem::{Kind, Problem};
use datapact_core::commitment::Opening;
use datapact_core::contract::{Call, Documents};
use datapact_core::id::{Digest, Salt, ShareId};
use datapact_core::identity::Identity;
use datapact_ledger::store::{Migration, padded, placeholders};
use datapact_ledger::{LedgerError, LedgerReceipt};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};

use super::failure::{Failure, Result};
use super::schema::{Row, json, number, row, rows, rows_of, run, text};
use super::{PROJECTION_TIMEOUT, Server};

/// The most documents that are worked on at once.
const WORKING_MAX: usize = 10_000;

/// How many calls that were left open are executed at once.
const AGAIN_AT_ONCE: usize = 64;

/// How often it is looked for what is still open.
const EVERY: Duration =
    if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(10) };

/// How long the documents of a refused call are kept where another process may be executing it
/// again, in seconds.
const REFUSED_SECONDS: u64 = 60 * 60;

/// What several processes need, beside the tables of management. The name sorts after `management`.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    module: "management_intent",
    version: 1,
    // When the ledger refused it.
    statements: &["ALTER TABLE intent ADD COLUMN refused BIGINT"],
}];

/// What became of an intent.
pub(super) enum Submitted {
    /// It is on the ledger and applied: now, with this receipt, or before.
    Applied(Option<Box<LedgerReceipt>>),
    /// Somebody else has drawn another salt in the meantime: begin again with that one.
    SaltTaken,
}

/// A call to be executed, with the consumer's salt if it was just drawn.
pub(super) struct New {
    pub(super) id: Digest,
    pub(super) call: Call,
    pub(super) documents: Arc<Documents>,
    pub(super) drawn: Option<Opening>,
}

/// What became of it in the store.
pub(super) enum Stored {
    Open(Box<(Call, Arc<Documents>)>),
    Applied,
    SaltTaken,
}

/// The documents of calls under way, which the projector need not read again. The stored intents
/// are what counts: what is missing here is there.
#[derive(Default)]
pub(super) struct AtHand(Mutex<HashMap<Digest, Arc<Documents>>>);

impl AtHand {
    pub(super) fn get(&self, id: &Digest) -> Option<Arc<Documents>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Keeps `documents` until the guard is dropped.
    fn keep(&self, id: Digest, documents: &Arc<Documents>) -> Held<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(documents));
        Held(self, id)
    }
}

struct Held<'a>(&'a AtHand, Digest);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Server {
    /// Stores the intent to execute `call`, with the consumer's salt if it was just drawn, executes
    /// it and waits for its projection. An open intent of the same document is executed as it was
    /// stored. Where the ledger lies in management's own database, all of it is one transaction,
    /// see [`super::together`]. The documents were checked.
    ///
    /// # Errors
    /// The ledger's refusal, after which no intent is left; or unavailability, after which a repeat
    /// completes it.
    pub(super) async fn submit(
        self: &Arc<Self>,
        id: Digest,
        call: Call,
        documents: Documents,
        drawn: Option<Opening>,
    ) -> Result<Submitted> {
        let server = Arc::clone(self);
        // A client that hangs up does not stop what was begun.
        let work = tokio::spawn(async move {
            let lock = server.lock_of(id)?;
            let _working = lock.lock().await;
            let new = New { id, call, documents: Arc::new(documents), drawn };
            if let Some(together) = &server.together {
                return server.finish(together.ask(new).await?).await;
            }
            match server.intents.ask(new).await? {
                Stored::Open(intent) => {
                    let receipt = server.execute(id, &intent.0, &intent.1).await?;
                    Ok(Submitted::Applied(Some(Box::new(receipt))))
                }
                Stored::Applied => Ok(Submitted::Applied(None)),
                Stored::SaltTaken => Ok(Submitted::SaltTaken),
            }
        });
        work.await.map_err(|e| Problem::internal(format!("a task ended: {e}")))?
    }

    fn lock_of(&self, id: Digest) -> Result<Arc<tokio::sync::Mutex<()>>> {
        let mut working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = working.get(&id).and_then(Weak::upgrade) {
            return Ok(lock);
        }
        if working.len() >= WORKING_MAX {
            working.retain(|_, lock| lock.strong_count() > 0);
        }
        if working.len() >= WORKING_MAX {
            return Err(
                Problem::new(Kind::Busy, "too many calls at once; try again in a moment").into()
            );
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        working.insert(id, Arc::downgrade(&lock));
        Ok(lock)
    }

    async fn execute(
        &self,
        id: Digest,
        call: &Call,
        documents: &Arc<Documents>,
    ) -> Result<LedgerReceipt> {
        let _held = self.at_hand.keep(id, documents);
        match self.ledger.execute(call, documents).await {
            Ok(receipt) => self.applied(receipt.position).await.map(|()| receipt),
            Err(error @ (LedgerError::Refused(_) | LedgerError::Check(_))) => {
                self.forget(id).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the projector has applied `position`.
    pub(super) async fn applied(&self, position: u64) -> Result<()> {
        let mut projected = self.projected.subscribe();
        let wait = projected.wait_for(|next| *next > position);
        match tokio::time::timeout(PROJECTION_TIMEOUT, wait).await {
            Ok(Ok(_)) => Ok(()),
            _ => {
                let detail = "it is on the ledger, but management has not processed it yet";
                Err(Problem::new(Kind::Unavailable, detail)
                    .hint("repeat the same call in a moment")
                    .into())
            }
        }
    }

    /// Forgets an intent that the ledger has refused. Another process may just be executing it
    /// again, by terms that grant it, and then needs the documents; so these stay for a while where
    /// there may be another.
    async fn forget(&self, id: Digest) -> Result<()> {
        if self.store.location().is_shared() {
            let now = self.now();
            return self.store.write(move |tx| Box::pin(mark_refused(tx, id, now))).await;
        }
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    run(tx, "DELETE FROM intent WHERE id = $1", [text(id)]).await.map(drop)
                })
            })
            .await
            .map_err(Failure::from)
    }

    /// The openings of `identities` for `share`; salts not drawn yet are drawn and kept.
    pub(super) async fn openings(
        &self,
        share: ShareId,
        identities: Vec<Identity>,
    ) -> Result<Vec<Opening>> {
        let mut found = Vec::with_capacity(identities.len());
        for identity in &identities {
            match self.opening(&share, identity).await? {
                Some(opening) => found.push(opening),
                None => break,
            }
        }
        if found.len() == identities.len() {
            return Ok(found);
        }
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let mut openings = Vec::with_capacity(identities.len());
                    for identity in identities {
                        let drawn = Opening { identity, salt: Salt::random() };
                        openings
                            .push(Opening { salt: salt_or(tx, &share, &drawn).await?, ..drawn });
                    }
                    Ok(openings)
                })
            })
            .await
    }

    /// What opens the commitment to `identity` for `share`, if a salt was drawn.
    pub(super) async fn opening(
        &self,
        share: &ShareId,
        identity: &Identity,
    ) -> Result<Option<Opening>> {
        let salt = salt_of(self.store.read(), share, identity).await?;
        Ok(salt.map(|salt| Opening { identity: identity.clone(), salt }))
    }
}

async fn mark_refused(on: &DatabaseTransaction, id: Digest, now: u64) -> Result<()> {
    run(on, "UPDATE intent SET refused = $2 WHERE id = $1", [text(id), number(now)]).await?;
    Ok(())
}

/// Forgets the documents of calls that were refused long ago.
pub(super) async fn forget_refused(on: &DatabaseTransaction, now: u64) -> Result<()> {
    let before = number(now.saturating_sub(REFUSED_SECONDS));
    run(on, "DELETE FROM intent WHERE refused < $1", [before]).await?;
    Ok(())
}

async fn salt_of(
    on: &impl ConnectionTrait,
    share: &ShareId,
    identity: &Identity,
) -> Result<Option<Salt>> {
    let sql = "SELECT salt FROM salt WHERE share = $1 AND identity = $2";
    Ok(row(on, sql, [text(share), text(identity)]).await?.map(|row| row.parse(0)).transpose()?)
}

/// The one salt of an identity on a share: the one kept, else the one drawn, which is kept from now
/// on.
pub(super) async fn salt_or(
    on: &impl ConnectionTrait,
    share: &ShareId,
    drawn: &Opening,
) -> Result<Salt> {
    let sql = "INSERT INTO salt (share, identity, salt) VALUES ($1, $2, $3) ON CONFLICT (share, identity) DO NOTHING";
    if run(on, sql, [text(share), text(&drawn.identity), text(drawn.salt)]).await? == 1 {
        return Ok(drawn.salt);
    }
    let kept = salt_of(on, share, &drawn.identity).await?;
    kept.ok_or_else(|| Problem::internal("a salt is there and not there").into())
}

/// Stores intents, for [`datapact_ledger::store::Group`]: no two of the same document, since each
/// is worked on by one task at a time.
pub(super) async fn store_all(
    on: &DatabaseTransaction,
    new: Vec<New>,
) -> Result<Vec<Result<Stored>>> {
    let applied = applied(on, &new).await?;
    let mut open = open(on, &new).await?;
    let (mut outcomes, mut inserted) =
        (Vec::with_capacity(new.len()), Vec::with_capacity(new.len()));
    for New { id, call, documents, drawn } in new {
        if applied.contains(&id) {
            outcomes.push(Ok(Stored::Applied));
            continue;
        }
        if let Some(opening) = drawn
            && salt_or(on, call.share(), &opening).await? != opening.salt
        {
            outcomes.push(Ok(Stored::SaltTaken));
            continue;
        }
        outcomes.push(match open.remove(&id) {
            None => {
                inserted.push(columns(id, &call, &documents)?);
                Ok(Stored::Open(Box::new((call, documents))))
            }
            Some(row) => {
                run(on, "UPDATE intent SET refused = NULL WHERE id = $1", [text(id)]).await?;
                let intent = |row: &Row| Ok::<_, Failure>((row.json(0)?, Arc::new(row.json(1)?)));
                intent(&row).map(|intent| Stored::Open(Box::new(intent)))
            }
        });
    }
    insert_all(on, inserted).await?;
    Ok(outcomes)
}

/// An intent's row.
pub(super) fn columns(id: Digest, call: &Call, documents: &Documents) -> Result<[Value; 3]> {
    Ok([text(id), json(call)?, json(documents)?])
}

/// Stores those that are not there yet.
pub(super) async fn insert_all(on: &impl ConnectionTrait, rows: Vec<[Value; 3]>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let list = placeholders(on, rows.len(), 3);
    let sql = format!(
        "INSERT INTO intent (id, call, documents) VALUES {list} ON CONFLICT (id) DO NOTHING"
    );
    run(on, &sql, rows.into_iter().flatten()).await?;
    Ok(())
}

/// Those of which the projector has applied what they ask for. A document's id is of one kind.
pub(super) async fn applied(on: &impl ConnectionTrait, new: &[New]) -> Result<HashSet<Digest>> {
    let asked = padded(new.iter().map(|new| text(new.id)).collect());
    let list = placeholders(on, asked.len(), 1);
    let sql = format!(
        "WITH asked (id) AS (VALUES {list}) SELECT id FROM policy WHERE id IN (SELECT id FROM asked) \
         UNION ALL SELECT request FROM access WHERE request IN (SELECT id FROM asked) \
         UNION ALL SELECT report FROM usage WHERE report IN (SELECT id FROM asked)"
    );
    let found = rows(on, sql, asked).await?;
    found.iter().map(|row| Ok(row.parse(0)?)).collect()
}

/// Call and documents of those that are stored already.
async fn open(on: &impl ConnectionTrait, new: &[New]) -> Result<HashMap<Digest, Row>> {
    let sql = "SELECT call, documents, id FROM intent WHERE id IN";
    let found = rows_of(on, sql, new.iter().map(|new| text(new.id))).await?;
    found.into_iter().map(|row| Ok((row.parse(2)?, row))).collect()
}

/// Executes again what was open when the process ended, unless the ledger is away.
pub(super) async fn recover(server: &Arc<Server>) -> Result<()> {
    all_again(server, left_open(server).await?).await;
    Ok(())
}

/// Executes again, for as long as the server lives, what is left open because the ledger was away:
/// nobody has to repeat the call. At once, if what was open when the process began is left to it.
pub(super) async fn take_up(server: Arc<Server>, at_once: bool) {
    if at_once && let Err(failure) = recover(&server).await {
        tracing::error!(problem = %failure.0, "what was open when the process ended cannot be read");
    }
    let mut open_before = BTreeSet::new();
    loop {
        tokio::time::sleep(EVERY).await;
        // What was begun just now is still being worked on, by this process or another.
        let found = match left_open(&server).await {
            Ok(found) => found,
            Err(failure) => {
                tracing::debug!(problem = %failure.0, "what is open cannot be read; trying again");
                continue;
            }
        };
        all_again(&server, found.intersection(&open_before).copied()).await;
        open_before = found;
    }
}

/// The documents whose calls are not on the ledger yet, or not applied.
async fn left_open(server: &Server) -> Result<BTreeSet<Digest>> {
    let sql = "SELECT id FROM intent WHERE refused IS NULL";
    let found = rows(server.store.read(), sql, []).await?;
    found.iter().map(|row| row.parse(0).map_err(Failure::from)).collect()
}

/// Executes these again, until the ledger is found to be away. Many at once: on a chain each waits
/// for a block, which holds many.
async fn all_again(server: &Arc<Server>, ids: impl IntoIterator<Item = Digest>) {
    let ids: Vec<Digest> = ids.into_iter().collect();
    for some in ids.chunks(AGAIN_AT_ONCE) {
        let done = join_all(some.iter().map(|id| again(server, *id))).await;
        if done.iter().any(Result::is_err) {
            return;
        }
    }
}

/// Executes one of them again, unless somebody does just now.
///
/// # Errors
/// Unavailability, which the others will meet as well.
async fn again(server: &Arc<Server>, id: Digest) -> Result<()> {
    let lock = server.lock_of(id)?;
    let Ok(_working) = lock.try_lock() else { return Ok(()) };
    let sql = "SELECT call, documents FROM intent WHERE id = $1 AND refused IS NULL";
    let Some(row) = row(server.store.read(), sql, [text(id)]).await? else { return Ok(()) };
    match server.execute(id, &row.json(0)?, &Arc::new(row.json(1)?)).await {
        Ok(_) => tracing::info!(document = %id, "completed what was open"),
        Err(failure) => {
            tracing::warn!(document = %id, problem = %failure.0, "what was open is not done");
            if matches!(failure.0.kind, Kind::Unavailable | Kind::Busy) {
                return Err(failure);
            }
        }
    }
    Ok(())
}
