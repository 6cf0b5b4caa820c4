//! Identities: a realm and the subject of a certificate.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 512;

/// The reserved realm of servers: their subject is the DNS name of their certificate.
pub const SERVER_REALM: &str = "server";

/// A user or server, by the realm whose CA certified it and the subject of its certificate.
///
/// It survives renewal of the certificate and of the CA. The subject of a user is its distinguished
/// name in the form that [`crate::trust`] produces; the subject of a server is its DNS name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Unchecked")]
pub struct Identity {
    /// The organisation that a CA may certify, as the trust configuration names it: 1 to 64 of `a-z
    /// 0-9 . -`.
    pub realm: String,
    /// The certificate's subject, at most 512 bytes.
    pub subject: String,
}

/// An identity as it comes in, before [`Identity::validate`].
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Unchecked {
    realm: String,
    subject: String,
}

impl TryFrom<Unchecked> for Identity {
    type Error = ParseIdentityError;

    fn try_from(Unchecked { realm, subject }: Unchecked) -> Result<Self, ParseIdentityError> {
        let identity = Self { realm, subject };
        identity.validate()?;
        Ok(identity)
    }
}

/// Why an identity was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an identity is written `realm:subject`, with a realm of 1 to 64 of a-z, 0-9, `.` and `-`, and \
     a subject of 1 to 512 bytes without control or invisible characters"
)]
pub struct ParseIdentityError;

impl Identity {
    /// The identity of the server whose certificate bears `name`.
    pub fn server(name: &str) -> Self {
        Self { realm: SERVER_REALM.to_owned(), subject: name.to_owned() }
    }

    /// Whether this is a server's identity.
    pub fn is_server(&self) -> bool {
        self.realm == SERVER_REALM
    }

    /// Checks the bounds that the fields' documentation gives.
    ///
    /// # Errors
    /// [`ParseIdentityError`] when realm or subject is out of bounds.
    pub fn validate(&self) -> Result<(), ParseIdentityError> {
        let realm = &self.realm;
        let realm_ok = (1..=64).contains(&realm.len())
            && realm
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-');
        let subject_ok =
            (1..=SUBJECT_BYTES_MAX).contains(&self.subject.len()) && is_plain(&self.subject);
        if realm_ok && subject_ok { Ok(()) } else { Err(ParseIdentityError) }
    }
}

/// Whether a text has only characters that are seen.
pub(crate) fn is_plain(text: &str) -> bool {
    text.chars().all(is_seen)
}

/// Whether a character is neither a control character nor one that changes how others are shown
/// without being seen (zero-width and bidirectional formatting), with which two texts could look
/// the same.
pub fn is_seen(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}'))
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.realm, self.subject)
    }
}

impl FromStr for Identity {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, ParseIdentityError> {
        let (realm, subject) = text.split_once(':').ok_or(ParseIdentityError)?;
        let identity = Self { realm: realm.to_owned(), subject: subject.to_owned() };
        identity.validate()?;
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_identity_is_written_realm_colon_subject() {
        let identity: Identity = "clinic-a.example:CN=Ann,O=Clinic: A".parse().unwrap();
        assert_eq!(identity.realm, "clinic-a.example");
        assert_eq!(identity.subject, "CN=Ann,O=Clinic: A");
        assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
        assert!("server:keys.example".parse::<Identity>().unwrap().is_server());
    }

    #[test]
    fn identities_are_bounded() {
        let longest = format!("{}:{}", "r".repeat(64), "s".repeat(512));
        assert!(longest.parse::<Identity>().is_ok());
        let realm_too_long = format!("{}:s", "r".repeat(65));
        let subject_too_long = format!("r:{}", "s".repeat(513));
        for bad in [
            "",
            "clinic",
            ":CN=Ann",
            "clinic:",
            "Clinic:CN=Ann",
            "a b:CN=Ann",
            "a:CN=\n",
            &realm_too_long,
            &subject_too_long,
        ] {
            assert!(bad.parse::<Identity>().is_err(), "`{bad}` was accepted");
        }
    }
}
