//! What is on the channel: set-up, trust configuration, state values, answers, the event,
//! refusals. All of it is JSON in the form of RFC 8785, so that every endorser makes the same
//! bytes.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use datapact_core::contract::{CheckError, Receipt, Refusal};
use datapact_core::id::{Digest, Timestamp};
use datapact_core::trust::{Trust, TrustError};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

/// The state key of the [`SetUp`].
pub const SET_UP_KEY: &str = "set-up";
/// The state key of the [`TrustConfiguration`].
pub const TRUST_KEY: &str = "trust";
/// The name of the event of a recorded call.
pub const EVENT_NAME: &str = "datapact";
/// The transient data under this name are the documents behind a call.
pub const DOCUMENTS: &str = "documents";
/// The longest trust configuration, in bytes of JSON.
pub const TRUST_BYTES_MAX: usize = 262_144;
/// The most MSPs whose admins may replace the trust configuration.
pub const ADMINISTRATORS_MAX: usize = 16;
/// The longest ledger id, in bytes.
const LEDGER_BYTES_MAX: usize = 256;
/// The longest name of an MSP or a chaincode, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// JSON in the form of RFC 8785, as an argument.
pub fn canonical_text<T: Serialize>(value: &T) -> String {
    String::from_utf8_lossy(&canonical(value)).into_owned()
}

/// JSON in the form of RFC 8785: every endorser must make the same bytes of the same value.
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value)
        .expect("these types have no maps with other keys than texts, nor floats")
}

/// Whose ledger this is: agreed by the organisations, kept under [`SET_UP_KEY`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// The MSPs whose admins may replace the trust configuration.
    pub administrators: BTreeSet<String>,
    /// The chaincode's name on the channel: calls that come through another chaincode are refused.
    pub chaincode: String,
    /// The ledger's id: the audience of every document. Fixed for good.
    pub ledger: String,
    /// Management's MSP: only its members' calls count.
    pub submitter: String,
}

impl SetUp {
    /// Checks the bounds that the specification gives.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn validate(&self) -> Result<(), String> {
        let visible = |text: &str, max: usize| {
            !text.is_empty() && text.len() <= max && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !visible(&self.ledger, LEDGER_BYTES_MAX) {
            return Err(format!(
                "the ledger's id must be 1 to {LEDGER_BYTES_MAX} visible ASCII characters"
            ));
        }
        if self.administrators.is_empty() || self.administrators.len() > ADMINISTRATORS_MAX {
            return Err(format!("there must be 1 to {ADMINISTRATORS_MAX} administrators' MSPs"));
        }
        let names = self.administrators.iter().chain([&self.chaincode, &self.submitter]);
        if names.into_iter().any(|name| !visible(name, NAME_BYTES_MAX)) {
            return Err(format!(
                "names of MSPs and of the chaincode must be 1 to {NAME_BYTES_MAX} visible ASCII \
                 characters"
            ));
        }
        Ok(())
    }
}

/// Whose signatures count: what [`Trust`] is made of, as it is in the state under
/// [`TRUST_KEY`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustConfiguration {
    /// By name.
    pub realms: BTreeMap<String, RealmConfiguration>,
}

/// One realm's CAs and revocation lists, DER.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmConfiguration {
    /// CA certificates.
    pub cas: Vec<Der>,
    /// Their revocation lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<Der>,
}

/// DER, in base64 with padding (RFC 4648, section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Der(pub Vec<u8>);

impl Serialize for Der {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

impl TrustConfiguration {
    /// What `trust` is made of.
    pub fn of(trust: &Trust) -> Self {
        let realms = trust
            .realms()
            .map(|realm| {
                let cas = trust.cas(realm).map(|der| Der(der.to_vec())).collect();
                let crls = trust.crls(realm).map(|der| Der(der.to_vec())).collect();
                (realm.to_owned(), RealmConfiguration { cas, crls })
            })
            .collect();
        Self { realms }
    }

    /// The trust configuration that it says.
    ///
    /// # Errors
    /// [`TrustError::Configuration`] when it says none that can be used.
    pub fn to_trust(&self) -> Result<Trust, TrustError> {
        let mut trust = Trust::default();
        for (realm, RealmConfiguration { cas, crls }) in &self.realms {
            if cas.is_empty() {
                return Err(TrustError::Configuration(format!("realm `{realm}` has no CA")));
            }
            let cas = cas.iter().map(|der| CertificateDer::from(der.0.clone())).collect();
            trust.add(realm, cas, crls.iter().map(|der| der.0.clone()).collect())?;
        }
        if self.realms.is_empty() {
            return Err(TrustError::Configuration("there is no realm".to_owned()));
        }
        Ok(trust)
    }

    /// Its JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// SHA-256 of its JSON.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}

/// A value in the world state, and what queries answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateValue<T> {
    /// Of a [`TrustConfiguration`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What is kept.
    pub record: T,
    /// The id of the transaction that wrote it.
    pub transaction: String,
}

/// What `execute` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// The contract's answer.
    pub receipt: Receipt,
    /// The transaction that first recorded it; another one's for a repeat, which writes nothing.
    pub transaction: String,
}

/// What `set-up` and `set-trust` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changed {
    /// Of the trust configuration now in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The transaction that wrote it; another one's for a repeat, which writes nothing.
    pub transaction: String,
}

/// What `info` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// The version of the contract's rules.
    pub contract_version: u32,
    /// None before `set-up` was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_up: Option<SetUp>,
    /// The digest of the trust configuration; none while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Digest>,
}

/// The payload of the event [`EVENT_NAME`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// The version of the rules that decided it.
    pub contract_version: u32,
    /// What was recorded.
    pub receipt: Receipt,
    /// When.
    pub time: Timestamp,
}

/// Why the chaincode refused: the message of a response with status 500, in one line of JSON. It
/// names no person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "failure", rename_all = "kebab-case")]
pub enum Failure {
    /// The contract refuses the call.
    #[error(transparent)]
    Refused {
        /// By which rule.
        refusal: Refusal,
    },
    /// The documents are not what they must be.
    #[error("the documents behind the call are refused: {check}")]
    Documents {
        /// The error's name, as [`check_name`] gives it.
        check: String,
    },
    /// What was asked cannot be read.
    #[error("the chaincode cannot read what it is asked: {detail}")]
    Arguments {
        /// In what way.
        detail: String,
    },
    /// The caller may not.
    #[error("the chaincode takes no such call from this caller: {detail}")]
    Caller {
        /// Who may.
        detail: String,
    },
    /// Before `set-up` and `set-trust` are called.
    #[error("the chaincode has not been set up, or has no trust configuration yet")]
    NotSetUp,
    /// The proposal's clock and this endorser's differ.
    #[error(
        "the proposal's time {time} is more than 60 s from the endorser's clock, {clock}; set the \
         clocks"
    )]
    Time {
        /// The proposal's.
        time: Timestamp,
        /// The endorser's.
        clock: Timestamp,
    },
    /// Not what the endorser's organisation has agreed to.
    #[error("the set-up is refused: {detail}")]
    SetUp {
        /// In what way.
        detail: String,
    },
    /// Another administrator has changed the trust configuration meanwhile.
    #[error("the trust configuration is not the one to be replaced")]
    TrustChanged {
        /// The one in force; none when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
    },
    /// The state is not what it must be.
    #[error("the channel's state cannot be read: {detail}")]
    State {
        /// In what way.
        detail: String,
    },
}

impl Failure {
    /// The message that bears it.
    pub fn to_message(&self) -> String {
        canonical_text(self)
    }

    /// Finds it in a message, which may have other text before it. None when there is none in it.
    pub fn find(message: &str) -> Option<Self> {
        let begin = message.find("{\"")?;
        let mut values =
            serde_json::Deserializer::from_str(message.get(begin..)?).into_iter::<Self>();
        values.next()?.ok()
    }
}

/// The name of a check's error, which says what is wrong but not whose.
pub fn check_name(error: &CheckError) -> &'static str {
    match error {
        CheckError::Document(error) => error.name(),
        CheckError::Policy(_) => "policy",
        CheckError::Stale { .. } => "stale",
        CheckError::Ahead { .. } => "ahead",
        CheckError::Kind => "kind",
        CheckError::Differs(_) => "differs",
        CheckError::Opening(_) => "opening",
    }
}
