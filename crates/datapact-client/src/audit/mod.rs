//! The audit of a share by its provider: everything on the ledger about it, against what management
//! shows and what the key server says it released (UR-2, PR-2); and the bundle of it that anybody
//! can verify.

mod bundle;
mod erased;
mod evidence;
mod log;
mod on_ledger;
mod witnesses;

use datapact_api::key_server::{ErasedRelease, KeyServer, ReleaseEntry};
use datapact_api::operation::Page;
use datapact_core::document::UsageAction;
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::policy::ShareState;
use datapact_core::terms::Name;
use serde::Serialize;

pub use bundle::{Anchors, BUNDLE_BYTES_MAX, Bundle, Realm, TrustedInputs, VerifiedBundle};

use crate::consumer::{all_accesses, all_erasures, all_usages};
use crate::error::{ClientError, Result};
use crate::provider::Provider;
pub use crate::provider::WITNESS_SECONDS;
use crate::session::retry;
use evidence::{Audit, Shown};
use log::Log;
use on_ledger::policies_of;
use witnesses::WitnessNote;

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The share.
    pub share: ShareId,
    /// The contract's address.
    pub contract: String,
    /// Whether nothing is wrong.
    pub good: bool,
    /// The log that was followed and replayed.
    pub log: AuditedLog,
    /// What the log's witnesses showed when they were asked themselves.
    pub witnesses: Vec<AuditedWitness>,
    /// Every policy version on the ledger, in order.
    pub policies: Vec<AuditedPolicy>,
    /// Every access on the ledger, in order.
    pub accesses: Vec<AuditedAccess>,
    /// Whether the key server's releases were compared.
    pub releases_compared: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What no audit of this kind can prove.
    pub not_proven: Vec<&'static str>,
}

/// The log that was followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedLog {
    /// The ledger's id.
    pub ledger: String,
    /// How many entries were replayed by the contract, in this audit or an earlier one.
    pub size: u64,
    /// From which entry on they were new to this profile.
    pub followed_from: u64,
    /// The witnesses that cosigned this tree, or one that continues it; none if they have not yet.
    pub cosigned_by: Vec<String>,
}

/// A witness of the log, as it was asked at its own listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedWitness {
    /// Its key's name.
    pub name: String,
    /// How many entries the newest checkpoint has that it has cosigned; none if it showed none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it did so, by its own clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// A policy version on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedPolicy {
    /// The version.
    pub version: u32,
    /// Its position in the ledger.
    pub position: u64,
    /// The ledger's time.
    pub time: Timestamp,
    /// Whether it gives access.
    pub state: ShareState,
    /// The policy's document id.
    pub policy: Digest,
}

/// An access on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedAccess {
    /// Its position in the ledger.
    pub position: u64,
    /// The ledger's time.
    pub time: Timestamp,
    /// The access request's document id.
    pub request: Digest,
    /// The policy version that it accepted.
    pub policy: Digest,
    /// Which of this consumer, from 1.
    pub access: u32,
    /// Who, by the consumer's own signature; none if management does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<Identity>,
    /// For what, as recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Name>,
    /// When the key server says it released the key; none if it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
    /// When management says that it erased who it was, with the consumer's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased: Option<Timestamp>,
    /// Who asked for that, by the statement that the key server has verified; none where it has
    /// released no key, or once the asker was erased, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_by: Option<Identity>,
    /// What the consumer reported.
    pub usages: Vec<AuditedUsage>,
    /// Whether everything about it fits together.
    pub good: bool,
}

/// A usage report on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedUsage {
    /// The ledger's time.
    pub time: Timestamp,
    /// What was done; none if management does not show the report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<UsageAction>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name.
    pub finding: FindingKind,
    /// The access concerned, by its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Digest>,
    /// In what way.
    pub detail: String,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A policy on the ledger is not the provider's, or management shows another one as the newest.
    Policy,
    /// The ledger has an access that management does not show.
    HiddenAccess,
    /// Management shows an access that the ledger does not have.
    InventedAccess,
    /// An access whose signed request, commitment or counter does not fit the ledger's record.
    WrongAccess,
    /// One user under two commitments, and so counted twice.
    DoubledCommitment,
    /// The ledger has a usage report that management does not show.
    HiddenUsage,
    /// Management shows a usage report that the ledger does not have.
    InventedUsage,
    /// A usage report whose signature does not fit the ledger's record.
    WrongUsage,
    /// The key server released the key for no access on the ledger.
    ReleaseWithoutRecord,
    /// A statement of a release that does not fit the access, or is not the key server's.
    WrongRelease,
    /// An access that management says was erased with its consumer, without a statement that asked
    /// for it at the key server.
    UnauthorisedErasure,
    /// A witness of the log policy shows no cosignature.
    WitnessMissing,
    /// A witness's newest cosignature is older than allowed, or of the future.
    WitnessStale,
    /// A witness has cosigned another tree than management shows.
    WitnessContradicts,
    /// Management shows fewer entries than a witness has cosigned.
    OldView,
}

const NOT_PROVEN: &[&str] = &[
    "that the key server states every release: a dishonest one could release and say nothing",
    "that management vouched rightly for a consumer's organisation, industry and country",
    "what a consumer did with the plaintext beyond its own reports",
    "whose an access was whose consumer was erased: the key server states that it was asked to, \
     and keeps the statement, but no longer the name",
];

/// The key server's statements of all releases, oldest first.
async fn all_releases(key_server: &dyn KeyServer, share: &ShareId) -> Result<Vec<ReleaseEntry>> {
    let mut all: Vec<ReleaseEntry> = Vec::new();
    let mut after: Option<Digest> = None;
    loop {
        let page = retry(|| key_server.releases(share, Page { after })).await?;
        let Some(last) = page.last().map(|entry| entry.key_request.id()) else { break };
        if after.is_some_and(|after| last <= after) {
            return Err(ClientError::untrusted(
                "the key server's list of releases is out of order",
            ));
        }
        after = Some(last);
        all.extend(page);
    }
    all.sort_by_key(|entry| entry.release.document().time);
    Ok(all)
}

/// A report and what it rests on.
struct Gathered {
    report: AuditReport,
    log: Log,
    shown: Shown,
    /// When the witnesses were asked.
    asked: Timestamp,
    notes: Vec<WitnessNote>,
}

/// What is left at the key server of all releases to erased users.
async fn all_erased_releases(
    key_server: &dyn KeyServer,
    share: &ShareId,
) -> Result<Vec<ErasedRelease>> {
    let mut all: Vec<ErasedRelease> = Vec::new();
    let mut after: Option<Digest> = None;
    loop {
        let page = retry(|| key_server.erased_releases(share, Page { after })).await?;
        let Some(last) = page.last().map(|entry| entry.erasure.body().key_request) else {
            return Ok(all);
        };
        if after.is_some_and(|after| last <= after) {
            let detail = "the key server's list of erased releases is out of order";
            return Err(ClientError::untrusted(detail));
        }
        after = Some(last);
        all.extend(page);
    }
}

impl Provider {
    /// The same user, to whose audits a witness's newest cosignature may be so many seconds old
    /// instead of [`WITNESS_SECONDS`].
    #[must_use]
    pub fn with_witness_seconds(mut self, seconds: u64) -> Self {
        self.witness_seconds = seconds;
        self
    }

    /// Audits one of the user's own shares.
    ///
    /// # Errors
    /// When the ledger or management cannot be read, or the log is not to be believed: it
    /// contradicts what it signed before, or holds what the contract refuses. Everything else that
    /// is wrong is in the report.
    pub async fn audit(&self, share: &ShareId) -> Result<AuditReport> {
        Ok(self.gather(share).await?.report)
    }

    /// The same, and all of its evidence in a bundle that is verified without an account.
    ///
    /// # Errors
    /// As [`Provider::audit`]; `Unavailable` also when the log's witnesses have not cosigned it
    /// yet.
    pub async fn audit_with_bundle(&self, share: &ShareId) -> Result<(AuditReport, Bundle)> {
        let Gathered { report, log, shown, asked, notes } = self.gather(share).await?;
        let bundle = Bundle::make(&self.session, *share, log, shown, (asked, notes)).await?;
        Ok((report, bundle))
    }

    async fn gather(&self, share: &ShareId) -> Result<Gathered> {
        let session = &self.session;
        session.refresh_revocations().await?;
        // Before the log is followed: what they have cosigned by now, management must show.
        let asked = session.now();
        let notes = witnesses::ask(session).await;
        let mut log = Log::open(session, share).await?;
        // The log is read before and after the servers are asked: what it held before, they must
        // show; what they show, it must hold after. So accesses that happen meanwhile are no
        // findings.
        let known = log.advance().await?;
        let own = self.own(share).await?;
        self.is_mine(&own.policy)?;
        let accesses = all_accesses(session, Some(*share)).await?;
        let usages = all_usages(session, Some(*share)).await?;
        let erasures = all_erasures(session, *share).await?;
        let (_, key_server) = session.key_server_of(&own.policy.body().information.key.address)?;
        // The erased ones last: an erasure meanwhile moves a release there.
        let listed = async {
            let releases = all_releases(&**key_server, share).await?;
            Ok::<_, ClientError>((releases, all_erased_releases(&**key_server, share).await?))
        };
        let (releases, erased_releases) = match listed.await {
            Ok((releases, erased)) => (Some(releases), erased),
            Err(error) if error.is_temporary() => (None, Vec::new()),
            Err(error) => return Err(error),
        };
        let size = log.advance().await?;
        let cosigned_by = match log.cosigned(session).await {
            Ok(cosigned) => cosigned.map(|cosigned| cosigned.witnesses).unwrap_or_default(),
            Err(error) if error.is_temporary() => Vec::new(),
            Err(error) => return Err(error),
        };
        let shown = Shown {
            policy: own.policy,
            receipt: own.receipt,
            accesses,
            usages,
            erasures,
            releases,
            erased_releases,
        };
        let trust = session.profile().trust();
        let mut found = Audit::run(&trust, session.ledger(), *share, known, &log.share, &shown)?;
        let policy = session.profile().log_policy();
        let relation = |_: &_, checkpoint: &_| witnesses::relation_of_copy(log.copy(), checkpoint);
        let young = (asked, self.witness_seconds);
        let witnesses = witnesses::judge(policy, &notes, young, relation, &mut found.findings);
        let mut not_proven = NOT_PROVEN.to_vec();
        not_proven.extend(witnesses::not_monitored(policy));
        let report = AuditReport {
            share: *share,
            contract: shown.receipt.contract.clone(),
            good: found.findings.is_empty(),
            log: AuditedLog {
                ledger: session.ledger().to_owned(),
                size,
                followed_from: log.followed_from,
                cosigned_by,
            },
            witnesses,
            policies: policies_of(&log.share),
            accesses: found.accesses,
            releases_compared: shown.releases.is_some(),
            findings: found.findings,
            not_proven,
        };
        Ok(Gathered { report, log, shown, asked, notes })
    }
}
