//! JSON Schemas of the types that write themselves as text, for the API's description.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::id::{AccountId, Commitment, Digest, KeyId, PackageId, Salt, ShareId, SubscriptionId};
use crate::jws::{JWS_BYTES_MAX, Signed};
use crate::terms::{Country, Industry, Name};

/// A type that is text of this form.
macro_rules! text {
    ($($type:ident, $pattern:literal, $description:literal;)*) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": $description,
                    "type": "string",
                    "pattern": $pattern,
                })
            }
        })*
    };
}

text! {
    Digest, "^[0-9a-f]{64}$", "A SHA-256 digest.";
    Commitment, "^[0-9a-f]{64}$", "A salted commitment to an identity.";
    Salt, "^[0-9a-f]{64}$", "The salt of a commitment.";
    ShareId, "^[0-9a-f]{32}$", "A share.";
    PackageId, "^[0-9a-f]{32}$", "A package.";
    KeyId, "^[0-9a-f]{32}$", "A key.";
    AccountId, "^[0-9a-f]{32}$", "An account.";
    SubscriptionId, "^[0-9a-f]{32}$", "A subscription.";
    Name, "^[A-Za-z0-9._-]{1,64}$", "A category, purpose or organisation.";
    Country, "^[A-Z]{2}$", "ISO 3166-1 alpha-2.";
    Industry, "^(isic4|nace2):[A-U0-9.]{1,5}$", "A code of ISIC Rev. 4 or NACE Rev. 2.";
}

impl<B> JsonSchema for Signed<B> {
    fn schema_name() -> Cow<'static, str> {
        "Jws".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A signed document: a JWS (RFC 7515) in compact serialization.",
            "type": "string",
            "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$",
            "maxLength": JWS_BYTES_MAX,
        })
    }
}
