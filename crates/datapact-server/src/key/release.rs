//! Releasing a key (KS-4, KS-5; AX-12 to AX-14): the one place where it is decided, the record of
//! it, and repeats.

use std::time::Duration;

use datapact_api::gate::Caller;
use datapact_api::key_server::{ReleaseEntry, ReleaseKey, ReleasedKey, TokenRevocation};
use datapact_api::problem::{Problem, Result};
use datapact_core::commitment::Opening;
use datapact_core::document::KeyRelease;
use datapact_core::id::{Commitment, Digest, KeyId, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::release::{SealedKey, seal};
use datapact_core::token::{Confirmation, TOKEN_SECONDS_MAX};
use datapact_ledger::port::Recorded;
use datapact_ledger::store::Group;
use datapact_ledger::{LedgerCopy as _, Store};

use super::KeyService;
use super::failure::{Failure, copy_problem};
use super::policies::{OnLedger, standing};
use super::recording::New;
use super::tables::{self, KeyEntry, PolicyRow, ReleaseRow, StoredKey};
use crate::users::{Users, disabled};

/// How often a key is released for one access: a consumer who lost the answer asks with a new key
/// request.
pub const RELEASES_MAX: u64 = 32;

/// Reads what is kept of a user, by its mark, and of a key.
pub(super) type Kept = Group<(String, KeyId), OfRelease, Failure>;

/// What is kept that a release depends on.
pub(super) struct OfRelease {
    /// The user was disabled or erased.
    refused: bool,
    key: Option<(KeyEntry, Vec<PolicyRow>)>,
}

/// What is kept for releases, read for all that wait together.
pub(super) fn kept(store: Store) -> Kept {
    Group::reading(store, |on, asked: Vec<(String, KeyId)>| {
        Box::pin(async move {
            let refused = Users::refused(&on, asked.iter().map(|(mark, _)| mark.as_str())).await?;
            let keys =
                tables::keys_and_policies(&on, asked.iter().map(|(_, id)| *id).collect()).await?;
            let outcome = |(mark, id): &(String, KeyId)| {
                Ok(OfRelease { refused: refused.contains(mark), key: keys.get(id).cloned() })
            };
            Ok(asked.iter().map(outcome).collect())
        })
    })
}

/// A release that nothing speaks against.
pub(super) struct Decision {
    pub(super) consumer: Identity,
    owner: String,
    pub(super) stored: StoredKey,
    pub(super) on_ledger: OnLedger,
    pub(super) commitment: Commitment,
    share: ShareId,
}

impl KeyService {
    /// Releases the key `id`. Exactly the same key request gets exactly the same answer, and is
    /// checked alike.
    pub(super) async fn release(
        &self,
        caller: &Caller,
        id: &KeyId,
        asked: &ReleaseKey,
    ) -> Result<ReleasedKey> {
        let decision = self.decide_release(caller, id, asked).await?;
        let now = (self.clock)();
        let key_request = &asked.key_request;
        let sealed = {
            let plain = self.open_stored(id, &decision.stored).await?;
            seal(&plain, &key_request.body().recipient, &key_request.id())
                .map_err(Problem::malformed)?
        };
        let statement = KeyRelease {
            share: decision.share,
            key: *id,
            request: asked.request.id(),
            key_request: key_request.id(),
            sealed: sealed.digest(),
        };
        let release = self.signer.sign(&self.ledger, now, statement);
        let row = ReleaseRow {
            key_request: key_request.id(),
            request: asked.request.id(),
            share: decision.share,
            owner: decision.owner.clone(),
            consumer: Some(decision.consumer.to_string()),
            time: now,
            sealed: Some(serde_json::to_string(&sealed).map_err(Problem::internal)?),
            signed_release: release.as_str().to_owned(),
            signed_request: key_request.as_str().to_owned(),
        };
        let mark = self.users.marker.on_share(&decision.consumer, &decision.share);
        match self.releases.ask(New { key: *id, decision, mark, row }).await? {
            None => Ok(ReleasedKey { sealed, release }),
            Some(before) => answer(before),
        }
    }

    /// From now on nothing is released for an access (MG-16). A job like a release: either that
    /// stands on record before, or it does not happen.
    pub(super) async fn revoke_token(&self, revocation: &TokenRevocation) -> Result<()> {
        // No token outlives this, whatever management says.
        let until = revocation.until.min((self.clock)().saturating_add(2 * TOKEN_SECONDS_MAX));
        let request = revocation.request;
        self.write(move |tx| Box::pin(async move { tables::revoke(tx, &request, until).await }))
            .await
    }

    /// Decides a release: every check stands here, in this order, and each says why it refuses.
    async fn decide_release(
        &self,
        caller: &Caller,
        id: &KeyId,
        asked: &ReleaseKey,
    ) -> Result<Decision> {
        let ReleaseKey { token: text, request, key_request } = asked;
        let refused = |detail: &str| Err(Problem::forbidden(detail));
        let now = (self.clock)();

        // 1. The peer is a user; the gate has admitted it.
        let consumer = caller.require_user()?;
        let kept = self.kept.ask((self.users.marker.of(consumer), *id)).await?;
        if kept.refused {
            return Err(disabled());
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
            return refused("somebody else has signed the access request");
        }
        if key_request.signer() != consumer {
            return refused("somebody else has signed the key request");
        }
        key_request.verify(&(self.trust)(), &self.name, now).map_err(Problem::forbidden)?;

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
        if token.contract != self.copy.address(&share) {
            return refused("the access token names another contract");
        }

        // 7. The own copy of the ledger is current, and was never contradicted.
        self.copy.current(self.current).await.map_err(copy_problem)?;

        // 8. It holds the record, where the token says, for this request.
        let Recorded { position, record, newest, of_record } =
            self.recorded(&share, &request.id()).await?;
        if position != token.position {
            return refused("the access record does not stand where the access token says");
        }
        if record.request.policy != request.body().policy {
            return refused("the access record is not about what the access request asks for");
        }
        if of_record.policy.policy != record.request.policy {
            let detail = "the copy of the ledger holds an access without its policy";
            return Err(Problem::internal(detail));
        }

        // 9. The request's signer was certified when the ledger recorded it.
        request.verify(&(self.trust)(), &self.ledger, record.time).map_err(Problem::forbidden)?;

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
            return refused("the access record is somebody else's");
        }

        // 12. The key is stored, for this share.
        let Some((KeyEntry { owner, stored: Some(stored), .. }, rows)) = kept.key else {
            return Err(Problem::not_found(format!("there is no key `{id}` here")));
        };
        if stored.share != share {
            return refused("the key belongs to another share");
        }

        // 13. What the ledger says of the share is what the key's owner has signed, and nothing
        //     withholds it. Checked again when the release is recorded.
        let on_ledger = OnLedger { newest, of_record: of_record.policy };
        let policy = standing(&rows, &on_ledger, id, now)?;
        if policy.package != stored.package || policy.package_id != token.package {
            return refused(
                "the key opens another package than the policy and the access token name",
            );
        }

        Ok(Decision { consumer: consumer.clone(), owner, stored, on_ledger, commitment, share })
    }

    /// The access and its policies; the copy is brought up to date when it is not there yet.
    async fn recorded(&self, share: &ShareId, request: &Digest) -> Result<Recorded> {
        if let Some(found) = self.copy.recorded(share, request).await.map_err(copy_problem)? {
            return Ok(found);
        }
        self.copy.current(Duration::ZERO).await.map_err(copy_problem)?;
        self.copy.recorded(share, request).await.map_err(copy_problem)?.ok_or_else(|| {
            Problem::forbidden("the ledger has no record of this access")
                .hint("ask management for access first")
        })
    }

    pub(super) async fn releases_of(
        &self,
        owner: &Identity,
        share: &ShareId,
        after: Option<&Digest>,
    ) -> Result<Vec<ReleaseEntry>> {
        let (on, name) = (self.store.read(), owner.to_string());
        let rows = tables::releases_of(on, share, &name, after).await?;
        // A share whose key was destroyed is audited, too: the policies that were shown stay.
        if rows.is_empty()
            && after.is_none()
            && !tables::owns_key(on, &name, share).await?
            && tables::policies(on, share, &name).await?.is_empty()
        {
            return Err(Problem::not_found(format!("you keep no key of the share `{share}` here")));
        }
        let entry = |row: &ReleaseRow| {
            Ok(ReleaseEntry {
                release: Signed::parse(&row.signed_release).map_err(Problem::internal)?,
                key_request: Signed::parse(&row.signed_request).map_err(Problem::internal)?,
            })
        };
        rows.iter().map(entry).collect()
    }
}

/// The answer that a durable release gave the first time.
fn answer(row: ReleaseRow) -> Result<ReleasedKey> {
    let sealed = row.sealed.ok_or_else(|| {
        Problem::forbidden("this release is too old to be repeated").hint("ask for access again")
    })?;
    let sealed: SealedKey = serde_json::from_str(&sealed).map_err(Problem::internal)?;
    let release = Signed::parse(&row.signed_release).map_err(Problem::internal)?;
    Ok(ReleasedKey { sealed, release })
}

pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
