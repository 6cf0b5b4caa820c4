//! What the adapters of chains have in common: their options, and the check of documents before
//! anything is submitted.

use std::sync::Arc;

use datapact_core::contract::{Call, CheckError, Documents, check};
use datapact_log::clock::Clock;

use crate::port::TrustSource;

/// What an adapter needs beside the `ledger.toml`.
pub struct ChainOptions {
    /// The ledger's id: the audience of every document that it records.
    pub id: String,
    /// Who certifies the signers of documents.
    pub trust: Arc<dyn TrustSource>,
    /// This machine's clock.
    pub clock: Clock,
}

impl ChainOptions {
    /// Checks the documents behind a call. That they are stale is returned rather than failed with:
    /// a repeat, after a lost answer or a crash, may come late, and the chain knows whether the
    /// call is one.
    ///
    /// # Errors
    /// Any other error of [`check`].
    pub fn check(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<Option<CheckError>, CheckError> {
        match check(call, documents, &self.trust.trust(), &self.id, (self.clock)()) {
            Err(error @ CheckError::Stale { .. }) => Ok(Some(error)),
            checked => checked.map(|()| None),
        }
    }
}
