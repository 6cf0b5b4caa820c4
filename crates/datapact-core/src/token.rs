//! The access token (MG-16): a JWT (RFC 9068 `at+jwt`, ES256) bound to the consumer's TLS certificate (RFC 8705).

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, Digest, KeyId, PackageId, Salt, ShareId, Timestamp};

/// The claims of an access token. It identifies one recorded access; it is not consumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessToken {
    /// The management's name.
    pub iss: String,
    /// The consumer's account.
    pub sub: AccountId,
    /// The key server's name.
    pub aud: String,
    /// The consumer's account, as RFC 9068 asks for.
    pub client_id: AccountId,
    /// The record's time.
    pub iat: Timestamp,
    /// The last moment of use; counted from the record and never extended.
    pub exp: Timestamp,
    /// The token's identifier.
    pub jti: Digest,
    /// Whose it is.
    pub cnf: Confirmation,
    /// The share.
    pub share: ShareId,
    /// The key that it gets.
    pub key: KeyId,
    /// The package that the key opens.
    pub package: PackageId,
    /// The contract's address.
    pub contract: String,
    /// The access request's document id, under which the ledger keeps the access record.
    pub request: Digest,
    /// Where the record stands in the ledger.
    pub position: u64,
    /// The salt that opens the record's commitment to the consumer.
    pub salt: Salt,
}

/// The key that a token is bound to (RFC 7800).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// SHA-256 of the TLS client certificate, base64url without padding (RFC 8705).
    #[serde(rename = "x5t#S256")]
    pub certificate: String,
}
