//! Jobs of one kind that are done together: with statements for all that wait, not for each.

use futures_util::future::BoxFuture;
use sea_orm::DatabaseTransaction;
use tokio::sync::{mpsc, oneshot};

use super::{BATCH_MAX, Readers, Store, StoreError};

type Reply<O, E> = oneshot::Sender<Result<O, E>>;

type Outcomes<O, E> = Result<Vec<Result<O, E>>, E>;

/// A task that gives all that wait, up to [`BATCH_MAX`], to one job, and answers each. It ends when
/// the group is dropped.
#[derive(Debug)]
pub struct Group<I, O, E> {
    waiting: mpsc::Sender<(I, Reply<O, E>)>,
}

impl<I, O, E> Group<I, O, E>
where
    I: Send + 'static,
    O: Send + 'static,
    E: From<StoreError> + Clone + Send + 'static,
{
    /// Everything is written by `job`, a job of the store's writer, which gives an outcome for each
    /// item in their order. What it refuses it must not have written; what fails as a whole leaves
    /// nothing of any item.
    pub fn writing<F>(store: Store, job: F) -> Self
    where
        F: for<'t> Fn(&'t DatabaseTransaction, Vec<I>) -> BoxFuture<'t, Outcomes<O, E>>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Self::begin(false, move |items| {
            let (store, job) = (store.clone(), job.clone());
            Box::pin(async move { store.write(move |tx| job(tx, items)).await })
        })
    }

    /// Everything is read by `job`, which gives an outcome for each item in their order.
    pub fn reading<F>(store: Store, job: F) -> Self
    where
        F: Fn(Readers, Vec<I>) -> BoxFuture<'static, Outcomes<O, E>> + Send + Sync + 'static,
    {
        Self::begin(true, move |items| job(store.read().clone(), items))
    }

    fn begin(
        gathers: bool,
        job: impl Fn(Vec<I>) -> BoxFuture<'static, Outcomes<O, E>> + Send + Sync + 'static,
    ) -> Self {
        let (waiting, queue) = mpsc::channel(4 * BATCH_MAX);
        tokio::spawn(run(queue, gathers, job));
        Self { waiting }
    }

    /// Waits for `item`'s turn, and until the job is done: what was written is durable then.
    ///
    /// # Errors
    /// The item's own, or a [`StoreError`] when the database failed; then nothing was written.
    pub async fn ask(&self, item: I) -> Result<O, E> {
        let (reply, answer) = oneshot::channel();
        self.waiting.send((item, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

async fn run<I, O, E>(
    mut queue: mpsc::Receiver<(I, Reply<O, E>)>,
    gathers: bool,
    job: impl Fn(Vec<I>) -> BoxFuture<'static, Outcomes<O, E>>,
) where
    E: From<StoreError> + Clone,
{
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        if gathers {
            // What wakes this task runs it next. Whoever else is ready to ask does so first; a job
            // that writes lasts long enough for them by itself.
            tokio::task::yield_now().await;
            while batch.len() < BATCH_MAX
                && let Ok(more) = queue.try_recv()
            {
                batch.push(more);
            }
        }
        let (items, replies): (Vec<I>, Vec<Reply<O, E>>) = batch.drain(..).unzip();
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
