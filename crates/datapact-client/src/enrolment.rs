//! What a profile is configured with: the enrolment that it has verified.

use std::collections::BTreeMap;
use std::path::Path;

use datapact_api::problem::{Kind, Problem};
use datapact_core::enrolment::{Enrolment, History, Version};
use datapact_core::id::{Digest, Timestamp};
use datapact_core::trust::Trust;
use datapact_log::log_policy::LogPolicy;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::error::{ClientError, Result};
use crate::home::{read_json, write_json};

/// The revocation lists (DER) of each realm.
pub(crate) type RevocationLists = BTreeMap<String, Vec<Vec<u8>>>;

/// What a profile knows of the enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownEnrolment {
    /// What management's configuration said when this administrator joined: no one has signed it.
    Draft(Box<Enrolment>),
    /// The versions that administrators signed.
    Signed(History),
}

/// The same as a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KnownEnrolmentFile {
    Draft(Box<Enrolment>),
    Versions(Vec<Version>),
}

impl KnownEnrolment {
    /// Reads what [`Self::write`] wrote; none if there is no file. All signatures are verified
    /// again.
    pub(crate) fn read(path: &Path, now: Timestamp) -> Result<Option<Self>> {
        Ok(match read_json(path)? {
            None => None,
            Some(KnownEnrolmentFile::Draft(draft)) => Some(Self::Draft(draft)),
            Some(KnownEnrolmentFile::Versions(versions)) => {
                Some(Self::Signed(verified(versions, now)?))
            }
        })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let file = match self {
            Self::Draft(draft) => KnownEnrolmentFile::Draft(draft.clone()),
            Self::Signed(history) => KnownEnrolmentFile::Versions(history.versions().to_vec()),
        };
        write_json(path, &file)
    }

    /// What is in force.
    pub fn enrolment(&self) -> &Enrolment {
        match self {
            Self::Draft(draft) => draft,
            Self::Signed(history) => history.newest(),
        }
    }

    /// The versions that administrators signed; none if there is only a draft.
    pub fn history(&self) -> Option<&History> {
        match self {
            Self::Draft(_) => None,
            Self::Signed(history) => Some(history),
        }
    }

    /// Checks what the signatures do not: that the log policy can be read, and a draft as a whole.
    pub(crate) fn check(&self) -> Result<()> {
        if let Self::Draft(draft) = self {
            draft.validate().map_err(wrong)?;
        }
        log_policy_of(self.enrolment()).map(drop)
    }

    /// Refuses an enrolment with another fingerprint than the one that the user compared.
    pub(crate) fn must_be(&self, pinned: Option<&Digest>) -> Result<()> {
        let found = self.enrolment().fingerprint();
        match pinned {
            Some(pinned) if *pinned != found => Err(distrusted(
                format!("the enrolment has the fingerprint {found}, not {pinned}"),
                "compare the fingerprint with an administrator over another channel",
            )),
            _ => Ok(()),
        }
    }
}

/// The versions, each signed by those who had to.
///
/// # Errors
/// [`Kind::Untrusted`], about the first version that does not hold.
pub(crate) fn verified(versions: Vec<Version>, now: Timestamp) -> Result<History> {
    History::verify(versions, now).map_err(ClientError::untrusted)
}

/// An enrolment that is not to be believed.
pub(crate) fn distrusted(detail: impl std::fmt::Display, hint: &str) -> ClientError {
    ClientError::Problem(Problem::new(Kind::Untrusted, detail).hint(hint))
}

fn wrong(error: impl std::fmt::Display) -> ClientError {
    let detail = format!("the enrolment is wrong: {error}");
    ClientError::usage(detail, "ask management's operator for another")
}

/// The trust that an enrolment configures, with the revocation lists (DER) of each realm.
pub(crate) fn trust_of(enrolment: &Enrolment, lists: &RevocationLists) -> Result<Trust> {
    let mut trust = enrolment.trust().map_err(wrong)?;
    for (realm, lists) in lists {
        trust.add(realm, Vec::new(), lists.clone()).map_err(wrong)?;
    }
    Ok(trust)
}

/// The log policy that an enrolment configures.
pub(crate) fn log_policy_of(enrolment: &Enrolment) -> Result<LogPolicy> {
    enrolment.ledger.log_policy.parse().map_err(wrong)
}

/// The certificates of a PEM text, in order; at least one.
pub(crate) fn chain_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(ClientError::usage(
            "there is no certificate in PEM form",
            "give a file with `-----BEGIN CERTIFICATE-----`",
        )),
    }
}
