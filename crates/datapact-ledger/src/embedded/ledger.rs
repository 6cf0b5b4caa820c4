//! The embedded ledger as a [`Ledger`], and its log as a [`LogSource`].

use std::time::Duration;

use async_trait::async_trait;
use datapact_core::contract::{
    AccessRecord, CONTRACT_VERSION, Call, CheckError, Counter, Documents, ShareRecord, check,
};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_log::Position;
use datapact_log::source::{LogSource, SourceError};
use tokio::sync::oneshot;

use super::decide::{Job, Pending};
use super::{EmbeddedLedger, address, ended};
use crate::port::{ContractState, Event, Ledger, LedgerError, LedgerInfo, LedgerReceipt};
use crate::tables;

#[async_trait]
impl LogSource for EmbeddedLedger {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        self.read(path).await.map_err(|e| SourceError(e.to_string()))
    }

    async fn wait_newer(&self, size: u64, timeout: Duration) -> Result<(), SourceError> {
        let waited = EmbeddedLedger::wait_newer(self, size, timeout).await;
        waited.map(|_| ()).map_err(|e| SourceError(e.to_string()))
    }
}

#[async_trait]
impl ContractState for EmbeddedLedger {
    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError> {
        let share = *share;
        Ok(self.store.read(move |db| tables::share(db, &share)).await?)
    }

    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError> {
        let request = *request;
        Ok(self.store.read(move |db| tables::access(db, &request)).await?)
    }

    async fn counter(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<Counter, LedgerError> {
        let (share, consumer) = (*share, *consumer);
        Ok(self.store.read(move |db| tables::counter(db, &share, &consumer)).await?)
    }

    async fn standing(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<(Option<ShareRecord>, Counter), LedgerError> {
        Ok(tables::standing(&self.states, share, consumer).await?)
    }

    fn address(&self, share: &ShareId) -> String {
        address(self.id(), share)
    }
}

#[async_trait]
impl Ledger for EmbeddedLedger {
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError> {
        match check(call, documents, &self.trust.trust(), self.id(), (self.clock)()) {
            // A repeat after a lost answer or a crash may come late.
            Err(CheckError::Stale { .. }) if self.is_recorded(call).await? => {}
            checked => checked?,
        }
        let (reply, answer) = oneshot::channel();
        self.jobs
            .send(Job::Call(Box::new(Pending { call: call.clone(), reply })))
            .await
            .map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError> {
        Ok(self.store.read(move |db| tables::events(db, from, max)).await?)
    }

    async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError> {
        self.wait_newer(from, timeout).await
    }

    async fn head(&self) -> Result<Position, LedgerError> {
        Ok(self.store.read(tables::newest_size).await?.unwrap_or(0))
    }

    async fn info(&self) -> Result<LedgerInfo, LedgerError> {
        Ok(LedgerInfo {
            kind: self.kind().to_owned(),
            id: self.id().to_owned(),
            contract_version: CONTRACT_VERSION,
            size: self.head().await?,
            contract: None,
            log_key: Some(self.key.public().to_string()),
            witness_keys: self.witnesses.iter().map(ToString::to_string).collect(),
        })
    }

    fn kind(&self) -> &str {
        "embedded"
    }

    fn origin(&self) -> String {
        self.id().to_owned()
    }
}
