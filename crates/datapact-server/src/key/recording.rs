//! Putting releases on record, all that wait in one job of the writer. What was withheld, revoked or erased before that
//! job is seen here, and what is later finds the release on record.

use std::collections::{HashMap, HashSet};

use datapact_api::problem::{Kind, Problem};
use datapact_core::id::{Commitment, Digest, KeyId, ShareId, Timestamp};
use sea_orm::DatabaseTransaction;

use super::failure::Failure;
use super::keys::unknown;
use super::policies::standing;
use super::release::{Decision, RELEASES_MAX, same};
use super::tables::{self, KeyEntry, PolicyRow, ReleaseRow};

/// A release to be recorded.
pub(super) struct New {
    pub(super) key: KeyId,
    pub(super) decision: Decision,
    /// What stands for the consumer on the share if it was erased.
    pub(super) mark: String,
    pub(super) row: ReleaseRow,
}

/// What the tables say that may speak against the releases of a batch, and what the batch has recorded so far.
struct Known {
    keys: HashMap<KeyId, KeyEntry>,
    /// By share and owner.
    policies: HashMap<(ShareId, String), Vec<PolicyRow>>,
    revoked: HashSet<Digest>,
    tombstones: HashSet<String>,
    commitments: HashMap<(ShareId, String), Commitment>,
    releases: HashMap<Digest, ReleaseRow>,
    counts: HashMap<Digest, u64>,
}

/// Records releases, for [`datapact_ledger::store::Group`]; gives the earlier release of the same key request where there
/// was one.
pub(super) async fn record_all(
    on: &DatabaseTransaction,
    new: Vec<New>,
    now: Timestamp,
) -> Result<Vec<Result<Option<ReleaseRow>, Failure>>, Failure> {
    let requests: Vec<Digest> = new.iter().map(|new| new.row.request).collect();
    let key_requests: Vec<Digest> = new.iter().map(|new| new.row.key_request).collect();
    let keys: Vec<KeyId> = new.iter().map(|new| new.key).collect();
    let shares: Vec<ShareId> = new.iter().map(|new| new.row.share).collect();
    let marks: Vec<String> = new.iter().map(|new| new.mark.clone()).collect();
    let consumers: Vec<(ShareId, String)> = new.iter().map(New::consumer).collect();
    let mut known = Known {
        keys: tables::keys(on, &keys).await?,
        policies: HashMap::new(),
        revoked: tables::revoked(on, &requests).await?,
        tombstones: tables::tombstones(on, &marks).await?,
        commitments: tables::commitments(on, &consumers).await?,
        releases: tables::releases(on, &key_requests).await?,
        counts: tables::release_counts(on, &requests).await?,
    };
    for policy in tables::policies_of(on, &shares).await? {
        known.policies.entry((policy.share, policy.owner.clone())).or_default().push(policy);
    }
    let (mut outcomes, mut commitments, mut rows) = (Vec::with_capacity(new.len()), Vec::new(), Vec::new());
    for new in new {
        let judged = known.judge(&new, now);
        if let Ok(None) = judged {
            let (share, consumer) = new.consumer();
            if known.commitments.insert((share, consumer.clone()), new.decision.commitment).is_none() {
                commitments.push((share, consumer, new.decision.commitment));
            }
            *known.counts.entry(new.row.request).or_default() += 1;
            known.releases.insert(new.row.key_request, new.row.clone());
            rows.push(new.row);
        }
        outcomes.push(judged);
    }
    tables::insert_commitments(on, commitments).await?;
    tables::insert_releases(on, rows).await?;
    Ok(outcomes)
}

impl New {
    fn consumer(&self) -> (ShareId, String) {
        (self.row.share, self.decision.consumer.to_string())
    }
}

impl Known {
    /// Whether the release may be recorded, or was before.
    fn judge(&self, new: &New, now: Timestamp) -> Result<Option<ReleaseRow>, Failure> {
        let New { key, decision, mark, row } = new;
        let rows = self.policies.get(&(row.share, row.owner.clone()));
        standing(rows.map_or(&[], Vec::as_slice), &decision.on_ledger, key, now)?;
        let stored = self.keys.get(key).and_then(|entry| entry.stored.as_ref());
        if !stored.is_some_and(|stored| stored.is(&decision.stored)) {
            return Err(unknown(key).into());
        }
        if self.revoked.contains(&row.request) {
            let problem = Problem::forbidden("the access token was revoked");
            return Err(problem.hint("ask for access again").into());
        }
        if self.tombstones.contains(mark) {
            let problem = Problem::forbidden("an erased account of yours has accessed this share");
            return Err(problem.hint("ask its provider for a new share").into());
        }
        if let Some(first) = self.commitments.get(&new.consumer())
            && !same(first.as_bytes(), decision.commitment.as_bytes())
        {
            let problem = Problem::forbidden("the ledger knows you on this share by another commitment");
            let hint = "management counts your accesses under two names; tell the provider";
            return Err(problem.hint(hint).into());
        }
        if let Some(before) = self.releases.get(&row.key_request) {
            return Ok(Some(before.clone()));
        }
        if self.counts.get(&row.request).is_some_and(|count| *count >= RELEASES_MAX) {
            let detail = format!("the key was released {RELEASES_MAX} times for this access");
            return Err(Problem::new(Kind::Busy, detail).hint("ask for access again").into());
        }
        Ok(None)
    }
}
