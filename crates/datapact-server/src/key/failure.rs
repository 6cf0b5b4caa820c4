//! What can go wrong inside: a refusal for the caller, or the database.

use datapact_api::problem::{Kind, Problem};
use datapact_ledger::port::LedgerError;
use datapact_ledger::store::StoreError;

/// A refusal or a failed database; it becomes a [`Problem`] at the edge.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    Refused(Problem),
    Store(StoreError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<sea_orm::DbErr> for Failure {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Store(error.into())
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(problem) => problem,
            Failure::Store(error) => crate::stores::problem(error),
        }
    }
}

/// Why the copy of the ledger gives no answer.
pub(super) fn copy_problem(error: LedgerError) -> Problem {
    match error {
        LedgerError::Corrupt { reason, .. } => Problem::new(
            Kind::Unavailable,
            format!("the key server has stopped releasing keys, because the ledger is not to be believed: {reason}"),
        )
        .hint("tell the operators of the key server and of management"),
        LedgerError::Unavailable(reason) => Problem::new(
            Kind::Unavailable,
            format!("the key server cannot confirm that its copy of the ledger is current: {reason}"),
        )
        .hint("try again"),
        other => Problem::internal(other),
    }
}
