//! The publications, as subscribers read them: each at its own pace from the database, so that none
//! is lost, none holds up another, and a slow one costs no memory.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::gate::Caller;
use datapact_api::management::{self as api, CatalogEntry, CatalogFilter};
use datapact_api::problem::{Kind, Problem};
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
}

impl Publications {
    pub(crate) fn new(
        base: &Base,
        policies: Arc<SignedPolicies>,
        newest: watch::Receiver<u64>,
    ) -> Self {
        let Base { store, admission, .. } = base.clone();
        Self { store, admission, policies, newest, readers: Arc::new(Semaphore::new(READERS_MAX)) }
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
    /// [`Kind::Busy`] when too many follow.
    pub(crate) fn follow(
        self: &Arc<Self>,
        caller: &Caller,
        after: u64,
        filter: Option<ReadFilter>,
    ) -> Result<api::Publications> {
        let permit = Arc::clone(&self.readers).try_acquire_owned().map_err(|_| {
            Problem::new(Kind::Busy, "too many subscribers")
                .hint("search the catalog, or try again later")
        })?;
        let publications = Arc::clone(self);
        let reader =
            Reader { publications, caller: caller.clone(), after, filter, _permit: permit };
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
    _permit: OwnedSemaphorePermit,
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
