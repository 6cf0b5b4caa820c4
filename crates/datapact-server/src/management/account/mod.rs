//! Accounts and invitations (MG-1, MG-2), and the record of what administrators do.

pub(super) mod action;
pub(super) mod admission;
mod deletion;
mod invitation;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datapact_api::gate::Source;
use datapact_api::management::{
    Account, AccountUpdate, Accounts, Action, Deed, InvitationCode, Join, NewInvitation, Role,
};
use datapact_api::operation::Page;
use datapact_api::problem::{self, Kind, Problem};
use datapact_api::user::{Deletion, UserNotice, UserStatus};
use datapact_core::id::{AccountId, Digest, Timestamp, random};
use datapact_core::identity::{Identity, SERVER_REALM};
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use datapact_store::{Store, Tx};

use self::action::{Author, record};
use self::admission::Admission;
use self::invitation::Promise;
use super::failure::{Failure, OpenError, Result};
use super::notice::{self, Outbox};
use crate::called::Called;
use crate::users::Marker;

/// How long an invitation may be open, in seconds.
const INVITATION_SECONDS_MAX: u64 = 30 * 24 * 60 * 60;
/// The longest code that is looked at, in bytes.
const CODE_BYTES_MAX: usize = 128;

/// Erases users: what each noun holds of one.
#[async_trait]
pub(super) trait Erase: Send + Sync {
    /// Erases the account `id`, unless it is active or its time has not come.
    async fn erase(&self, id: AccountId) -> Result<()>;
}

/// Accounts, invitations and actions.
pub(super) struct AccountService {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) admission: Arc<Admission>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) eraser: Arc<dyn Erase>,
    pub(super) marker: Marker,
    pub(super) trust: Source<Trust>,
    /// How long a deleted account waits for its erasure.
    pub(super) retention_seconds: u64,
}

impl AccountService {
    /// Gives the configured administrators accounts. A role or status that was set later stays.
    pub(super) async fn ensure_administrators(
        &self,
        identities: &[String],
    ) -> std::result::Result<(), OpenError> {
        let now = (self.clock)();
        for line in identities {
            let identity: Identity = line.parse().map_err(|e| {
                OpenError::Configuration(format!("`administrators`: `{line}`: {e}"))
            })?;
            self.store.write(move |tx| ensure_administrator(tx, identity, now)).await?;
        }
        Ok(())
    }

    /// Puts all disabled accounts into the outbox: a server that was restored from a backup may
    /// not know of them.
    pub(super) async fn post_disabled(&self) -> Result<()> {
        let servers = self.outbox.servers();
        self.store
            .write(move |tx| {
                for (identity, sequence) in table::disabled(tx)? {
                    let status = UserStatus::Disabled;
                    let notice = UserNotice { identity, status, sequence, authorisation: None };
                    notice::table::post_if_none(tx, &servers, &notice)?;
                }
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl Accounts for Called<AccountService> {
    async fn join(&self, join: &Join) -> problem::Result<Account> {
        // A configured administrator has an account already, and needs no code.
        if join.code.is_empty() {
            return self.account().await;
        }
        let identity = self.caller.require_user()?.clone();
        if join.code.len() > CODE_BYTES_MAX {
            return Err(Problem::malformed("the invitation code is too long"));
        }
        let (code, now) = (Digest::of(join.code.as_bytes()), (self.clock)());
        let (statement, servers) = (self.caller.statement.clone(), self.outbox.servers());
        let account = self.store.write(move |tx| {
            let (account, is_new) = invitation::take(tx, &code, &identity, now)?;
            if is_new {
                let author = Author { actor: Some(account.id), statement };
                let action = record(tx, now, &author, Deed::Joined { invitation: code })?;
                // The servers may have been told that an earlier account of this user was erased.
                let sequence = notice::sequence(0, now, action);
                let notice = UserNotice {
                    identity,
                    status: UserStatus::Active,
                    sequence,
                    authorisation: None,
                };
                notice::table::post(tx, &servers, &notice)?;
            }
            Ok::<_, Failure>(account)
        });
        let account = account.await?;
        self.outbox.posted();
        Ok(account)
    }

    async fn account(&self) -> problem::Result<Account> {
        Ok(self.admission.account(&self.caller).await?)
    }

    async fn invite(&self, invitation: &NewInvitation) -> problem::Result<InvitationCode> {
        let administrator = self.admission.administrator(&self.caller).await?;
        if !(1..=INVITATION_SECONDS_MAX).contains(&invitation.seconds) {
            let detail =
                format!("an invitation may be open for 1 to {INVITATION_SECONDS_MAX} seconds");
            return Err(Problem::malformed(detail));
        }
        let trust = (self.trust)();
        let is_known = trust.realms().any(|known| known == invitation.realm);
        if invitation.realm == SERVER_REALM || !is_known {
            let detail = format!("no CA of a realm `{}` is trusted here", invitation.realm);
            let hint = "add the CA to the trust configuration first";
            return Err(Problem::malformed(detail).hint(hint));
        }
        // The code follows from the idempotency key, if there is one: only its digest is stored,
        // and a repeat must answer with the code itself.
        let of_call = |key| self.marker.of_call("invitation", self.caller.identity(), key);
        let key = self.caller.idempotency_key.as_deref();
        let code = URL_SAFE_NO_PAD.encode(key.map_or_else(random::<24>, of_call));
        let promise = Promise {
            code: Digest::of(code.as_bytes()),
            invited: invitation.clone(),
            now: (self.clock)(),
            author: Author::of(administrator.id, &self.caller),
        };
        let expires = self.store.write(move |tx| promise.add(tx)).await?;
        Ok(InvitationCode { code, expires })
    }

    async fn accounts(&self, page: Page<AccountId>) -> problem::Result<Vec<Account>> {
        self.admission.administrator(&self.caller).await?;
        let after = page.after;
        Ok(self.store.read(move |db| table::page(db, after)).await?)
    }

    async fn account_of(&self, id: &AccountId) -> problem::Result<Account> {
        self.admission.administrator(&self.caller).await?;
        let id = *id;
        Ok(self.store.read(move |db| table::by_id(db, &id)).await?)
    }

    async fn update_account(
        &self,
        id: &AccountId,
        update: &AccountUpdate,
    ) -> problem::Result<Account> {
        let administrator = self.admission.administrator(&self.caller).await?;
        let demotes = update.role.is_some_and(|role| role != Role::Administrator);
        if administrator.id == *id && (demotes || update.active == Some(false)) {
            let detail = "an administrator cannot demote or disable its own account";
            let hint = "let another administrator do it";
            return Err(Problem::new(Kind::Conflict, detail).hint(hint));
        }
        let (id, update, caller) = (*id, update.clone(), self.caller.clone());
        let (author, now) = (Author::of(administrator.id, &self.caller), (self.clock)());
        let (servers, sets_status) = (self.outbox.servers(), update.active.is_some());
        let account = self.store.write(move |tx| {
            let before = table::by_id(tx, &id)?;
            caller.require_match(&before.entity_tag())?;
            let mut account = before.clone();
            account.role = update.role.unwrap_or(before.role);
            account.attributes = update.attributes.clone().unwrap_or(before.attributes);
            account.active = update.active.unwrap_or(before.active);
            if account.active {
                account.erase_at = None;
                table::set_authorisation(tx, &id, None)?;
            }
            let action = record(tx, now, &author, Deed::Updated { account: id, update })?;
            table::update(tx, &account)?;
            // Also when the status stays the same: if this database was restored from a backup, the
            // servers may have been told otherwise since.
            if sets_status {
                post_status(tx, &servers, &account, now, action)?;
            }
            Ok::<_, Failure>(account)
        });
        let account = account.await?;
        // A repeat waits again for servers that were away.
        if sets_status || !account.active {
            self.outbox.tell(&account.identity).await?;
        }
        Ok(account)
    }

    async fn delete_account(
        &self,
        id: &AccountId,
        deletion: &Deletion,
    ) -> problem::Result<Account> {
        let administrator = self.admission.administrator(&self.caller).await?;
        if administrator.id == *id {
            let detail = "an administrator cannot delete its own account";
            let hint = "let another administrator do it";
            return Err(Problem::new(Kind::Conflict, detail).hint(hint));
        }
        let (id, now, caller) = (*id, (self.clock)(), self.caller.clone());
        let author = Author::of(administrator.id, &self.caller);
        let authorisation = deletion::authorisation(&self.caller, deletion)?;
        let retention_seconds = if deletion.now { 0 } else { self.retention_seconds };
        let erase_at = now.saturating_add(retention_seconds);
        let (servers, identity) = (self.outbox.servers(), deletion.identity.clone());
        let account = self.store.write(move |tx| {
            let mut account = table::by_id(tx, &id)?;
            caller.require_match(&account.entity_tag())?;
            if account.identity != identity {
                let detail = "the account is not that of the user who is to be erased";
                let problem = Problem::new(Kind::Conflict, detail);
                return Err(problem.hint("read the account again, then decide").into());
            }
            // A repeat may bring the erasure forward, but not put it off.
            let erase_at = account.erase_at.map_or(erase_at, |before| before.min(erase_at));
            if account.erase_at == Some(erase_at) {
                return Ok(account);
            }
            (account.active, account.erase_at) = (false, Some(erase_at));
            let action = record(tx, now, &author, Deed::Deleted { account: id, erase_at })?;
            table::update(tx, &account)?;
            table::set_authorisation(tx, &id, authorisation.as_ref())?;
            post_status(tx, &servers, &account, now, action)?;
            Ok::<_, Failure>(account)
        });
        let account = account.await?;
        // Even if the erasure fails, the servers are told at once that the account is disabled.
        self.outbox.posted();
        if deletion.now {
            self.eraser.erase(id).await?;
        }
        self.outbox.tell(&account.identity).await?;
        Ok(account)
    }

    async fn actions(&self, page: Page<u64>) -> problem::Result<Vec<Action>> {
        self.admission.administrator(&self.caller).await?;
        let after = page.after.unwrap_or_default();
        Ok(self.store.read(move |db| action::page(db, after)).await?)
    }
}

fn ensure_administrator(tx: &Tx, identity: Identity, now: Timestamp) -> Result<()> {
    if table::find(tx, &identity)?.is_some() {
        return Ok(());
    }
    let account = Account {
        id: AccountId::random(),
        identity,
        role: Role::Administrator,
        attributes: Default::default(),
        active: true,
        created: now,
        erase_at: None,
    };
    table::insert(tx, &account)?;
    let author = Author { actor: Some(account.id), statement: None };
    record(tx, now, &author, Deed::Configured).map(drop)
}

/// Puts the account's status, which the action numbered `action` has set, into the outbox.
fn post_status(
    tx: &Tx,
    servers: &[String],
    account: &Account,
    now: Timestamp,
    action: u64,
) -> Result<()> {
    let sequence = notice::sequence(table::noticed(tx, &account.id)?, now, action);
    table::set_noticed(tx, &account.id, sequence)?;
    let status = if account.active { UserStatus::Active } else { UserStatus::Disabled };
    let identity = account.identity.clone();
    let notice = UserNotice { identity, status, sequence, authorisation: None };
    Ok(notice::table::post(tx, servers, &notice)?)
}
