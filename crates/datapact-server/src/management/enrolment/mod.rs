//! The enrolment: drafted by the configuration, signed by administrators, handed out to users
//! (US-4, PR-10).

mod draft;
pub(super) mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::management::{
    Deed, EnrolmentDraft, EnrolmentProgress, Enrolments, InvitationFile,
};
use datapact_api::operation::Page;
use datapact_api::problem::{self, Kind, Problem};
use datapact_core::enrolment::{Enrolment, EnrolmentError, Version, verify_next, verify_signature};
use datapact_core::id::Timestamp;
use datapact_core::jws::Signed;
use datapact_log::clock::Clock;
use datapact_store::{Store, Tx};

pub(super) use self::draft::EnrolmentSource;
use super::account::action::{Author, record};
use super::account::admission::Admission;
use super::base::Base;
use super::failure::{Failure, OpenError, Result};
use crate::called::Called;

/// How many versions a page holds: each repeats the CAs of all realms.
const PAGE: u64 = 16;
/// Where the configured administrators find, in management's data folder, what they need to join:
/// they have their accounts already, so there is no code in it and it is no secret.
pub const ADMINISTRATORS_INVITATION: &str = "administrators.json";

/// The versions of the enrolment.
pub(super) struct EnrolmentService {
    store: Store,
    clock: Clock,
    admission: Arc<Admission>,
    source: EnrolmentSource,
    /// The administrators' invitation.
    file: PathBuf,
}

impl EnrolmentService {
    pub(super) fn new(base: &Base, source: EnrolmentSource, data: &Path) -> Self {
        Self {
            store: base.store.clone(),
            clock: Arc::clone(&base.clock),
            admission: Arc::clone(&base.admission),
            source,
            file: data.join(ADMINISTRATORS_INVITATION),
        }
    }

    /// Writes what the configured administrators join with: the published versions, or the draft
    /// while there is none.
    pub(super) async fn write_invitation(&self) -> std::result::Result<(), OpenError> {
        let versions = self.store.read(table::all).await?;
        let file = if versions.is_empty() {
            InvitationFile::Draft { draft: Box::new(self.source.draft(None)) }
        } else {
            InvitationFile::Administrators { versions }
        };
        let failed = |detail: String| {
            OpenError::Configuration(format!("`{}`: {detail}", self.file.display()))
        };
        let json = serde_json::to_vec_pretty(&file).map_err(|e| failed(e.to_string()))?;
        // Several processes may share the folder.
        let partial = self.file.with_extension(format!("{}.new", std::process::id()));
        std::fs::write(&partial, json)
            .and_then(|()| std::fs::rename(&partial, &self.file))
            .map_err(|e| failed(e.to_string()))
    }
}

#[async_trait]
impl Enrolments for Called<EnrolmentService> {
    async fn enrolments(&self, page: Page<u64>) -> problem::Result<Vec<Version>> {
        self.caller.require_user()?;
        let after = page.after.unwrap_or_default();
        Ok(self.store.read(move |db| Ok::<_, Failure>(table::page(db, after, PAGE)?)).await?)
    }

    async fn enrolment_draft(&self) -> problem::Result<EnrolmentDraft> {
        self.admission.administrator(&self.caller).await?;
        let newest = self.store.read(table::newest).await.map_err(Failure::from)?;
        let newest = newest.as_ref().and_then(Version::body);
        let enrolment = self.source.draft(newest);
        let changed = newest.is_none_or(|newest| !newest.says_the_same(&enrolment));
        let fingerprint = enrolment.fingerprint();
        let signed = self.store.read(move |db| table::signatures(db, &fingerprint)).await;
        let signed = signed.map_err(Failure::from)?;
        Ok(EnrolmentDraft { enrolment, changed, signed_by: signed.signers().cloned().collect() })
    }

    async fn sign_enrolment(
        &self,
        signature: &Signed<Enrolment>,
    ) -> problem::Result<EnrolmentProgress> {
        let administrator = self.admission.administrator(&self.caller).await?;
        let (signature, now) = (signature.clone(), (self.clock)());
        let author = Author::of(administrator.id, &self.caller);
        let progress = self.store.write(move |tx| sign(tx, &signature, now, &author)).await?;
        if progress.published
            && let Err(error) = self.write_invitation().await
        {
            // The version is published; the file is written again at the next start.
            tracing::warn!(%error, "the administrators' invitation was not written");
        }
        Ok(progress)
    }
}

/// Keeps a signature on the next version, and publishes that version if it is the last one needed.
/// It need not be what the configuration says: those who may sign decide.
fn sign(
    tx: &Tx,
    signature: &Signed<Enrolment>,
    now: Timestamp,
    author: &Author,
) -> Result<EnrolmentProgress> {
    let body = signature.body();
    let fingerprint = body.fingerprint();
    let progress = |by: &Enrolment, signatures: &Version, published| EnrolmentProgress {
        version: body.version,
        fingerprint,
        signed: u32::try_from(signatures.0.len()).unwrap_or(u32::MAX),
        threshold: by.administrators.threshold,
        published,
    };
    let before = match body.version.checked_sub(1) {
        Some(before) if before > 0 => table::version(tx, before)?,
        _ => None,
    };
    let by = before.as_ref().and_then(Version::body).unwrap_or(body);
    if let Some(published) = table::version(tx, body.version)? {
        if published.body().map(Enrolment::fingerprint) == Some(fingerprint) {
            return Ok(progress(by, &published, true));
        }
        let detail = format!("another version {} of the enrolment is published", body.version);
        let hint = "read the draft again and sign that";
        return Err(Problem::new(Kind::Conflict, detail).hint(hint).into());
    }
    let newest = table::newest(tx)?;
    verify_signature(newest.as_ref().and_then(Version::body), signature).map_err(refused)?;
    let is_repeat =
        table::signatures(tx, &fingerprint)?.signers().any(|signer| signer == signature.signer());
    table::sign(tx, &fingerprint, signature)?;
    let signatures = table::signatures(tx, &fingerprint)?;
    let published = match verify_next(newest.as_ref(), &signatures, now) {
        Ok(()) => true,
        Err(EnrolmentError::Threshold { .. }) => false,
        Err(error) => return Err(refused(error)),
    };
    if published {
        table::publish(tx, body.version, &signatures)?;
    }
    if published || !is_repeat {
        let deed = Deed::EnrolmentSigned { version: body.version, fingerprint, published };
        record(tx, now, author, deed)?;
    }
    Ok(progress(by, &signatures, published))
}

fn refused(error: EnrolmentError) -> Failure {
    let problem = match &error {
        EnrolmentError::Administrator { .. } => Problem::forbidden(&error),
        EnrolmentError::Sequence { .. } | EnrolmentError::Previous(_) => {
            Problem::new(Kind::Conflict, &error).hint("read the draft again and sign that")
        }
        _ => Problem::malformed(&error),
    };
    problem.into()
}
