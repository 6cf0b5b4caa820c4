//! Whether a key is released: every check, in order.

use std::sync::Arc;

use datapact_api::gate::{Caller, Source};
use datapact_api::key_server::ReleaseKey;
use datapact_api::problem::Problem;
use datapact_core::commitment::Opening;
use datapact_core::contract::CLOCK_SKEW_SECONDS_MAX;
use datapact_core::id::{Commitment, Digest, KeyId, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::token::{Confirmation, TOKEN_SECONDS_MAX};
use datapact_core::trust::Trust;
use datapact_ledger::port::GrantedAccess;
use datapact_log::clock::Clock;
use datapact_store::{Db, Group};
use rustls::pki_types::CertificateDer;

use super::jwks::JwksCache;
use super::same;
use crate::key::base::Base;
use crate::key::custody::table::{KeyAndPolicies, KeyEntry, StoredKey, keys_and_policies};
use crate::key::failure::{Failure, Result};
use crate::key::policy::{OnLedger, standing};
use crate::key::replica::Replica;
use crate::users::{Users, disabled};

/// A release that nothing speaks against.
pub(super) struct Decision {
    pub(super) consumer: Identity,
    /// Whose key it is.
    pub(super) owner: String,
    pub(super) share: ShareId,
    pub(super) stored: StoredKey,
    pub(super) on_ledger: OnLedger,
    pub(super) commitment: Commitment,
    pub(super) standing: Standing,
}

/// What of the consumer may change while the release waits to be recorded.
pub(super) struct Standing {
    /// The consumer's mark, by which management disables it.
    pub(super) mark: String,
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// What certified the chain.
    pub(super) trust: Arc<Trust>,
    /// The access token is dead from this second on, by every server's clock.
    pub(super) until: Timestamp,
}

/// Decides releases.
pub(super) struct Checks {
    /// The server's name: the audience of tokens and key requests.
    name: String,
    /// The ledger's id.
    ledger: String,
    clock: Clock,
    trust: Source<Trust>,
    users: Arc<Users>,
    replica: Arc<Replica>,
    jwks: JwksCache,
    /// Reads what is stored of a user, by its mark, and of a key; all that wait at once.
    lookups: Group<(String, KeyId), Found, Failure>,
}

/// What is stored of a user and a key.
struct Found {
    /// The user was disabled or erased.
    is_refused: bool,
    key: Option<KeyAndPolicies>,
}

impl Checks {
    pub(super) fn new(base: &Base, name: &str, ledger: &str, jwks: JwksCache) -> Self {
        Self {
            name: name.to_owned(),
            ledger: ledger.to_owned(),
            clock: Arc::clone(&base.clock),
            trust: Arc::clone(&base.trust),
            users: Arc::clone(&base.users),
            replica: Arc::clone(&base.replica),
            jwks,
            lookups: Group::reading(base.store.clone(), look_up),
        }
    }

    /// Decides a release: every check is here, in this order, and each says why it refuses. The
    /// numbers are those of the specification.
    pub(super) async fn decide(
        &self,
        caller: &Caller,
        id: &KeyId,
        release: &ReleaseKey,
    ) -> Result<Decision> {
        let ReleaseKey { token: text, request, key_request } = release;
        let refused = |detail: &str| Err(Problem::forbidden(detail).into());
        let now = (self.clock)();

        // 1. The peer is a user; the gate has admitted it.
        let consumer = caller.require_user()?;
        let mark = self.users.marker.of(consumer);
        let found = self.lookups.ask((mark.clone(), *id)).await?;
        if found.is_refused {
            return Err(disabled().into());
        }

        // 2. Management has signed the token, for this server, and it is alive.
        let token = self.jwks.verify(text, &self.name, now).await?;

        // 3. The token is the peer's own.
        let own = caller.peer.chain.first().map(|leaf| Confirmation::of(leaf));
        if own.as_ref() != Some(&token.cnf) {
            return refused("the access token is bound to another certificate");
        }

        // 4. Token, key request and address name one key.
        if token.key != *id {
            return refused("the access token is for another key");
        }
        if key_request.body().key != *id {
            return refused("the key request is for another key");
        }

        // 5. The peer has signed access request and key request, the latter for this server.
        if request.signer() != consumer {
            return refused("another user has signed the access request");
        }
        if key_request.signer() != consumer {
            return refused("another user has signed the key request");
        }
        let trust = (self.trust)();
        key_request.verify(&trust, &self.name, now).map_err(Problem::forbidden)?;

        // 6. They belong together.
        if key_request.body().token != Digest::of(text.as_bytes()) {
            return refused("the key request is for another access token");
        }
        if key_request.body().request != request.id() || token.request != request.id() {
            return refused("token, access request and key request are not about one access");
        }
        if token.share != request.body().share {
            return refused("the access token is for another share");
        }
        let share = token.share;
        if token.contract != self.replica.address(&share) {
            return refused("the access token names another contract");
        }

        // 7. The own copy of the ledger is current, and was never contradicted.
        self.replica.confirm().await?;

        // 8. It holds the record, where the token says, for this request.
        let granted = self.replica.granted_access(&share, &request.id()).await?;
        let Some(GrantedAccess { position, record, newest, of_record }) = granted else {
            let problem = Problem::forbidden("the ledger has no record of this access");
            return Err(problem.hint("ask management for access first").into());
        };
        if position != token.position {
            return refused("the access record is not where the access token says");
        }
        if record.request.policy != request.body().policy {
            return refused("the access record is not about what the access request asks for");
        }
        if of_record.policy.policy != record.request.policy {
            let detail = "the copy of the ledger holds an access without its policy";
            return Err(Problem::internal(detail).into());
        }

        // 9. The request's signer was certified when the ledger recorded it.
        request.verify(&trust, &self.ledger, record.time).map_err(Problem::forbidden)?;

        // 10. The record is younger than a token's life, which counts from it.
        if token.iat != record.time {
            return refused("the access token does not begin with its access record");
        }
        if now >= record.time.saturating_add(TOKEN_SECONDS_MAX) {
            return refused("the access record is too old; ask for access again");
        }

        // 11. The record is the peer's: its commitment opens.
        let commitment =
            Opening { identity: consumer.clone(), salt: token.salt }.commitment(&share);
        if !same(commitment.as_bytes(), record.request.consumer.as_bytes()) {
            return refused("the access record is another user's");
        }

        // 12. The key is stored, for this share.
        let Some((KeyEntry { owner, stored: Some(stored), .. }, rows)) = found.key else {
            return Err(Problem::not_found(format!("there is no key `{id}` here")).into());
        };
        if stored.share != share {
            return refused("the key belongs to another share");
        }

        // 13. What the ledger says of the share is what the key's owner has signed, and nothing
        //     withholds it. Checked again when the release is recorded.
        let on_ledger = OnLedger { newest, of_record: of_record.policy };
        let policy = standing(&rows, &on_ledger, id, now)?;
        if policy.data.digest != stored.package || policy.data.package != token.package {
            return refused(
                "the key opens another package than the policy and the access token name",
            );
        }

        let dead = token.exp.saturating_add(CLOCK_SKEW_SECONDS_MAX);
        let until = dead.min(record.time.saturating_add(TOKEN_SECONDS_MAX));
        let chain = caller.peer.chain.clone();
        let standing = Standing { mark, chain, trust, until };
        let consumer = consumer.clone();
        Ok(Decision { consumer, owner, stored, on_ledger, commitment, standing, share })
    }
}

fn look_up(db: &Db, wanted: Vec<(String, KeyId)>) -> Result<Vec<Result<Found>>> {
    let refused = Users::refused(db, wanted.iter().map(|(mark, _)| mark.as_str()))?;
    let keys = keys_and_policies(db, wanted.iter().map(|(_, id)| *id))?;
    let found = |(mark, id): &(String, KeyId)| {
        Ok(Found { is_refused: refused.contains(mark), key: keys.get(id).cloned() })
    };
    Ok(wanted.iter().map(found).collect())
}
