//! Jobs of one kind that are done at once: with statements for all that wait, not for each.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::db::{Db, Tx};
use crate::error::StoreError;
use crate::store::Store;
use crate::writer::BATCH_MAX;

type Reply<Out, E> = oneshot::Sender<Result<Out, E>>;

/// For each item its own, or why the job failed as a whole.
type Outcomes<Out, E> = Result<Vec<Result<Out, E>>, E>;

/// A task that gives all that wait, up to [`BATCH_MAX`], to one job, and answers each. It ends when
/// the group is dropped.
#[derive(Debug)]
pub struct Group<In, Out, E> {
    waiting: mpsc::Sender<(In, Reply<Out, E>)>,
}

impl<In, Out, E> Group<In, Out, E>
where
    In: Send + 'static,
    Out: Send + 'static,
    E: From<StoreError> + Clone + Send + 'static,
{
    /// Everything is written by `job`, a job of the store's writer, which gives an outcome for each
    /// item in their order. What it refuses it must not have written; what fails as a whole leaves
    /// nothing of any item.
    pub fn writing(
        store: Store,
        job: impl Fn(&Tx, Vec<In>) -> Outcomes<Out, E> + Send + Sync + 'static,
    ) -> Self {
        let job = Arc::new(job);
        Self::begin(false, move |items| {
            let (store, job) = (store.clone(), Arc::clone(&job));
            async move { store.write(move |tx| job(tx, items)).await }
        })
    }

    /// Everything is read by `job`, which gives an outcome for each item in their order.
    pub fn reading(
        store: Store,
        job: impl Fn(&Db, Vec<In>) -> Outcomes<Out, E> + Send + Sync + 'static,
    ) -> Self {
        let job = Arc::new(job);
        Self::begin(true, move |items| {
            let (reader, job) = (store.reader().clone(), Arc::clone(&job));
            async move { reader.read(move |db| job(db, items)).await }
        })
    }

    fn begin<F>(gathers: bool, job: impl Fn(Vec<In>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Outcomes<Out, E>> + Send + 'static,
    {
        let (waiting, queue) = mpsc::channel(4 * BATCH_MAX);
        tokio::spawn(run(queue, gathers, job));
        Self { waiting }
    }

    /// Waits for `item`'s turn, and until the job is done: what was written is durable then.
    ///
    /// # Errors
    /// The item's own, or a [`StoreError`] when the database failed; then nothing was written.
    pub async fn ask(&self, item: In) -> Result<Out, E> {
        let (reply, answer) = oneshot::channel();
        self.waiting.send((item, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

async fn run<In, Out, E, F>(
    mut queue: mpsc::Receiver<(In, Reply<Out, E>)>,
    gathers: bool,
    job: impl Fn(Vec<In>) -> F,
) where
    E: From<StoreError> + Clone,
    F: Future<Output = Outcomes<Out, E>>,
{
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        if gathers {
            // What wakes this task runs it next. All others that are ready to ask do so first; a
            // job that writes lasts long enough for them by itself.
            tokio::task::yield_now().await;
            while batch.len() < BATCH_MAX
                && let Ok(more) = queue.try_recv()
            {
                batch.push(more);
            }
        }
        let (items, replies): (Vec<In>, Vec<Reply<Out, E>>) = batch.drain(..).unzip();
        let mut outcomes = match job(items).await {
            Ok(outcomes) => outcomes.into_iter(),
            Err(error) => {
                replies.iter().map(|_| Err(error.clone())).collect::<Vec<_>>().into_iter()
            }
        };
        for reply in replies {
            // A caller that no longer waits does not undo its item.
            let _ = reply.send(outcomes.next().unwrap_or_else(|| Err(StoreError::Closed.into())));
        }
    }
}
