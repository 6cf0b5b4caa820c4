//! The access list of a server, which may change while it runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use datapact_api::gate::AccessList;
use datapact_api::trust_file::POLL;

use crate::config::ConfigError;

/// The access list of a configuration file, read again when the file changes.
pub(super) struct ReloadableAccess {
    path: PathBuf,
    read: fn(&Path) -> Result<AccessList, ConfigError>,
    current: RwLock<Arc<AccessList>>,
}

impl ReloadableAccess {
    pub(super) fn load(
        path: &Path,
        read: fn(&Path) -> Result<AccessList, ConfigError>,
    ) -> Result<Self, ConfigError> {
        Ok(Self { path: path.to_owned(), read, current: RwLock::new(Arc::new(read(path)?)) })
    }

    pub(super) fn current(&self) -> Arc<AccessList> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn changed(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.path).and_then(|meta| meta.modified()).ok()
    }

    /// Reads the list again on SIGHUP and when the file has changed, and calls `reload` then.
    pub(super) async fn watch(self: Arc<Self>, reload: impl Fn() + Send) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut seen = self.changed();
        loop {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            let forced = tokio::select! {
                () = hung_up => true,
                () = tokio::time::sleep(POLL) => false,
            };
            let now = self.changed();
            if now == seen && !forced {
                continue;
            }
            seen = now;
            reload();
            match (self.read)(&self.path) {
                Ok(list) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
                    tracing::info!("the access list was read again");
                }
                Err(error) => {
                    let kept = "the access list was not read; the previous one stays in force";
                    tracing::error!(%error, "{kept}");
                }
            }
        }
    }
}
