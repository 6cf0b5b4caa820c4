//! The catalog (6.2.2): published information, to search and to follow.

mod query;

pub use query::{CatalogFilter, CatalogQuery};

use datapact_core::contract::Refusal;
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingInformation, SharingPolicy};
use datapact_core::terms::Name;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::operation::operations;
use crate::problem;

/// Publications as they come.
pub type Publications = BoxStream<'static, problem::Result<CatalogEntry>>;

operations! {
    /// Published information.
    pub trait Catalog {
        /// Search what is published, newest first.
        ///
        /// (MG-14.)
        get "/v1/catalog" for Users;
        fn catalog(query query: &CatalogQuery) -> Vec<CatalogEntry> as Json;

        /// One share, and whether the caller would be granted access.
        ///
        /// With its signed policy.
        get "/v1/catalog/{share}" for Users;
        fn catalog_entry(path share: &ShareId, query purpose: &Purpose) -> CatalogDetail as Json;

        /// What is published, as it is published.
        ///
        /// From behind the event `after` (MG-15); from now on if there is none.
        get "/v1/publications" for Users;
        fn publications(last_event after: Option<u64>) -> Publications as Events;
    }
}

/// What an access would be for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// The purpose that the request would state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Name>,
}

/// Published information about a share. It does not have the named users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CatalogEntry {
    /// The number of the publication, growing.
    pub event: u64,
    /// The share.
    pub share: ShareId,
    /// The version.
    pub version: u32,
    /// The newest policy's document id.
    pub policy: Digest,
    /// The contract's address.
    pub contract: String,
    /// Whether it gives access.
    pub state: ShareState,
    /// The provider.
    pub provider: Identity,
    /// The information.
    pub information: SharingInformation,
    /// The expiration time.
    pub expires: Timestamp,
}

/// One share in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CatalogDetail {
    /// What is published.
    pub entry: CatalogEntry,
    /// The signed policy; not given to a user whom the provider has not named, since it names the
    /// others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Signed<SharingPolicy>>,
    /// How many accesses the caller was granted.
    pub granted: u32,
    /// Why the contract would refuse the caller now; none if it would grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}
