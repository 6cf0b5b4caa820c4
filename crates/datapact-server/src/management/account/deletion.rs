//! Who asked that an account be deleted.

use datapact_api::gate::Caller;
use datapact_api::problem::{self, Problem};
use datapact_api::user::{Authorisation, Deletion};
use datapact_core::document::Statement;
use datapact_core::jws::Signed;

/// The caller's statement of the deletion, for the key servers: they believe it and not management.
pub(super) fn authorisation(
    caller: &Caller,
    deletion: &Deletion,
) -> problem::Result<Option<Authorisation>> {
    let Some(statement) = caller.statement.as_deref() else { return Ok(None) };
    let statement: Signed<Statement> = Signed::parse(statement).map_err(Problem::malformed)?;
    if statement.body().content != Some(deletion.digest()) {
        let problem = Problem::malformed("the deletion is not in the encoding of RFC 8785");
        return Err(problem.hint("send the body's members in order, and without white space"));
    }
    Ok(Some(Authorisation { deletion: deletion.clone(), statement }))
}
