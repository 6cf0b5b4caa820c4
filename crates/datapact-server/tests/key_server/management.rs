//! A management that does whatever a test wants.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use datapact_api::management::{Directory, LedgerProof, Log, ManagementInfo};
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::public::{Health, LogSize, Public};
use datapact_api::user::{UserNotice, UserStatus};
use datapact_core::identity::Identity;
use datapact_core::token::{Jwks, TokenKey};
use datapact_log::source::LogSource;

/// Management, as far as a key server sees it: a log, token keys, and a place for cosignatures.
pub struct TestManagement {
    pub log: Mutex<Arc<dyn LogSource>>,
    pub reachable: AtomicBool,
    pub token_keys: Mutex<Vec<TokenKey>>,
    pub cosigned: Mutex<Vec<String>>,
}

impl TestManagement {
    fn reach(&self) -> Result<()> {
        match self.reachable.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(Problem::new(Kind::Unavailable, "management does not answer")),
        }
    }

    pub async fn size(&self) -> Result<u64> {
        let note = self.log("checkpoint").await?;
        Ok(String::from_utf8_lossy(&note).lines().nth(1).unwrap().parse().unwrap())
    }
}

#[async_trait]
impl Public for TestManagement {
    async fn health(&self) -> Result<Health> {
        Err(nothing())
    }

    async fn jwks(&self) -> Result<Jwks> {
        self.reach()?;
        let keys = self.token_keys.lock().unwrap().iter().map(|key| key.jwk().clone()).collect();
        Ok(Jwks { keys })
    }

    async fn log(&self, path: &str) -> Result<Bytes> {
        self.reach()?;
        let log = Arc::clone(&self.log.lock().unwrap());
        let bytes = log.fetch(path).await.map_err(|e| Problem::new(Kind::Unavailable, e))?;
        bytes.map(Bytes::from).ok_or_else(nothing)
    }

    async fn log_size(&self, longer_than: &LogSize) -> Result<LogSize> {
        for _ in 0..200 {
            let size = self.size().await?;
            if size > longer_than.size {
                return Ok(LogSize { size });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(LogSize { size: self.size().await? })
    }

    async fn crl(&self, _realm: &str) -> Result<String> {
        Err(nothing())
    }
}

fn nothing() -> Problem {
    Problem::not_found("the tests' management has no such thing")
}

#[async_trait]
impl Directory for TestManagement {
    async fn user(&self, of: &Identity) -> Result<UserNotice> {
        Ok(UserNotice {
            identity: of.clone(),
            status: UserStatus::Active,
            sequence: 0,
            authorisation: None,
        })
    }
}

#[async_trait]
impl Log for TestManagement {
    async fn info(&self) -> Result<ManagementInfo> {
        Err(nothing())
    }
    async fn proof(&self, _: u64) -> Result<LedgerProof> {
        Err(nothing())
    }
    async fn add_cosignature(&self, note: &str) -> Result<()> {
        self.reach()?;
        self.cosigned.lock().unwrap().push(note.to_owned());
        Ok(())
    }
}
