//! The data-sharing policy and its information (DP-6, DP-7).

pub mod desensitization;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::desensitization::Desensitization;
use crate::address::{AddressError, Addressed as _};
use crate::document::Body;
use crate::id::{Digest, ShareId};
use crate::identity::is_seen;
use crate::permission::{AccessPermission, KeyReference, PackageReference, PermissionError};
use crate::terms::{Name, Terms, TermsError};

/// The longest title, in bytes.
pub const TITLE_BYTES_MAX: usize = 200;
/// The longest introduction, in bytes.
pub const INTRODUCTION_BYTES_MAX: usize = 8_000;
/// The longest description of the usage, in bytes.
pub const USAGE_BYTES_MAX: usize = 2_000;
/// The most categories.
pub const CATEGORIES_MAX: usize = 16;
/// The largest amount or size, so that every JSON reader keeps it exact.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Why a sharing policy was refused before it reached the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Version 0, a first version with a predecessor, or a later one without.
    #[error(
        "version {0} is wrong: versions begin at 1, and every one but the first names its \
         predecessor"
    )]
    Version(u32),
    /// An empty text where one is needed.
    #[error("the {0} must not be empty")]
    Empty(&'static str),
    /// A text is too long.
    #[error("the {field} is longer than {bytes_max} bytes")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// How long it may be.
        bytes_max: usize,
    },
    /// A text holds a control character, which a terminal might obey, or one that is not seen and
    /// changes how others are shown.
    #[error("the {0} has a control or invisible character")]
    Control(&'static str),
    /// Not a media type.
    #[error("`{0}` is not a media type such as `text/csv`, without parameters")]
    MediaType(String),
    /// Not a currency.
    #[error("`{0}` is not an ISO 4217 currency code such as `EUR`")]
    Currency(String),
    /// Above [`NUMBER_MAX`], or an empty package.
    #[error("the {0} is out of bounds")]
    Number(&'static str),
    /// More than [`CATEGORIES_MAX`] categories, or one twice.
    #[error("at most {CATEGORIES_MAX} different categories can be given")]
    Categories,
    /// Not the address of that key or package at a server.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The terms.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The access permission.
    #[error(transparent)]
    Permission(#[from] PermissionError),
}

/// Whether a share gives access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ShareState {
    /// Access is decided by the terms.
    Active,
    /// No access is granted until a successor makes the share active again.
    Suspended,
    /// No access is granted ever again, and no successor is accepted.
    Revoked,
}

/// A price, for information: Datapact does not collect it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// In minor units of the currency.
    pub amount: u64,
    /// ISO 4217, three upper-case letters.
    pub currency: String,
}

/// The data-sharing information (DP-6). Its provider and the provider's public key are the signer
/// of the policy and the certificate in its signature; the terms say who may access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// How the data were desensitized before they were sealed (DP-1, SH-1); none if Datapact did
    /// not desensitize them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desensitization: Option<Desensitization>,
}

/// One version of a share's policy, signed by its provider. Create, update, suspend, resume and
/// revoke are one thing: a successor with the next version.
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
    /// How often and how long each consumer may access, and whether it may export.
    pub permission: AccessPermission,
}

impl Body for SharingPolicy {
    const TYPE: &'static str = "sharing-policy";
}

impl SharingPolicy {
    /// Checks every bound that the types document. The contract checks the rest: that the share
    /// exists, the version is the next one and the signer is the owner.
    ///
    /// # Errors
    /// The first bound that is broken, in the order of the fields; the information's are checked
    /// before those of terms and permission.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.version == 0 || self.previous.is_some() != (self.version > 1) {
            return Err(PolicyError::Version(self.version));
        }
        self.information.validate()?;
        self.terms.validate()?;
        Ok(self.permission.validate()?)
    }
}

impl SharingInformation {
    fn validate(&self) -> Result<(), PolicyError> {
        if self.title.trim().is_empty() {
            return Err(PolicyError::Empty("title"));
        }
        text("title", &self.title, TITLE_BYTES_MAX, |_| false)?;
        let line_break_or_tab = |c| matches!(c, '\n' | '\t');
        text("introduction", &self.introduction, INTRODUCTION_BYTES_MAX, line_break_or_tab)?;
        text("usage", &self.usage, USAGE_BYTES_MAX, line_break_or_tab)?;
        if !is_media_type(&self.media_type) {
            return Err(PolicyError::MediaType(self.media_type.clone()));
        }
        let different: BTreeSet<&Name> = self.categories.iter().collect();
        if self.categories.len() > CATEGORIES_MAX || different.len() < self.categories.len() {
            return Err(PolicyError::Categories);
        }
        if let Some(price) = &self.price {
            if price.amount > NUMBER_MAX {
                return Err(PolicyError::Number("price"));
            }
            if price.currency.len() != 3 || !price.currency.bytes().all(|b| b.is_ascii_uppercase())
            {
                return Err(PolicyError::Currency(price.currency.clone()));
            }
        }
        if !(1..=NUMBER_MAX).contains(&self.package.size) {
            return Err(PolicyError::Number("package size"));
        }
        self.desensitization.as_ref().map_or(Ok(()), Desensitization::validate)?;
        self.key.id.check_address(&self.key.address)?;
        Ok(self.package.id.check_address(&self.package.address)?)
    }
}

fn text(
    field: &'static str,
    text: &str,
    bytes_max: usize,
    allowed: fn(char) -> bool,
) -> Result<(), PolicyError> {
    if text.len() > bytes_max {
        return Err(PolicyError::TooLong { field, bytes_max });
    }
    if text.chars().any(|c| !is_seen(c) && !allowed(c)) {
        return Err(PolicyError::Control(field));
    }
    Ok(())
}

/// `type/subtype`, each a restricted name of RFC 6838 clause 4.2.
fn is_media_type(text: &str) -> bool {
    let restricted_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/')
        .is_some_and(|(kind, subtype)| restricted_name(kind) && restricted_name(subtype))
}
