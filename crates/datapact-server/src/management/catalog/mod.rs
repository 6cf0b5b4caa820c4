//! The catalog (MG-14, MG-15, SH-10 to SH-12): published information, to search and to follow.

pub(super) mod index;
pub(super) mod publications;
mod query;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::management::{
    self as api, Catalog, CatalogDetail, CatalogEntry, CatalogQuery, Purpose,
};
use datapact_api::problem::{self, Problem};
use datapact_core::commitment::Opening;
use datapact_core::contract::{Refusal, eligible};
use datapact_core::id::{Salt, ShareId};
use datapact_log::clock::Clock;
use datapact_store::Store;

use super::account::admission::Admission;
use super::base::Base;
use super::failure::{Failure, Result};
use super::policy::SignedPolicies;
use super::salt;
use super::submit::Submit;
use crate::called::Called;
use publications::Publications;
pub(super) use query::Matcher;

/// Shows what is published.
pub(super) struct CatalogService {
    store: Store,
    clock: Clock,
    admission: Arc<Admission>,
    submit: Arc<Submit>,
    policies: Arc<SignedPolicies>,
    publications: Arc<Publications>,
}

impl CatalogService {
    pub(super) fn new(
        base: &Base,
        submit: Arc<Submit>,
        policies: Arc<SignedPolicies>,
        publications: Arc<Publications>,
    ) -> Self {
        let Base { store, clock, admission, .. } = base.clone();
        Self { store, clock, admission, submit, policies, publications }
    }

    /// Takes expired shares out of the index.
    pub(super) async fn forget_expired(&self) -> Result<()> {
        let now = (self.clock)();
        let expired = self.store.read(move |db| index::expired(db, now)).await?;
        if expired.is_empty() {
            return Ok(());
        }
        Ok(self.store.write(move |tx| index::remove(tx, &expired, now)).await?)
    }
}

#[async_trait]
impl Catalog for Called<CatalogService> {
    async fn catalog(&self, query: &CatalogQuery) -> problem::Result<Vec<CatalogEntry>> {
        self.admission.account(&self.caller).await?;
        let (query, now) = (query.clone(), (self.clock)());
        Ok(self.store.read(move |db| query::search(db, &query, now)).await?)
    }

    async fn catalog_entry(
        &self,
        share: &ShareId,
        purpose: &Purpose,
    ) -> problem::Result<CatalogDetail> {
        let account = self.admission.account(&self.caller).await?;
        let (share, caller) = (*share, account.identity.clone());
        let read = self.store.read(move |db| {
            let entry = table::entry(db, &share)?.ok_or(Refusal::UnknownShare)?;
            Ok::<_, Failure>((entry, salt::opening(db, &share, &caller)?))
        });
        let (entry, opening) = read.await?;
        let missing = || Problem::internal(format!("parts of the share {share} are missing"));
        let policy = self.policies.get(&entry.policy).await?.ok_or_else(missing)?;
        let record = self.submit.share(&share).await?.ok_or_else(missing)?;
        // A caller without a salt has had no access and is not named: any commitment will do.
        let drawn = || Opening { identity: account.identity.clone(), salt: Salt::random() };
        let commitment = opening.unwrap_or_else(drawn).commitment(&share);
        let granted = self.submit.counter(&share, &commitment).await?.granted;
        let purpose = purpose.purpose.as_ref();
        let judged = eligible(
            &record.policy,
            &commitment,
            &account.attributes,
            purpose,
            granted,
            (self.clock)(),
        );
        let users = &policy.body().terms.users;
        let caller = &account.identity;
        // A policy that names users is shown to them alone: it tells each who the others are.
        let is_shown = users.is_empty() || users.contains(caller) || policy.signer() == caller;
        Ok(CatalogDetail {
            entry,
            policy: is_shown.then_some(policy),
            granted,
            refusal: judged.err(),
        })
    }

    async fn publications(&self, after: Option<u64>) -> problem::Result<api::Publications> {
        self.admission.account(&self.caller).await?;
        let after = after.unwrap_or_else(|| self.publications.newest());
        Ok(self.publications.follow(&self.caller, after, None)?)
    }
}
