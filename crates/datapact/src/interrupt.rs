//! Ctrl-C and SIGTERM: unfinished files are removed before the process ends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// 128 + SIGINT, as shells report it.
const INTERRUPTED: i32 = 130;

static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static LEFT_TO_COMMAND: AtomicBool = AtomicBool::new(false);

/// Makes the file at `path` by `make`. From then on an interruption removes it, until [`finished`].
pub(crate) fn made<T, E>(path: &Path, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    let made = make()?;
    unfinished.insert(path.to_owned());
    Ok(made)
}

/// The file is whole, or gone.
pub(crate) fn finished(path: &Path) {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
}

/// From now on the running command answers the signals itself.
pub(crate) fn leave_to_command() {
    LEFT_TO_COMMAND.store(true, Ordering::SeqCst);
}

/// Starts to wait for the signals, beside everything else.
pub(crate) fn watch() {
    std::thread::spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(asked_to_end());
        if LEFT_TO_COMMAND.load(Ordering::SeqCst) {
            return;
        }
        // The lock is kept to the end, so that nothing new is begun meanwhile.
        let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        for path in unfinished.iter() {
            let _ = std::fs::remove_file(path);
        }
        datapact_client::home::discard_unfinished();
        std::process::exit(INTERRUPTED);
    });
}

/// Returns at the next SIGINT or SIGTERM.
pub(crate) async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
