//! Finishing what an earlier run could not.

use datapact_core::contract::REQUEST_AGE_SECONDS_MAX;
use datapact_core::id::ShareId;

use crate::consumer::hand_in_report;
use crate::error::Result;
use crate::provider::{FinishedWork, Provider};
use crate::work::{Job, Work};

impl Provider {
    /// Finishes or undoes the work of runs that were killed or found no server: sets signed
    /// policies, hands in usage reports, deletes keys and packages that no policy names, removes
    /// ciphertext left over.
    ///
    /// # Errors
    /// Only those of this machine; what a server refuses or does not answer is in the list.
    pub async fn finish_pending(&self) -> Result<Vec<FinishedWork>> {
        let now = self.session.now();
        // A request that may still be repeated is kept for the next opening.
        let repeatable = |job: Option<&Job>| {
            matches!(job, Some(Job::Access { request })
                if now.saturating_sub(request.document().time) <= REQUEST_AGE_SECONDS_MAX)
        };
        let mut finished = Vec::new();
        for work in Work::abandoned(&self.session.state()?, |job| !repeatable(job))? {
            finished.extend(self.finish(work).await?);
        }
        Ok(finished)
    }

    async fn finish(&self, work: Work) -> Result<Option<FinishedWork>> {
        match work.job()? {
            None | Some(Job::Access { .. }) => {
                work.finish()?;
                Ok(None)
            }
            Some(Job::Create { share, policy: None, .. }) => {
                let undone = self.undo(work, share).await.map(str::to_owned);
                Ok(Some(said("create", Some(share), undone)))
            }
            Some(Job::Create { share, policy: Some(policy), .. }) => {
                let set = self.set(work, &policy, false).await;
                Ok(Some(said(
                    "create",
                    Some(share),
                    set.map(|set| format!("shared as version {}", set.version)),
                )))
            }
            Some(Job::Successor { policy, withhold }) => {
                let share = policy.body().share;
                let set = self.set(work, &policy, withhold).await;
                Ok(Some(said(
                    "set",
                    Some(share),
                    set.map(|set| format!("version {} is set", set.version)),
                )))
            }
            Some(Job::Usage { report }) => {
                let share = report.body().share;
                let outcome =
                    hand_in_report(&self.session, &report).await.map(|_| "reported".to_owned());
                if !outcome.as_ref().is_err_and(|error| error.is_temporary()) {
                    work.finish()?;
                }
                Ok(Some(said("usage", Some(share), outcome)))
            }
        }
    }
}

fn said(work: &'static str, share: Option<ShareId>, outcome: Result<String>) -> FinishedWork {
    match outcome {
        Ok(detail) => FinishedWork { share, work, done: true, detail },
        Err(error) => {
            FinishedWork { share, work, done: !error.is_temporary(), detail: error.to_string() }
        }
    }
}
