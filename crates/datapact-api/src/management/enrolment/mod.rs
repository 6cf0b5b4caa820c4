//! The enrolment (US-4, PR-10): what users trust, version by version, as administrators signed it.
//! Management carries it and cannot change it.

use datapact_core::enrolment::{Enrolment, Invitation, Version};
use datapact_core::id::Digest;
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use serde::{Deserialize, Serialize};

use crate::operation::{Page, operations};

operations! {
    /// What users trust, and the signatures of administrators on it.
    pub trait Enrolments {
        /// The published versions behind `after`, oldest first, 16 a page.
        ///
        /// Each is the list of the documents by which administrators signed it.
        get "/v1/enrolments" for AdmittedUsers;
        fn enrolments(query page: Page<u64>) -> Vec<Version> as Json;

        /// What management's configuration says, as the next version.
        ///
        /// No one has to believe it: it counts once administrators have signed it.
        get "/v1/enrolments/draft" for Administrators;
        fn enrolment_draft() -> EnrolmentDraft as Json;

        /// Hand in an administrator's signature on the next version.
        ///
        /// The version is published once as many have signed it as its predecessor demands. A
        /// repeat answers alike; another content by the same administrator replaces the earlier.
        post "/v1/enrolments/signatures" for Administrators;
        fn sign_enrolment(document enrolment: &Signed<Enrolment>) -> EnrolmentProgress as Json;
    }
}

/// What would be published next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnrolmentDraft {
    /// As management's configuration has it now.
    pub enrolment: Enrolment,
    /// Whether it says something else than the newest published version, or there is none yet.
    pub changed: bool,
    /// Who has signed exactly this so far.
    pub signed_by: Vec<Identity>,
}

/// How far a version is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnrolmentProgress {
    /// The version.
    pub version: u32,
    /// Its fingerprint.
    pub fingerprint: Digest,
    /// How many administrators have signed it.
    pub signed: u32,
    /// How many must.
    pub threshold: u32,
    /// Whether it is published.
    pub published: bool,
}

/// What a user joins with, as a file (PR-10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum InvitationFile {
    /// Of an administrator for one user.
    Invitation {
        /// The one-time code, a secret.
        code: String,
        /// Signed by the administrator: it names the newest version.
        invitation: Box<Signed<Invitation>>,
        /// All versions of the enrolment, from 1 on.
        versions: Vec<Version>,
    },
    /// Of management for the administrators in its configuration, who need no code.
    Administrators {
        /// All versions of the enrolment, from 1 on.
        versions: Vec<Version>,
    },
    /// The same before version 1 is published.
    Draft {
        /// What management's configuration says; no one has signed it.
        draft: Box<Enrolment>,
    },
}
