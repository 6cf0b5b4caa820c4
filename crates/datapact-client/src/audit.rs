//! The audit of a share by its provider: everything on the ledger about it, against what management shows and what
//! the key server says it released (UR-2, PR-2). It follows the log from the last checkpoint that this profile has
//! kept, so that a log which was rolled back or forked since is found out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datapact_api::http_api::Public;
use datapact_api::key_server::ReleaseEntry;
use datapact_api::management::{AccessEntry, UsageEntry};
use datapact_api::problem::Kind;
use datapact_core::contract::{
    AccessRecord, Call, Documents, RecordUsage, RequestAccess, SetPolicy, UsageRecord, check,
};
use datapact_core::document::UsageAction;
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::policy::ShareState;
use datapact_core::terms::Name;
use datapact_ledger::entry::Entry;
use datapact_ledger::follower::{Follower, FollowerConfig};
use datapact_ledger::log_policy::LogPolicy;
use datapact_ledger::proof::Proof;
use datapact_ledger::source::{LogSource, SourceError};
use datapact_ledger::{LedgerError, Store, tables};
use serde::Serialize;

use crate::consumer::{all_accesses, all_usages};
use crate::error::{ClientError, Result};
use crate::open::blocking;
use crate::provider::{Provider, check_receipt};
use crate::session::{Session, retry};

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
    /// The witnesses that cosigned this very tree; none if it grew meanwhile or they have not yet.
    pub cosigned_by: Vec<String>,
}

/// A policy version on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditedPolicy {
    /// The version.
    pub version: u32,
    /// Where it stands.
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
    /// Where it stands.
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
}

const NOT_PROVEN: &[&str] = &[
    "that the key server states every release: a dishonest one could release and say nothing",
    "that management vouched rightly for a consumer's organisation, industry and country",
    "what a consumer did with the plaintext beyond its own reports",
];

/// What the ledger holds about one share.
#[derive(Default)]
struct OnLedger {
    policies: Vec<(u64, Timestamp, SetPolicy)>,
    accesses: Vec<(u64, AccessRecord)>,
    usages: Vec<(u64, UsageRecord)>,
}

impl OnLedger {
    fn add(&mut self, position: u64, entry: Entry) {
        let time = entry.time;
        match entry.call {
            Call::SetPolicy(policy) => self.policies.push((position, time, policy)),
            Call::RequestAccess(request) => {
                let earlier = self.accesses.iter().filter(|(_, r)| r.request.consumer == request.consumer);
                let access = u32::try_from(earlier.count()).unwrap_or(u32::MAX).saturating_add(1);
                self.accesses.push((position, AccessRecord { request, access, time }));
            }
            Call::RecordUsage(usage) => self.usages.push((position, UsageRecord { usage, time })),
        }
    }
}

impl Provider {
    /// Audits one of the user's own shares.
    ///
    /// # Errors
    /// When the ledger or management cannot be read, or the log is not to be believed: it contradicts what it signed
    /// before, or holds what the contract refuses. Everything else that is wrong stands in the report.
    pub async fn audit(&self, share: &ShareId) -> Result<AuditReport> {
        let session = &self.session;
        session.refresh_revocations().await?;
        let mut log = Log::open(session).await?;
        // The log is read before and after the servers are asked: what it held before, they must show; what they
        // show, it must hold after. So accesses that happen meanwhile are no findings.
        let known = log.advance(share).await?;
        let own = self.own(share).await?;
        let accesses = all_accesses(session, Some(*share)).await?;
        let usages = all_usages(session, Some(*share)).await?;
        let (_, key_server) = session.key_server_of(&own.policy.body().information.key.address)?;
        let releases = match retry(|| key_server.releases(share)).await {
            Ok(releases) => Some(releases),
            Err(error) if error.is_temporary() => None,
            Err(error) => return Err(error),
        };
        let size = log.advance(share).await?;
        let cosigned_by = match log.cosigned(session).await {
            Ok(witnesses) => witnesses,
            Err(error) if error.is_temporary() => Vec::new(),
            Err(error) => return Err(error),
        };
        let (ledger, followed_from) = (log.share, log.followed_from);
        let log = AuditedLog { ledger: session.ledger().to_owned(), size, followed_from, cosigned_by };

        let mut audit = Audit { session, share: *share, known, findings: Vec::new() };
        self.is_mine(&own.policy)?;
        audit.policies(&check_receipt(&own.policy, &own.receipt)?, &ledger);
        let shown = audit.shown(&ledger, accesses, usages);
        let released = match &releases {
            Some(releases) => {
                audit.releases(&own.policy.body().information.key, releases, &shown, &ledger)?
            }
            None => BTreeMap::new(),
        };
        let (accesses, policies) = (audit.accesses(&ledger, &shown, &released), policies_of(&ledger));
        Ok(AuditReport {
            share: *share,
            contract: own.receipt.contract,
            good: audit.findings.is_empty(),
            log,
            policies,
            accesses,
            releases_compared: releases.is_some(),
            findings: audit.findings,
            not_proven: NOT_PROVEN.to_vec(),
        })
    }
}

fn policies_of(ledger: &OnLedger) -> Vec<AuditedPolicy> {
    let audited = |(position, time, policy): &(u64, Timestamp, SetPolicy)| AuditedPolicy {
        version: policy.version,
        position: *position,
        time: *time,
        state: policy.state,
        policy: policy.policy,
    };
    ledger.policies.iter().map(audited).collect()
}

struct Audit<'a> {
    session: &'a Session,
    share: ShareId,
    /// How many entries the log had before management was asked.
    known: u64,
    findings: Vec<Finding>,
}

/// What management shows, of what the ledger holds, by document id.
struct Shown {
    accesses: BTreeMap<Digest, AccessEntry>,
    usages: BTreeMap<Digest, UsageEntry>,
}

impl Audit<'_> {
    fn find(&mut self, finding: FindingKind, request: Option<Digest>, detail: impl std::fmt::Display) {
        self.findings.push(Finding { finding, request, detail: detail.to_string() });
    }

    /// The newest policy on the ledger is the one that the provider signed, and so, by each one's digest of its
    /// predecessor, are all before it.
    fn policies(&mut self, signed: &Call, ledger: &OnLedger) {
        let is_signed = |policy: &SetPolicy| Call::SetPolicy(policy.clone()) == *signed;
        let newest =
            ledger.policies.iter().rfind(|(position, _, policy)| *position < self.known || is_signed(policy));
        if !newest.is_some_and(|(_, _, policy)| is_signed(policy)) {
            self.find(
                FindingKind::Policy,
                None,
                "the newest policy that management shows is not the ledger's",
            );
        }
        let Call::SetPolicy(signed) = signed else { return };
        if ledger.policies.iter().any(|(_, _, policy)| policy.owner != signed.owner) {
            self.find(FindingKind::Policy, None, "a policy on the ledger has another owner");
        }
    }

    /// Holds what management shows against the ledger, both ways.
    fn shown(&mut self, ledger: &OnLedger, accesses: Vec<AccessEntry>, usages: Vec<UsageEntry>) -> Shown {
        let accesses: BTreeMap<_, _> =
            accesses.into_iter().map(|entry| (entry.request.id(), entry)).collect();
        let usages: BTreeMap<_, _> = usages.into_iter().map(|entry| (entry.report.id(), entry)).collect();
        let on_ledger: BTreeSet<Digest> = ledger.accesses.iter().map(|(_, r)| r.request.request).collect();
        for request in accesses.keys().filter(|id| !on_ledger.contains(id)) {
            let detail = "management shows an access that the ledger does not have";
            self.find(FindingKind::InventedAccess, Some(*request), detail);
        }
        let on_ledger: BTreeSet<Digest> = ledger.usages.iter().map(|(_, r)| r.usage.report).collect();
        for (report, entry) in &usages {
            if !on_ledger.contains(report) {
                let detail = "management shows a usage report that the ledger does not have";
                self.find(FindingKind::InventedUsage, Some(entry.report.body().request), detail);
            }
        }
        Shown { accesses, usages }
    }

    fn accesses(
        &mut self,
        ledger: &OnLedger,
        shown: &Shown,
        released: &BTreeMap<Digest, Timestamp>,
    ) -> Vec<AuditedAccess> {
        let mut commitments: BTreeMap<Identity, Commitment> = BTreeMap::new();
        let mut audited = Vec::new();
        for (position, record) in &ledger.accesses {
            let request = record.request.request;
            let before = self.findings.len();
            let entry = shown.accesses.get(&request);
            match entry {
                None if *position >= self.known => {}
                None => {
                    let detail = "the ledger has an access that management does not show";
                    self.find(FindingKind::HiddenAccess, Some(request), detail);
                }
                Some(entry) => {
                    if let Err(reason) = self.access(*position, record, entry) {
                        self.find(FindingKind::WrongAccess, Some(request), reason);
                    }
                    let commitment = record.request.consumer;
                    let known = commitments.insert(entry.consumer.identity.clone(), commitment);
                    if known.is_some_and(|known| known != commitment) {
                        let detail = format!("`{}` stands under two commitments", entry.consumer.identity);
                        self.find(FindingKind::DoubledCommitment, Some(request), detail);
                    }
                }
            }
            let usages = self.usages(ledger, shown, &record.request);
            let wrong = self.findings.iter().any(|finding| finding.request == Some(request));
            audited.push(AuditedAccess {
                position: *position,
                time: record.time,
                request,
                policy: record.request.policy,
                access: record.access,
                consumer: entry.map(|entry| entry.consumer.identity.clone()),
                purpose: record.request.purpose.clone(),
                released: released.get(&request).copied(),
                usages,
                good: self.findings.len() == before && !wrong,
            });
        }
        audited
    }

    /// The consumer's own signature and the opened commitment fit the record.
    fn access(
        &self,
        position: u64,
        record: &AccessRecord,
        entry: &AccessEntry,
    ) -> std::result::Result<(), String> {
        if entry.position != position || entry.record != *record {
            return Err("management shows another record than the ledger's".to_owned());
        }
        let documents = Documents::Access {
            request: entry.request.clone(),
            consumer: entry.consumer.clone(),
            attributes: record.request.attributes(),
        };
        self.check(&Call::RequestAccess(record.request.clone()), &documents, record.time)
    }

    fn check(&self, call: &Call, documents: &Documents, time: Timestamp) -> std::result::Result<(), String> {
        let trust = self.session.profile().trust();
        check(call, documents, &trust, self.session.ledger(), time).map_err(|e| e.to_string())
    }

    fn usages(&mut self, ledger: &OnLedger, shown: &Shown, access: &RequestAccess) -> Vec<AuditedUsage> {
        let request = access.request;
        let mut audited = Vec::new();
        for (position, record) in ledger.usages.iter().filter(|(_, r)| r.usage.request == request) {
            let entry = shown.usages.get(&record.usage.report);
            match (entry, shown.accesses.get(&request)) {
                (None, _) if *position >= self.known => {}
                (None, _) => {
                    let detail = "the ledger has a usage report that management does not show";
                    self.find(FindingKind::HiddenUsage, Some(request), detail);
                }
                (Some(entry), Some(access)) => {
                    if let Err(reason) = self.usage(*position, record, entry, access) {
                        self.find(FindingKind::WrongUsage, Some(request), reason);
                    }
                }
                // That the access is hidden stands among the findings already.
                (Some(_), None) => {}
            }
            let action = entry.map(|entry| entry.report.body().action);
            audited.push(AuditedUsage { time: record.time, action });
        }
        audited
    }

    fn usage(
        &self,
        position: u64,
        record: &UsageRecord,
        entry: &UsageEntry,
        access: &AccessEntry,
    ) -> std::result::Result<(), String> {
        if entry.position != position || entry.record != *record {
            return Err("management shows another usage record than the ledger's".to_owned());
        }
        let call: RecordUsage = record.usage.clone();
        let documents = Documents::Usage { report: entry.report.clone(), consumer: access.consumer.clone() };
        self.check(&Call::RecordUsage(call), &documents, record.time)
    }

    /// Each release is the key server's own statement, of a key request that the consumer of an access signed.
    fn releases(
        &mut self,
        key: &datapact_core::permission::KeyReference,
        releases: &[ReleaseEntry],
        shown: &Shown,
        ledger: &OnLedger,
    ) -> Result<BTreeMap<Digest, Timestamp>> {
        let (endpoint, _) = self.session.key_server_of(&key.address)?;
        let name = endpoint.name()?.to_owned();
        let mut released = BTreeMap::new();
        for entry in releases {
            let request = entry.release.body().request;
            let record = ledger.accesses.iter().find(|(_, record)| record.request.request == request);
            let Some((_, record)) = record else {
                let detail = "the key server released the key for an access that the ledger does not have";
                self.find(FindingKind::ReleaseWithoutRecord, Some(request), detail);
                continue;
            };
            let access = shown.accesses.get(&request);
            match self.release(entry, &name, key.id, access, record) {
                Ok(()) => {
                    released.entry(request).or_insert(entry.release.document().time);
                }
                Err(reason) => self.find(FindingKind::WrongRelease, Some(request), reason),
            }
        }
        Ok(released)
    }

    fn release(
        &self,
        entry: &ReleaseEntry,
        name: &str,
        key: datapact_core::id::KeyId,
        access: Option<&AccessEntry>,
        record: &AccessRecord,
    ) -> std::result::Result<(), String> {
        let trust = self.session.profile().trust();
        let (release, key_request) = (&entry.release, &entry.key_request);
        release
            .verify(&trust, self.session.ledger(), release.document().time)
            .and_then(|()| key_request.verify(&trust, name, release.document().time))
            .map_err(|e| e.to_string())?;
        let (said, asked) = (release.body(), key_request.body());
        if *release.signer() != Identity::server(name) {
            return Err("somebody else than the key server states it".to_owned());
        }
        if (said.share, said.key, asked.key) != (self.share, key, key) {
            return Err("it is of another share or key".to_owned());
        }
        if (said.key_request, asked.request) != (key_request.id(), said.request) {
            return Err("it does not fit the consumer's key request".to_owned());
        }
        if access.is_some_and(|access| access.consumer.identity != *key_request.signer()) {
            return Err("somebody else than the access's consumer asked for the key".to_owned());
        }
        let lead = record.time.saturating_sub(release.document().time);
        if lead > datapact_core::contract::CLOCK_SKEW_SECONDS_MAX {
            return Err("the key was released before the access was recorded".to_owned());
        }
        Ok(())
    }
}

/// The log over management's public listener.
struct PublicLog(Arc<dyn Public>);

#[async_trait]
impl LogSource for PublicLog {
    async fn fetch(&self, path: &str) -> std::result::Result<Option<Vec<u8>>, SourceError> {
        match self.0.log(path).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(problem) if problem.kind == Kind::NotFound => Ok(None),
            Err(problem) => Err(SourceError(problem.to_string())),
        }
    }

    async fn wait_newer(&self, size: u64, timeout: Duration) -> std::result::Result<(), SourceError> {
        match tokio::time::timeout(timeout, self.0.log_longer_than(size)).await {
            Ok(Err(problem)) => Err(SourceError(problem.to_string())),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}

/// The log as this profile follows it, and what it holds about one share.
struct Log {
    follower: Follower,
    /// The same log, believed without witnesses: for what the follower itself has checked.
    alone: LogPolicy,
    followed_from: u64,
    read: u64,
    share: OnLedger,
    /// One run at a time may write the copy.
    _held: File,
}

impl Log {
    async fn open(session: &Session) -> Result<Self> {
        let state = session.state()?;
        let lock = state.join("ledger.lock");
        let held = blocking(move || {
            let file = File::options().create(true).truncate(false).write(true).open(&lock);
            let file = file.map_err(|e| ClientError::file(&lock, e))?;
            file.lock().map_err(|e| ClientError::file(&lock, e))?;
            Ok(file)
        })
        .await?;
        let store =
            Store::open(&state.join("ledger.db"), tables::MIGRATIONS).await.map_err(LedgerError::from)?;
        let log = session.profile().log_policy().logs().first().cloned().ok_or_else(|| {
            ClientError::usage("the enrolment names no log", "ask management's operator for a new enrolment")
        })?;
        let alone = LogPolicy::new(&log, &[]).map_err(ClientError::defect)?;
        let clock = datapact_ledger::port::system_clock();
        let source = Arc::new(PublicLog(Arc::clone(&session.public)));
        let follower =
            Follower::open(store, FollowerConfig { log, witness: None, source, clock, chain: None }).await?;
        let followed_from = follower.size();
        Ok(Self { follower, alone, followed_from, read: 0, share: OnLedger::default(), _held: held })
    }

    /// Follows the log to its end and reads what is new about `share`; how many entries there are.
    async fn advance(&mut self, share: &ShareId) -> Result<u64> {
        let size = retry(|| self.follower.poll()).await?.size;
        while self.read < size {
            let bytes = self.follower.entry(self.read).await?;
            let bytes = bytes.ok_or_else(|| ClientError::defect("the copy of the ledger lacks an entry"))?;
            let entry = Entry::parse(&bytes).map_err(ClientError::defect)?;
            if entry.call.share() == share {
                self.share.add(self.read, entry);
            }
            self.read += 1;
        }
        Ok(size)
    }

    /// The witnesses that cosigned, as the enrolment demands, the very tree that was followed; none if they have
    /// cosigned a longer one only.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] when they have cosigned another tree: the log has forked.
    async fn cosigned(&self, session: &Session) -> Result<Vec<String>> {
        let Some(last) = self.read.checked_sub(1) else { return Ok(Vec::new()) };
        let given = retry(|| session.management.proof(last)).await?;
        let proof: Proof = given.proof.parse().map_err(ClientError::untrusted)?;
        let theirs = proof.verify(session.profile().log_policy(), given.entry.as_bytes());
        let theirs = theirs.map_err(ClientError::untrusted)?;
        let Some(entry) = self.follower.entry(last).await? else { return Ok(Vec::new()) };
        if proof.position() != last || entry != given.entry.as_bytes() {
            return Err(ClientError::untrusted("the log forked: its witnesses were shown another entry"));
        }
        let Some(ours) = self.follower.proof(last).await? else { return Ok(Vec::new()) };
        let ours = ours.verify(&self.alone, &entry).map_err(ClientError::untrusted)?;
        match (ours.size() == theirs.size(), ours.root() == theirs.root()) {
            (true, true) => Ok(theirs.witnesses().map(|witness| witness.name().to_owned()).collect()),
            (true, false) => {
                Err(ClientError::untrusted("the log forked: its witnesses were shown another tree"))
            }
            (false, _) => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
