//! The versions of an enrolment, verified one after the other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ADMINISTRATORS_MAX, Enrolment, VERSIONS_MAX};
use crate::id::{Digest, Timestamp};
use crate::identity::Identity;
use crate::jws::{DocumentError, Signed};
use crate::trust::Trust;

/// How far the administrators' clocks may be apart, in seconds: a signature may be that much ahead
/// of the reader, and that much older than those on the version before.
pub const CLOCK_SECONDS_MAX: u64 = 3600;

/// A version as it is handed out: a document of each administrator who signed it, all with the same
/// body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Version(pub Vec<Signed<Enrolment>>);

/// Why an enrolment is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// There is no version, or one without a signature.
    #[error("there is no signed enrolment")]
    Unsigned,
    /// More versions or signatures than are read.
    #[error("the enrolment has too many versions or signatures")]
    TooMany,
    /// The body breaks a rule.
    #[error("the enrolment is wrong: {0}")]
    Body(String),
    /// It is not the version that follows.
    #[error("the enrolment has version {found} where version {expected} must follow")]
    Sequence {
        /// The version that must follow.
        expected: u32,
        /// The version found.
        found: u32,
    },
    /// It does not name its predecessor's fingerprint.
    #[error("version {0} of the enrolment does not continue the version before it")]
    Previous(u32),
    /// It is about another ledger than its predecessor.
    #[error("version {0} of the enrolment is for another ledger")]
    Ledger(u32),
    /// Its signatures are on different bodies.
    #[error("the signatures of version {0} of the enrolment are not on the same content")]
    Differs(u32),
    /// A signature from the future, or older than the version before.
    #[error("version {0} of the enrolment is signed at a time that cannot be right")]
    Time(u32),
    /// Signed by a user who may not.
    #[error(
        "version {version} of the enrolment is signed by `{signer}`, who is not among its \
         administrators"
    )]
    Administrator {
        /// The version.
        version: u32,
        /// Who signed it.
        signer: Identity,
    },
    /// Signed twice by the same administrator.
    #[error("version {0} of the enrolment is signed twice by the same administrator")]
    Twice(u32),
    /// Signed by too few.
    #[error(
        "version {version} of the enrolment is signed by {signed} of the {threshold} \
         administrators who must"
    )]
    Threshold {
        /// The version.
        version: u32,
        /// How many signed.
        signed: usize,
        /// How many must.
        threshold: u32,
    },
    /// A signature does not hold.
    #[error("version {version} of the enrolment: {error}")]
    Document {
        /// The version.
        version: u32,
        /// Why not.
        error: DocumentError,
    },
}

impl EnrolmentError {
    /// The error's name, as the specification and its vectors use it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::TooMany => "too-many",
            Self::Body(_) => "body",
            Self::Sequence { .. } => "sequence",
            Self::Previous(_) => "previous",
            Self::Ledger(_) => "ledger",
            Self::Differs(_) => "differs",
            Self::Time(_) => "time",
            Self::Administrator { .. } => "administrator",
            Self::Twice(_) => "twice",
            Self::Threshold { .. } => "threshold",
            Self::Document { error, .. } => error.name(),
        }
    }
}

impl Version {
    /// What it says; none if there is no signature. [`History`] says whether it is to be believed.
    pub fn body(&self) -> Option<&Enrolment> {
        self.0.first().map(Signed::body)
    }

    /// Who signed it.
    pub fn signers(&self) -> impl Iterator<Item = &Identity> {
        self.0.iter().map(Signed::signer)
    }

    /// When it was signed last.
    fn time(&self) -> Timestamp {
        self.0.iter().map(|signature| signature.document().time).max().unwrap_or(0)
    }
}

/// All versions of an enrolment from 1 to the newest known, each signed by those who had to.
///
/// Version 1 certifies itself, so it is only as good as the fingerprint that it was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct History {
    versions: Vec<Version>,
}

impl History {
    /// Verifies `versions`, from 1 on, at time `now`.
    ///
    /// # Errors
    /// [`EnrolmentError`], about the first version that does not hold.
    pub fn verify(versions: Vec<Version>, now: Timestamp) -> Result<Self, EnrolmentError> {
        if versions.is_empty() {
            return Err(EnrolmentError::Unsigned);
        }
        Self { versions: Vec::new() }.extend(versions, now)
    }

    /// With the versions that follow those known.
    ///
    /// # Errors
    /// [`EnrolmentError`], about the first version that does not hold.
    pub fn extend(mut self, more: Vec<Version>, now: Timestamp) -> Result<Self, EnrolmentError> {
        if self.versions.len().saturating_add(more.len()) > VERSIONS_MAX {
            return Err(EnrolmentError::TooMany);
        }
        for version in more {
            verify_next(self.versions.last(), &version, now)?;
            self.versions.push(version);
        }
        Ok(self)
    }

    /// All versions, from 1 on.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The newest version.
    pub fn newest(&self) -> &Enrolment {
        let newest = self.versions.last().and_then(Version::body);
        newest.expect("a history begins with a version that was signed")
    }

    /// The newest version's fingerprint.
    pub fn fingerprint(&self) -> Digest {
        self.newest().fingerprint()
    }

    /// Whether one of its versions has this fingerprint.
    pub fn holds(&self, fingerprint: &Digest) -> bool {
        self.bodies().any(|body| body.fingerprint() == *fingerprint)
    }

    /// What each version says, from 1 on.
    pub fn bodies(&self) -> impl Iterator<Item = &Enrolment> {
        self.versions.iter().filter_map(Version::body)
    }
}

/// Checks that `version` may follow `before`, which was verified, at time `now`; that it may be the
/// first if there is none.
///
/// # Errors
/// [`EnrolmentError`].
pub fn verify_next(
    before: Option<&Version>,
    version: &Version,
    now: Timestamp,
) -> Result<(), EnrolmentError> {
    let body = version.body().ok_or(EnrolmentError::Unsigned)?;
    let number = body.version;
    let (by, trust) = place(before.and_then(Version::body), body)?;
    if version.0.len() > ADMINISTRATORS_MAX {
        return Err(EnrolmentError::TooMany);
    }
    let earliest = before.map_or(0, Version::time).saturating_sub(CLOCK_SECONDS_MAX);
    let latest = now.saturating_add(CLOCK_SECONDS_MAX);
    let mut signers = BTreeSet::new();
    for signature in &version.0 {
        if signature.body() != body {
            return Err(EnrolmentError::Differs(number));
        }
        let time = signature.document().time;
        if !(earliest..=latest).contains(&time) {
            return Err(EnrolmentError::Time(number));
        }
        check_signature(signature, by, &trust)?;
        if !signers.insert(signature.signer()) {
            return Err(EnrolmentError::Twice(number));
        }
    }
    let threshold = by.administrators.threshold;
    if usize::try_from(threshold).is_ok_and(|threshold| signers.len() >= threshold) {
        return Ok(());
    }
    Err(EnrolmentError::Threshold { version: number, signed: signers.len(), threshold })
}

/// Whether `body` may be the version after `before`: whose administrators sign it, and the trust by
/// which they are recognised.
fn place<'a>(
    before: Option<&'a Enrolment>,
    body: &'a Enrolment,
) -> Result<(&'a Enrolment, Trust), EnrolmentError> {
    let expected = before.map_or(1, |before| before.version.saturating_add(1));
    if body.version != expected {
        return Err(EnrolmentError::Sequence { expected, found: body.version });
    }
    if body.previous != before.map(Enrolment::fingerprint) {
        return Err(EnrolmentError::Previous(body.version));
    }
    if before.is_some_and(|before| before.ledger.id != body.ledger.id) {
        return Err(EnrolmentError::Ledger(body.version));
    }
    let own = body.validate().map_err(EnrolmentError::Body)?;
    match before {
        None => Ok((body, own)),
        Some(before) => Ok((before, before.validate().map_err(EnrolmentError::Body)?)),
    }
}

/// Whether `signature` is that of an administrator of `by`. It is checked at its own time, so that
/// the end of a certificate ends no enrolment; revocation lists are not looked at, since a signer
/// may state any time. Who must not sign any more is left out of the next version.
fn check_signature(
    signature: &Signed<Enrolment>,
    by: &Enrolment,
    trust: &Trust,
) -> Result<(), EnrolmentError> {
    let (version, time) = (signature.body().version, signature.document().time);
    signature
        .verify(trust, &by.ledger.id, time)
        .map_err(|error| EnrolmentError::Document { version, error })?;
    let signer = signature.signer();
    if by.administrators.identities.contains(signer) {
        return Ok(());
    }
    Err(EnrolmentError::Administrator { version, signer: signer.clone() })
}

/// Whether `signature` may be one of those on the version after `before`. How many there must be is
/// not asked.
///
/// # Errors
/// [`EnrolmentError`].
pub fn verify_signature(
    before: Option<&Enrolment>,
    signature: &Signed<Enrolment>,
) -> Result<(), EnrolmentError> {
    let (by, trust) = place(before, signature.body())?;
    check_signature(signature, by, &trust)
}
