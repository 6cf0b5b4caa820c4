//! Keys: a provider registers, stores and destroys them.

use datapact_core::id::{Digest, KeyId, ShareId};
use datapact_core::permission::KeyReference;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::operation::{Page, operations};

operations! {
    /// The keys of providers.
    pub trait Keys {
        /// A new key's id and address.
        ///
        /// (WR-2.) What no policy names within a day is forgotten, stored or not.
        post "/v1/keys" for Users with IdempotencyKey;
        fn register_key() -> KeyReference as Json;

        /// Store a key.
        ///
        /// It is of one share and package (KS-1 to KS-3). A repeat with the same content answers
        /// the same; other content is refused.
        put "/v1/keys/{id}" for Owner;
        fn store_key(path id: &KeyId, body key: &StoreKey) -> KeyStatus as Json;

        /// What is stored of a key.
        ///
        /// Management asks, to confirm it (SH-7).
        get "/v1/keys/{id}" for OwnerAndManagement;
        fn key_status(path id: &KeyId) -> KeyStatus as Json;

        /// The caller's keys, by id, 200 a page.
        ///
        /// (KS-6.)
        get "/v1/keys" for Users;
        fn keys(query page: Page<KeyId>) -> Vec<KeyStatus> as Json;

        /// Destroy a key.
        ///
        /// One that no policy names, or only policies that are superseded or revoked.
        delete "/v1/keys/{id}" for Owner;
        fn delete_key(path id: &KeyId) -> () as Json;
    }
}

/// A key to be stored.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoreKey {
    /// The 32 bytes, hexadecimal.
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$")))]
    pub key: Zeroizing<String>,
    /// The share that it belongs to.
    pub share: ShareId,
    /// The id of the metadata of the package that it opens.
    pub package: Digest,
}

/// What is stored under a key's identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
