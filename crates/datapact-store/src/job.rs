//! A job on its way to the thread that owns a connection, and its answer on the way back.

use tokio::sync::oneshot;

use crate::error::StoreError;

/// A job on a connection `C` whose type of answer is hidden from the thread that runs it.
pub(crate) trait Job<C>: Send {
    /// Runs, keeps the answer, and says whether its writes are to be kept.
    fn run(&mut self, on: &C) -> bool;
    /// Gives the answer: the job's own after a commit.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A closure that is a job.
pub(crate) struct Closure<F, T, E> {
    run: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Closure<F, T, E> {
    /// The job, and where its answer will come.
    pub(crate) fn new(run: F) -> (Box<Self>, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { run: Some(run), result: None, reply }), answer)
    }
}

impl<C, F, T, E> Job<C> for Closure<F, T, E>
where
    F: FnOnce(&C) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, on: &C) -> bool {
        self.result = self.run.take().map(|run| run(on));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            // A job that failed wrote nothing, whatever became of the commit.
            (_, Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(StoreError::Closed.into()),
            (Err(error), _) => Err(error.into()),
        };
        // A caller that no longer waits does not undo its job.
        let _ = self.reply.send(result);
    }
}
