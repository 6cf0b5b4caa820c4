//! Why a call failed, from wherever: the store, the ledger, a document, another server; and why
//! management could not start.

use std::path::PathBuf;

use datapact_api::problem::{Kind, Problem};
use datapact_core::contract::{CheckError, Refusal};
use datapact_core::jws::DocumentError;
use datapact_ledger::LedgerError;
use datapact_store::StoreError;

use super::keys::KeysError;
use crate::erasures::JournalError;

/// A problem for the caller; a type of this crate, so that the store's and the ledger's errors
/// become one.
#[derive(Debug, Clone)]
pub(super) struct Failure(pub(super) Problem);

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(crate::stores::problem(error))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.into())
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        Self(match error {
            CheckError::Document(error) => return error.into(),
            error => Problem::malformed(error),
        })
    }
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        Self(Problem::malformed(error))
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Refused(refusal) => refusal.into(),
            LedgerError::Check(error) => error.into(),
            LedgerError::Unavailable(_) => {
                Self(Problem::new(Kind::Unavailable, error).hint("try again"))
            }
            LedgerError::Corrupt { .. } => {
                tracing::error!(%error, "the ledger is not used");
                Self(
                    Problem::new(Kind::Unavailable, error).hint("tell the operators of management"),
                )
            }
            // It may name files of this machine.
            LedgerError::Misconfigured(_) => Self(Problem::internal(error)),
        }
    }
}

/// Why management could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Its database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The erasure journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The configuration.
    #[error("management's configuration is wrong: {0}")]
    Configuration(String),
    /// Another process works on the same data.
    #[error(
        "the data folder `{path}` is in use by another process; stop it first",
        path = .0.display()
    )]
    InUse(PathBuf),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Configuration(failure.0.to_string())
    }
}
