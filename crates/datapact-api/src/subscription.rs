//! Subscriptions that management keeps (MG-15): what a user wants to hear of, and where to.

use datapact_core::id::{SubscriptionId, Timestamp};
use datapact_core::terms::{Country, Industry, Name};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::management::CatalogQuery;

/// Which publications; all that is given must hold, as in a search of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Words in title, introduction or usage: whole ones, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Name>,
    /// The realm of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The provider, `realm:subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// An industry that the terms admit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub industry: Option<Industry>,
    /// A country that the terms admit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// The highest price, in minor units of `currency`; 0 alone finds what costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_max: Option<u64>,
    /// The currency of `price_max` (ISO 4217).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

impl Filter {
    /// The search that finds the same.
    pub fn query(&self) -> CatalogQuery {
        let Self { text, category, realm, provider, industry, country, price_max, currency } =
            self.clone();
        let all = CatalogQuery::default();
        CatalogQuery {
            text,
            category,
            realm,
            provider,
            industry,
            country,
            price_max,
            currency,
            ..all
        }
    }
}

/// A subscription to be kept, under an id that the subscriber draws, so that a repeat makes no
/// second one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSubscription {
    /// Which publications.
    pub filter: Filter,
    /// Where to send them; without it they are only there to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<NewWebhook>,
}

/// Where publications are sent, and the secret that they are signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// `https://...`, at most 2048 bytes, without a user and a fragment.
    pub url: String,
    /// `whsec_` and 24 to 64 bytes in base64 (Standard Webhooks); never told again.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewWebhook").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A subscription as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Which publications.
    pub filter: Filter,
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
#[serde(deny_unknown_fields)]
pub struct Redelivery {
    /// The numbers of dead letters, at most 200; all of them if none is given.
    #[serde(default)]
    pub events: Vec<u64>,
}
