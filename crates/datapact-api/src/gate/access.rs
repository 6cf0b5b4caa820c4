//! Access lists.

use std::str::FromStr;

use datapact_core::identity::{Identity, ParseIdentityError};

/// One line of an access list: a realm (`clinic`), or one identity (`clinic:CN=alice`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Everybody of a realm.
    Realm(String),
    /// One user or server.
    Identity(Identity),
}

/// Whom a server admits (AC-3): who is on `allow` and not on `deny`.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    /// Admitted.
    pub allow: Vec<Pattern>,
    /// Refused, even if admitted by `allow`.
    pub deny: Vec<Pattern>,
}

impl Pattern {
    fn matches(&self, identity: &Identity) -> bool {
        match self {
            Self::Realm(realm) => *realm == identity.realm,
            Self::Identity(one) => one == identity,
        }
    }
}

impl FromStr for Pattern {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(':') {
            return text.parse().map(Self::Identity);
        }
        let probe = Identity { realm: text.to_owned(), subject: "CN=x".to_owned() };
        probe.validate().map(|()| Self::Realm(text.to_owned()))
    }
}

impl AccessList {
    /// Whether `identity` is admitted.
    pub fn admits(&self, identity: &Identity) -> bool {
        let listed =
            |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(identity));
        listed(&self.allow) && !listed(&self.deny)
    }
}
