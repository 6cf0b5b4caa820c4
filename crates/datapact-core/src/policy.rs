//! The data-sharing policy and its information (DP-6, DP-7).

use serde::{Deserialize, Serialize};

use crate::document::Body;
use crate::id::{Digest, ShareId};
use crate::permission::{AccessPermission, KeyReference, PackageReference};
use crate::terms::{Name, Terms};

/// Whether a share gives access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareState {
    /// Access is decided by the terms.
    Active,
    /// Nobody gets access until a successor makes it active again.
    Suspended,
    /// Nobody gets access ever again; no successor is accepted.
    Revoked,
}

/// A price, for information: Datapact does not collect it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// In minor units of the currency.
    pub amount: u64,
    /// ISO 4217, three upper-case letters.
    pub currency: String,
}

/// The data-sharing information (DP-6). Its provider and the provider's public key are the signer of the policy
/// and the certificate in its signature; who is allowed stands in the terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharingInformation {
    /// The ciphertext's identifier, storage address, digest and size.
    pub package: PackageReference,
    /// The key's identifier and storage address.
    pub key: KeyReference,
    /// A name for people, at most 200 bytes.
    pub title: String,
    /// The media type of the plaintext (RFC 6838).
    pub media_type: String,
    /// Data categories, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Name>,
    /// The introduction, at most 8,000 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub introduction: String,
    /// What the data is meant for, at most 2,000 bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub usage: String,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// One version of a share's policy, signed by its provider. Create, update, suspend, resume and revoke are one
/// thing: a successor with the next version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharingPolicy {
    /// The share.
    pub share: ShareId,
    /// From 1, one more than the predecessor's.
    pub version: u32,
    /// The predecessor's document id; none for version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Whether the share gives access.
    pub state: ShareState,
    /// What is shared.
    pub information: SharingInformation,
    /// Who may access.
    pub terms: Terms,
    /// How often, how long and how.
    pub permission: AccessPermission,
}

impl Body for SharingPolicy {
    const TYPE: &'static str = "sharing-policy";
}
