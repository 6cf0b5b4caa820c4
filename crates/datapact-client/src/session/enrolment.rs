//! Fetching newer versions of the enrolment. Each is verified by the version before, and is in
//! force from then on.

use std::fs;

use datapact_api::operation::Page;
#[cfg(doc)]
use datapact_api::problem::Kind;
use datapact_core::enrolment::{Change, VERSIONS_MAX, Version};
use datapact_core::id::Digest;

use super::refresh::REFRESH;
use super::{Session, retry};
use crate::enrolment::{KnownEnrolment, distrusted, verified};
use crate::error::{ClientError, Result};
use crate::home::write_file;

/// The empty file whose time says when versions were asked for last.
const FETCHED: &str = "enrolment-fetched";
const TELL: &str = "use nothing of it: ask an administrator, over another channel, for the \
                    fingerprint of the enrolment";

/// What came of looking for newer versions.
#[derive(Clone)]
pub struct Refreshed {
    /// The session with what is in force now.
    pub session: Session,
    /// What has changed; empty if nothing has.
    pub changes: Vec<Change>,
    /// Whether there was a newer version.
    pub renewed: bool,
}

impl Session {
    /// Fetches newer versions unless that was done in the last ten minutes. When management cannot
    /// be reached, the version known stays in force.
    ///
    /// # Errors
    /// As [`Session::refresh_enrolment`].
    pub async fn refresh_enrolment_if_due(&self) -> Result<Refreshed> {
        let unchanged = || Refreshed { session: self.clone(), changes: Vec::new(), renewed: false };
        let fetched = self.state()?.join(FETCHED);
        let modified = fs::metadata(&fetched).and_then(|fetched| fetched.modified()).ok();
        if modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age < REFRESH) {
            return Ok(unchanged());
        }
        match self.refresh_enrolment(None).await {
            Err(error) if error.is_temporary() => {
                tracing::warn!(%error, "no newer enrolment was fetched; the one known is used");
                Ok(unchanged())
            }
            refreshed => refreshed,
        }
    }

    /// Fetches newer versions, verifies them and keeps them. `pinned` is the fingerprint that the
    /// user has compared: a profile with a draft takes another content than its draft only so.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] when a version does not hold, when management does not show the versions
    /// known, or when the newest is not the one `pinned`. The version known stays in force.
    pub async fn refresh_enrolment(&self, pinned: Option<&Digest>) -> Result<Refreshed> {
        let newer = self.newer_enrolment(pinned).await?;
        let known = newer.as_ref().unwrap_or_else(|| self.profile.known());
        known.must_be(pinned)?;
        known.check()?;
        let refreshed = match newer {
            None => Refreshed { session: self.clone(), changes: Vec::new(), renewed: false },
            Some(newer) => {
                let before = self.profile.enrolment();
                let changes = newer.enrolment().changes_since(Some(before));
                let session = Self::connect(self.profile.with(newer)?)?;
                Refreshed { session, changes, renewed: true }
            }
        };
        write_file(&self.state()?.join(FETCHED), b"")?;
        Ok(refreshed)
    }

    /// The versions that management has published, if there are more than those known; verified,
    /// and kept nowhere.
    ///
    /// # Errors
    /// As [`Session::refresh_enrolment`].
    pub async fn newer_enrolment(&self, pinned: Option<&Digest>) -> Result<Option<KnownEnrolment>> {
        match self.profile.known() {
            KnownEnrolment::Draft(draft) => {
                let versions = self.published_after(0).await?;
                if versions.is_empty() {
                    return Ok(None);
                }
                let history = verified(versions, self.now())?;
                let is_mine = history.holds(&draft.fingerprint());
                if !is_mine && pinned.is_none_or(|pinned| !history.holds(pinned)) {
                    let detail = format!(
                        "management has published an enrolment that does not begin with this \
                         profile's draft; its fingerprint is {}",
                        history.fingerprint()
                    );
                    let hint = "compare that fingerprint with the other administrators, then run \
                                `datapact identity refresh --fingerprint`";
                    return Err(distrusted(detail, hint));
                }
                Ok(Some(KnownEnrolment::Signed(history)))
            }
            KnownEnrolment::Signed(history) => {
                // From the version known on, so that a management that was rolled back or shows
                // another history is found out.
                let known = history.newest();
                let mut versions = self.published_after(u64::from(known.version) - 1).await?;
                let own = (!versions.is_empty()).then(|| versions.remove(0));
                match own.as_ref().and_then(Version::body) {
                    Some(body) if body.fingerprint() == known.fingerprint() => {}
                    other => {
                        let shown = other.map_or_else(
                            || "an older one".to_owned(),
                            |body| format!("another one ({})", body.fingerprint()),
                        );
                        let detail = format!(
                            "management shows {shown} in place of version {} of the enrolment ({})",
                            known.version,
                            known.fingerprint()
                        );
                        return Err(distrusted(detail, TELL));
                    }
                }
                if versions.is_empty() {
                    return Ok(None);
                }
                let history = history.clone().extend(versions, self.now());
                let history = history.map_err(|e| distrusted(e, TELL))?;
                Ok(Some(KnownEnrolment::Signed(history)))
            }
        }
    }

    /// The published versions behind `after`, unverified.
    async fn published_after(&self, after: u64) -> Result<Vec<Version>> {
        let mut all: Vec<Version> = Vec::new();
        loop {
            let page = Page::after(after.saturating_add(all.len() as u64));
            let page = retry(|| self.management.enrolments(page)).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
            if all.len() > VERSIONS_MAX {
                return Err(ClientError::untrusted("management's list of versions has no end"));
            }
        }
    }
}
