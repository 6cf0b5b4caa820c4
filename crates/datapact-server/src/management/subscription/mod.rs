//! Subscriptions that are kept (MG-15): what a user wants to hear of, read as server-sent events or
//! sent to a webhook.

mod delivery;
mod outbox;
pub(super) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod webhook;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::management::{
    DeadLetter, NewSubscription, NewWebhook, Publications as Stream, Redelivery, Subscription,
    Subscriptions,
};
use datapact_api::operation::Page;
use datapact_api::problem::{self, Problem};
use datapact_core::id::SubscriptionId;
use datapact_log::clock::Clock;
use datapact_store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::account::admission::Admission;
use super::base::Base;
use super::catalog::Matcher;
use super::catalog::publications::{Publications, ReadFilter};
use super::failure::Result;
use super::policy::SignedPolicies;
use crate::called::Called;
use delivery::Deliveries;
use webhook::{Secret, Webhooks};

/// Keeps subscriptions, and sends what they are about.
pub(super) struct SubscriptionService {
    store: Store,
    clock: Clock,
    admission: Arc<Admission>,
    publications: Arc<Publications>,
    /// Sends to webhooks, if the operator lets it.
    deliveries: Option<Arc<Deliveries>>,
}

impl SubscriptionService {
    /// `url` is management's address, the source of the events that it sends.
    pub(super) fn new(
        base: &Base,
        publications: Arc<Publications>,
        policies: Arc<SignedPolicies>,
        webhooks: Option<Arc<Webhooks>>,
        url: String,
        published: watch::Receiver<u64>,
    ) -> Self {
        let Base { store, clock, admission, .. } = base.clone();
        let deliveries = webhooks
            .map(|webhooks| Arc::new(Deliveries::new(base, policies, webhooks, url, published)));
        Self { store, clock, admission, publications, deliveries }
    }

    /// Starts to send, if there are webhooks.
    pub(super) fn start(&self) -> Option<JoinHandle<()>> {
        self.deliveries.clone().map(|deliveries| tokio::spawn(deliveries.run()))
    }

    /// Refuses a webhook that could not be sent to.
    fn check(&self, webhook: &NewWebhook) -> Result<()> {
        let deliveries = self.deliveries.as_ref().ok_or_else(|| {
            Problem::forbidden("webhooks are not switched on here")
                .hint("follow the subscription by server-sent events, or ask the operator")
        })?;
        deliveries.webhooks().check(&webhook.url).map_err(Problem::malformed)?;
        Secret::parse(&webhook.secret).map_err(Problem::malformed)?;
        Ok(())
    }
}

#[async_trait]
impl Subscriptions for Called<SubscriptionService> {
    async fn subscriptions(&self) -> problem::Result<Vec<Subscription>> {
        let holder = self.admission.account(&self.caller).await?.identity;
        Ok(self.store.read(move |db| table::of_holder(db, &holder)).await?)
    }

    async fn subscription(&self, id: &SubscriptionId) -> problem::Result<Subscription> {
        let holder = self.admission.account(&self.caller).await?.identity;
        let id = *id;
        Ok(self.store.read(move |db| table::get(db, &id, &holder)).await?)
    }

    async fn set_subscription(
        &self,
        id: &SubscriptionId,
        new: &NewSubscription,
    ) -> problem::Result<Subscription> {
        let holder = self.admission.account(&self.caller).await?.identity;
        Matcher::of(&new.filter)?;
        if let Some(webhook) = &new.webhook {
            self.check(webhook)?;
        }
        let (id, new, now) = (*id, new.clone(), (self.clock)());
        Ok(self.store.write(move |tx| table::set(tx, &id, &holder, &new, now)).await?)
    }

    async fn delete_subscription(&self, id: &SubscriptionId) -> problem::Result<()> {
        let holder = self.admission.account(&self.caller).await?.identity;
        let id = *id;
        Ok(self.store.write(move |tx| table::delete(tx, &id, &holder)).await?)
    }

    async fn follow_subscription(
        &self,
        id: &SubscriptionId,
        after: Option<u64>,
    ) -> problem::Result<Stream> {
        let subscription = self.subscription(id).await?;
        let after = after.unwrap_or(subscription.after);
        let id = *id;
        let filter: ReadFilter = Arc::new(move |db| table::filter(db, &id));
        Ok(self.publications.follow(&self.caller, after, Some(filter))?)
    }

    async fn dead_letters(
        &self,
        id: &SubscriptionId,
        page: Page<u64>,
    ) -> problem::Result<Vec<DeadLetter>> {
        self.subscription(id).await?;
        let (id, after) = (*id, page.after.unwrap_or(0));
        Ok(self.store.read(move |db| outbox::dead_letters(db, &id, after)).await?)
    }

    /// Sends dead letters again, as if they had never been tried.
    async fn redeliver(&self, id: &SubscriptionId, again: &Redelivery) -> problem::Result<()> {
        self.subscription(id).await?;
        let (id, again, now) = (*id, again.clone(), (self.clock)());
        self.store.write(move |tx| outbox::redeliver(tx, &id, &again.events, now)).await?;
        if let Some(deliveries) = &self.deliveries {
            deliveries.wake();
        }
        Ok(())
    }
}
