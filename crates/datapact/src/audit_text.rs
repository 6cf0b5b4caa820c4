//! What audits and verified bundles look like for people.

use datapact_client::audit::{
    AuditReport, AuditedAccess, AuditedPolicy, AuditedWitness, Finding, VerifiedBundle,
};

use crate::failure::{Failure, Result};
use crate::output::{self, fields, plain, table};

/// An audit, as a person reads it.
pub(crate) fn report(report: &AuditReport) -> String {
    let log = &report.log;
    let mut text = fields(&[
        ("share", report.share.to_string()),
        ("contract", report.contract.clone()),
        (
            "ledger",
            format!(
                "{}: {} entries replayed, followed from {}",
                log.ledger, log.size, log.followed_from
            ),
        ),
        ("cosigned by", none_or(&log.cosigned_by)),
        ("witnesses", witnesses(&report.witnesses)),
        ("releases", if report.releases_compared { "compared" } else { "not compared" }.to_owned()),
    ]);
    text.push_str(&history(&report.policies, &report.accesses));
    text.push_str(&conclusion("audit", &report.findings, &report.not_proven));
    text
}

/// The verification of an audit bundle, as a person reads it.
pub(crate) fn bundle(bundle: &VerifiedBundle) -> String {
    let cas = bundle
        .cas
        .iter()
        .flat_map(|(realm, cas)| cas.iter().map(move |ca| format!("{realm}: {ca}")));
    let mut text = fields(&[
        ("share", bundle.share.to_string()),
        ("contract", bundle.contract.clone()),
        ("bundle of", output::time(bundle.made)),
        ("ledger", format!("{}: {} entries", bundle.ledger, bundle.size)),
        ("log keys", bundle.log_keys.join("\n")),
        ("cosigned by", none_or(&bundle.cosigned_by)),
        ("witnesses", witnesses(&bundle.witnesses)),
        ("CAs (SHA-256)", cas.collect::<Vec<_>>().join("\n")),
        ("releases", if bundle.releases_compared { "compared" } else { "not compared" }.to_owned()),
    ]);
    text.push_str(&history(&bundle.policies, &bundle.accesses));
    text.push_str(&conclusion("verification", &bundle.findings, &bundle.not_proven));
    text
}

/// An error if anything was found.
pub(crate) fn verdict(findings: &[Finding]) -> Result<()> {
    let wrong = match findings.len() {
        0 => return Ok(()),
        1 => "one thing is wrong".to_owned(),
        several => format!("{several} things are wrong"),
    };
    Err(Failure::untrusted(
        wrong,
        "keep the report as evidence, and talk to the servers' operators; suspend the share \
         meanwhile",
    ))
}

fn none_or(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

/// What each witness has cosigned last, and when.
fn witnesses(witnesses: &[AuditedWitness]) -> String {
    let line = |witness: &AuditedWitness| match (witness.size, witness.time) {
        (Some(size), Some(time)) => {
            format!("{}: {size} entries at {}", witness.name, output::time(time))
        }
        _ => format!("{}: nothing", witness.name),
    };
    match witnesses.is_empty() {
        true => "-".to_owned(),
        false => witnesses.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

fn history(policies: &[AuditedPolicy], accesses: &[AuditedAccess]) -> String {
    let policies: Vec<_> = policies
        .iter()
        .map(|policy| {
            [
                policy.position.to_string(),
                output::time(policy.time),
                policy.version.to_string(),
                output::state(policy.state).to_owned(),
            ]
        })
        .collect();
    let accesses: Vec<_> = accesses
        .iter()
        .map(|access| {
            let usages: Vec<&str> = access
                .usages
                .iter()
                .map(|usage| usage.action.map_or("not shown", output::action))
                .collect();
            [
                access.position.to_string(),
                output::time(access.time),
                // That a consumer was erased is management's word; a consumer may also be hidden.
                match (&access.consumer, access.erased) {
                    (Some(consumer), _) => consumer.to_string(),
                    (None, Some(_)) => match &access.erased_by {
                        Some(by) => format!("erased by {by}"),
                        None => "erased".to_owned(),
                    },
                    (None, None) => "not shown".to_owned(),
                },
                access.access.to_string(),
                access.purpose.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                access.released.map_or_else(|| "no".to_owned(), output::time),
                if usages.is_empty() { "-".to_owned() } else { usages.join(", ") },
                if access.good { "good" } else { "WRONG" }.to_owned(),
            ]
        })
        .collect();
    let mut text = "\npolicy versions\n".to_owned();
    text.push_str(&table(["ENTRY", "TIME", "VERSION", "STATE"], &policies));
    text.push_str("\naccesses\n");
    let head =
        ["ENTRY", "TIME", "CONSUMER", "ACCESS", "PURPOSE", "KEY RELEASED", "USAGE", "VERDICT"];
    text.push_str(&table(head, &accesses));
    text
}

fn conclusion(what: &str, findings: &[Finding], not_proven: &[&str]) -> String {
    let mut text = String::new();
    text.push_str(if findings.is_empty() { "\nnothing is wrong\n" } else { "\nwrong:\n" });
    for finding in findings {
        let of =
            finding.request.map_or_else(String::new, |request| format!(" (request {request})"));
        text.push_str(&format!("  {}{of}\n", plain(&finding.detail)));
    }
    text.push_str(&format!("not proven by this {what}:\n"));
    for limit in not_proven {
        text.push_str(&format!("  {limit}\n"));
    }
    text
}
