//! Subscriptions (MG-15): what a user wants to hear of, and where to.

use datapact_core::id::{SubscriptionId, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::catalog::{CatalogFilter, Publications};
use crate::operation::{Page, operations};

operations! {
    /// Subscriptions that management keeps.
    pub trait Subscriptions {
        /// The caller's subscriptions, oldest first.
        get "/v1/subscriptions" for Users;
        fn subscriptions() -> Vec<Subscription> as Json;

        /// A subscription.
        get "/v1/subscriptions/{id}" for Subscriber;
        fn subscription(path id: &SubscriptionId) -> Subscription as Json;

        /// Keep a subscription under a drawn id, or replace what it says.
        ///
        /// The caller draws the id, so that a repeat answers the same.
        put "/v1/subscriptions/{id}" for Users;
        fn set_subscription(path id: &SubscriptionId, body new: &NewSubscription)
            -> Subscription as Json;

        /// End a subscription.
        ///
        /// What waits to be sent is dropped.
        delete "/v1/subscriptions/{id}" for Subscriber;
        fn delete_subscription(path id: &SubscriptionId) -> () as Json;

        /// What fits, as it is published.
        ///
        /// From behind the event `after`; from the subscription's beginning if there is none.
        get "/v1/subscriptions/{id}/publications" for Subscriber;
        fn follow_subscription(path id: &SubscriptionId, last_event after: Option<u64>)
            -> Publications as Events;

        /// What could not be sent, 200 a page.
        ///
        /// By the publication's number.
        get "/v1/subscriptions/{id}/dead-letters" for Subscriber;
        fn dead_letters(path id: &SubscriptionId, query page: Page<u64>)
            -> Vec<DeadLetter> as Json;

        /// Send dead letters again.
        post "/v1/subscriptions/{id}/redeliveries" for Subscriber;
        fn redeliver(path id: &SubscriptionId, body again: &Redelivery) -> () as Json;
    }
}

/// A subscription to be kept, under an id that the subscriber draws, so that a repeat makes no
/// second one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSubscription {
    /// Which publications.
    pub filter: CatalogFilter,
    /// Where to send them; without it they are only there to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<NewWebhook>,
}

/// Where publications are sent, and the secret that they are signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// `https://...`, at most 2048 bytes, without a user and a fragment.
    pub url: String,
    /// `whsec_` and 24 to 64 bytes in base64 (Standard Webhooks); never told again.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "String", regex(pattern = "^whsec_[A-Za-z0-9+/]+=*$"))
    )]
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewWebhook").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A subscription as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Which publications.
    pub filter: CatalogFilter,
    /// Where they are sent, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// The newest publication at that time: it is about those that follow.
    pub after: u64,
    /// How many publications are still to be sent.
    pub waiting: u64,
    /// How many could not be sent.
    pub dead: u64,
}

/// A publication that could not be sent, however often it was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeadLetter {
    /// The publication's number.
    pub event: u64,
    /// When it was given up.
    pub time: Timestamp,
    /// How often it was tried.
    pub attempts: u64,
    /// Why the last attempt failed.
    pub error: String,
}

/// What to send again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Redelivery {
    /// The numbers of dead letters, at most 200; all of them if none is given.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 200)))]
    pub events: Vec<u64>,
}
