//! Releases of keys to consumers.

use datapact_core::document::{AccessRequest, KeyRelease, KeyRequest, ReleaseErasure, Statement};
use datapact_core::id::{Digest, KeyId, ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::release::SealedKey;
use serde::{Deserialize, Serialize};

use crate::operation::{Page, operations};

operations! {
    /// Releases of keys.
    pub trait Releases {
        /// The key, sealed to the request.
        ///
        /// It is sealed to the key request's recipient (KS-4, KS-5).
        post "/v1/keys/{id}/release" for Consumers;
        fn release(path id: &KeyId, body release: &ReleaseKey) -> ReleasedKey as Json;

        /// The signed releases of a share, by key request, 200 a page.
        ///
        /// For audits.
        get "/v1/releases/{share}" for KeyOwner;
        fn releases(path share: &ShareId, query page: Page<Digest>) -> Vec<ReleaseEntry> as Json;

        /// The releases of a share whose consumers were erased, by key request, 200 a page.
        ///
        /// For audits.
        get "/v1/releases/{share}/erased" for KeyOwner;
        fn erased_releases(path share: &ShareId, query page: Page<Digest>)
            -> Vec<ErasedRelease> as Json;

        /// Release nothing more for an access.
        ///
        /// (MG-16.)
        post "/v1/revocations" for Management;
        fn revoke_token(body revocation: &TokenRevocation) -> () as Json;
    }
}

/// A request for a key.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReleaseKey {
    /// The access token.
    pub token: String,
    /// The access request that the ledger recorded.
    pub request: Signed<AccessRequest>,
    /// The key request.
    pub key_request: Signed<KeyRequest>,
}

/// A released key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReleasedKey {
    /// The key, sealed.
    pub sealed: SealedKey,
    /// The key server's statement of it.
    pub release: Signed<KeyRelease>,
}

/// A release with the request that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReleaseEntry {
    /// The key server's statement.
    pub release: Signed<KeyRelease>,
    /// The consumer's key request.
    pub key_request: Signed<KeyRequest>,
}

/// What is left of a release whose consumer was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ErasedRelease {
    /// The key server's statement.
    pub erasure: Signed<ReleaseErasure>,
    /// The statement by which the erasure was asked for; none once its signer was erased, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Signed<Statement>>,
}

/// An access whose token was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenRevocation {
    /// The access request's document id.
    pub request: Digest,
    /// When no token for it can live any more, so that the revocation may be forgotten.
    pub until: Timestamp,
}
