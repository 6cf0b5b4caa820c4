//! Signing access tokens.

use datapact_core::token::{AccessToken, Jwks, TokenKey};

/// What signs access tokens as this management.
pub(in crate::management) struct Issuer {
    name: String,
    key: TokenKey,
    seconds: u64,
}

impl Issuer {
    pub(in crate::management) fn new(name: String, key: TokenKey, seconds: u64) -> Self {
        Self { name, key, seconds }
    }

    /// This management's name.
    pub(in crate::management) fn name(&self) -> &str {
        &self.name
    }

    /// The life of a token, in seconds from the time of the access record.
    pub(in crate::management) fn seconds(&self) -> u64 {
        self.seconds
    }

    pub(in crate::management) fn sign(&self, token: &AccessToken) -> String {
        self.key.sign(token)
    }

    /// The keys that tokens are verified with.
    pub(in crate::management) fn jwks(&self) -> Jwks {
        Jwks { keys: vec![self.key.jwk().clone()] }
    }
}
