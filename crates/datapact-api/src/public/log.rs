//! The log that a public listener serves, for whatever reads logs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datapact_log::source::{LogSource, SourceError};

use super::{LOG_WAIT_MAX, LogSize, Public};
use crate::problem::{Kind, Problem};

/// Management's log, over its public listener.
pub struct PublicLog(pub Arc<dyn Public>);

// Without the hint: the caller that reports an unreadable log says itself how to go on.
fn failed(problem: Problem) -> SourceError {
    SourceError(problem.detail)
}

#[async_trait]
impl LogSource for PublicLog {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match self.0.log(path).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(problem) if problem.kind == Kind::NotFound => Ok(None),
            Err(problem) => Err(failed(problem)),
        }
    }

    async fn wait_newer(&self, size: u64, timeout: Duration) -> Result<(), SourceError> {
        let longer_than = LogSize { size };
        let waiting = self.0.log_size(&longer_than);
        match tokio::time::timeout(timeout.min(LOG_WAIT_MAX), waiting).await {
            Ok(Err(problem)) => Err(failed(problem)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}
