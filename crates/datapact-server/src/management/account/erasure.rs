//! Erasing a user (MG-1, PR-1): account, openings and signed documents go, and with them every link
//! from the ledger to the person. What others need stays: that the documents of an entry were
//! erased, and a mark on live shares, so that a user who comes back gets no second count.

use datapact_api::management::Deed;
use datapact_api::user::UserStatus;
use datapact_core::id::{AccountId, Timestamp};
use datapact_store::Tx;

use super::action::{Author, record};
use super::{AccountService, table};
use crate::management::failure::{Failure, Result};
use crate::management::submit::{intent, salt};
use crate::management::{access, catalog, notice, notification, policy, subscription};
use crate::users::Marker;

impl AccountService {
    /// Erases the accounts whose time has come, and what is left of erased users on shares that
    /// have ended.
    pub(crate) async fn erase_due(&self) -> Result<()> {
        let now = (self.clock)();
        // First, since a refused call would hold up the erasure of its user.
        self.store.write(move |tx| intent::forget_refused(tx, now)).await?;
        for id in self.store.read(move |db| table::due(db, now)).await? {
            // An account that must wait holds up neither the others nor what follows.
            if let Err(Failure(problem)) = self.erase(id).await {
                tracing::warn!(%problem, "an account cannot be erased yet; trying again");
            }
        }
        self.store
            .write(move |tx| {
                salt::erase_ended(tx, now)?;
                access::table::erase_ended(tx, now)
            })
            .await
    }

    /// Erases the account `id`, unless it is active or its time has not come.
    pub(super) async fn erase(&self, id: AccountId) -> Result<()> {
        let (now, marker, servers) = ((self.clock)(), self.marker, self.outbox.servers());
        self.store.write(move |tx| erase(tx, &id, &marker, &servers, now)).await?;
        self.policies.forget();
        self.outbox.posted();
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
    let account = table::by_id(tx, id)?;
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
    salt::erase(tx, identity, marker, now)?;
    notification::table::erase(tx, identity)?;
    subscription::table::erase(tx, identity)?;
    let noticed = table::noticed(tx, id)?;
    table::delete(tx, id)?;
    let author = Author { actor: None, statement: None };
    let action = record(tx, now, &author, Deed::Erased { account: *id })?;
    let sequence = notice::sequence(noticed, now, action);
    Ok(notice::table::post(tx, servers, identity, UserStatus::Erased, sequence)?)
}
