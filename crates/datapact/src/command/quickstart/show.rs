//! Both procedures, step by step: a share is published, opened, refused and audited.

use std::time::Duration;

use datapact_client::consumer::Consumer;
use datapact_client::open::{OpenOptions, Opened, Output as Plaintext, Target};
use datapact_client::provider::CreateShare;
use datapact_client::{Provider, no_progress};
use datapact_core::contract::Refusal;
use datapact_core::id::ShareId;
use datapact_core::permission::{AccessPermission, AccessTimes};
use datapact_core::terms::Terms;
use futures_util::StreamExt as _;
use serde_json::json;

use super::Quickstart;
use super::comparison::Comparison;
use super::people::{accounts, parse};
use super::servers::Servers;
use super::site::Site;
use super::steps::Steps;
use crate::failure::{Failure, Result};

const SHARE_SECONDS: u64 = 30 * 24 * 60 * 60;
/// How long a subscriber waits for the publication.
const PUBLICATION_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs all steps once the servers run, and returns the share that was made.
///
/// The order is the Recommendation's: a subscriber before the publication, so that it is told; the
/// refusals after the access that uses up the access times; the audit last, so that it sees all.
pub(super) async fn show(
    args: &Quickstart,
    site: &Site,
    existed: bool,
    servers: &Servers,
    steps: &mut Steps,
) -> Result<ShareId> {
    let made = if existed { "found" } else { "made" };
    steps.done(
        "Annex A preconditions, 6.2.1",
        "Certification authorities of a clinic, a lab and the servers",
        &[format!("{made} in {}", site.folder().join("ca").display())],
        json!({ "folder": site.folder(), "existed": existed }),
    )?;
    let ids = servers.ids();
    let processes: Vec<_> = ids.iter().map(|(role, id)| format!("{role} (process {id})")).collect();
    let ids: Vec<_> = ids.iter().map(|(role, id)| json!({ "role": role, "id": id })).collect();
    steps.done(
        "6.2.2 to 6.2.4, 7.2.5",
        "Management, key server and storage server run, each a process with its own certificate, \
         and the lab's witness of the ledger",
        &[processes.join(", ")],
        json!({ "processes": ids }),
    )?;

    let home = site.home()?;
    let (clinic, lab, overseas) = accounts(site, &home, steps).await?;
    let provider = Provider::new(clinic);
    let (lab, overseas) = (Consumer::new(lab), Consumer::new(overseas));

    // The subscriber listens before anything is published.
    let last = lab.search(&Default::default()).await?.first().map_or(0, |entry| entry.event);
    let mut publications = lab.watch(Some(last))?;

    let share = publish(args, &provider, steps).await?;
    let heard = async {
        while let Some(entry) = publications.next().await {
            let entry = entry?;
            if entry.share == share {
                return Ok(entry);
            }
        }
        Err(Failure::local("the subscription ended", "see the servers' logs"))
    };
    let entry = tokio::time::timeout(PUBLICATION_TIMEOUT, heard)
        .await
        .map_err(|_| Failure::local("the subscriber heard nothing", "see the servers' logs"))??;
    steps.done(
        "7.3.1 steps 9 to 12, 6.2.2 publication and subscription",
        "The lab, a subscriber, is told what was published",
        &[format!("event {}: \"{}\" by {}", entry.event, entry.information.title, entry.provider)],
        json!({ "event": entry.event, "share": entry.share }),
    )?;

    let (opened, same) = open(args, &lab, &share).await?;
    if !same {
        return Err(Failure::untrusted(
            "what was opened is not what was shared",
            "this is a defect; please report it",
        ));
    }
    steps.done(
        "7.3.2 steps 1 to 18",
        "The lab asks the contract, gets token and permission, fetches key and package, and reads \
         the data",
        &[
            format!(
                "access {} of {}, recorded at ledger position {}",
                opened.permission.access,
                times(opened.permission.access_times),
                opened.proof.position
            ),
            format!(
                "record proven: the log of {} entries is signed, and cosigned by the witnesses",
                opened.proof.size
            ),
            format!(
                "{} bytes, the same that were shared; on this machine only ciphertext remains",
                opened.size
            ),
        ],
        serde_json::to_value(&opened).unwrap_or_default(),
    )?;

    refused(
        args,
        &overseas,
        &share,
        steps,
        "7.3.2 step 4, 6.2.2 access management",
        "A colleague overseas is refused: the country",
        |refusal| matches!(refusal, Refusal::Country),
    )
    .await?;
    refused(
        args,
        &lab,
        &share,
        steps,
        "7.2.1 access times",
        "The lab's second try is refused: the access times are used up",
        |refusal| matches!(refusal, Refusal::AccessTimes { .. }),
    )
    .await?;

    let report = provider.audit(&share).await?;
    if !report.good {
        return Err(Failure::untrusted(
            "the audit found something wrong",
            "see `datapact share audit`",
        ));
    }
    steps.done(
        "7.2.4, 6 (traceability, verifiability)",
        "The clinic audits the share: ledger replayed, proofs, signatures and releases compared",
        &[
            format!(
                "{} entries replayed, cosigned by {}",
                report.log.size,
                report.log.cosigned_by.join(", ")
            ),
            format!(
                "{} policy version(s), {} access(es), every one signed, recorded and released \
                 once; nothing wrong",
                report.policies.len(),
                report.accesses.len()
            ),
        ],
        serde_json::to_value(&report).unwrap_or_default(),
    )?;
    Ok(share)
}

async fn publish(args: &Quickstart, provider: &Provider, steps: &mut Steps) -> Result<ShareId> {
    let now = datapact_log::clock::system_clock()();
    let title = match &args.file {
        None => "Outpatient observations 2026, desensitized".to_owned(),
        Some(path) => path
            .file_name()
            .map_or_else(|| "a file".into(), |name| name.to_string_lossy().into_owned()),
    };
    let create = CreateShare {
        title,
        media_type: if args.file.is_some() { "application/octet-stream" } else { "text/csv" }
            .to_owned(),
        categories: vec![parse("health")?],
        introduction: String::new(),
        usage: String::new(),
        price: None,
        terms: Terms {
            industries: [parse("isic4:72")?].into(),
            countries: [parse("SE")?, parse("DE")?].into(),
            ..Terms::default()
        },
        permission: AccessPermission {
            access_times: AccessTimes::Times(1),
            not_before: now.saturating_sub(60),
            expires: now + SHARE_SECONDS,
            read_only: true,
        },
        key_server: None,
        storage_server: None,
        desensitization: None,
    };
    let set = provider.create_share(args.dataset()?, create, no_progress()).await?;
    steps.done(
        "7.3.1 steps 1 to 8",
        "The clinic seals the data, stores key and package apart, and signs the policy; it becomes \
         a contract",
        &[
            "for industry isic4:72 in SE and DE, once each, read-only, for 30 days".to_owned(),
            format!("contract {}", set.contract),
        ],
        serde_json::to_value(&set).unwrap_or_default(),
    )?;
    Ok(set.share)
}

/// Opens the share, and tells whether what came out is what was shared.
async fn open(args: &Quickstart, consumer: &Consumer, share: &ShareId) -> Result<(Opened, bool)> {
    let comparison = Comparison::with(args.dataset()?);
    let output = Plaintext::Stream(Box::new(comparison.clone()));
    let options = OpenOptions::default();
    let opened =
        consumer.open(&Target::Share(*share), &options, &|_| Ok(()), output, no_progress()).await?;
    Ok((opened, comparison.same()))
}

/// Shows that opening is refused, by the rule expected.
async fn refused(
    args: &Quickstart,
    consumer: &Consumer,
    share: &ShareId,
    steps: &mut Steps,
    clause: &str,
    title: &str,
    expected: impl Fn(&Refusal) -> bool,
) -> Result<()> {
    let problem = match open(args, consumer, share).await {
        Ok(_) => {
            return Err(Failure::untrusted(
                "an access was granted that had to be refused",
                "please report it",
            ));
        }
        Err(Failure::Problem(problem)) => problem,
        Err(failure) => return Err(failure),
    };
    match &problem.refusal {
        Some(refusal) if expected(refusal) => {
            steps.done(clause, title, &[format!("refused: {refusal}")], problem.to_json())
        }
        _ => Err(problem.into()),
    }
}

fn times(times: AccessTimes) -> String {
    match times {
        AccessTimes::Times(times) => times.to_string(),
        AccessTimes::Unlimited => "unlimited".to_owned(),
    }
}
