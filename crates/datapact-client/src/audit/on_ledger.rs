//! What the ledger holds about one share, of the entries that an audit reads.

use std::collections::HashMap;

use datapact_core::contract::{AccessRecord, Call, SetPolicy, UsageRecord};
use datapact_core::id::{Commitment, ShareId, Timestamp};
use datapact_log::entry::Entry;

use super::AuditedPolicy;

/// What the ledger holds about one share.
pub(super) struct OnLedger {
    share: ShareId,
    /// How many accesses each consumer has.
    counts: HashMap<Commitment, u32>,
    pub(super) policies: Vec<(u64, Timestamp, SetPolicy)>,
    pub(super) accesses: Vec<(u64, AccessRecord)>,
    pub(super) usages: Vec<(u64, UsageRecord)>,
}

impl OnLedger {
    /// Nothing yet about `share`.
    pub(super) fn new(share: ShareId) -> Self {
        Self {
            share,
            counts: HashMap::new(),
            policies: Vec::new(),
            accesses: Vec::new(),
            usages: Vec::new(),
        }
    }

    /// The positions of the share's entries, in order.
    pub(super) fn positions(&self) -> Vec<u64> {
        let policies = self.policies.iter().map(|(position, ..)| *position);
        let accesses = self.accesses.iter().map(|(position, _)| *position);
        let usages = self.usages.iter().map(|(position, _)| *position);
        let mut positions: Vec<u64> = policies.chain(accesses).chain(usages).collect();
        positions.sort_unstable();
        positions
    }

    /// Takes the entry at `position` if it is about the share.
    pub(super) fn add(&mut self, position: u64, entry: &Entry) {
        if *entry.call.share() != self.share {
            return;
        }
        let time = entry.time;
        match &entry.call {
            Call::SetPolicy(policy) => self.policies.push((position, time, policy.clone())),
            Call::RequestAccess(request) => {
                let count = self.counts.entry(request.consumer).or_default();
                *count = count.saturating_add(1);
                let record = AccessRecord { request: request.clone(), access: *count, time };
                self.accesses.push((position, record));
            }
            Call::RecordUsage(usage) => {
                self.usages.push((position, UsageRecord { usage: usage.clone(), time }));
            }
        }
    }
}

pub(super) fn policies_of(ledger: &OnLedger) -> Vec<AuditedPolicy> {
    let audited = |(position, time, policy): &(u64, Timestamp, SetPolicy)| AuditedPolicy {
        version: policy.version,
        position: *position,
        time: *time,
        state: policy.state,
        policy: policy.policy,
    };
    ledger.policies.iter().map(audited).collect()
}
