//! Accounts, invitations, and who may do what (MG-1, MG-2).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datapact_api::management::Deed;
use datapact_api::management::{
    Account, AccountUpdate, Enrolment, Invitation, NewInvitation, Role,
};
use datapact_api::problem::{Kind, Problem};
use datapact_api::user::UserStatus;
use datapact_core::id::{AccountId, Digest, Timestamp, random};
use datapact_core::identity::{Identity, SERVER_REALM};
use sea_orm::ConnectionTrait;

use super::actions::{Author, record};
use super::failure::{Failure, Result};
use super::keys::to_pem;
use super::notices;
use super::schema::{Row, json, number, row, rows, run, text};
use super::{OpenError, Server, Session};

/// How long an invitation may be open, in seconds.
const INVITATION_SECONDS_MAX: u64 = 30 * 24 * 60 * 60;
/// How many invitations may be open at once.
const INVITATIONS_MAX: u64 = 10_000;
/// How many accounts there may be.
const ACCOUNTS_MAX: u64 = 1_000_000;
/// How many accounts a page holds.
const PAGE: u64 = 200;
/// The longest code that is looked at, in bytes.
const CODE_BYTES_MAX: usize = 128;
const JOIN_HINT: &str = "ask an administrator for an invitation and `join` with it";
pub(super) const COLUMNS: &str = "id, identity, role, attributes, active, created, erase_at";

impl Session {
    /// The caller's account, if it may do anything at all.
    pub(super) async fn active_account(&self) -> Result<Account> {
        let identity = self.caller.require_user()?;
        active(find(self.service.store.read(), identity).await?, identity)
    }

    /// The caller's account, if it may share (SH-4).
    pub(super) async fn sharing_account(&self) -> Result<Account> {
        self.active_account()
            .await
            .and_then(|account| permitted(account, Role::may_share, "share data"))
    }

    pub(super) async fn administrator(&self) -> Result<Account> {
        let is_administrator = |role| role == Role::Administrator;
        self.active_account()
            .await
            .and_then(|account| permitted(account, is_administrator, "manage accounts"))
    }

    /// Refuses whoever is neither a user with an account nor a configured server.
    pub(super) async fn known(&self) -> Result<()> {
        if self.caller.identity().is_server() {
            return self.configured_server().map(drop);
        }
        self.active_account().await.map(drop)
    }

    /// The name of the configured key or storage server that calls.
    pub(super) fn configured_server(&self) -> Result<&str> {
        let identity = self.caller.identity();
        let keys = self.service.key_servers.iter().map(|server| &server.name);
        let mut names = keys.chain(self.service.storage_servers.iter().map(|server| &server.name));
        names.find(|name| *identity == Identity::server(name)).map(String::as_str).ok_or_else(
            || Problem::forbidden("only this management's own servers may call this").into(),
        )
    }

    pub(super) async fn make_invitation(&self, new: &NewInvitation) -> Result<Invitation> {
        let administrator = self.administrator().await?;
        if !(1..=INVITATION_SECONDS_MAX).contains(&new.seconds) {
            let detail =
                format!("an invitation may be open for 1 to {INVITATION_SECONDS_MAX} seconds");
            return Err(Problem::malformed(detail).into());
        }
        let enrolment = self.service.enrolment();
        if new.realm == SERVER_REALM || !enrolment.realms.contains_key(&new.realm) {
            let detail = format!("no CA of a realm `{}` is trusted here", new.realm);
            return Err(Problem::malformed(detail)
                .hint("add the CA to the trust configuration first")
                .into());
        }
        let repeats = self.caller.idempotency_key.as_deref();
        let of_call = |key| self.service.marker.of_call("invitation", self.caller.identity(), key);
        let code = URL_SAFE_NO_PAD.encode(repeats.map_or_else(random::<24>, of_call));
        let now = self.service.now();
        let expires = now.saturating_add(new.seconds);
        let invitation = Digest::of(code.as_bytes());
        let deed = Deed::Invited { invitation, invited: new.clone() };
        let author = Author::of(administrator.id, &self.caller);
        let said = [new.realm.clone(), to_text(&new.role)?, to_text(&new.attributes)?];
        let expires = self
            .service
            .store
            .write(move |tx| {
                Box::pin(async move {
                    run(
                        tx,
                        "DELETE FROM invitation WHERE account IS NULL AND expires <= $1",
                        [number(now)],
                    )
                    .await?;
                    let sql =
                        "SELECT realm, role, attributes, expires FROM invitation WHERE code = $1";
                    if let Some(made) = row(tx, sql, [text(invitation)]).await? {
                        if [made.text(0)?, made.text(1)?, made.text(2)?] != said {
                            let detail = "this idempotency key was used for another invitation";
                            return Err(Failure(
                                Problem::new(Kind::Conflict, detail).hint("draw another one"),
                            ));
                        }
                        return Ok(made.number(3)?);
                    }
                    let open =
                        count(tx, "SELECT COUNT(*) FROM invitation WHERE account IS NULL").await?;
                    if open >= INVITATIONS_MAX {
                        return Err(Failure(Problem::new(
                            Kind::Busy,
                            "too many invitations are open",
                        )));
                    }
                    let sql = "INSERT INTO invitation (code, realm, role, attributes, expires) \
                               VALUES ($1, $2, $3, $4, $5)";
                    let [realm, role, attributes] = said;
                    let values = [
                        text(invitation),
                        text(realm),
                        text(role),
                        text(attributes),
                        number(expires),
                    ];
                    run(tx, sql, values).await?;
                    record(tx, now, &author, deed).await?;
                    Ok(expires)
                })
            })
            .await?;
        Ok(Invitation { code, expires, enrolment })
    }

    pub(super) async fn take_invitation(&self, code: &str) -> Result<Account> {
        // A configured administrator has an account already, and needs no code.
        if code.is_empty() {
            return self.active_account().await;
        }
        let identity = self.caller.require_user()?.clone();
        if code.len() > CODE_BYTES_MAX {
            return Err(Problem::malformed("that is no invitation code").into());
        }
        let (code, now) = (Digest::of(code.as_bytes()), self.service.now());
        let (statement, servers) = (self.caller.statement.clone(), self.service.told_servers());
        let account = self
            .service
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let (account, taken) = take(tx, &code, &identity, now).await?;
                    if taken {
                        let author = Author { actor: Some(account.id), statement };
                        let action =
                            record(tx, now, &author, Deed::Joined { invitation: code }).await?;
                        let sequence = notices::sequence(0, now, action);
                        // Who was erased and comes again is served again.
                        notices::post(tx, &servers, &identity, UserStatus::Active, sequence)
                            .await?;
                    }
                    Ok::<_, Failure>(account)
                })
            })
            .await?;
        self.service.notices.posted();
        Ok(account)
    }

    /// The accounts behind `after`, by identifier.
    pub(super) async fn accounts_after(&self, after: Option<&AccountId>) -> Result<Vec<Account>> {
        self.administrator().await?;
        let after = after.map(ToString::to_string).unwrap_or_default();
        let sql = format!("SELECT {COLUMNS} FROM account WHERE id > $1 ORDER BY id LIMIT $2");
        rows(self.service.store.read(), sql, [text(after), number(PAGE)])
            .await?
            .iter()
            .map(read)
            .collect()
    }

    pub(super) async fn account_by_id(&self, id: &AccountId) -> Result<Account> {
        self.administrator().await?;
        by_id(self.service.store.read(), id).await
    }

    pub(super) async fn change_account(
        &self,
        id: &AccountId,
        update: &AccountUpdate,
    ) -> Result<Account> {
        let administrator = self.administrator().await?;
        let demotes = update.role.is_some_and(|role| role != Role::Administrator);
        if administrator.id == *id && (demotes || update.active == Some(false)) {
            let problem =
                Problem::new(Kind::Conflict, "an administrator cannot take back its own office");
            return Err(problem.hint("let another administrator do it").into());
        }
        let (id, update, caller) = (*id, update.clone(), self.caller.clone());
        let (author, now) = (Author::of(administrator.id, &self.caller), self.service.now());
        let servers = self.service.told_servers();
        let (account, told) = self
            .service
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let before = by_id(tx, &id).await?;
                    caller.require_match(&before.entity_tag())?;
                    let mut account = before.clone();
                    account.role = update.role.unwrap_or(before.role);
                    account.attributes = update.attributes.clone().unwrap_or(before.attributes);
                    account.active = update.active.unwrap_or(before.active);
                    if account.active {
                        account.erase_at = None;
                    }
                    // Also what is so already: where a backup was restored, the servers may have
                    // heard otherwise.
                    let told = update.active.is_some();
                    let action =
                        record(tx, now, &author, Deed::Updated { account: id, update }).await?;
                    write(tx, &account).await?;
                    if told {
                        status(tx, &servers, &account, now, action).await?;
                    }
                    Ok::<_, Failure>((account, told))
                })
            })
            .await?;
        // A repeat waits again for servers that were away.
        if told || !account.active {
            self.service.tell(&account.identity).await?;
        }
        Ok(account)
    }

    /// Disables the account at once, and has it erased when the retention is over, or now.
    pub(super) async fn delete(&self, id: &AccountId, at_once: bool) -> Result<Account> {
        let administrator = self.administrator().await?;
        if administrator.id == *id {
            let problem =
                Problem::new(Kind::Conflict, "an administrator cannot delete its own account");
            return Err(problem.hint("let another administrator do it").into());
        }
        let (id, now, caller) = (*id, self.service.now(), self.caller.clone());
        let author = Author::of(administrator.id, &self.caller);
        let erase_at =
            if at_once { now } else { now.saturating_add(self.service.account_retention_seconds) };
        let servers = self.service.told_servers();
        let account = self
            .service
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut account = by_id(tx, &id).await?;
                    caller.require_match(&account.entity_tag())?;
                    // A repeat brings the end nearer, never farther.
                    let erase_at = account.erase_at.map_or(erase_at, |before| before.min(erase_at));
                    if account.erase_at == Some(erase_at) {
                        return Ok(account);
                    }
                    (account.active, account.erase_at) = (false, Some(erase_at));
                    let deed = Deed::Deleted { account: id, erase_at };
                    let action = record(tx, now, &author, deed).await?;
                    write(tx, &account).await?;
                    status(tx, &servers, &account, now, action).await?;
                    Ok::<_, Failure>(account)
                })
            })
            .await?;
        // Whatever becomes of the erasure, the servers hear at once that the account is disabled.
        self.service.notices.posted();
        if at_once {
            self.service.erase(&id).await?;
        }
        self.service.tell(&account.identity).await?;
        Ok(account)
    }
}

impl Server {
    /// What a new user is configured with.
    pub(super) fn enrolment(&self) -> Enrolment {
        let trust = (self.trust)();
        let cas = |realm: &str| {
            trust.cas(realm).map(|der| to_pem("CERTIFICATE", der).to_string()).collect()
        };
        Enrolment {
            management: self.management.clone(),
            public: self.public.clone(),
            key_servers: self.key_server_endpoints(),
            storage_servers: self.storage_server_endpoints(),
            ledger: self.ledger_id.clone(),
            log_policy: self.log_policy.to_string(),
            realms: trust.realms().map(|realm| (realm.to_owned(), cas(realm))).collect(),
        }
    }
}

/// The configured administrators have accounts from the start; a role or status set later stays.
pub(super) async fn ensure_administrators(
    server: &Arc<Server>,
    identities: &[String],
) -> std::result::Result<(), OpenError> {
    let now = server.now();
    for line in identities {
        let identity: Identity = line
            .parse()
            .map_err(|e| OpenError::Configuration(format!("`administrators`: `{line}`: {e}")))?;
        let account = Account {
            id: AccountId::random(),
            identity,
            role: Role::Administrator,
            attributes: Default::default(),
            active: true,
            created: now,
            erase_at: None,
        };
        let add = server.store.write(move |tx| {
            Box::pin(async move {
                // Another process may have done it.
                if find(tx, &account.identity).await?.is_some() {
                    return Ok(());
                }
                insert(tx, &account).await?;
                let author = Author { actor: Some(account.id), statement: None };
                record(tx, now, &author, Deed::Configured).await.map(drop)
            })
        });
        add.await.map_err(failed)?;
    }
    Ok(())
}

pub(super) fn failed(failure: Failure) -> OpenError {
    OpenError::Configuration(failure.0.to_string())
}

/// The account `id`.
pub(super) async fn by_id(on: &impl ConnectionTrait, id: &AccountId) -> Result<Account> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE id = $1");
    match row(on, sql, [text(id)]).await? {
        Some(row) => read(&row),
        None => {
            let problem = Problem::not_found(format!("there is no account `{id}`"));
            Err(problem.hint("`datapact account list` shows them").into())
        }
    }
}

/// Writes what may change about an account.
async fn write(on: &impl ConnectionTrait, account: &Account) -> Result<()> {
    let sql =
        "UPDATE account SET role = $2, attributes = $3, active = $4, erase_at = $5 WHERE id = $1";
    let values = [
        text(account.id),
        json(&account.role)?,
        json(&account.attributes)?,
        number(account.active.into()),
        account.erase_at.map(|time| i64::try_from(time).unwrap_or(i64::MAX)).into(),
    ];
    run(on, sql, values).await?;
    Ok(())
}

/// Has the other servers told of the account's status, which `action` has set.
async fn status(
    on: &impl ConnectionTrait,
    servers: &[String],
    account: &Account,
    now: Timestamp,
    action: u64,
) -> Result<()> {
    let sequence = notices::sequence(noticed(on, &account.id).await?, now, action);
    let sql = "UPDATE account SET noticed = $2 WHERE id = $1";
    run(on, sql, [text(account.id), number(sequence)]).await?;
    let status = if account.active { UserStatus::Active } else { UserStatus::Disabled };
    notices::post(on, servers, &account.identity, status, sequence).await
}

/// The sequence of the last notice about the account; 0 if there was none.
pub(super) async fn noticed(on: &impl ConnectionTrait, id: &AccountId) -> Result<u64> {
    let row = row(on, "SELECT noticed FROM account WHERE id = $1", [text(id)]).await?;
    Ok(row.map(|row| row.number(0)).transpose()?.unwrap_or(0))
}

/// What was found for `identity`, if it may do anything at all.
fn active(found: Option<Account>, identity: &Identity) -> Result<Account> {
    match found {
        None => Err(Problem::forbidden(format!("`{identity}` has no account here"))
            .hint(JOIN_HINT)
            .into()),
        Some(account) if !account.active => {
            Err(Problem::forbidden("your account is disabled").hint("ask an administrator").into())
        }
        Some(account) => Ok(account),
    }
}

/// What was found for `identity`, if it may access (AX-2).
pub(super) fn accessing(found: Option<Account>, identity: &Identity) -> Result<Account> {
    active(found, identity).and_then(|account| permitted(account, Role::may_access, "access data"))
}

fn permitted(account: Account, may: impl FnOnce(Role) -> bool, what: &str) -> Result<Account> {
    if may(account.role) {
        return Ok(account);
    }
    let problem = Problem::forbidden(format!("your account's role does not let you {what}"));
    Err(problem.hint("ask an administrator").into())
}

/// The account of `identity`.
pub(super) async fn find(
    on: &impl ConnectionTrait,
    identity: &Identity,
) -> Result<Option<Account>> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE identity = $1");
    row(on, sql, [text(identity)]).await?.map(|row| read(&row)).transpose()
}

/// The account, and whether the invitation was taken by this call.
async fn take(
    on: &impl ConnectionTrait,
    code: &Digest,
    identity: &Identity,
    now: u64,
) -> Result<(Account, bool)> {
    let refused = |detail: &str| {
        Failure::from(Problem::forbidden(detail.to_owned()).hint("ask for another invitation"))
    };
    let sql = "SELECT realm, role, attributes, expires, account FROM invitation WHERE code = $1";
    let invitation = row(on, sql, [text(code)])
        .await?
        .ok_or_else(|| refused("the invitation code is not valid"))?;
    let existing = find(on, identity).await?;
    match (invitation.optional(4)?, existing) {
        (Some(taken), Some(account)) if taken == account.id.to_string() => {
            return Ok((account, false));
        }
        (Some(_), _) => return Err(refused("the invitation has been used")),
        (None, Some(account)) => {
            let detail = format!("`{identity}` has the account `{}` already", account.id);
            return Err(Problem::new(Kind::Conflict, detail).into());
        }
        (None, None) => {}
    }
    if invitation.number(3)? <= now {
        return Err(refused("the invitation has expired"));
    }
    if invitation.text(0)? != identity.realm {
        return Err(refused("the invitation is for another realm than your certificate's"));
    }
    if count(on, "SELECT COUNT(*) FROM account").await? >= ACCOUNTS_MAX {
        return Err(Problem::new(Kind::Busy, "there are too many accounts").into());
    }
    let account = Account {
        id: AccountId::random(),
        identity: identity.clone(),
        role: invitation.json(1)?,
        attributes: invitation.json(2)?,
        active: true,
        created: now,
        erase_at: None,
    };
    insert(on, &account).await?;
    run(on, "UPDATE invitation SET account = $2 WHERE code = $1", [text(code), text(account.id)])
        .await?;
    // Who comes again keeps the salts that were still to be erased.
    run(on, "DELETE FROM salt_later WHERE identity = $1", [text(identity)]).await?;
    Ok((account, true))
}

async fn insert(on: &impl ConnectionTrait, account: &Account) -> Result<()> {
    let sql = "INSERT INTO account (id, identity, role, attributes, active, created) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [
        text(account.id),
        text(&account.identity),
        json(&account.role)?,
        json(&account.attributes)?,
        number(account.active.into()),
        number(account.created),
    ];
    run(on, sql, values).await?;
    Ok(())
}

fn to_text(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Problem::internal(e).into())
}

async fn count(on: &impl ConnectionTrait, sql: &str) -> Result<u64> {
    Ok(match row(on, sql, []).await? {
        Some(row) => row.number_or(0, 0)?,
        None => 0,
    })
}

pub(super) fn read(row: &Row) -> Result<Account> {
    Ok(Account {
        id: row.parse(0)?,
        identity: row.parse(1)?,
        role: row.json(2)?,
        attributes: row.json(3)?,
        active: row.number(4)? == 1,
        created: row.number(5)?,
        erase_at: row.number_if_any(6)?,
    })
}
