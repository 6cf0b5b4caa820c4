//! Releasing keys (KS-4, KS-5; AX-12 to AX-14): [`decide`] is the one place where it is decided,
//! [`record`] makes it durable, and a repeat gets the first answer.

mod decide;
pub(super) mod erasure;
pub(super) mod jwks;
mod record;
pub(super) mod table;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::key_server::{
    ErasedRelease, ReleaseEntry, ReleaseKey, ReleasedKey, Releases, TokenRevocation,
};
use datapact_api::operation::Page;
use datapact_api::problem::{self, Problem};
use datapact_core::document::KeyRelease;
use datapact_core::id::{Digest, KeyId, ShareId};
use datapact_core::jws::{Signed, Signer};
use datapact_core::release::{SealedKey, seal};
use datapact_core::token::TOKEN_SECONDS_MAX;
use datapact_log::clock::Clock;
use datapact_store::{Db, Group, Store, StoreError};

use super::base::Base;
use super::custody::table::owns_key;
use super::custody::vault::Vault;
use super::failure::Failure;
use super::policy::table::policies;
use crate::called::Called;
use crate::config::KeyServerConfig;
use crate::users::Users;
use decide::{Checks, Decision};
use jwks::JwksCache;
use record::Release;
use table::ReleaseRow;

/// How often a key is released for one access: a consumer who lost the answer asks with a new key
/// request.
pub const RELEASES_MAX: u64 = 32;

/// Releases keys to consumers.
pub(super) struct ReleaseService {
    store: Store,
    clock: Clock,
    users: Arc<Users>,
    vault: Arc<Vault>,
    checks: Checks,
    /// Makes releases durable, all that wait at once; gives the earlier one of the same key
    /// request.
    records: Group<Release, Option<ReleaseRow>, Failure>,
    signer: Arc<Signer>,
    /// The ledger's id.
    ledger: String,
}

impl ReleaseService {
    pub(super) fn new(
        base: &Base,
        config: &KeyServerConfig,
        name: &str,
        vault: Arc<Vault>,
        signer: Arc<Signer>,
        jwks: JwksCache,
    ) -> Self {
        let (clock, trust) = (Arc::clone(&base.clock), Arc::clone(&base.trust));
        let records = Group::writing(base.store.clone(), move |tx, releases| {
            record::record_all(tx, releases, trust(), clock())
        });
        Self {
            store: base.store.clone(),
            clock: Arc::clone(&base.clock),
            users: Arc::clone(&base.users),
            vault,
            checks: Checks::new(base, name, &config.ledger, jwks),
            records,
            signer,
            ledger: config.ledger.clone(),
        }
    }
}

#[async_trait]
impl Releases for Called<ReleaseService> {
    /// Exactly the same key request gets exactly the same answer, and is checked alike.
    async fn release(&self, id: &KeyId, release: &ReleaseKey) -> problem::Result<ReleasedKey> {
        let decision = self.checks.decide(&self.caller, id, release).await?;
        let Decision { consumer, owner, share, .. } = &decision;
        let (now, key_request) = ((self.clock)(), &release.key_request);
        let sealed = {
            let plain = self.vault.open_key(id, &decision.stored).await?;
            seal(&plain, &key_request.body().recipient, &key_request.id())
                .map_err(Problem::malformed)?
        };
        let statement = KeyRelease {
            share: *share,
            key: *id,
            request: release.request.id(),
            key_request: key_request.id(),
            sealed: sealed.digest(),
        };
        let statement = self.signer.sign(&self.ledger, now, statement);
        let row = ReleaseRow {
            key_request: key_request.id(),
            request: release.request.id(),
            share: *share,
            owner: owner.clone(),
            consumer: consumer.to_string(),
            time: now,
            sealed: Some(serde_json::to_string(&sealed).map_err(Problem::internal)?),
            signed_release: statement.as_str().to_owned(),
            signed_request: key_request.as_str().to_owned(),
        };
        let mark = self.users.marker.on_share(consumer, share);
        // The answer waits until the release is durable: no key leaves without its record.
        match self.records.ask(Release { key: *id, decision, mark, row }).await? {
            None => Ok(ReleasedKey { sealed, release: statement }),
            Some(earlier) => answer(earlier),
        }
    }

    async fn releases(
        &self,
        share: &ShareId,
        page: Page<Digest>,
    ) -> problem::Result<Vec<ReleaseEntry>> {
        let owner = self.users.user(&self.caller).await?.to_string();
        let share = *share;
        let read = self.store.read(move |db| {
            let rows = table::releases_of(db, &share, &owner, page.after.as_ref())?;
            let is_owner =
                !rows.is_empty() || page.after.is_some() || is_owner(db, &owner, &share)?;
            Ok::<_, StoreError>(is_owner.then_some(rows))
        });
        let rows = read.await.map_err(Failure::from)?.ok_or_else(|| no_key(&share))?;
        let entry = |row: &ReleaseRow| {
            Ok(ReleaseEntry {
                release: Signed::parse(&row.signed_release).map_err(Problem::internal)?,
                key_request: Signed::parse(&row.signed_request).map_err(Problem::internal)?,
            })
        };
        rows.iter().map(entry).collect()
    }

    async fn erased_releases(
        &self,
        share: &ShareId,
        page: Page<Digest>,
    ) -> problem::Result<Vec<ErasedRelease>> {
        let owner = self.users.user(&self.caller).await?.to_string();
        let share = *share;
        let read = self.store.read(move |db| {
            let found = erasure::page(db, &share, &owner, page.after.as_ref())?;
            let is_owner =
                !found.is_empty() || page.after.is_some() || is_owner(db, &owner, &share)?;
            Ok::<_, StoreError>(is_owner.then_some(found))
        });
        Ok(read.await.map_err(Failure::from)?.ok_or_else(|| no_key(&share))?)
    }

    /// A job of the writer like a release: a release is either on record before, or it does not
    /// happen.
    async fn revoke_token(&self, revocation: &TokenRevocation) -> problem::Result<()> {
        self.users.require_management(&self.caller)?;
        // No token outlives this, whatever management says.
        let until = revocation.until.min((self.clock)().saturating_add(2 * TOKEN_SECONDS_MAX));
        let request = revocation.request;
        let revoked = self.store.write(move |tx| table::revoke(tx, &request, until)).await;
        Ok(revoked.map_err(Failure::from)?)
    }
}

/// Whether `owner` keeps or kept a key of the share here. A share whose key was destroyed is
/// audited, too: the policies that were shown stay.
fn is_owner(db: &Db, owner: &str, share: &ShareId) -> std::result::Result<bool, StoreError> {
    Ok(owns_key(db, owner, share)? || !policies(db, share, owner)?.is_empty())
}

fn no_key(share: &ShareId) -> Problem {
    Problem::not_found(format!("you keep no key of the share `{share}` here"))
}

/// The answer that a durable release gave the first time.
fn answer(row: ReleaseRow) -> problem::Result<ReleasedKey> {
    let sealed = row.sealed.ok_or_else(|| {
        Problem::forbidden("this release is too old to be repeated").hint("ask for access again")
    })?;
    let sealed: SealedKey = serde_json::from_str(&sealed).map_err(Problem::internal)?;
    let release = Signed::parse(&row.signed_release).map_err(Problem::internal)?;
    Ok(ReleasedKey { sealed, release })
}

/// Compares in constant time.
fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
