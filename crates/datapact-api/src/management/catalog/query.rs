//! What to search the catalog for. A query of the catalog and a subscription have one filter.

use datapact_core::id::Timestamp;
use datapact_core::terms::{Country, Industry, Name};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};

/// Which publications; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CatalogFilter {
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

/// A search of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CatalogQuery {
    /// Which publications.
    #[serde(flatten)]
    pub filter: CatalogFilter,
    /// Only what may be accessed at this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_at: Option<Timestamp>,
    /// At most this many, 1 to 100; 50 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what was published before this event, for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

impl From<CatalogFilter> for CatalogQuery {
    fn from(filter: CatalogFilter) -> Self {
        Self { filter, ..Self::default() }
    }
}

/// What a query has beside its filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rest {
    valid_at: Option<Timestamp>,
    limit: Option<u32>,
    before: Option<u64>,
}

// By hand: with `flatten`, serde reads no numbers from a query and takes unknown parameters.
impl<'de> Deserialize<'de> for CatalogQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parameters = Vec::<(String, String)>::deserialize(deserializer)?;
        let (rest, filter): (Vec<_>, Vec<_>) = parameters
            .into_iter()
            .partition(|(name, _)| matches!(name.as_str(), "valid_at" | "limit" | "before"));
        let filter = read(&filter)?;
        let Rest { valid_at, limit, before } = read(&rest)?;
        Ok(Self { filter, valid_at, limit, before })
    }
}

fn read<T: DeserializeOwned, E: Error>(parameters: &[(String, String)]) -> Result<T, E> {
    let text = serde_urlencoded::to_string(parameters).map_err(E::custom)?;
    serde_urlencoded::from_str(&text).map_err(E::custom)
}
