//! Holding what management and the key server show of a share against what the ledger holds (UR-2).

use std::collections::{BTreeMap, BTreeSet};

use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::{ErasedRelease, ReleaseEntry};
use datapact_api::management::Erasure;
use datapact_api::management::{AccessEntry, PolicyReceipt, UsageEntry};
use datapact_core::contract::{
    AccessRecord, CLOCK_SKEW_SECONDS_MAX, Call, Documents, RecordUsage, RequestAccess, SetPolicy,
    UsageRecord, check,
};
use datapact_core::id::{Commitment, Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use datapact_core::trust::Trust;
use serde::{Deserialize, Serialize};

use super::erased::Released;
use super::on_ledger::OnLedger;
use super::{AuditedAccess, AuditedUsage, Finding, FindingKind};
use crate::error::{ClientError, Result};
use crate::provider::check_receipt;

/// What management and the key server show of a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    /// The newest policy.
    pub(crate) policy: Signed<SharingPolicy>,
    /// What the ledger holds about it, and what opens its commitments.
    pub(crate) receipt: PolicyReceipt,
    /// Every access.
    pub(crate) accesses: Vec<AccessEntry>,
    /// Every usage report.
    pub(crate) usages: Vec<UsageEntry>,
    /// The entries whose documents were erased with the users who signed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) erasures: Vec<Erasure>,
    /// The key server's statements of all releases; none if it did not answer.
    pub(crate) releases: Option<Vec<ReleaseEntry>>,
    /// What is left there of the releases to erased users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) erased_releases: Vec<ErasedRelease>,
}

/// What was found.
pub(super) struct Found {
    pub(super) accesses: Vec<AuditedAccess>,
    pub(super) findings: Vec<Finding>,
}

/// An audit that is going on.
pub(super) struct Audit<'a> {
    pub(super) trust: &'a Trust,
    /// The ledger's id.
    pub(super) ledger_id: &'a str,
    pub(super) share: ShareId,
    /// How many entries the log had before management was asked.
    pub(super) known: u64,
    /// The entries whose documents were erased, by management's word.
    pub(super) erased: BTreeMap<u64, Timestamp>,
    pub(super) findings: Vec<Finding>,
}

/// What management shows, of what the ledger holds, by document id.
pub(super) struct Listed {
    accesses: BTreeMap<Digest, AccessEntry>,
    usages: BTreeMap<Digest, UsageEntry>,
}

impl<'a> Audit<'a> {
    /// Compares everything.
    ///
    /// # Errors
    /// When the policy is not signed by whom it must be, or the receipt does not fit it: then
    /// nothing can be compared.
    pub(super) fn run(
        trust: &'a Trust,
        ledger_id: &'a str,
        share: ShareId,
        known: u64,
        ledger: &OnLedger,
        shown: &Shown,
    ) -> Result<Found> {
        let erased =
            shown.erasures.iter().map(|erasure| (erasure.position, erasure.time)).collect();
        let mut audit = Self { trust, ledger_id, share, known, erased, findings: Vec::new() };
        let call = check_receipt(&shown.policy, &shown.receipt)?;
        audit.policies(shown.policy.id(), call.as_ref(), ledger);
        let listed = audit.shown(ledger, shown.accesses.clone(), shown.usages.clone());
        let key = &shown.policy.body().information.key;
        let server = Endpoint::of_address(&key.address).map_err(ClientError::untrusted)?;
        let name = server.name().map_err(ClientError::untrusted)?;
        let releases = shown.releases.as_deref().unwrap_or_default();
        let mut released = audit.releases(name, releases, &listed, ledger);
        audit.erased_releases(name, &shown.erased_releases, ledger, &mut released);
        let accesses = audit.accesses(ledger, &listed, &released);
        Ok(Found { accesses, findings: audit.findings })
    }

    pub(super) fn find(
        &mut self,
        finding: FindingKind,
        request: Option<Digest>,
        detail: impl std::fmt::Display,
    ) {
        self.findings.push(Finding { finding, request, detail: detail.to_string() });
    }

    /// The newest policy on the ledger is the one that the provider signed, and so, by each one's
    /// digest of its predecessor, are all before it.
    pub(super) fn policies(&mut self, id: Digest, signed: Option<&Call>, ledger: &OnLedger) {
        // Without the openings of erased users the whole call cannot be made again; the digest
        // still fixes it.
        let is_signed = |policy: &SetPolicy| match signed {
            Some(signed) => Call::SetPolicy(policy.clone()) == *signed,
            None => policy.policy == id,
        };
        let newest = ledger
            .policies
            .iter()
            .rfind(|(position, _, policy)| *position < self.known || is_signed(policy));
        if !newest.is_some_and(|(_, _, policy)| is_signed(policy)) {
            self.find(
                FindingKind::Policy,
                None,
                "the newest policy that management shows is not the ledger's",
            );
        }
        let Some(Call::SetPolicy(signed)) = signed else { return };
        if ledger.policies.iter().any(|(_, _, policy)| policy.owner != signed.owner) {
            self.find(FindingKind::Policy, None, "a policy on the ledger has another owner");
        }
    }

    /// Holds what management shows against the ledger, both ways.
    pub(super) fn shown(
        &mut self,
        ledger: &OnLedger,
        accesses: Vec<AccessEntry>,
        usages: Vec<UsageEntry>,
    ) -> Listed {
        let accesses: BTreeMap<_, _> =
            accesses.into_iter().map(|entry| (entry.request.id(), entry)).collect();
        let usages: BTreeMap<_, _> =
            usages.into_iter().map(|entry| (entry.report.id(), entry)).collect();
        let on_ledger: BTreeSet<Digest> =
            ledger.accesses.iter().map(|(_, r)| r.request.request).collect();
        for request in accesses.keys().filter(|id| !on_ledger.contains(id)) {
            let detail = "management shows an access that the ledger does not have";
            self.find(FindingKind::InventedAccess, Some(*request), detail);
        }
        let on_ledger: BTreeSet<Digest> =
            ledger.usages.iter().map(|(_, r)| r.usage.report).collect();
        for (report, entry) in &usages {
            if !on_ledger.contains(report) {
                let detail = "management shows a usage report that the ledger does not have";
                self.find(FindingKind::InventedUsage, Some(entry.report.body().request), detail);
            }
        }
        Listed { accesses, usages }
    }

    pub(super) fn accesses(
        &mut self,
        ledger: &OnLedger,
        shown: &Listed,
        released: &BTreeMap<Digest, Released>,
    ) -> Vec<AuditedAccess> {
        // The ledger leads: what management shows besides is looked at elsewhere.
        let mut commitments: BTreeMap<Identity, Commitment> = BTreeMap::new();
        let mut audited = Vec::new();
        for (position, record) in &ledger.accesses {
            let request = record.request.request;
            let before = self.findings.len();
            let entry = shown.accesses.get(&request);
            match entry {
                None if self.erased.contains_key(position) => {
                    // The key server erases by a statement of its own administrators' alone. Where
                    // it has released no key, nothing was there to be hidden.
                    if released.get(&request).is_some_and(|released| !released.is_erased) {
                        let detail = "management says that the access's consumer was erased, and \
                                      the key server has not seen who asked for it, or not yet";
                        self.find(FindingKind::UnauthorisedErasure, Some(request), detail);
                    }
                }
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
                        let detail = format!("`{}` has two commitments", entry.consumer.identity);
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
                released: released.get(&request).map(|released| released.time),
                erased: self.erased.get(position).copied().filter(|_| entry.is_none()),
                erased_by: released.get(&request).and_then(|released| released.erased_by.clone()),
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

    fn check(
        &self,
        call: &Call,
        documents: &Documents,
        time: Timestamp,
    ) -> std::result::Result<(), String> {
        check(call, documents, self.trust, self.ledger_id, time).map_err(|e| e.to_string())
    }

    fn usages(
        &mut self,
        ledger: &OnLedger,
        shown: &Listed,
        access: &RequestAccess,
    ) -> Vec<AuditedUsage> {
        let request = access.request;
        let mut audited = Vec::new();
        for (position, record) in ledger.usages.iter().filter(|(_, r)| r.usage.request == request) {
            let entry = shown.usages.get(&record.usage.report);
            match (entry, shown.accesses.get(&request)) {
                (None, _) if *position >= self.known || self.erased.contains_key(position) => {}
                (None, _) => {
                    let detail = "the ledger has a usage report that management does not show";
                    self.find(FindingKind::HiddenUsage, Some(request), detail);
                }
                (Some(entry), Some(access)) => {
                    if let Err(reason) = self.usage(*position, record, entry, access) {
                        self.find(FindingKind::WrongUsage, Some(request), reason);
                    }
                }
                // The hidden access is among the findings already.
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
        let documents =
            Documents::Usage { report: entry.report.clone(), consumer: access.consumer.clone() };
        self.check(&Call::RecordUsage(call), &documents, record.time)
    }

    /// Each release is the key server's own statement, of a key request that the consumer of an
    /// access signed.
    pub(super) fn releases(
        &mut self,
        key_server: &str,
        releases: &[ReleaseEntry],
        shown: &Listed,
        ledger: &OnLedger,
    ) -> BTreeMap<Digest, Released> {
        let mut released = BTreeMap::new();
        for entry in releases {
            let request = entry.release.body().request;
            let record =
                ledger.accesses.iter().find(|(_, record)| record.request.request == request);
            let Some((_, record)) = record else {
                let detail =
                    "the key server released the key for an access that the ledger does not have";
                self.find(FindingKind::ReleaseWithoutRecord, Some(request), detail);
                continue;
            };
            let access = shown.accesses.get(&request);
            match self.release(entry, key_server, access, record) {
                Ok(()) => {
                    let time = entry.release.document().time;
                    let first = Released { time, is_erased: false, erased_by: None };
                    released.entry(request).or_insert(first);
                }
                Err(reason) => self.find(FindingKind::WrongRelease, Some(request), reason),
            }
        }
        released
    }

    fn release(
        &self,
        entry: &ReleaseEntry,
        name: &str,
        access: Option<&AccessEntry>,
        record: &AccessRecord,
    ) -> std::result::Result<(), String> {
        let (release, key_request) = (&entry.release, &entry.key_request);
        release
            .verify(self.trust, self.ledger_id, release.document().time)
            .and_then(|()| key_request.verify(self.trust, name, release.document().time))
            .map_err(|e| e.to_string())?;
        let (said, asked) = (release.body(), key_request.body());
        if *release.signer() != Identity::server(name) {
            return Err("another party than the key server states it".to_owned());
        }
        // Earlier versions may have had other keys; the key server gives each out for its own
        // policy only.
        if said.share != self.share || said.key != asked.key {
            return Err("it is of another share or key".to_owned());
        }
        if (said.key_request, asked.request) != (key_request.id(), said.request) {
            return Err("it does not fit the consumer's key request".to_owned());
        }
        if access.is_some_and(|access| access.consumer.identity != *key_request.signer()) {
            return Err("another party than the access's consumer asked for the key".to_owned());
        }
        let lead = record.time.saturating_sub(release.document().time);
        if lead > CLOCK_SKEW_SECONDS_MAX {
            return Err("the key was released before the access was recorded".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
