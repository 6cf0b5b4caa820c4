//! Signing access tokens.

use datapact_core::token::{AccessToken, Jwks, TokenKey};

/// What signs access tokens as this management.
pub(crate) struct Issuer {
    name: String,
    key: TokenKey,
    seconds: u64,
}

impl Issuer {
    pub(crate) fn new(name: String, key: TokenKey, seconds: u64) -> Self {
        Self { name, key, seconds }
    }

    /// This management's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The life of a token, in seconds from the time of the access record.
    pub(crate) fn seconds(&self) -> u64 {
        self.seconds
    }

    pub(crate) fn sign(&self, token: &AccessToken) -> String {
        self.key.sign(token)
    }

    /// The keys that tokens are verified with.
    pub(crate) fn jwks(&self) -> Jwks {
        Jwks { keys: vec![self.key.jwk().clone()] }
    }
}
