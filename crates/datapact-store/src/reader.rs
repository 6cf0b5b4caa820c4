//! Connections that only read, each owned by a thread.
//!
//! Threads are started as they are needed, up to [`READERS_MAX`]; the one that rested last gets the
//! next job, since its cache is warm.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::patience;
use crate::db::Db;
use crate::error::{DatabaseError, StoreError};
use crate::job::{Closure, Job};
use crate::location::Location;

/// The most connections that read at once.
const READERS_MAX: usize = 8;

/// What reads a database, and cannot write.
#[derive(Clone)]
pub struct Reader(Arc<Pool>);

struct Pool {
    location: Location,
    /// How long a job waits for its turn.
    patience: Duration,
    /// One for each connection that may be in use.
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Thread>>,
}

/// Where a thread takes its next turn. It ends when this is dropped.
struct Thread(mpsc::Sender<Turn>);

/// A job, with what the thread gives back when it has run it.
struct Turn {
    job: Box<dyn Job<Db>>,
    pool: Arc<Pool>,
    thread: Thread,
    permit: OwnedSemaphorePermit,
}

impl Reader {
    /// Reads the database at `location`, which another process may be using.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        let reader = Self(Arc::new(Pool {
            location: location.clone(),
            patience: patience(location),
            turns: Arc::new(Semaphore::new(READERS_MAX)),
            idle: Mutex::default(),
        }));
        reader.check().await?;
        Ok(reader)
    }

    /// Runs `job` on a connection that cannot write. Each of its statements sees the newest commit.
    ///
    /// # Errors
    /// The job's own, or a [`StoreError`] when the database is away or too many jobs wait.
    pub async fn read<T, E>(
        &self,
        job: impl FnOnce(&Db) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (job, answer) = Closure::new(job);
        let turn = tokio::time::timeout(self.0.patience, Arc::clone(&self.0.turns).acquire_owned());
        let late = |_| DatabaseError::temporary("too many wait to read the database");
        let permit = turn.await.map_err(|late_by| StoreError::from(late(late_by)))?;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        self.give(job, permit)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Gives `job` to a thread that rests, or to a new one.
    fn give(&self, job: Box<dyn Job<Db>>, permit: OwnedSemaphorePermit) -> Result<(), StoreError> {
        let rested = self.0.idle().pop();
        let thread = match rested {
            Some(thread) => thread,
            None => Thread::start(self.0.location.clone())?,
        };
        let to = thread.0.clone();
        to.send(Turn { job, pool: Arc::clone(&self.0), thread, permit })
            .map_err(|_| StoreError::Closed)
    }

    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        self.read(|db| db.row("SELECT 1", []).map(drop)).await
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Thread {
    fn start(location: Location) -> Result<Self, StoreError> {
        let (turns, next) = mpsc::channel::<Turn>();
        let work = move || {
            let db = Db::reader(location);
            while let Ok(Turn { mut job, pool, thread, permit }) = next.recv() {
                // Should it panic, this thread ends; its turn is given back, and the caller told.
                job.run(&db);
                // It rests before the answer is given: the caller may have another job at once.
                pool.idle().push(thread);
                drop(permit);
                drop(pool);
                job.answer(Ok(()));
            }
        };
        std::thread::Builder::new()
            .name("store-reader".to_owned())
            .spawn(work)
            .map_err(|e| DatabaseError::temporary(format!("no thread for a reader: {e}")))?;
        Ok(Self(turns))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.0.location).finish()
    }
}
