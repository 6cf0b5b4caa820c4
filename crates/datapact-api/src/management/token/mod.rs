//! Access tokens (6.2.2): whether they are good, and their revocation.

use datapact_core::id::{AccountId, Digest, KeyId, PackageId, ShareId, Timestamp};
use datapact_core::token::Confirmation;
use serde::{Deserialize, Deserializer, Serialize};

use crate::operation::operations;

operations! {
    /// Access tokens.
    pub trait Tokens {
        /// Whether a token is good (RFC 7662).
        post "/v1/introspect" for Servers;
        fn introspect(form form: &TokenForm) -> Introspection as Unstored;

        /// Whether the token of an access is good.
        ///
        /// The access is named by the document id of its request.
        get "/v1/accesses/{request}/token" for TokenParties;
        fn token(path request: &Digest) -> Introspection as Json;

        /// Revoke the token of an access.
        ///
        /// It is good for nothing from now on, at the key server too. A repeat changes nothing;
        /// what was released before stays released.
        delete "/v1/accesses/{request}/token" for TokenParties;
        fn revoke_token(path request: &Digest) -> () as Json;
    }
}

/// A token to be examined (RFC 7662); other parameters change nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenForm {
    /// The token; not empty.
    #[serde(deserialize_with = "not_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 16384)))]
    pub token: String,
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Err(serde::de::Error::custom("`token` is empty")) } else { Ok(text) }
}

/// Whether a token is good (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("additionalProperties" = false)))]
pub struct Introspection {
    /// Whether it is.
    pub active: bool,
    /// What it says, if it is.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenDescription>,
}

/// What others than its holder are told of an access token: nothing that opens a commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenDescription {
    /// The management's name.
    pub iss: String,
    /// The consumer's account.
    pub sub: AccountId,
    /// The same.
    pub client_id: AccountId,
    /// The key server's name.
    pub aud: String,
    /// The access record's time.
    pub iat: Timestamp,
    /// The token is dead from this second on.
    pub exp: Timestamp,
    /// The token's identifier, told to who has shown the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<Digest>,
    /// The certificate that it is bound to, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// The share.
    pub share: ShareId,
    /// The key that it gets.
    pub key: KeyId,
    /// The package that the key opens.
    pub package: PackageId,
}
