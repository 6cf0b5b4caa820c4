//! The thread that owns the only connection that writes.

use tokio::sync::{mpsc, oneshot};

use crate::connection::Role;
use crate::db::Tx;
use crate::error::{DatabaseError, StoreError};
use crate::job::Job;
use crate::location::Location;
use crate::migrate::{Migration, migrate};

/// The most jobs that share one commit.
pub const BATCH_MAX: usize = 256;
/// Jobs that may wait before callers of [`crate::Store::write`] have to.
const QUEUE_MAX: usize = 4 * BATCH_MAX;

/// The one row that every writing transaction of a shared database locks first: so there is one
/// writer at a time, over all processes.
const LOCK_HEAD: &str = "SELECT owner FROM store_head WHERE id = 1 FOR UPDATE";

pub(crate) type Jobs = mpsc::Sender<Box<dyn Job<Tx>>>;

/// Starts the thread, which ends when no caller is left; the database has the
/// newest schema then.
pub(crate) async fn start(
    location: Location,
    owner: Option<String>,
    migrations: Vec<Migration>,
) -> Result<Jobs, StoreError> {
    let (jobs, queue) = mpsc::channel(QUEUE_MAX);
    let (ready, opened) = oneshot::channel();
    let thread = move || {
        let migrated = Tx::connect(&location, Role::Make)
            .and_then(|tx| migrate(&tx, &migrations, owner.as_deref()).map(|()| tx));
        match migrated {
            Ok(tx) => {
                // Who no longer waits for it drops the queue's other end, too.
                let _ = ready.send(Ok(()));
                Writer { location, tx: Some(tx) }.work(queue);
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    };
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(thread)
        .map_err(|e| DatabaseError::temporary(format!("no thread for the writer: {e}")))?;
    opened.await.map_err(|_| StoreError::Closed)??;
    Ok(jobs)
}

struct Writer {
    location: Location,
    /// None after a failure.
    tx: Option<Tx>,
}

impl Writer {
    /// Commits waiting jobs in groups, for as long as there are callers.
    fn work(mut self, mut queue: mpsc::Receiver<Box<dyn Job<Tx>>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            let committed = self.write_or_reconnect(&mut batch);
            if let Err(error) = &committed {
                tracing::error!(%error, "a commit failed; nothing of it was written");
            }
            for job in batch.drain(..) {
                job.answer(committed.clone());
            }
        }
    }

    /// A connection on which a transaction failed is not used again: the database may have ended
    /// the transaction by itself, as SQLite does on a full disk, so that what is said of the next
    /// one would not be so.
    fn write_or_reconnect(&mut self, batch: &mut [Box<dyn Job<Tx>>]) -> Result<(), StoreError> {
        let tx = match self.tx.take() {
            Some(tx) => match tx.begin(LOCK_HEAD) {
                // The database was restarted since the last job, and no job of this batch has run.
                Err(error) if error.is_gone() => self.begin_again()?,
                begun => begun.map(|()| tx)?,
            },
            None => self.begin_again()?,
        };
        write_batch(&tx, batch)?;
        self.tx = Some(tx);
        Ok(())
    }

    /// A transaction on a new connection.
    fn begin_again(&self) -> Result<Tx, StoreError> {
        let tx = Tx::connect(&self.location, Role::Write)?;
        tx.begin(LOCK_HEAD)?;
        Ok(tx)
    }
}

/// Runs jobs in the transaction that was begun, and commits it.
fn write_batch(tx: &Tx, batch: &mut [Box<dyn Job<Tx>>]) -> Result<(), StoreError> {
    // One alone needs no savepoint: the transaction is its own.
    if let [job] = batch {
        let end = if job.run(tx) { "COMMIT" } else { "ROLLBACK" };
        // PostgreSQL rolls back, and does not say so, when asked to commit after a failure.
        if end == "COMMIT" && tx.is_aborted() {
            let why = "a job went on after its statement had failed";
            return Err(DatabaseError::new(why).into());
        }
        return tx.run(end, []).map(drop);
    }
    for job in batch {
        tx.run("SAVEPOINT job", [])?;
        if !job.run(tx) {
            tx.run("ROLLBACK TO SAVEPOINT job", [])?;
        }
        tx.run("RELEASE SAVEPOINT job", [])?;
    }
    tx.run("COMMIT", []).map(drop)
}
