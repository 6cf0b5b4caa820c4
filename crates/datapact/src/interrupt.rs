//! Ctrl-C and SIGTERM: the running command ends what it has started, or unfinished files are
//! removed before the process ends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::failure::{Failure, INTERRUPTED, Result};

static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static LEFT_TO_COMMAND: AtomicBool = AtomicBool::new(false);
/// Whether a signal has come that the running command answers.
static ASKED: LazyLock<tokio::sync::watch::Sender<bool>> =
    LazyLock::new(|| tokio::sync::watch::Sender::new(false));

/// Makes the file at `path` by `make`. From then on an interruption removes it, until [`finished`].
pub(crate) fn made<T, E>(
    path: &Path,
    make: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let made = make()?;
    unfinished.insert(path.to_owned());
    Ok(made)
}

/// The file is whole, or gone.
pub(crate) fn finished(path: &Path) {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
}

/// From now on the running command answers the signals itself. If one is being answered already,
/// this does not return.
pub(crate) fn leave_to_command() {
    let _unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    LEFT_TO_COMMAND.store(true, Ordering::SeqCst);
}

/// Starts to wait for the signals, beside everything else.
pub(crate) fn watch() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
        return;
    };
    // Here, and not in the thread: while a listener is being registered, another runtime that
    // receives its signal would tell only those who listen already. So none may be running yet.
    let listening = runtime.enter();
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    drop(listening);
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                // The lock is kept to the end, so that nothing new is begun meanwhile.
                let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
                if !LEFT_TO_COMMAND.load(Ordering::SeqCst) {
                    end(&unfinished);
                }
                drop(unfinished);
                ASKED.send_replace(true);
            }
        });
    });
}

/// Removes what is unfinished, and ends the process.
fn end(unfinished: &BTreeSet<PathBuf>) -> ! {
    for path in unfinished {
        let _ = std::fs::remove_file(path);
    }
    datapact_client::home::discard_unfinished();
    std::process::exit(INTERRUPTED.into());
}

/// Returns when SIGINT or SIGTERM has come, be it before this was called.
pub(crate) async fn asked_to_end() {
    // The sender is never dropped.
    let _ = ASKED.subscribe().wait_for(|asked| *asked).await;
}

/// Does `work`, unless the command is asked to end before it is done.
pub(crate) async fn unless_asked_to_end<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = asked_to_end() => Err(Failure::Interrupted),
    }
}
