//! The traits of the API, for management as one caller sees it.

use async_trait::async_trait;
use datapact_api::management::*;
use datapact_api::operation::Page;
use datapact_api::problem::Result;
use datapact_core::document::{AccessRequest, UsageReport};
use datapact_core::id::{AccountId, Digest, ShareId, SubscriptionId};
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;

use super::Session;

#[async_trait]
impl Accounts for Session {
    async fn join(&self, join: &Join) -> Result<Account> {
        Ok(self.take_invitation(&join.code).await?)
    }

    async fn account(&self) -> Result<Account> {
        Ok(self.active_account().await?)
    }

    async fn invite(&self, invitation: &NewInvitation) -> Result<Invitation> {
        Ok(self.make_invitation(invitation).await?)
    }

    async fn accounts(&self, page: Page<AccountId>) -> Result<Vec<Account>> {
        Ok(self.accounts_after(page.after.as_ref()).await?)
    }

    async fn account_of(&self, id: &AccountId) -> Result<Account> {
        Ok(self.account_by_id(id).await?)
    }

    async fn update_account(&self, id: &AccountId, update: &AccountUpdate) -> Result<Account> {
        Ok(self.change_account(id, update).await?)
    }

    async fn delete_account(&self, id: &AccountId, when: &Deletion) -> Result<Account> {
        Ok(self.delete(id, when.now).await?)
    }

    async fn actions(&self, page: Page<u64>) -> Result<Vec<Action>> {
        Ok(self.actions_after(page.after.unwrap_or_default()).await?)
    }
}

#[async_trait]
impl Policies for Session {
    async fn set_policy(&self, policy: &Signed<SharingPolicy>) -> Result<PolicyReceipt> {
        Ok(self.publish(policy).await?)
    }

    async fn shares(&self, page: Page<u64>) -> Result<Vec<OwnShare>> {
        Ok(self.own_shares(page.after.unwrap_or_default()).await?)
    }

    async fn share(&self, id: &ShareId) -> Result<OwnShare> {
        Ok(self.own_share(id).await?)
    }
}

#[async_trait]
impl Catalog for Session {
    async fn catalog(&self, query: &CatalogQuery) -> Result<Vec<CatalogEntry>> {
        Ok(self.search(query).await?)
    }

    async fn catalog_entry(&self, share: &ShareId, purpose: &Purpose) -> Result<CatalogDetail> {
        Ok(self.detail(share, purpose.purpose.as_ref()).await?)
    }

    async fn publications(&self, after: Option<u64>) -> Result<Publications> {
        Ok(self.publications_from(after, None).await?)
    }
}

#[async_trait]
impl Subscriptions for Session {
    async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        Ok(self.own_subscriptions().await?)
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Subscription> {
        Ok(self.own_subscription(id).await?)
    }

    async fn set_subscription(
        &self,
        id: &SubscriptionId,
        new: &NewSubscription,
    ) -> Result<Subscription> {
        Ok(self.keep_subscription(id, new).await?)
    }

    async fn delete_subscription(&self, id: &SubscriptionId) -> Result<()> {
        Ok(self.drop_subscription(id).await?)
    }

    async fn follow_subscription(
        &self,
        id: &SubscriptionId,
        after: Option<u64>,
    ) -> Result<Publications> {
        Ok(self.follow(id, after).await?)
    }

    async fn dead_letters(&self, id: &SubscriptionId, page: Page<u64>) -> Result<Vec<DeadLetter>> {
        Ok(self.dead_letters_of(id, page.after.unwrap_or_default()).await?)
    }

    async fn redeliver(&self, id: &SubscriptionId, again: &Redelivery) -> Result<()> {
        Ok(self.send_again(id, again).await?)
    }
}

#[async_trait]
impl Accesses for Session {
    async fn request_access(&self, request: &Signed<AccessRequest>) -> Result<AccessGrant> {
        Ok(self.access(request).await?)
    }

    async fn accesses(&self, query: &RecordQuery) -> Result<Vec<AccessEntry>> {
        Ok(self.access_records(query).await?)
    }

    async fn report_usage(&self, report: &Signed<UsageReport>) -> Result<UsageReceipt> {
        Ok(self.usage(report).await?)
    }

    async fn usages(&self, query: &RecordQuery) -> Result<Vec<UsageEntry>> {
        Ok(self.usage_records(query).await?)
    }

    async fn erasures(&self, query: &RecordQuery) -> Result<Vec<Erasure>> {
        Ok(self.erasures_of(query).await?)
    }
}

#[async_trait]
impl Notifications for Session {
    async fn notifications(&self, query: &NotificationQuery) -> Result<Vec<Notification>> {
        Ok(self.own_notifications(query).await?)
    }

    async fn acknowledge(&self, acknowledged: &Acknowledged) -> Result<()> {
        Ok(self.acknowledge_notifications(acknowledged.sequence).await?)
    }
}

#[async_trait]
impl Log for Session {
    async fn info(&self) -> Result<ManagementInfo> {
        Ok(self.ledger_info().await?)
    }

    async fn proof(&self, position: u64) -> Result<LedgerProof> {
        Ok(self.ledger_proof(position).await?)
    }

    async fn add_cosignature(&self, note: &str) -> Result<()> {
        Ok(self.take_cosignature(note).await?)
    }
}

#[async_trait]
impl Tokens for Session {
    async fn introspect(&self, form: &TokenForm) -> Result<Introspection> {
        Ok(self.examine(&form.token).await?)
    }

    async fn token(&self, request: &Digest) -> Result<Introspection> {
        Ok(self.token_of(request).await?)
    }

    async fn revoke_token(&self, request: &Digest) -> Result<()> {
        Ok(self.revoke(request).await?)
    }
}
