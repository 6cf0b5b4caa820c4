//! The publications, as subscribers read them: each at its own pace from the database, so that none
//! is lost, none holds up another, and a slow one costs no memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datapact_api::gate::Caller;
use datapact_api::management::{self as api, CatalogEntry, CatalogFilter};
use datapact_api::problem::{Kind, Problem};
use datapact_core::identity::Identity;
use datapact_store::{Db, Store, Tx};
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{Matcher, table};
use crate::management::account::admission::Admission;
use crate::management::base::Base;
use crate::management::failure::{Failure, Result};
use crate::management::policy::SignedPolicies;

/// How many clients may follow the publications at once: each holds a connection.
const READERS_MAX: usize = 1000;
/// How many publications are read ahead for a client.
const READ_AHEAD: u64 = 32;
/// How often a silent stream is checked: a disabled account hears nothing more.
const CHECK: Duration = Duration::from_secs(15);

/// When a client that may not follow now may try again, in seconds.
const RETRY_SECONDS: u64 = 15;

/// Adds a publication, in the transaction that makes it.
pub(crate) fn add(tx: &Tx, entry: &CatalogEntry) -> Result<()> {
    Ok(table::add(tx, entry)?)
}

/// Reads the filter of a subscription, while it is there.
pub(crate) type ReadFilter = Arc<dyn Fn(&Db) -> Result<CatalogFilter> + Send + Sync>;

/// Streams of publications.
pub(crate) struct Publications {
    store: Store,
    admission: Arc<Admission>,
    policies: Arc<SignedPolicies>,
    newest: watch::Receiver<u64>,
    readers: Arc<Semaphore>,
    by_user: Arc<StreamsByUser>,
}

impl Publications {
    pub(crate) fn new(
        base: &Base,
        policies: Arc<SignedPolicies>,
        newest: watch::Receiver<u64>,
        of_user_max: usize,
    ) -> Self {
        let Base { store, admission, .. } = base.clone();
        let readers = Arc::new(Semaphore::new(READERS_MAX));
        let by_user = Arc::new(StreamsByUser { of_user_max, open: Mutex::default() });
        Self { store, admission, policies, newest, readers, by_user }
    }

    /// The number of the newest publication; 0 if there is none.
    pub(crate) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// How many clients follow now.
    pub(crate) fn readers(&self) -> usize {
        READERS_MAX - self.readers.available_permits()
    }

    /// The publications behind the event `after` as they come, or those of them that fit the
    /// `filter`. The stream ends with a problem when the caller may not read on.
    ///
    /// # Errors
    /// [`Kind::Busy`] when too many follow, or the caller too often.
    pub(crate) fn follow(
        self: &Arc<Self>,
        caller: &Caller,
        after: u64,
        filter: Option<ReadFilter>,
    ) -> Result<api::Publications> {
        let stream = self.by_user.open(caller.identity())?;
        let permit = Arc::clone(&self.readers).try_acquire_owned().map_err(|_| {
            Problem::new(Kind::Busy, "too many subscribers")
                .hint("search the catalog, or try again later")
                .retry_after(RETRY_SECONDS)
        })?;
        let (publications, caller) = (Arc::clone(self), caller.clone());
        let reader = Reader { publications, caller, after, filter, _held: (permit, stream) };
        let batches = stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(entries) => Some((entries.into_iter().map(Ok).collect(), Some(reader))),
                Err(failure) => Some((vec![Err(Problem::from(failure))], None)),
            }
        });
        Ok(batches.flat_map(stream::iter).boxed())
    }
}

/// One client that follows.
struct Reader {
    publications: Arc<Publications>,
    caller: Caller,
    after: u64,
    /// Says what to read; all if none.
    filter: Option<ReadFilter>,
    _held: (OwnedSemaphorePermit, OpenStream),
}

impl Reader {
    /// The next publications, waiting for them.
    async fn next(&mut self) -> Result<Vec<CatalogEntry>> {
        let mut newest = self.publications.newest.clone();
        loop {
            self.publications.admission.account(&self.caller).await?;
            let (after, filter) = (self.after, self.filter.clone());
            let read = self.publications.store.read(move |db| {
                // The filter is read each time: it may have been replaced, or have ended.
                let filter = filter.map(|read| read(db)).transpose()?;
                Ok::<_, Failure>((filter, table::publications(db, after, READ_AHEAD)?))
            });
            let (filter, entries) = read.await?;
            let Some(last) = entries.last() else {
                // An early end only means looking again.
                let more = newest.wait_for(|event| *event > after);
                let _ = tokio::time::timeout(CHECK, more).await.map(|newest| newest.map(drop));
                continue;
            };
            self.after = last.event;
            let entries = match &filter {
                Some(filter) => self.matching(&Matcher::of(filter)?, entries).await?,
                None => entries,
            };
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
    }

    async fn matching(
        &self,
        matcher: &Matcher,
        entries: Vec<CatalogEntry>,
    ) -> Result<Vec<CatalogEntry>> {
        let mut found = Vec::new();
        for entry in entries {
            // What an erased provider published is gone.
            let policy = self.publications.policies.get_cached(&entry.policy).await?;
            if policy.is_some_and(|policy| matcher.matches(&entry, policy.body())) {
                found.push(entry);
            }
        }
        Ok(found)
    }
}

/// How many streams each user has open.
struct StreamsByUser {
    of_user_max: usize,
    open: Mutex<HashMap<Identity, usize>>,
}

impl StreamsByUser {
    /// Counts one more, until what this gives is dropped.
    fn open(self: &Arc<Self>, user: &Identity) -> Result<OpenStream> {
        let mut open = self.lock();
        let count = open.entry(user.clone()).or_default();
        if *count >= self.of_user_max {
            let detail = format!("you follow by {count} streams, and more are not allowed");
            let problem = Problem::new(Kind::Busy, detail).retry_after(RETRY_SECONDS);
            return Err(problem.hint("end one of them").into());
        }
        *count += 1;
        Ok(OpenStream { streams: Arc::clone(self), user: user.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a user's streams.
struct OpenStream {
    streams: Arc<StreamsByUser>,
    user: Identity,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}
