//! Erasing a user (MG-1, PR-1): account, openings and signed documents go, and with them every link
//! from the ledger to the person. What others need stays: that the documents of an entry were
//! erased, and a mark on live shares, so that a user who comes back gets no second count.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::management::Deed;
use datapact_api::user::{UserNotice, UserStatus};
use datapact_core::id::{AccountId, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::policy::SharingPolicy;
use datapact_log::clock::Clock;
use datapact_store::{Store, Tx, text};

use super::account::action::{Author, record};
use super::account::{self, Erase};
use super::base::Base;
use super::failure::{Failure, OpenError, Result};
use super::notice::Outbox;
use super::policy::SignedPolicies;
use super::stored::signed;
use super::submit::intent;
use super::{access, catalog, enrolment, notice, notification, policy, subscription};
use crate::erasures::secret::Subject;
use crate::erasures::{self, Erased, Erasures};
use crate::users::Marker;

/// Erases users.
pub(super) struct Eraser {
    store: Store,
    clock: Clock,
    marker: Marker,
    outbox: Arc<Outbox>,
    erasures: Erasures,
    /// Emptied when a user is erased.
    policies: Arc<SignedPolicies>,
}

impl Eraser {
    pub(super) fn new(
        base: &Base,
        marker: Marker,
        outbox: Arc<Outbox>,
        policies: Arc<SignedPolicies>,
    ) -> Self {
        let Base { store, clock, erasures, .. } = base.clone();
        Self { store, clock, marker, outbox, erasures, policies }
    }

    /// Erases the accounts whose time has come, and what is left of erased users on shares that
    /// have ended.
    pub(super) async fn erase_due(&self) -> Result<()> {
        let now = (self.clock)();
        // First, since a refused call would hold up the erasure of its user.
        self.store.write(move |tx| intent::forget_refused(tx, now)).await?;
        for id in self.store.read(move |db| account::table::due(db, now)).await? {
            // An account that must wait holds up neither the others nor what follows.
            if let Err(Failure(problem)) = self.erase(id).await {
                tracing::warn!(%problem, "an account cannot be erased yet; trying again");
            }
        }
        self.store
            .write(move |tx| {
                if erase_ended_salts(tx, now)? {
                    erasures::note_rest(tx, now)?;
                }
                access::table::erase_ended(tx, now)
            })
            .await?;
        self.erasures.settle().await;
        Ok(())
    }

    /// Erases again what the journal holds, where a restored database has brought it back. The
    /// other servers were told at the time, and are not told again: the user may have come again
    /// since.
    pub(super) async fn erase_again(&self) -> std::result::Result<(), OpenError> {
        let of_account = |erased| match erased {
            Erased::Account(id) => Some(id),
            _ => None,
        };
        let ids: Vec<AccountId> =
            self.erasures.journaled()?.into_iter().filter_map(of_account).collect();
        for id in self.store.read(move |db| account::table::present(db, &ids)).await? {
            let (now, marker) = ((self.clock)(), self.marker);
            // By itself: an account that must wait for a call under way is disabled at once.
            self.store.write(move |tx| account::table::condemn(tx, &id)).await?;
            let erase = self.store.write(move |tx| erase(tx, &id, &marker, &[], now));
            if let Err(Failure(problem)) = erase.await {
                tracing::warn!(%problem, "an account cannot be erased yet; trying again");
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Erase for Eraser {
    async fn erase(&self, id: AccountId) -> Result<()> {
        let (now, marker, servers) = ((self.clock)(), self.marker, self.outbox.servers());
        self.store.write(move |tx| erase(tx, &id, &marker, &servers, now)).await?;
        self.policies.forget();
        self.outbox.posted();
        self.erasures.settle_soon().await;
        Ok(())
    }
}

fn erase(
    tx: &Tx,
    id: &AccountId,
    marker: &Marker,
    servers: &[String],
    now: Timestamp,
) -> Result<()> {
    let account = account::table::by_id(tx, id)?;
    if account.active || account.erase_at.is_none_or(|at| at > now) {
        return Ok(());
    }
    let identity = &account.identity;
    // What is being recorded would come back after the erasure.
    intent::none_under_way(tx, identity)?;
    // The rows about the user's own shares go while `share` still tells whose they are, and `share`
    // goes before the salts: those of a share that is gone are not kept for its policy.
    catalog::table::erase(tx, identity)?;
    access::table::erase(tx, identity, now)?;
    policy::table::erase(tx, identity)?;
    erase_salts(tx, identity, marker, now)?;
    notification::table::erase(tx, identity)?;
    subscription::table::erase(tx, identity)?;
    enrolment::table::erase(tx, identity)?;
    let noticed = account::table::noticed(tx, id)?;
    let authorisation = account::table::authorisation(tx, id)?;
    account::table::delete(tx, id)?;
    let subject = Subject::User(marker.digest(identity));
    erasures::note(tx, &Erased::Account(*id), &subject, now)?;
    let author = Author { actor: None, statement: None };
    let action = record(tx, now, &author, Deed::Erased { account: *id })?;
    let sequence = notice::sequence(noticed, now, action);
    let (identity, status) = (identity.clone(), UserStatus::Erased);
    let notice = UserNotice { identity, status, sequence, authorisation };
    Ok(notice::table::post(tx, servers, &notice)?)
}

/// Deletes what opened the commitments to `identity`. On a live share a tombstone stays, so that
/// the user gets no second count by coming again. Where a live policy names the user, the salt
/// stays until the policy ends, since its provider has signed the name.
fn erase_salts(tx: &Tx, identity: &Identity, marker: &Marker, now: Timestamp) -> Result<()> {
    let sql = "SELECT t.share, p.document, s.state, s.expires FROM salt t \
               LEFT JOIN share s ON s.id = t.share LEFT JOIN policy p ON p.id = s.policy \
               WHERE t.identity = $1";
    for row in tx.rows(sql, [text(identity)])? {
        let share: ShareId = row.parse(0)?;
        let is_live = row.optional_text(2)?.is_some_and(|state| policy::table::is_live(&state))
            && row.optional_number(3)?.is_some_and(|expires| expires > now);
        if is_live {
            let policy = signed::<SharingPolicy>(&row, 1)?;
            if policy.body().terms.users.contains(identity) {
                let sql = "INSERT INTO salt_later (share, identity) VALUES ($1, $2) \
                           ON CONFLICT DO NOTHING";
                tx.run(sql, [text(share), text(identity)])?;
                continue;
            }
            access::table::add_tombstone(tx, &share, &marker.on_share(identity, &share))?;
        }
        let sql = "DELETE FROM salt WHERE share = $1 AND identity = $2";
        tx.run(sql, [text(share), text(identity)])?;
    }
    Ok(())
}

/// Deletes the salts that [`erase_salts`] has left on shares that have ended since; whether there
/// were any.
fn erase_ended_salts(tx: &Tx, now: Timestamp) -> Result<bool> {
    let ended = policy::table::ENDED;
    let sql = format!(
        "DELETE FROM salt WHERE EXISTS (SELECT 1 FROM salt_later l WHERE l.share = salt.share \
         AND l.identity = salt.identity AND l.share IN ({ended}))"
    );
    tx.run(sql, policy::table::ended_values(now))?;
    let sql = format!("DELETE FROM salt_later WHERE share IN ({ended})");
    Ok(tx.run(sql, policy::table::ended_values(now))? > 0)
}
