//! A database with one writer and many readers.

use std::path::Path;

use crate::connection::{copy_file, scrub};
use crate::db::{Db, Tx};
use crate::error::{DatabaseError, StoreError};
use crate::job::Closure;
use crate::location::Location;
use crate::migrate::Migration;
use crate::reader::Reader;
use crate::writer::{self, Jobs};

/// A database with one writer and many readers.
#[derive(Clone)]
pub struct Store {
    jobs: Jobs,
    reader: Reader,
    location: Location,
}

impl Store {
    /// Opens the SQLite database at `path`, making it where there is none, and brings it to the
    /// newest schema.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program has written it; nothing is changed then.
    pub async fn open(path: &Path, schema: &[Migration]) -> Result<Self, StoreError> {
        Self::connect(&Location::Sqlite(path.to_owned()), None, schema).await
    }

    /// Opens the database at `location` as `owner`'s, and brings it to the newest schema. Whose a
    /// database is was said when it was first opened with an owner.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer program has written it, [`StoreError::Foreign`] when it
    /// belongs to another owner; nothing is changed then.
    pub async fn connect(
        location: &Location,
        owner: Option<&str>,
        schema: &[Migration],
    ) -> Result<Self, StoreError> {
        let owner = owner.map(str::to_owned);
        let jobs = writer::start(location.clone(), owner, schema.to_vec()).await?;
        let reader = Reader::open(location).await?;
        Ok(Self { jobs, reader, location: location.clone() })
    }

    /// Runs `job` on the write connection and returns its answer once its writes are durable. A job
    /// that fails leaves nothing behind; those that share its commit are not touched. A job must
    /// not wait for another job.
    ///
    /// # Errors
    /// The job's own, or a [`StoreError`] when the database failed; then nothing was written.
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (job, answer) = Closure::new(job);
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `job` on a connection that cannot write, as [`Reader::read`] does.
    ///
    /// # Errors
    /// The job's own, or a [`StoreError`].
    pub async fn read<T, E>(
        &self,
        job: impl FnOnce(&Db) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.reader.read(job).await
    }

    /// What only reads.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether the database at `location` can be read; nothing is made or changed.
    ///
    /// # Errors
    /// Why not.
    pub async fn look(location: &Location) -> Result<(), StoreError> {
        Reader::open(location).await.map(drop)
    }

    /// Writes a consistent copy of the SQLite database at `path` to `target`, which must not exist.
    /// Another process may be using the database. The copy is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn snapshot(path: &Path, target: &Path) -> Result<(), StoreError> {
        let (path, target) = (path.to_owned(), target.to_owned());
        let copied = tokio::task::spawn_blocking(move || copy_file(&path, &target));
        copied.await.map_err(|e| DatabaseError::new(e.to_string()))?
    }

    /// Writes a consistent copy of the database to `target`, which must not exist, while the store
    /// is in use.
    ///
    /// # Errors
    /// [`StoreError::NoFile`] for PostgreSQL, which has tools of its own for it.
    pub async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        match &self.location {
            Location::Sqlite(path) => Self::snapshot(path, target).await,
            Location::Postgres(_) => Err(StoreError::NoFile),
        }
    }

    /// Takes what was deleted out of the database's files: a SQLite database is rewritten and its
    /// log emptied; of a PostgreSQL database `tables` are rewritten, its log is not. Writers wait
    /// meanwhile: for about a second for each 100 MB.
    ///
    /// # Errors
    /// [`StoreError::Database`], temporary where others use the database; the work can be repeated.
    pub async fn scrub(&self, tables: Vec<&'static str>) -> Result<(), StoreError> {
        let location = self.location.clone();
        let scrubbed = tokio::task::spawn_blocking(move || scrub(&location, &tables));
        scrubbed.await.map_err(|e| DatabaseError::new(e.to_string()))?
    }

    /// Whether the database answers readers and takes a commit, which fails on a full or read-only
    /// disk.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.reader.check().await?;
        self.write(|tx| {
            // A row that no reader ever sees: SQLite writes no page for an update that changes
            // nothing.
            tx.run("INSERT INTO store_head (id) VALUES (0)", [])?;
            tx.run("DELETE FROM store_head WHERE id = 0", []).map(drop)
        })
        .await
    }

    /// How many jobs wait for the writer.
    pub fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Where the database is.
    pub fn location(&self) -> &Location {
        &self.location
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.location).finish()
    }
}
