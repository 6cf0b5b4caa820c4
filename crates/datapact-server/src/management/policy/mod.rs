//! Policies and shares (MG-3 to MG-7, SH-4 to SH-9): what a provider signed is verified, its key
//! and package are confirmed, the key server is shown it, and then it goes on the ledger.

mod confirm;
mod documents;
pub(super) mod retention;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::key_server::ShownPolicy;
use datapact_api::management::{OwnShare, Policies, PolicyReceipt};
use datapact_api::operation::Page;
use datapact_api::problem::{self, Problem};
use datapact_core::contract::{Call, Documents, Refusal, Value, decide, share_key};
use datapact_core::id::{Digest, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingPolicy};
use datapact_store::Store;

pub(super) use self::documents::SignedPolicies;
use super::account::admission::Admission;
use super::base::Base;
use super::failure::{Failure, Result};
use super::peers::Peers;
use super::salt;
use super::submit::{Executed, Submission, Submit};
use crate::called::Called;

/// Takes policies, and shows providers their shares.
pub(super) struct PolicyService {
    store: Store,
    admission: Arc<Admission>,
    peers: Arc<Peers>,
    submit: Arc<Submit>,
}

impl PolicyService {
    pub(super) fn new(base: &Base, submit: Arc<Submit>) -> Self {
        let Base { store, admission, peers, .. } = base.clone();
        Self { store, admission, peers, submit }
    }
}

#[async_trait]
impl Policies for Called<PolicyService> {
    /// The order matters: nothing is drawn or shown before the policy is known to be the
    /// provider's own word about its own share, key and package; the key server is shown it
    /// before it is on the ledger, so that an access under it can be redeemed at once.
    async fn set_policy(&self, policy: &Signed<SharingPolicy>) -> problem::Result<PolicyReceipt> {
        let provider = self.admission.provider(&self.caller).await?.identity;
        if *policy.signer() != provider {
            return Err(Problem::forbidden("another user has signed the policy"));
        }
        if let Some(receipt) = self.receipt(policy.id()).await? {
            return Ok(receipt);
        }
        self.submit.verify(policy)?;
        let body = policy.body();
        body.validate().map_err(Problem::malformed)?;
        let is_active = body.state == ShareState::Active;
        let key_server = confirm::key_server(&self.peers, policy);
        if is_active {
            confirm::package(&self.peers, policy).await?;
            confirm::key(key_server.as_ref().map_err(Clone::clone)?, policy).await?;
        }
        self.confirm_owner(policy).await?;

        let mut users = salt::openings(&self.store, body.share, identities(policy)).await?;
        let owner = users.remove(0);
        let call = Call::of_policy(policy, &owner, &users).map_err(Failure::from)?;
        let documents = Documents::Policy {
            policy: policy.clone(),
            owner: owner.clone(),
            users: users.clone(),
        };
        self.submit.check(&call, &documents)?;
        self.predict(&call).await?;
        let shown = ShownPolicy { policy: policy.clone(), owner, users };
        match confirm::show(key_server, &shown).await {
            Ok(()) => {}
            Err(failure) if is_active => return Err(failure.into()),
            // Stopping access must not depend on another server: this one reads it on the ledger.
            Err(failure) => {
                tracing::warn!(share = %body.share, problem = %failure.0, "could not show a policy")
            }
        }
        let (id, documents) = (policy.id(), Arc::new(documents));
        match self.submit.execute(Submission { id, call, documents, drawn: None }).await? {
            Executed::Applied(_) => {}
            // All salts are stored since `openings`.
            Executed::SaltTaken => return Err(Problem::internal("a stored salt was replaced")),
        }
        let receipt = self.receipt(policy.id()).await?;
        receipt.ok_or_else(|| Problem::internal("an applied policy is missing"))
    }

    async fn shares(&self, page: Page<u64>) -> problem::Result<Vec<OwnShare>> {
        let provider = self.admission.account(&self.caller).await?.identity;
        let (after, submit) = (page.after.unwrap_or(0), Arc::clone(&self.submit));
        let read = self.store.read(move |db| table::own_shares(db, &provider, after, &submit));
        Ok(read.await?)
    }

    async fn share(&self, id: &ShareId) -> problem::Result<OwnShare> {
        let provider = self.admission.account(&self.caller).await?.identity;
        let (share, submit) = (*id, Arc::clone(&self.submit));
        let read = self.store.read(move |db| table::own_share(db, &provider, &share, &submit));
        read.await?.ok_or_else(|| Problem::not_found(format!("you have no share `{id}`")))
    }
}

impl PolicyService {
    /// What the provider got for the policy `id`, once it is applied.
    async fn receipt(&self, id: Digest) -> Result<Option<PolicyReceipt>> {
        let submit = Arc::clone(&self.submit);
        self.store.read(move |db| table::receipt(db, &id, &submit)).await
    }

    /// Refuses another provider's share before a salt is drawn for it.
    async fn confirm_owner(&self, policy: &Signed<SharingPolicy>) -> Result<()> {
        let share = policy.body().share;
        match self.store.read(move |db| table::provider(db, &share)).await? {
            Some(provider) if provider != *policy.signer() => Err(Refusal::Owner.into()),
            _ => Ok(()),
        }
    }

    /// Decides the call by what the ledger holds now, so that the key server is not shown what the
    /// contract refuses. The ledger's own decision counts.
    async fn predict(&self, call: &Call) -> Result<()> {
        let share: &ShareId = call.share();
        let mut values = BTreeMap::new();
        if let Some(record) = self.submit.share(share).await? {
            values.insert(share_key(share), Value::Share(record));
        }
        decide(call, &values, self.submit.now()).map(drop).map_err(Failure::from)
    }
}

/// Whose commitments a policy needs: its provider's, then the named users'.
fn identities(policy: &Signed<SharingPolicy>) -> Vec<Identity> {
    let users = policy.body().terms.users.iter();
    std::iter::once(policy.signer()).chain(users).cloned().collect()
}
