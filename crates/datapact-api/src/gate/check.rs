//! Which check a caller did not pass, for who keeps a log of that.

use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// What a caller did not pass: an extension of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Its certificate identifies it.
    Certificate,
    /// The access list admits it.
    AccessList,
    /// It has signed this call.
    Statement,
}

/// A refusal at the gate, with the check that was not passed, if it was one of these.
pub(super) struct Refused {
    check: Option<Check>,
    problem: Problem,
}

impl Check {
    /// Makes a problem the refusal by this check.
    pub(super) fn refused(self) -> impl Fn(Problem) -> Refused {
        move |problem| Refused { check: Some(self), problem }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { check: None, problem }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        if let Some(check) = self.check {
            response.extensions_mut().insert(check);
        }
        response
    }
}
