//! Invitations: made by administrators, checked by who joins (PR-10).

use std::path::Path;

use datapact_api::management::InvitationFile;
#[cfg(doc)]
use datapact_api::problem::Kind;
use datapact_core::enrolment::Invitation as Body;
use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_log::clock::system_clock;

use crate::enrolment::{KnownEnrolment, distrusted, verified};
use crate::error::{ClientError, Result};
use crate::home::read_json;

const ASK_AGAIN: &str = "ask the administrator for another invitation, over a safe channel";

/// An invitation that is to be believed: an administrator whom its enrolment names has signed it
/// for this enrolment, or it is one of management's for administrators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub(crate) file: InvitationFile,
    known: KnownEnrolment,
}

impl Invitation {
    /// Reads an invitation file.
    ///
    /// # Errors
    /// As [`Invitation::check`], and when there is no such file.
    pub fn read(path: &Path, pinned: Option<&Digest>) -> Result<Self> {
        let file = read_json(path)?.ok_or_else(|| {
            ClientError::not_found(
                format!("there is no invitation at `{}`", path.display()),
                "an administrator makes one with `datapact account invite`",
            )
        })?;
        Self::check(file, pinned)
    }

    /// Checks the versions of the enrolment, that the invitation names the newest of them, and that
    /// one of its administrators signed it. `pinned` is the fingerprint that the user has compared.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] when any of that does not hold; a usage error when it has expired.
    pub fn check(file: InvitationFile, pinned: Option<&Digest>) -> Result<Self> {
        let now = (system_clock())();
        let known = match &file {
            InvitationFile::Draft { draft } => KnownEnrolment::Draft(draft.clone()),
            InvitationFile::Administrators { versions } => {
                KnownEnrolment::Signed(verified(versions.clone(), now)?)
            }
            InvitationFile::Invitation { code, invitation, versions } => {
                let known = KnownEnrolment::Signed(verified(versions.clone(), now)?);
                check_signature(invitation, code, &known, now)?;
                known
            }
        };
        known.check()?;
        known.must_be(pinned)?;
        Ok(Self { file, known })
    }

    /// The enrolment that it brings.
    pub fn known(&self) -> &KnownEnrolment {
        &self.known
    }

    /// Who invites; none if management does by its configuration.
    pub fn inviter(&self) -> Option<&Identity> {
        match &self.file {
            InvitationFile::Invitation { invitation, .. } => Some(invitation.signer()),
            InvitationFile::Administrators { .. } | InvitationFile::Draft { .. } => None,
        }
    }

    /// The one-time code; empty for administrators by configuration, who have accounts already.
    pub(crate) fn code(&self) -> &str {
        match &self.file {
            InvitationFile::Invitation { code, .. } => code,
            InvitationFile::Administrators { .. } | InvitationFile::Draft { .. } => "",
        }
    }
}

fn check_signature(
    invitation: &Signed<Body>,
    code: &str,
    known: &KnownEnrolment,
    now: Timestamp,
) -> Result<()> {
    let (enrolment, body) = (known.enrolment(), invitation.body());
    let refused = |detail: &dyn std::fmt::Display| {
        distrusted(format!("the invitation is refused: {detail}"), ASK_AGAIN)
    };
    let trust = enrolment.trust()?;
    invitation.verify(&trust, &enrolment.ledger.id, now).map_err(|e| refused(&e))?;
    let signer = invitation.signer();
    if !enrolment.administrators.identities.contains(signer) {
        let detail = format!("`{signer}` is not among the administrators of its enrolment");
        return Err(refused(&detail));
    }
    if body.enrolment != enrolment.fingerprint() {
        return Err(refused(&"the administrator signed it for another enrolment"));
    }
    if body.code != Digest::of(code.as_bytes()) {
        return Err(refused(&"the administrator signed it for another code"));
    }
    if body.expires <= now {
        return Err(ClientError::usage("the invitation has expired", "ask for another one"));
    }
    Ok(())
}
