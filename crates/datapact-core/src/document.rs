//! Signed documents: what every payload carries, and the documents other than the policy.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::id::{Digest, KeyId, PackageId, ShareId, Timestamp};
use crate::identity::Identity;
use crate::terms::Name;

/// The content of one type of document.
pub trait Body: Serialize + DeserializeOwned {
    /// The type's name; the JWS `typ` is `datapact-TYPE+jws`.
    const TYPE: &'static str;
}

/// A signed payload: who says what to whom, and when. Its nonce keeps anyone who sees the digest,
/// on a ledger for instance, from guessing the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document<B> {
    /// [`Body::TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The reader: the ledger's id for what a ledger records, a server's name for what is sent to
    /// one server, and [`ANYBODY`] for what travels with data.
    pub audience: String,
    /// Who signs.
    pub signer: Identity,
    /// When it was signed, by the signer's clock.
    pub time: Timestamp,
    /// 32 random bytes.
    pub nonce: Digest,
    /// The content.
    pub body: B,
}

/// The audience of a document that travels with data.
pub const ANYBODY: &str = "*";

/// A consumer's request to access a share under the policy version that it names (DC-4). Its
/// document id identifies the access from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRequest {
    /// The share.
    pub share: ShareId,
    /// The document id of the policy version that the consumer accepts; it binds provider,
    /// ciphertext and key.
    pub policy: Digest,
    /// What the consumer wants the data for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Name>,
}

/// A consumer's request to have a key sealed to a public key made for this one answer (DC-6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// SHA-256 of the access token's text.
    pub token: Digest,
    /// The access request's document id.
    pub request: Digest,
    /// The key wanted.
    pub key: KeyId,
    /// A fresh HPKE public key (RFC 9180, DHKEM(X25519, HKDF-SHA256)), 32 bytes.
    pub recipient: Digest,
}

/// A key server's statement that it released a key; audits compare it with the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRelease {
    /// The share.
    pub share: ShareId,
    /// The key.
    pub key: KeyId,
    /// The access request's document id.
    pub request: Digest,
    /// The key request's document id.
    pub key_request: Digest,
    /// SHA-256 of the sealed key that was given out.
    pub sealed: Digest,
}

/// A key server's statement that it destroyed the record of a release with all that names its
/// consumer, who was erased: audits find it in the release's place. It names no consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseErasure {
    /// The share.
    pub share: ShareId,
    /// The access request's document id.
    pub request: Digest,
    /// The key request's document id.
    pub key_request: Digest,
    /// When the key was released.
    pub released: Timestamp,
    /// The document id of the statement by which the erasure was asked for, which the key server
    /// has verified.
    pub statement: Digest,
}

/// A package's signed metadata (WR-5): identifiers, the provider, and the root that fixes its
/// payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageMetadata {
    /// The package.
    pub package: PackageId,
    /// The key that opens it.
    pub key: KeyId,
    /// SHA-256 of the provider's public key (SubjectPublicKeyInfo, DER): the header's field.
    pub provider_key: Digest,
    /// The URL of the management whose contract decides access; empty for an offline package.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub management: String,
    /// The share it belongs to; none for an offline package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    /// The media type of the plaintext.
    pub media_type: String,
    /// The plaintext's length in bytes.
    pub size: u64,
    /// The BLAKE3 hash of header and payload ciphertext.
    pub root: Digest,
}

/// A consumer's report of what it did with the data (UR-2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageReport {
    /// The share.
    pub share: ShareId,
    /// The access under which it happened: its request's document id.
    pub request: Digest,
    /// What was done.
    pub action: UsageAction,
}

/// What a consumer did with the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UsageAction {
    /// Presented them to the user.
    Opened,
    /// Wrote the plaintext to a file, which the permission allowed.
    Exported,
    /// Ended the access; only ciphertext remains.
    Closed,
}

/// A user's authentication of one call of an API (MG-2), sent in the `Datapact-Statement` header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The method, upper case.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// SHA-256 of the body; none for an empty or streamed body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
}

macro_rules! body {
    ($($type:ty => $name:literal,)*) => {
        $(impl Body for $type {
            const TYPE: &'static str = $name;
        })*
    };
}

body! {
    AccessRequest => "access-request",
    KeyRequest => "key-request",
    KeyRelease => "key-release",
    ReleaseErasure => "release-erasure",
    PackageMetadata => "package-metadata",
    UsageReport => "usage-report",
    Statement => "statement",
}
