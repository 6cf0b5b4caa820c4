//! The ledger port: what Datapact asks of any ledger.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datapact_core::contract::{
    AccessRecord, Call, CheckError, Counter, Documents, Receipt, Refusal, ShareRecord,
};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::trust::Trust;
use datapact_log::Position;
use datapact_store::StoreError;
use serde::{Deserialize, Serialize};

/// The most events that one call of [`Ledger::events`] returns.
pub const EVENTS_MAX: usize = 1000;

/// Why a ledger did not do what was asked, by what the caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The contract refuses the call: tell the user why. Nothing was recorded.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The documents behind the call are not what they must be: tell the user why. Nothing was
    /// recorded.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Try again later; a call may or may not have been recorded, and a repeat of it is harmless.
    #[error("the ledger cannot be reached: {0}")]
    Unavailable(String),
    /// The ledger, or this copy of it, is not to be believed: stop, and call the operators.
    #[error("the ledger is not to be believed: {reason}")]
    Corrupt {
        /// The first entry at fault, where one is known.
        position: Option<Position>,
        /// In what way.
        reason: String,
    },
    /// The operator has to change something.
    #[error("the ledger is misconfigured: {0}")]
    Misconfigured(String),
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(_) => Self::Corrupt { position: None, reason: error.to_string() },
            StoreError::Newer { .. }
            | StoreError::Migrations(_)
            | StoreError::Foreign { .. }
            | StoreError::NotBuilt
            | StoreError::NoFile => Self::Misconfigured(error.to_string()),
            StoreError::Database(_) | StoreError::Closed => Self::Unavailable(error.to_string()),
        }
    }
}

/// What a call got from the ledger, and its position there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerReceipt {
    /// The contract's address.
    pub address: String,
    /// Where the ledger keeps it.
    pub position: Position,
    /// What the contract answered.
    pub receipt: Receipt,
}

/// One recorded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its place in the ledger.
    pub position: Position,
    /// The time of its entry.
    pub time: Timestamp,
    /// What the contract answered.
    pub receipt: Receipt,
}

/// What a ledger is, for people and for enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerInfo {
    /// `embedded`, or the adapter's name.
    pub kind: String,
    /// The ledger's id: the audience of every document that it records.
    pub id: String,
    /// The version of the contract's rules.
    pub contract_version: u32,
    /// How many entries it has, or how high its chain is.
    pub size: u64,
    /// The contract on a chain that holds all shares, in the form of CAIP-10 where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The public key (C2SP vkey) of an embedded ledger's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key: Option<String>,
    /// The public keys (C2SP vkeys) of the witnesses whose cosignatures it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness_keys: Vec<String>,
}

/// What the contract holds, as a ledger or a copy of it says.
#[async_trait]
pub trait ContractState: Send + Sync {
    /// The newest policy of a share.
    async fn share(&self, share: &ShareId) -> Result<Option<ShareRecord>, LedgerError>;

    /// A granted access and its position, by its request's document id.
    async fn access(
        &self,
        request: &Digest,
    ) -> Result<Option<(Position, AccessRecord)>, LedgerError>;

    /// How many accesses a consumer was granted on a share.
    async fn counter(&self, share: &ShareId, consumer: &Commitment)
    -> Result<Counter, LedgerError>;

    /// Both at once: the newest policy of a share, and how many accesses a consumer was granted on
    /// it.
    async fn standing(
        &self,
        share: &ShareId,
        consumer: &Commitment,
    ) -> Result<(Option<ShareRecord>, Counter), LedgerError> {
        Ok((self.share(share).await?, self.counter(share, consumer).await?))
    }

    /// The contract address of a share.
    fn address(&self, share: &ShareId) -> String;
}

/// A ledger. Every implementation passes [`crate::conformance`].
#[async_trait]
pub trait Ledger: ContractState {
    /// Checks the documents, decides the call and records it; returns when that is final. A repeat
    /// of a recorded call gets the first receipt, and records nothing.
    async fn execute(
        &self,
        call: &Call,
        documents: &Documents,
    ) -> Result<LedgerReceipt, LedgerError>;

    /// Up to `max` (at most [`EVENTS_MAX`]) events at and after `from`, in order.
    async fn events(&self, from: Position, max: usize) -> Result<Vec<Event>, LedgerError>;

    /// Waits until there is an event at or after `from`; false when there is none after `timeout`.
    async fn wait(&self, from: Position, timeout: Duration) -> Result<bool, LedgerError>;

    /// The position after everything that is final by now: a caller that has read the events before
    /// it knows the newest state.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] also when what is asked is itself behind, a node that no longer
    /// gets blocks.
    async fn head(&self) -> Result<Position, LedgerError>;

    /// Whether this ledger holds just this receipt at its position.
    async fn verify(&self, receipt: &LedgerReceipt) -> Result<bool, LedgerError> {
        let at = receipt.position;
        let found = self.events(at, 1).await?.pop();
        Ok(receipt.address == self.address(receipt.receipt.share())
            && found.is_some_and(|event| event.position == at && event.receipt == receipt.receipt))
    }

    /// `embedded`, or the adapter's name.
    fn kind(&self) -> &str;

    /// What tells this ledger from every other: the log's origin, or the chain and the contract on
    /// it.
    fn origin(&self) -> String;

    /// What ledger this is.
    async fn info(&self) -> Result<LedgerInfo, LedgerError>;
}

/// A granted access, and its share's policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedAccess {
    /// The position of the access.
    pub position: Position,
    /// The access.
    pub record: AccessRecord,
    /// The share's newest policy.
    pub newest: ShareRecord,
    /// The one by which the access was decided.
    pub of_record: ShareRecord,
}

/// Where a ledger gets the trust configuration in force; closures that return it are sources.
pub trait TrustSource: Send + Sync {
    /// The trust configuration now.
    fn trust(&self) -> Arc<Trust>;
}

impl<F: Fn() -> Arc<Trust> + Send + Sync> TrustSource for F {
    fn trust(&self) -> Arc<Trust> {
        self()
    }
}
