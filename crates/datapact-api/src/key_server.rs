//! What a key server offers (6.2.3).

use async_trait::async_trait;
use datapact_core::commitment::Opening;
use datapact_core::document::{AccessRequest, KeyRelease, KeyRequest};
use datapact_core::id::{Digest, KeyId, ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::permission::KeyReference;
use datapact_core::policy::SharingPolicy;
use datapact_core::release::SealedKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::administration::UserNotice;
use crate::problem::Result;

/// A key server, as one caller sees it.
#[async_trait]
pub trait KeyServer: Send + Sync {
    /// Providers: a key identifier and the address to get the key from (WR-2). What no policy names
    /// within a day is forgotten, stored or not.
    async fn register_key(&self) -> Result<KeyReference>;
    /// Providers: stores the key of one share and package (KS-1 to KS-3). A repeat with the same
    /// content answers the same; other content is refused.
    async fn store_key(&self, id: &KeyId, key: &StoreKey) -> Result<KeyStatus>;
    /// Providers: what is stored of their key; also management's, to confirm it (SH-7).
    async fn key_status(&self, id: &KeyId) -> Result<KeyStatus>;
    /// Providers: their keys behind `after`, by identifier; pages hold 200 (KS-6).
    async fn keys(&self, after: Option<&KeyId>) -> Result<Vec<KeyStatus>>;
    /// Providers: destroys a key that no policy names, or only policies that are superseded or
    /// revoked.
    async fn delete_key(&self, id: &KeyId) -> Result<()>;
    /// Management: shows a policy that the key's provider signed; only under a policy that was
    /// shown is a key released (SH-7).
    async fn show_policy(&self, shown: &ShownPolicy) -> Result<()>;
    /// Providers: from now on nothing is released under the share; `policy` suspends or revokes it.
    async fn withhold(&self, policy: &Signed<SharingPolicy>) -> Result<()>;
    /// Management: nothing more is released for an access (MG-16).
    async fn revoke_token(&self, revocation: &TokenRevocation) -> Result<()>;
    /// Management: what a user is from now on.
    async fn set_user(&self, notice: &UserNotice) -> Result<()>;
    /// Consumers: the key, sealed to the key request's recipient (KS-4, KS-5).
    async fn release(&self, id: &KeyId, release: &ReleaseKey) -> Result<ReleasedKey>;
    /// Providers: the signed releases of their share, for audits, by key request behind `after`;
    /// pages hold 200.
    async fn releases(&self, share: &ShareId, after: Option<&Digest>) -> Result<Vec<ReleaseEntry>>;
}

/// A key to be stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreKey {
    /// The 32 bytes, hexadecimal.
    pub key: Zeroizing<String>,
    /// The share that it belongs to.
    pub share: ShareId,
    /// The id of the metadata of the package that it opens.
    pub package: Digest,
}

/// What is stored under a key's identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyStatus {
    /// The key and its address.
    pub key: KeyReference,
    /// Whether it is stored.
    pub stored: bool,
    /// The share that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    /// The package that it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Digest>,
}

/// A policy with what lets a key server recompute what the ledger must say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownPolicy {
    /// The policy.
    pub policy: Signed<SharingPolicy>,
    /// What opens the commitment to the provider.
    pub owner: Opening,
    /// What opens the commitments to the users named.
    pub users: Vec<Opening>,
}

/// An access whose token was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRevocation {
    /// The access request's document id.
    pub request: Digest,
    /// When no token for it can live any more, so that the revocation may be forgotten.
    pub until: Timestamp,
}

/// A request for a key.
#[derive(Clone, Serialize, Deserialize)]
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
#[serde(deny_unknown_fields)]
pub struct ReleasedKey {
    /// The key, sealed.
    pub sealed: SealedKey,
    /// The key server's statement of it.
    pub release: Signed<KeyRelease>,
}

/// A release with the request that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseEntry {
    /// The key server's statement.
    pub release: Signed<KeyRelease>,
    /// The consumer's key request.
    pub key_request: Signed<KeyRequest>,
}
