//! The key server's own copy of the ledger: what it releases keys by.

use std::sync::Arc;
use std::time::Duration;

use datapact_core::contract::ShareRecord;
use datapact_core::id::{Digest, ShareId};
use datapact_ledger::follower::Follower;
use datapact_ledger::port::{ContractState as _, GrantedAccess};

use super::failure::Result;

/// A checked copy of the ledger, followed by [`super::follow`].
pub(super) struct Replica {
    follower: Arc<Follower>,
    /// How old the last confirmation may be for the copy to count as current.
    age_max: Duration,
}

impl Replica {
    pub(super) fn new(follower: Arc<Follower>, age_max: Duration) -> Self {
        Self { follower, age_max }
    }

    /// Makes sure that the copy is current, and was never contradicted. Nothing is released
    /// without it.
    pub(super) async fn confirm(&self) -> Result<()> {
        Ok(self.follower.current(self.age_max).await?)
    }

    /// Brings the copy up to what the log has now.
    pub(super) async fn refresh(&self) -> Result<()> {
        Ok(self.follower.current(Duration::ZERO).await?)
    }

    /// The newest policy of a share.
    pub(super) async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>> {
        Ok(self.follower.share(share).await?)
    }

    /// The access to `share` that was granted by `request`, with its policies. The copy is brought
    /// up to date when it does not hold the access yet.
    pub(super) async fn granted_access(
        &self,
        share: &ShareId,
        request: &Digest,
    ) -> Result<Option<GrantedAccess>> {
        if let Some(found) = self.follower.granted_access(share, request).await? {
            return Ok(Some(found));
        }
        self.refresh().await?;
        Ok(self.follower.granted_access(share, request).await?)
    }

    /// The contract address of a share.
    pub(super) fn address(&self, share: &ShareId) -> String {
        self.follower.address(share)
    }

    /// A file of the log (C2SP tlog-tiles), from this copy.
    pub(super) async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.follower.read(path).await?)
    }

    /// The newest checkpoint that this key server has cosigned.
    pub(super) async fn cosigned(&self) -> Result<Option<String>> {
        Ok(self.follower.cosigned().await?.map(|(_, note)| note))
    }

    /// How many entries are replayed.
    pub(super) fn size(&self) -> u64 {
        self.follower.size()
    }

    /// How long ago the copy was last confirmed to be current.
    pub(super) fn confirmed(&self) -> Option<Duration> {
        self.follower.confirmed()
    }
}
