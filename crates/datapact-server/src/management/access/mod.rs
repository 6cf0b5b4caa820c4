//! Accesses (MG-8 to MG-13, AX-3 to AX-11) and usage reports (UR-2): what a consumer signed is
//! verified, decided by the contract on the ledger, and answered with what opens the share.

mod facts;
mod grant;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::management::{
    AccessEntry, AccessGrant, Accesses, Account, Erasure, RecordQuery, UsageEntry, UsageReceipt,
};
use datapact_api::problem::{self, Kind, Problem};
use datapact_core::commitment::Opening;
use datapact_core::contract::{
    Call, Counter, Documents, Receipt, Refusal, ShareRecord, Value, Values, counter_key, decide,
    share_key,
};
use datapact_core::document::{AccessRequest, Body, UsageReport};
use datapact_core::id::{Digest, Salt};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_ledger::LedgerReceipt;
use datapact_store::Store;

use self::facts::{FactsReader, RequestFacts};
use self::grant::GrantedAccess;
use super::account::admission::{self, Admission};
use super::base::Base;
use super::failure::{Failure, Result};
use super::issuer::Issuer;
use super::notice::revocation;
use super::peers::Peers;
use super::policy::SignedPolicies;
use super::salt;
use super::submit::{Executed, Submission, Submit};
use crate::called::Called;
use crate::users::Marker;

/// Grants accesses, takes usage reports, and shows both.
pub(super) struct AccessService {
    store: Store,
    admission: Arc<Admission>,
    peers: Arc<Peers>,
    submit: Arc<Submit>,
    policies: Arc<SignedPolicies>,
    issuer: Arc<Issuer>,
    facts: FactsReader,
}

impl AccessService {
    pub(super) fn new(
        base: &Base,
        submit: Arc<Submit>,
        policies: Arc<SignedPolicies>,
        marker: Marker,
        issuer: Arc<Issuer>,
    ) -> Self {
        let Base { store, admission, peers, .. } = base.clone();
        let facts = FactsReader::new(store.clone(), marker);
        Self { store, admission, peers, submit, policies, issuer, facts }
    }
}

#[async_trait]
impl Accesses for Called<AccessService> {
    async fn request_access(
        &self,
        request: &Signed<AccessRequest>,
    ) -> problem::Result<AccessGrant> {
        let identity = self.caller.require_user()?;
        confirm_signer(request, identity)?;
        // Two tries: a salt is drawn at most once for each share and identity, so if another was
        // drawn meanwhile, the second try finds it.
        for _ in 0..2 {
            let facts = self.facts.of(request, identity).await?;
            let account = admission::consumer(facts.account.clone(), identity)?;
            if facts.is_recorded {
                break;
            }
            let (submission, consumer) = self.prepare(request, &account, &facts).await?;
            if let Executed::Applied(Some(receipt)) = self.submit.execute(submission).await?
                && let LedgerReceipt { position, receipt: Receipt::Access(record), .. } = *receipt
            {
                let policy = self.policies.get_cached(&record.request.policy).await?;
                let access = GrantedAccess { position, record, consumer, policy };
                return Ok(self.grant(&account, access)?);
            }
        }
        Ok(self.grant_again(request.id()).await?)
    }

    async fn accesses(&self, query: &RecordQuery) -> problem::Result<Vec<AccessEntry>> {
        let user = self.admission.account(&self.caller).await?.identity;
        let query = query.clone();
        Ok(self.store.read(move |db| table::accesses(db, &user, &query)).await?)
    }

    async fn report_usage(&self, report: &Signed<UsageReport>) -> problem::Result<UsageReceipt> {
        let consumer = self.admission.account(&self.caller).await?.identity;
        confirm_signer(report, &consumer)?;
        let (id, share) = (report.id(), report.body().share);
        let (receipt, opening) = self
            .store
            .read(move |db| {
                let receipt = table::usage(db, &id)?;
                Result::Ok((receipt, salt::opening(db, &share, &consumer)?))
            })
            .await?;
        if let Some(receipt) = receipt {
            return Ok(receipt);
        }
        // A salt is drawn with the first access, so without one there was none.
        let consumer = opening.ok_or(Refusal::UnknownAccess)?;
        let call = Call::of_report(report, &consumer).map_err(Failure::from)?;
        let documents = Documents::Usage { report: report.clone(), consumer };
        self.submit.check(&call, &documents)?;
        let documents = Arc::new(documents);
        self.submit.execute(Submission { id, call, documents, drawn: None }).await?;
        let receipt = self.store.read(move |db| table::usage(db, &id)).await?;
        receipt.ok_or_else(|| Problem::internal("an applied usage report is missing"))
    }

    async fn usages(&self, query: &RecordQuery) -> problem::Result<Vec<UsageEntry>> {
        let user = self.admission.account(&self.caller).await?.identity;
        let query = query.clone();
        Ok(self.store.read(move |db| table::usages(db, &user, &query)).await?)
    }

    async fn erasures(&self, query: &RecordQuery) -> problem::Result<Vec<Erasure>> {
        let provider = self.admission.account(&self.caller).await?.identity;
        let query = query.clone();
        Ok(self.store.read(move |db| table::erasures(db, &provider, &query)).await?)
    }
}

impl Called<AccessService> {
    /// The grant of an access that was recorded before, perhaps long ago: what may have changed
    /// since is read again.
    async fn grant_again(&self, request: Digest) -> Result<AccessGrant> {
        let account = self.admission.account(&self.caller).await?;
        let (access, is_revoked) = self
            .store
            .read(move |db| {
                let access = table::access(db, &request)?;
                Result::Ok((access, revocation::is_revoked(db, &request)?))
            })
            .await?;
        let access = access.ok_or_else(|| Problem::internal("an applied access is missing"))?;
        if is_revoked {
            let problem = Problem::forbidden("the access token of this access was revoked");
            return Err(problem.hint("request access again, with a new request").into());
        }
        // Not from memory: the policy may have been erased by another process.
        let policy = self.policies.get(&access.record.request.policy).await?;
        let AccessEntry { position, record, consumer, .. } = access;
        self.grant(&account, GrantedAccess { position, record, consumer, policy })
    }
}

impl AccessService {
    /// The call for `request`, checked and decided by what the ledger says now, and the opening of
    /// its commitment to the consumer.
    async fn prepare(
        &self,
        request: &Signed<AccessRequest>,
        account: &Account,
        facts: &RequestFacts,
    ) -> Result<(Submission, Opening)> {
        let share = request.body().share;
        let salt = facts.salt.unwrap_or_else(Salt::random);
        let consumer = Opening { identity: account.identity.clone(), salt };
        let (record, counter) = self.submit.standing(&share, &consumer.commitment(&share)).await?;
        let record = record.filter(|_| facts.is_offered).ok_or(Refusal::UnknownShare)?;
        if facts.had_erased_account {
            let problem = Problem::forbidden("an erased account of yours has accessed this share");
            return Err(problem.hint("ask its provider for a new share").into());
        }
        // Without the policy there could be no grant, and an access would be spent for nothing.
        if self.policies.get_cached(&record.policy.policy).await?.is_none() {
            let detail = "management does not have this share's policy";
            let hint = "try again in a moment; if it stays so, ask the provider to share it again";
            return Err(Problem::new(Kind::Unavailable, detail).hint(hint).into());
        }
        let attributes = account.attributes.clone();
        let call = Call::of_request(request, &consumer, &attributes, &record.policy.terms)?;
        let documents =
            Documents::Access { request: request.clone(), consumer: consumer.clone(), attributes };
        self.submit.check(&call, &documents)?;
        self.predict(&call, record, counter).await?;
        let drawn = facts.salt.is_none().then(|| consumer.clone());
        let (id, documents) = (request.id(), Arc::new(documents));
        Ok((Submission { id, call, documents, drawn }, consumer))
    }

    /// Decides the call by what the ledger holds now, so that what the contract refuses leaves no
    /// trace. The ledger's own decision counts.
    async fn predict(&self, call: &Call, share: ShareRecord, counter: Counter) -> Result<()> {
        let Call::RequestAccess(request) = call else { return Ok(()) };
        let values = Values::from([
            (share_key(&request.share), Value::Share(share)),
            (counter_key(&request.share, &request.consumer), Value::Counter(counter)),
        ]);
        match decide(call, &values, self.submit.now()) {
            Ok(_) => Ok(()),
            // Granted already, perhaps a moment ago and under another salt than the one just
            // drawn: `Submit::execute` finds it.
            Err(_) if self.submit.access(&request.request).await?.is_some() => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// Refuses a document that another user signed: it may only be used by its signer.
fn confirm_signer<B: Body>(document: &Signed<B>, caller: &Identity) -> Result<()> {
    if document.signer() == caller {
        return Ok(());
    }
    Err(Problem::forbidden("another user has signed the document").into())
}
