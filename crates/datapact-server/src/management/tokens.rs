//! Token management (MG-16): whether a token is good (RFC 7662), and revoking one, at once and at
//! the key server too.
//!
//! What is revoked is an access: whichever token its consumer holds for it, or would get by a
//! repeat, is good for nothing then. An outbox, written with the revocation itself, brings it to
//! the key server.

use datapact_api::key_server::{KeyServer, TokenRevocation};
use datapact_api::management::Deed;
use datapact_api::management::{Account, Introspection, Role, TokenDescription};
use datapact_api::problem::Problem;
use datapact_core::contract::{AccessRecord, CLOCK_SKEW_SECONDS_MAX, RequestedPermission};
use datapact_core::id::{AccountId, Digest, ShareId};
use datapact_core::identity::Identity;
use datapact_core::policy::ShareState;
use datapact_core::token::TOKEN_SECONDS_MAX;
use datapact_ledger::store::Migration;

use super::actions::{Author, record};
use super::failure::{Failure, Result};
use super::schema::{number, row, rows, run, text};
use super::{Server, Session, accounts, policies};

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How many revocations are delivered at once.
const BATCH: u64 = 100;

/// The revocations, beside the tables of management. The name sorts after `management`.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    module: "management_token",
    version: 1,
    statements: &[
        // By the access request's document id, until no token for it can live any more. `server` is
        // the key server, as the outbox names it.
        "CREATE TABLE token_revocation (request TEXT NOT NULL PRIMARY KEY, server TEXT NOT NULL, \
         until BIGINT NOT NULL, told BIGINT NOT NULL)",
        "CREATE INDEX token_revocation_told ON token_revocation (told, server)",
    ],
}];

/// An access, as those see it who may revoke its token.
struct Access {
    account: Account,
    consumer: Identity,
    record: AccessRecord,
}

impl Session {
    /// Tells a configured server whether a token for it is good (RFC 7662): signed here, alive, not
    /// revoked, of an access that the ledger holds, on a share that gives access, of an account
    /// that may do anything.
    pub(super) async fn examine(&self, token: &str) -> Result<Introspection> {
        let name = self.configured_server()?;
        let server = &self.service;
        if token.len() > TOKEN_BYTES_MAX {
            return Ok(NOT_GOOD);
        }
        let claims = server.jwks().verify(token, &server.name, name, server.now(), 0);
        let Ok(claims) = claims else { return Ok(NOT_GOOD) };
        let recorded = server.ledger.access(&claims.request).await?;
        let recorded = recorded.is_some_and(|(at, record)| {
            at == claims.position
                && record.request.share == claims.share
                && record.time == claims.iat
        });
        if !recorded || !server.is_good(&claims.request, &claims.share, &claims.sub).await? {
            return Ok(NOT_GOOD);
        }
        let told = TokenDescription {
            iss: claims.iss,
            sub: claims.sub,
            client_id: claims.client_id,
            aud: claims.aud,
            iat: claims.iat,
            exp: claims.exp,
            jti: Some(claims.jti),
            cnf: Some(claims.cnf),
            share: claims.share,
            key: claims.key,
            package: claims.package,
        };
        Ok(Introspection { active: true, token: Some(told) })
    }

    /// Tells consumer, provider or an administrator whether the token of an access is good.
    pub(super) async fn token_of(&self, request: &Digest) -> Result<Introspection> {
        let Access { consumer, record, .. } = self.managed_access(request).await?;
        let server = &self.service;
        let (share, exp) = (record.request.share, record.time.saturating_add(server.token_seconds));
        let account = accounts::find(server.store.read(), &consumer).await?;
        let permission = server.permission_of(&record).await?;
        let (Some(account), Some(permission)) = (account, permission) else { return Ok(NOT_GOOD) };
        let key_server = policies::find(&server.key_servers, &permission.key.address);
        let Some(key_server) = key_server.filter(|_| server.now() < exp) else {
            return Ok(NOT_GOOD);
        };
        if !server.is_good(request, &share, &account.id).await? {
            return Ok(NOT_GOOD);
        }
        let told = TokenDescription {
            iss: server.name.clone(),
            sub: account.id,
            client_id: account.id,
            aud: key_server.name.clone(),
            iat: record.time,
            exp,
            jti: None,
            cnf: None,
            share,
            key: permission.key.id,
            package: permission.package.id,
        };
        Ok(Introspection { active: true, token: Some(told) })
    }

    /// Revokes the token of an access; the answer means that the key server releases nothing for it
    /// any more.
    pub(super) async fn revoke(&self, request: &Digest) -> Result<()> {
        let Access { account, consumer, record: access } = self.managed_access(request).await?;
        let server = &self.service;
        let now = server.now();
        let until = access.time.saturating_add(TOKEN_SECONDS_MAX);
        // A token that no clock takes for alive is good for nothing anyway, and so is one for no
        // server.
        if until.saturating_add(CLOCK_SKEW_SECONDS_MAX) <= now {
            return Ok(());
        }
        let Some(permission) = server.permission_of(&access).await? else { return Ok(()) };
        let Some(key_server) = policies::find(&server.key_servers, &permission.key.address) else {
            return Ok(());
        };
        let office = account.role == Role::Administrator && consumer != account.identity;
        let author = office.then(|| Author::of(account.id, &self.caller));
        let (request, key_server) = (*request, format!("key:{}", key_server.name));
        server
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let dead = number(now.saturating_sub(CLOCK_SKEW_SECONDS_MAX));
                    run(tx, "DELETE FROM token_revocation WHERE until <= $1", [dead]).await?;
                    let sql = "INSERT INTO token_revocation (request, server, until, told) VALUES ($1, $2, $3, 0) \
                               ON CONFLICT (request) DO NOTHING";
                    let revoked = run(tx, sql, [text(request), text(key_server), number(until)]).await?;
                    if let Some(author) = author.filter(|_| revoked == 1) {
                        record(tx, now, &author, Deed::TokenRevoked { request }).await?;
                    }
                    Ok::<_, Failure>(())
                })
            })
            .await?;
        let sql = "SELECT server FROM token_revocation WHERE request = $1 AND told = 0";
        server.told_all(sql, text(request)).await
    }

    /// The access, if the caller is its consumer, its share's provider, or an administrator; to
    /// others there is none.
    async fn managed_access(&self, request: &Digest) -> Result<Access> {
        let account = self.active_account().await?;
        let sql = "SELECT consumer, provider, record FROM access WHERE request = $1";
        let found = row(self.service.store.read(), sql, [text(request)]).await?;
        let missing = || {
            let problem =
                Problem::not_found(format!("there is no access by the request `{request}`"));
            problem.hint(
                "`datapact record list` shows the requests of your accesses, and of those to your shares",
            )
        };
        let found = found.ok_or_else(missing)?;
        let (consumer, provider): (Identity, String) = (found.parse(0)?, found.text(1)?);
        let own = consumer == account.identity || provider == account.identity.to_string();
        if !own && account.role != Role::Administrator {
            return Err(missing().into());
        }
        Ok(Access { account, consumer, record: found.json(2)? })
    }
}

/// All that is said of a token that is not good (RFC 7662, 2.2).
const NOT_GOOD: Introspection = Introspection { active: false, token: None };

impl Server {
    /// Whether the token of an access was revoked.
    pub(super) async fn is_revoked(&self, request: &Digest) -> Result<bool> {
        let sql = "SELECT 1 FROM token_revocation WHERE request = $1";
        Ok(row(self.store.read(), sql, [text(request)]).await?.is_some())
    }

    /// Whether nothing but time can speak against a token.
    async fn is_good(
        &self,
        request: &Digest,
        share: &ShareId,
        account: &AccountId,
    ) -> Result<bool> {
        let gives = self.ledger.share(share).await?.is_some_and(|share| {
            share.policy.state == ShareState::Active && self.now() < share.policy.expires
        });
        let sql = "SELECT 1 FROM account WHERE id = $1 AND active = 1";
        let active = row(self.store.read(), sql, [text(account)]).await?.is_some();
        Ok(gives && active && !self.is_revoked(request).await?)
    }

    async fn permission_of(&self, record: &AccessRecord) -> Result<Option<RequestedPermission>> {
        let policy = self.policy(&record.request.policy).await?;
        Ok(policy.and_then(|policy| RequestedPermission::of(policy.body(), policy.id(), record)))
    }
}

/// Brings revocations to a key server, which the outbox calls `name`; whether there were any.
pub(super) async fn deliver(
    server: &Server,
    name: &str,
    key_server: &dyn KeyServer,
) -> Result<bool> {
    let sql = "SELECT request, until FROM token_revocation WHERE told = 0 AND server = $1 LIMIT $2";
    let found = rows(server.store.read(), sql, [text(name), number(BATCH)]).await?;
    for row in &found {
        let revocation = TokenRevocation { request: row.parse(0)?, until: row.number(1)? };
        key_server.revoke_token(&revocation).await?;
        server
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "UPDATE token_revocation SET told = 1 WHERE request = $1";
                    run(tx, sql, [text(revocation.request)]).await.map_err(Failure::from)
                })
            })
            .await?;
    }
    Ok(!found.is_empty())
}
