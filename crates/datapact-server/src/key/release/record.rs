//! Putting releases on record, all that wait in one job of the writer. What was withheld, revoked,
//! disabled or erased before that job is seen here, and what is later finds the release on record.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datapact_api::problem::{Kind, Problem};
use datapact_core::id::{Commitment, Digest, KeyId, ShareId, Timestamp};
use datapact_core::trust::Trust;
use datapact_store::Tx;

use super::decide::{Decision, Standing};
use super::table::{self, Earlier, ReleaseRow};
use super::{RELEASES_MAX, same};
use crate::key::custody::table::{KeyAndPolicies, keys_and_policies};
use crate::key::custody::unknown;
use crate::key::failure::Result;
use crate::key::policy::standing;
use crate::users::{Users, disabled};

/// A release to be recorded.
pub(super) struct Release {
    pub(super) key: KeyId,
    pub(super) decision: Decision,
    /// The consumer's mark on the share, by which it is found if it was erased.
    pub(super) mark: String,
    pub(super) row: ReleaseRow,
}

/// What may speak against the releases of a batch: what its part of the tables says, and what the
/// batch has recorded so far.
struct Batch {
    /// The marks of users who were disabled or erased.
    refused: HashSet<String>,
    trust: Arc<Trust>,
    now: Timestamp,
    keys: HashMap<KeyId, KeyAndPolicies>,
    /// By share and consumer.
    commitments: HashMap<(ShareId, String), Commitment>,
    /// By key request.
    releases: HashMap<Digest, ReleaseRow>,
    /// How often a key was released, by access request.
    counts: HashMap<Digest, u64>,
}

/// Records releases, for [`datapact_store::Group`]; gives the earlier release of the same key
/// request where there was one.
pub(super) fn record_all(
    tx: &Tx,
    releases: Vec<Release>,
    trust: Arc<Trust>,
    now: Timestamp,
) -> Result<Vec<Result<Option<ReleaseRow>>>> {
    let marks = releases.iter().map(|release| release.decision.standing.mark.as_str());
    let mut batch = Batch {
        refused: Users::refused(tx, marks)?,
        trust,
        now,
        keys: keys_and_policies(tx, releases.iter().map(|release| release.key))?,
        commitments: HashMap::new(),
        releases: HashMap::new(),
        counts: HashMap::new(),
    };
    let earlier = table::earlier(tx, &releases)?;
    let mut outcomes = Vec::with_capacity(releases.len());
    let (mut commitments, mut rows) = (Vec::new(), Vec::new());
    for (release, earlier) in releases.into_iter().zip(earlier) {
        let judged = batch.judge(&release, earlier);
        if let Ok(None) = judged {
            let Release { decision: Decision { commitment, .. }, row, .. } = release;
            let consumer = (row.share, row.consumer.clone());
            if batch.commitments.insert(consumer.clone(), commitment).is_none() {
                commitments.push((consumer, commitment));
            }
            *batch.counts.entry(row.request).or_default() += 1;
            batch.releases.insert(row.key_request, row.clone());
            rows.push(row);
        }
        outcomes.push(judged);
    }
    table::insert_commitments(tx, &commitments)?;
    table::insert(tx, rows)?;
    Ok(outcomes)
}

impl Batch {
    /// Whether the consumer still is whom the decision was made for, and its token alive.
    fn confirm(&self, standing: &Standing) -> Result<()> {
        let Standing { mark, chain, trust, until } = standing;
        if self.refused.contains(mark) {
            return Err(disabled().into());
        }
        // The same configuration says the same; another is read after a revocation.
        if !Arc::ptr_eq(trust, &self.trust) {
            let identified = self.trust.identify(chain, self.now);
            identified.map_err(|e| Problem::new(Kind::Unauthenticated, e))?;
        }
        if self.now >= *until {
            let problem = Problem::forbidden("the access token has expired");
            return Err(problem.hint("ask for access again").into());
        }
        Ok(())
    }

    /// Whether the release may be recorded; the earlier one of the same key request if there was
    /// one. The order matters: what withholds the key refuses a repeat, too.
    fn judge(&mut self, release: &Release, earlier: Earlier) -> Result<Option<ReleaseRow>> {
        let Release { key, decision, row, .. } = release;
        self.confirm(&decision.standing)?;
        let stored =
            self.keys.get(key).and_then(|(entry, rows)| Some((entry.stored.as_ref()?, rows)));
        let Some((_, rows)) = stored.filter(|(stored, _)| stored.is(&decision.stored)) else {
            return Err(unknown(key).into());
        };
        standing(rows, &decision.on_ledger, key, self.now)?;
        if earlier.is_revoked {
            let problem = Problem::forbidden("the access token was revoked");
            return Err(problem.hint("ask for access again").into());
        }
        if earlier.is_erased {
            let problem = Problem::forbidden("an erased account of yours has accessed this share");
            return Err(problem.hint("ask its provider for a new share").into());
        }
        let consumer = (row.share, row.consumer.clone());
        if let Some(first) = earlier.commitment {
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
        let of_batch = || self.releases.get(&row.key_request).cloned();
        if let Some(first) = earlier.release.or_else(of_batch) {
            return Ok(Some(first));
        }
        let count = earlier.count + self.counts.get(&row.request).copied().unwrap_or_default();
        if count >= RELEASES_MAX {
            let detail = format!("the key was released {RELEASES_MAX} times for this access");
            return Err(Problem::new(Kind::Busy, detail).hint("ask for access again").into());
        }
        Ok(None)
    }
}
