//! What can go wrong inside: a refusal for the caller, the database, or the copy of the ledger.

use datapact_api::problem::{Kind, Problem};
use datapact_ledger::port::LedgerError;
use datapact_store::StoreError;

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
