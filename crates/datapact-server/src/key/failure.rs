//! What can go wrong inside: a refusal for the caller, the database, or the copy of the ledger.

use std::path::PathBuf;

use datapact_api::problem::{Kind, Problem};
use datapact_ledger::port::LedgerError;
use datapact_store::StoreError;

use crate::erasures::JournalError;
use crate::secret_file::SecretFileError;

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

/// Why the copy of the ledger gives no answer.
impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let unavailable = |detail: String| Problem::new(Kind::Unavailable, detail);
        Self(match error {
            LedgerError::Corrupt { reason, .. } => unavailable(format!(
                "the key server has stopped releasing keys, because the ledger is not to be \
                 believed: {reason}"
            ))
            .hint("tell the operators of the key server and of management"),
            LedgerError::Unavailable(reason) => unavailable(format!(
                "the key server cannot confirm that its copy of the ledger is current: {reason}"
            ))
            .hint("try again"),
            other => Problem::internal(other),
        })
    }
}

/// Why a key server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy of the ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file with a secret.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The erasure journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The data folder cannot be made.
    #[error("cannot make the data folder: {0}")]
    Data(std::io::Error),
    /// Another key-encryption key than the one in use.
    #[error(
        "the key-encryption key in `{path}` is not the one that the stored keys are encrypted \
         with; put the right file back",
        path = .0.display()
    )]
    WrongKek(PathBuf),
    /// The configuration.
    #[error("the configuration is wrong: {0}")]
    Configuration(String),
    /// There is no key-encryption key to change yet.
    #[error(
        "this key server has stored nothing yet, so it has no key-encryption key to change; \
         start it first"
    )]
    Unused,
    /// Another process is changing the key-encryption key.
    #[error("another process is changing the key-encryption key; let it finish")]
    Rekeying,
}
