//! A share and what was done to it, as text for people.

use datapact_client::custody::ErasedShare;
use datapact_client::provider::{SetShare, ShareView};

use crate::context::Context;
use crate::failure::Result;
use crate::output::{self, fields, table};

/// Prints what a new policy version has become.
pub(crate) fn report(context: &Context, set: &SetShare) -> Result<()> {
    let mut lines = vec![
        ("share", set.share.to_string()),
        ("version", format!("{}, {}", set.version, output::state(set.state))),
        ("policy", set.policy.to_string()),
        ("contract", set.contract.clone()),
        ("package", format!("{} ({} bytes)", set.package.id, set.package.size)),
        ("key", set.key.id.to_string()),
    ];
    lines
        .push(("ledger", format!("entry {}, proven in a log of {}", set.position, set.proof.size)));
    context.output.result(set, fields(&lines))
}

/// One share, with all its terms.
pub(super) fn share(view: &ShareView) -> String {
    let policy = &view.policy;
    let mut lines = vec![
        ("share", policy.share.to_string()),
        ("title", policy.information.title.clone()),
        ("version", format!("{}, {}", policy.version, output::state(policy.state))),
        ("signed", output::time(view.signed)),
        ("policy", view.id.to_string()),
    ];
    lines.extend(output::information(&policy.information));
    lines.extend(output::terms(&policy.terms));
    lines.extend(output::permission(&policy.permission));
    lines.push(("contract", view.contract.clone()));
    lines.push(("ledger", format!("entry {}", view.position)));
    lines.push(("accesses", view.accesses.to_string()));
    fields(&lines)
}

/// Who was given access to a share before it was erased, and may still have its data.
pub(super) fn erased(erased: &ErasedShare) -> String {
    let mut text = fields(&[
        ("share", erased.share.to_string()),
        ("revoked", if erased.revoked.is_some() { "now" } else { "before" }.to_owned()),
        ("key destroyed", erased.key.to_string()),
        ("package deleted", erased.package.to_string()),
    ]);
    let rows: Vec<_> = erased
        .opened
        .iter()
        .map(|opened| {
            [opened.consumer.to_string(), opened.accesses.to_string(), output::time(opened.last)]
        })
        .collect();
    if rows.is_empty() && erased.erased == 0 {
        text.push_str("\nno consumer was given access before\n");
        return text;
    }
    text.push_str("\nthese were given access before, and may have kept what they saw:\n");
    text.push_str(&table(["CONSUMER", "ACCESSES", "LAST"], &rows));
    if erased.erased > 0 {
        text.push_str(&format!("and {} accesses of users who were erased since\n", erased.erased));
    }
    text
}
