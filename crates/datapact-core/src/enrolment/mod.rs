//! The enrolment (US-4, PR-10): whom and what the users of one management trust, as a document that
//! administrators sign, version after version, as TUF's root is.
//!
//! Management hands it out and cannot change it: version 1 is signed by the administrators that it
//! names, every other one by the administrators that its predecessor names.

mod change;
mod history;
mod read;
#[cfg(test)]
mod tests;

pub use change::{Change, ChangeKind};
pub use history::{
    CLOCK_SECONDS_MAX, EnrolmentError, History, Version, verify_next, verify_signature,
};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::Body;
use crate::endpoint::Endpoint;
use crate::id::{Digest, Timestamp};
use crate::identity::Identity;

/// The longest body, in bytes of its RFC 8785 form: signed, it fits into a document.
pub const BODY_BYTES_MAX: usize = 128 * 1024;
/// The most administrators.
pub const ADMINISTRATORS_MAX: usize = 32;
/// The most servers of a kind.
pub const SERVERS_MAX: usize = 64;
/// The most versions that follow one another.
pub const VERSIONS_MAX: usize = 1000;

/// What the users of one management trust: its servers, its ledger, and the CAs of its realms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// From 1, without a gap.
    pub version: u32,
    /// The predecessor's fingerprint; none in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Who signs the next version; those of version 1 sign that one as well.
    pub administrators: Administrators,
    /// Management.
    pub management: Endpoint,
    /// Its public listener: health, keys, revocation lists, log.
    pub public: Endpoint,
    /// Key servers, the first is the default.
    pub key_servers: Vec<Endpoint>,
    /// Storage servers, the first is the default.
    pub storage_servers: Vec<Endpoint>,
    /// The ledger.
    pub ledger: LedgerTrust,
    /// The CAs of each realm, PEM; `server` is the servers'.
    pub realms: BTreeMap<String, String>,
}

/// Who signs the next version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Administrators {
    /// Each of them once.
    pub identities: Vec<Identity>,
    /// How many of them must sign: 1 to all.
    pub threshold: u32,
}

/// By what users recognise the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LedgerTrust {
    /// Its id, the audience of documents for it. It never changes.
    pub id: String,
    /// The log's and witnesses' keys and how many must have cosigned (C2SP tlog-policy).
    pub log_policy: String,
    /// The chain that decides and that the log mirrors; none where the log is the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
}

/// What of a chain everybody who reads it must agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// `ethereum` or `fabric`.
    pub kind: String,
    /// The contract: `eip155:CHAIN:ADDRESS` (CAIP-10), or `CHANNEL/CHAINCODE`.
    pub contract: String,
    /// The network's parameters, as `ledger.toml` names them.
    pub parameters: BTreeMap<String, String>,
    /// The certificates of the nodes' CAs, PEM, by node; empty for nodes without TLS.
    pub certificates: BTreeMap<String, String>,
}

/// An invitation, as the administrator signs it who hands it over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// SHA-256 of the one-time code.
    pub code: Digest,
    /// Until when it may be taken.
    pub expires: Timestamp,
    /// The realm whose CA must certify the user.
    pub realm: String,
    /// The fingerprint of the enrolment that the administrator knows.
    pub enrolment: Digest,
}

impl Body for Enrolment {
    const TYPE: &'static str = "enrolment";
}

impl Body for Invitation {
    const TYPE: &'static str = "invitation";
}

impl Enrolment {
    /// SHA-256 of the body's RFC 8785 form: by this people compare enrolments, and the next version
    /// names this one.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.canonical())
    }

    fn canonical(&self) -> Vec<u8> {
        serde_json_canonicalizer::to_vec(self).expect("an enrolment is plain JSON")
    }

    /// This content as the version after `before`; as version 1 if there is none.
    #[must_use]
    pub fn following(mut self, before: Option<&Self>) -> Self {
        self.version = before.map_or(1, |before| before.version.saturating_add(1));
        self.previous = before.map(Self::fingerprint);
        self
    }

    /// Whether `other` says the same, apart from its place in the sequence of versions.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let placed = Self { version: self.version, previous: self.previous, ..other.clone() };
        *self == placed
    }
}
