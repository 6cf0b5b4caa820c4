//! Token management (MG-16): whether a token is good (RFC 7662), and revoking one, at once and at
//! the key server too.
//!
//! An access is what is revoked: every token that its consumer holds for it, or would get by a
//! repeat, is good for nothing then. An outbox, written with the revocation itself, brings it to
//! the key server.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::key_server::TokenRevocation;
use datapact_api::management::{
    Account, Deed, Introspection, Role, TokenDescription, TokenForm, Tokens,
};
use datapact_api::problem::{self, Problem};
use datapact_core::contract::{AccessRecord, CLOCK_SKEW_SECONDS_MAX, RequestedPermission};
use datapact_core::id::{AccountId, Digest, ShareId};
use datapact_core::policy::ShareState;
use datapact_core::token::TOKEN_SECONDS_MAX;
use datapact_log::clock::Clock;
use datapact_store::Store;

use super::access::table::{Parties, parties};
use super::account;
use super::account::action::{Author, record};
use super::account::admission::Admission;
use super::base::Base;
use super::failure::{Failure, Result};
use super::issuer::Issuer;
use super::notice::{self, Outbox, revocation};
use super::peers::Peers;
use super::policy::SignedPolicies;
use super::submit::Submit;
use crate::called::Called;

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// All that is said of a token that is not good (RFC 7662, 2.2).
const NOT_GOOD: Introspection = Introspection { active: false, token: None };

/// Introspection and revocation of access tokens.
pub(super) struct TokenService {
    store: Store,
    clock: Clock,
    admission: Arc<Admission>,
    peers: Arc<Peers>,
    submit: Arc<Submit>,
    policies: Arc<SignedPolicies>,
    outbox: Arc<Outbox>,
    issuer: Arc<Issuer>,
}

impl TokenService {
    pub(super) fn new(
        base: &Base,
        submit: Arc<Submit>,
        policies: Arc<SignedPolicies>,
        outbox: Arc<Outbox>,
        issuer: Arc<Issuer>,
    ) -> Self {
        Self {
            store: base.store.clone(),
            clock: Arc::clone(&base.clock),
            admission: Arc::clone(&base.admission),
            peers: Arc::clone(&base.peers),
            submit,
            policies,
            outbox,
            issuer,
        }
    }

    /// Whether nothing but time can speak against a token: its share gives access, its account is
    /// active, and it was not revoked.
    async fn is_good(
        &self,
        request: &Digest,
        share: &ShareId,
        account: &AccountId,
    ) -> Result<bool> {
        let share = self.submit.share(share).await?;
        let gives_access = share.is_some_and(|share| {
            share.policy.state == ShareState::Active && (self.clock)() < share.policy.expires
        });
        if !gives_access {
            return Ok(false);
        }
        let (request, account) = (*request, *account);
        self.store
            .read(move |db| {
                Ok(account::table::is_active(db, &account)?
                    && !revocation::is_revoked(db, &request)?)
            })
            .await
    }

    async fn permission(&self, record: &AccessRecord) -> Result<Option<RequestedPermission>> {
        let policy = self.policies.get(&record.request.policy).await?;
        Ok(policy.and_then(|policy| RequestedPermission::of(policy.body(), policy.id(), record)))
    }
}

impl Called<TokenService> {
    /// The caller's account, and the access by `request`, if the caller is its consumer, its
    /// share's provider, or an administrator; to others the access does not exist.
    async fn managed_access(&self, request: &Digest) -> Result<(Account, Parties)> {
        let account = self.admission.account(&self.caller).await?;
        let id = *request;
        let found = self.store.read(move |db| parties(db, &id)).await?;
        let may_manage = |access: &Parties| {
            access.consumer == account.identity
                || access.provider.as_ref() == Some(&account.identity)
                || account.role == Role::Administrator
        };
        match found.filter(may_manage) {
            Some(access) => Ok((account, access)),
            None => {
                let detail = format!("there is no access by the request `{request}`");
                let hint = "`datapact record list` shows the requests of your accesses, \
                            and of those to your shares";
                Err(Problem::not_found(detail).hint(hint).into())
            }
        }
    }
}

#[async_trait]
impl Tokens for Called<TokenService> {
    async fn introspect(&self, form: &TokenForm) -> problem::Result<Introspection> {
        let server = self.admission.own_server(&self.caller)?;
        if form.token.len() > TOKEN_BYTES_MAX {
            return Ok(NOT_GOOD);
        }
        // Signed here, for the caller, and alive.
        let jwks = self.issuer.jwks();
        let claims = jwks.verify(&form.token, self.issuer.name(), server, (self.clock)(), 0);
        let Ok(claims) = claims else { return Ok(NOT_GOOD) };
        // Of an access that the ledger holds just as the token says.
        let recorded = self.submit.access(&claims.request).await?;
        let recorded = recorded.is_some_and(|(position, record)| {
            position == claims.position
                && record.request.share == claims.share
                && record.time == claims.iat
        });
        if !recorded || !self.is_good(&claims.request, &claims.share, &claims.sub).await? {
            return Ok(NOT_GOOD);
        }
        let token = TokenDescription {
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
        Ok(Introspection { active: true, token: Some(token) })
    }

    async fn token(&self, request: &Digest) -> problem::Result<Introspection> {
        let (_, Parties { consumer, record, .. }) = self.managed_access(request).await?;
        let share = record.request.share;
        let exp = record.time.saturating_add(self.issuer.seconds());
        let account = self.store.read(move |db| account::table::find(db, &consumer)).await;
        let account = account.map_err(Failure::from)?;
        let permission = self.permission(&record).await?;
        let (Some(account), Some(permission)) = (account, permission) else { return Ok(NOT_GOOD) };
        let key_server = self.peers.key_server(&permission.key.address);
        let Some(key_server) = key_server.filter(|_| (self.clock)() < exp) else {
            return Ok(NOT_GOOD);
        };
        if !self.is_good(request, &share, &account.id).await? {
            return Ok(NOT_GOOD);
        }
        let token = TokenDescription {
            iss: self.issuer.name().to_owned(),
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
        Ok(Introspection { active: true, token: Some(token) })
    }

    async fn revoke_token(&self, request: &Digest) -> problem::Result<()> {
        let (account, access) = self.managed_access(request).await?;
        let now = (self.clock)();
        let until = access.record.time.saturating_add(TOKEN_SECONDS_MAX);
        // A token that is dead by every clock needs no revocation, nor does one for no server.
        if until.saturating_add(CLOCK_SKEW_SECONDS_MAX) <= now {
            return Ok(());
        }
        let permission = self.permission(&access.record).await?;
        let address = permission.map(|permission| permission.key.address);
        let Some(key_server) = address.and_then(|address| self.peers.key_server(&address)) else {
            return Ok(());
        };
        // An action is what an administrator does to others.
        let is_office = account.role == Role::Administrator && access.consumer != account.identity;
        let author = is_office.then(|| Author::of(account.id, &self.caller));
        let revoked = TokenRevocation { request: *request, until };
        let key_server = notice::key_server(&key_server.name);
        let write = self.store.write(move |tx| {
            let was_good = revocation::revoke(tx, &revoked, &key_server, now)?;
            if let Some(author) = author.filter(|_| was_good) {
                let deed = Deed::TokenRevoked { request: revoked.request };
                record(tx, now, &author, deed)?;
            }
            Ok::<_, Failure>(())
        });
        write.await?;
        Ok(self.outbox.tell_revoked(request).await?)
    }
}
