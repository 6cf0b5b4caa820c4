//! Work on all processors that comes out in order.
//!
//! Every lane takes a batch through reading, working and writing. Reading and writing happen one
//! batch after the other, in order, and working, which is most of it, in all lanes at the same
//! time. A batch stays in its lane's buffer, and so in that processor's cache, from the first step
//! to the last; memory is one batch a lane.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use crate::package::PackageError;

type Result<T> = std::result::Result<T, PackageError>;

/// The reading end: the lane that holds the lock reads the next batch.
struct Reading<R> {
    read: R,
    next: u64,
}

/// The writing end, in the order of reading.
struct Writing<W> {
    write: W,
    next: u64,
    outcome: Result<()>,
    /// A batch will never come: its lane panicked.
    broken: bool,
}

struct Lanes<R, K, W> {
    reading: Mutex<Reading<R>>,
    work: K,
    writing: Mutex<Writing<W>>,
    turn: Condvar,
    /// Nothing more is to be read: the input ended, or something failed.
    ended: AtomicBool,
}

/// Takes batches through `read`, `work` and `write` until `read` returns false, on `lanes` threads,
/// the caller's among them. Batches before one that fails are still written; those after it are
/// not.
///
/// # Errors
/// The error of the first batch, in order, that failed in any step.
pub(crate) fn run<B: Default, R, K, W>(lanes: usize, read: R, work: K, write: W) -> Result<()>
where
    R: FnMut(&mut B) -> Result<bool> + Send,
    K: Fn(&mut B) -> Result<()> + Sync,
    W: FnMut(&mut B) -> Result<()> + Send,
{
    let all = Lanes {
        reading: Mutex::new(Reading { read, next: 0 }),
        work,
        writing: Mutex::new(Writing { write, next: 0, outcome: Ok(()), broken: false }),
        turn: Condvar::new(),
        ended: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        for _ in 1..lanes {
            scope.spawn(|| all.lane());
        }
        all.lane();
    });
    all.writing.into_inner().unwrap_or_else(PoisonError::into_inner).outcome
}

impl<R, K, W> Lanes<R, K, W> {
    fn lane<B: Default>(&self)
    where
        R: FnMut(&mut B) -> Result<bool>,
        K: Fn(&mut B) -> Result<()>,
        W: FnMut(&mut B) -> Result<()>,
    {
        let _wake = WakeOnPanic(self);
        let mut batch = B::default();
        while let Some((index, read)) = self.read(&mut batch) {
            let worked = read.and_then(|()| (self.work)(&mut batch));
            if !self.write(index, worked, &mut batch) {
                break;
            }
        }
    }

    /// Reads the next batch; none at the end of the input or after a failure.
    fn read<B>(&self, batch: &mut B) -> Option<(u64, Result<()>)>
    where
        R: FnMut(&mut B) -> Result<bool>,
    {
        // Held while reading, so that batches get their numbers in the order of the input.
        let mut reading = self.reading.lock().ok()?;
        if self.ended.load(Ordering::Acquire) {
            return None;
        }
        let read = (reading.read)(batch);
        if !matches!(read, Ok(true)) {
            self.ended.store(true, Ordering::Release);
        }
        if matches!(read, Ok(false)) {
            return None;
        }
        let index = reading.next;
        reading.next += 1;
        Some((index, read.map(|_| ())))
    }

    /// Waits for the batch's turn and writes it. Returns whether to go on.
    fn write<B>(&self, index: u64, worked: Result<()>, batch: &mut B) -> bool
    where
        W: FnMut(&mut B) -> Result<()>,
    {
        // Held while writing, since only one batch is next; the other lanes work or wait meanwhile.
        let Ok(writing) = self.writing.lock() else { return false };
        let turn =
            self.turn.wait_while(writing, |writing| writing.next != index && !writing.broken);
        let Ok(mut writing) = turn else { return false };
        if writing.broken {
            return false;
        }
        if writing.outcome.is_ok() {
            writing.outcome = worked.and_then(|()| (writing.write)(batch));
        }
        let go_on = writing.outcome.is_ok();
        if !go_on {
            self.ended.store(true, Ordering::Release);
        }
        writing.next += 1;
        drop(writing);
        self.turn.notify_all();
        go_on
    }
}

/// Wakes the lanes that would wait for ever for one that panicked; the scope passes the panic on.
struct WakeOnPanic<'a, R, K, W>(&'a Lanes<R, K, W>);

impl<R, K, W> Drop for WakeOnPanic<'_, R, K, W> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.ended.store(true, Ordering::Release);
            self.0.writing.lock().unwrap_or_else(PoisonError::into_inner).broken = true;
            self.0.turn.notify_all();
        }
    }
}

/// How many lanes are worth it for batches of `batch` bytes: one a processor, within [`BYTES_MAX`].
pub(crate) fn lanes(batch: u64) -> usize {
    let most = (BYTES_MAX / batch.max(1)).max(1) as usize;
    thread::available_parallelism().map_or(1, std::num::NonZero::get).min(most)
}

/// The most bytes in all lanes together: with the 8 MiB of hashes of the largest package and the
/// program itself, no more than 32 MB.
const BYTES_MAX: u64 = 10 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches 0 to 99, where batch `bad` fails in step `step`; returns what was written.
    fn hundred(bad: u64, step: u32) -> (Result<()>, Vec<u64>) {
        let fail = |batch: u64, at| {
            if (batch, step) == (bad, at) { Err(PackageError::Truncated) } else { Ok(()) }
        };
        let (mut count, mut written) = (0, Vec::new());
        let outcome = run(
            5,
            |batch: &mut u64| {
                *batch = count;
                count += 1;
                fail(*batch, 1)?;
                Ok(*batch < 100)
            },
            |batch| {
                thread::yield_now();
                fail(*batch, 2)
            },
            |batch| {
                fail(*batch, 3)?;
                written.push(*batch);
                Ok(())
            },
        );
        (outcome, written)
    }

    #[test]
    fn batches_come_out_in_order_up_to_the_first_failure() {
        let (outcome, written) = hundred(0, 0);
        assert!(outcome.is_ok() && written == Vec::from_iter(0..100));
        for step in 1..=3 {
            for bad in [0, 1, 50, 99] {
                let (outcome, written) = hundred(bad, step);
                assert!(outcome.is_err() && written == Vec::from_iter(0..bad), "{step} {bad}");
            }
        }
    }

    #[test]
    fn a_panic_leaves_no_lane_waiting() {
        for step in 1..=3 {
            let panic = |at| {
                assert!(step != at, "as the test wants");
                Ok(())
            };
            let run =
                || run(4, |(): &mut ()| panic(1).map(|()| true), |()| panic(2), |()| panic(3));
            assert!(std::panic::catch_unwind(run).is_err());
        }
    }
}
