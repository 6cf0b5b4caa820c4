//! Putting releases on record, all that wait in one job of the writer. What was withheld, revoked
//! or erased before that job is seen here, and what is later finds the release on record.

use std::collections::HashMap;

use datapact_api::problem::{Kind, Problem};
use datapact_core::id::{Commitment, Digest, KeyId, ShareId, Timestamp};
use sea_orm::DatabaseTransaction;

use super::failure::Failure;
use super::keys::unknown;
use super::policies::standing;
use super::release::{Decision, RELEASES_MAX, same};
use super::tables::{self, Before, KeyEntry, PolicyRow, ReleaseRow};

/// A release to be recorded.
pub(super) struct New {
    pub(super) key: KeyId,
    pub(super) decision: Decision,
    /// What stands for the consumer on the share if it was erased.
    pub(super) mark: String,
    pub(super) row: ReleaseRow,
}

/// What may speak against the releases of a batch: what its part of the tables says, and what the
/// batch has recorded so far.
struct Known {
    /// Each with the policies that its owner has signed for its share.
    keys: HashMap<KeyId, (KeyEntry, Vec<PolicyRow>)>,
    /// By share and consumer.
    commitments: HashMap<(ShareId, String), Commitment>,
    /// By key request.
    releases: HashMap<Digest, ReleaseRow>,
    /// How often a key was released, by access request.
    counts: HashMap<Digest, u64>,
}

/// Records releases, for [`datapact_ledger::store::Group`]; gives the earlier release of the same
/// key request where there was one.
pub(super) async fn record_all(
    on: &DatabaseTransaction,
    new: Vec<New>,
    now: Timestamp,
) -> Result<Vec<Result<Option<ReleaseRow>, Failure>>, Failure> {
    let mut known = Known {
        keys: tables::keys_and_policies(on, new.iter().map(|new| new.key).collect()).await?,
        commitments: HashMap::new(),
        releases: HashMap::new(),
        counts: HashMap::new(),
    };
    let before = tables::before(on, &new).await?;
    let (mut outcomes, mut commitments, mut rows) =
        (Vec::with_capacity(new.len()), Vec::new(), Vec::new());
    for (new, before) in new.into_iter().zip(before) {
        let judged = known.judge(&new, before, now);
        if let Ok(None) = judged {
            let New { decision, row, .. } = new;
            let (share, consumer) = (row.share, decision.consumer.to_string());
            if known.commitments.insert((share, consumer.clone()), decision.commitment).is_none() {
                commitments.push((share, consumer, decision.commitment));
            }
            *known.counts.entry(row.request).or_default() += 1;
            known.releases.insert(row.key_request, row.clone());
            rows.push(row);
        }
        outcomes.push(judged);
    }
    tables::insert_commitments(on, commitments).await?;
    tables::insert_releases(on, rows).await?;
    Ok(outcomes)
}

impl Known {
    /// Whether the release may be recorded, or was before.
    fn judge(
        &mut self,
        new: &New,
        before: Before,
        now: Timestamp,
    ) -> Result<Option<ReleaseRow>, Failure> {
        let New { key, decision, row, .. } = new;
        let stored =
            self.keys.get(key).and_then(|(entry, rows)| Some((entry.stored.as_ref()?, rows)));
        let Some((_, rows)) = stored.filter(|(stored, _)| stored.is(&decision.stored)) else {
            return Err(unknown(key).into());
        };
        standing(rows, &decision.on_ledger, key, now)?;
        if before.revoked {
            let problem = Problem::forbidden("the access token was revoked");
            return Err(problem.hint("ask for access again").into());
        }
        if before.erased {
            let problem = Problem::forbidden("an erased account of yours has accessed this share");
            return Err(problem.hint("ask its provider for a new share").into());
        }
        let consumer = (row.share, decision.consumer.to_string());
        if let Some(first) = before.commitment {
            self.commitments.insert(consumer.clone(), first);
        }
        if let Some(first) = self.commitments.get(&consumer)
            && !same(first.as_bytes(), decision.commitment.as_bytes())
        {
            let problem =
                Problem::forbidden("the ledger knows you on this share by another commitment");
            let hint = "management counts your accesses under two names; tell the provider";
            return Err(problem.hint(hint).into());
        }
        if let Some(before) =
            before.release.or_else(|| self.releases.get(&row.key_request).cloned())
        {
            return Ok(Some(before));
        }
        let count = before.count + self.counts.get(&row.request).copied().unwrap_or_default();
        if count >= RELEASES_MAX {
            let detail = format!("the key was released {RELEASES_MAX} times for this access");
            return Err(Problem::new(Kind::Busy, detail).hint("ask for access again").into());
        }
        Ok(None)
    }
}
