//! What management says of users (MG-1, PR-1). That one is disabled is its word alone; before one
//! is erased, and with it the record of what keys were released to it, the key server wants to see
//! who asked for that.

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::gate::Source;
use datapact_api::problem::{self, Problem};
use datapact_api::user::{self, Deletion, UserNotice, UserStatus};
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_core::document::Statement;
use datapact_core::id::AccountId;
use datapact_core::identity::Identity;
use datapact_core::jws::{Signed, Signer};
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use datapact_store::Store;

use super::base::Base;
use super::failure::{Failure, OpenError};
use super::{erasure, release};
use crate::called::Called;
use crate::config::KeyServerConfig;
use crate::erasures::Erasures;
use crate::users::Users;

/// Takes management's word about users, and destroys what names an erased one.
pub(super) struct UserService {
    store: Store,
    clock: Clock,
    users: Arc<Users>,
    erasures: Erasures,
    trust: Source<Trust>,
    signer: Arc<Signer>,
    /// The ledger's id.
    ledger: String,
    /// Management's name, to which the statements are addressed.
    management: String,
    /// Who may have others erased.
    administrators: Vec<Identity>,
}

impl UserService {
    pub(super) fn new(
        base: &Base,
        config: &KeyServerConfig,
        management: &str,
        signer: Arc<Signer>,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            store: base.store.clone(),
            users: Arc::clone(&base.users),
            clock: Arc::clone(&base.clock),
            erasures: base.erasures.clone(),
            trust: Arc::clone(&base.trust),
            signer,
            ledger: config.ledger.clone(),
            management: management.to_owned(),
            administrators: config.management.administrators().map_err(OpenError::Configuration)?,
        })
    }

    /// The statement by which the user of `notice` is to be erased: of exactly this, by the user or
    /// an administrator. It may be old, since a retention may have passed.
    fn authorised(&self, notice: &UserNotice) -> problem::Result<Signed<Statement>> {
        let refused = |why: &str| {
            Problem::forbidden(format!("the user is not erased here: {why}"))
                .hint("an administrator whom this key server is configured with must ask for it")
        };
        let given = notice.authorisation.as_ref();
        let given = given.ok_or_else(|| refused("the notice carries no statement"))?;
        let (deletion, statement) = (&given.deletion, &given.statement);
        let (time, said) = (statement.document().time, statement.body());
        statement
            .verify(&(self.trust)(), &self.management, time)
            .map_err(|e| refused(&e.to_string()))?;
        if time > (self.clock)().saturating_add(CLOCK_SKEW_SECONDS_MAX) {
            return Err(refused("the statement is of the future"));
        }
        if said.method != "POST" || !is_deletion(&said.target) {
            return Err(refused("the statement is about another call"));
        }
        if said.content != Some(deletion.digest()) || deletion.identity != notice.identity {
            return Err(refused("the statement is about another user"));
        }
        let by = statement.signer();
        if *by != notice.identity && !self.administrators.contains(by) {
            return Err(refused("the statement is of no administrator that is configured here"));
        }
        Ok(statement.clone())
    }
}

/// Whether a deletion is asked for there, of whatever account: only management knows whose it is.
fn is_deletion(target: &str) -> bool {
    let id = target.strip_prefix("/v1/accounts/").and_then(|rest| rest.strip_suffix("/deletion"));
    let id = id.and_then(|id| id.parse::<AccountId>().ok());
    id.is_some_and(|id| Deletion::target(&id) == target)
}

#[async_trait]
impl user::Users for Called<UserService> {
    async fn set_user(&self, notice: &UserNotice) -> problem::Result<()> {
        self.users.require_management(&self.caller)?;
        let statement = match notice.status {
            UserStatus::Erased => Some(self.authorised(notice)?),
            UserStatus::Active | UserStatus::Disabled => None,
        };
        let is_erased = statement.is_some();
        let (notice, marker, now) = (notice.clone(), self.users.marker, (self.clock)());
        let (signer, ledger) = (Arc::clone(&self.signer), self.ledger.clone());
        let set = self.store.write(move |tx| {
            let identity = &notice.identity;
            let is_newer = Users::take(tx, &marker.of(identity), &notice)?;
            if let Some(statement) = statement.filter(|_| is_newer) {
                release::erasure::take_statement(tx, &statement, identity)?;
                let sign = |erasure| signer.sign(&ledger, now, erasure);
                release::erasure::replace(tx, identity, &statement.id(), sign)?;
                erasure::erase(tx, identity, &marker, notice.sequence, now)?;
            }
            Ok::<_, Failure>(())
        });
        set.await?;
        if is_erased {
            self.erasures.settle_soon().await;
        }
        Ok(())
    }
}
