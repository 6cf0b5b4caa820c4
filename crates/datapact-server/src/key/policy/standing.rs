//! Whether the policies that a provider has signed let a key go.

use datapact_api::problem::{Problem, Result};
use datapact_core::contract::{Refusal, SetPolicy, ShareRecord};
use datapact_core::id::{KeyId, Timestamp};
use datapact_core::policy::ShareState;

use super::table::PolicyRow;

/// What the ledger says, in the key server's own copy.
#[derive(Debug, Clone)]
pub(in crate::key) struct OnLedger {
    /// The share's newest policy.
    pub(in crate::key) newest: ShareRecord,
    /// The policy under which the access was recorded.
    pub(in crate::key) of_record: SetPolicy,
}

/// The policy of the access, if the provider's own policies let `key` go at `now`; `rows` are all
/// of them that this server has. The ledger must say what the provider signed, both now and when it
/// recorded the access, and nothing that the provider has signed may speak against it.
pub(in crate::key) fn standing(
    rows: &[PolicyRow],
    on_ledger: &OnLedger,
    key: &KeyId,
    now: Timestamp,
) -> Result<PolicyRow> {
    let newest = &on_ledger.newest.policy;
    let of_record =
        signed_as_recorded(rows, &on_ledger.of_record, "the access was recorded under a policy")?;
    let newest_row =
        signed_as_recorded(rows, newest, "the share's newest policy on the ledger is one")?;
    if of_record.data.key != *key {
        return Err(Problem::forbidden("the policy of the access names another key"));
    }
    gives_access(newest_row, now)?;
    for row in rows.iter().filter(|row| row.version > newest.version) {
        gives_access(row, now)?;
    }
    for row in rows.iter().filter(|row| row.withheld) {
        let lifted = row.state != ShareState::Revoked
            && newest_row.version > row.version
            && newest_row.signed >= row.signed;
        if !lifted {
            gives_access(row, now)?;
        }
    }
    Ok(of_record.clone())
}

fn signed_as_recorded<'a>(
    rows: &'a [PolicyRow],
    call: &SetPolicy,
    which: &str,
) -> Result<&'a PolicyRow> {
    let shown = rows.iter().find(|row| row.policy == call.policy && row.call.is_some());
    let row = shown.ok_or_else(|| {
        Problem::forbidden(format!(
            "{which} that was not shown to the key server as the provider's"
        ))
    })?;
    if row.call.as_ref() == Some(call) {
        Ok(row)
    } else {
        Err(Problem::forbidden(format!(
            "{which} that says something else than the provider signed"
        )))
    }
}

fn gives_access(row: &PolicyRow, now: Timestamp) -> Result<()> {
    match row.state {
        ShareState::Suspended => Err(Refusal::Suspended.into()),
        ShareState::Revoked => Err(Refusal::Revoked.into()),
        ShareState::Active if now >= row.expires => {
            Err(Refusal::Expired { expires: row.expires }.into())
        }
        ShareState::Active => Ok(()),
    }
}
