//! Fetching revocation lists from management's public listener; they are in force at once. Without
//! a current one of each CA nothing goes on, unless the profile's settings allow it: a list that
//! is held back must not make a revoked certificate good.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use datapact_api::problem::{Kind, Problem};

use super::{Session, retry};
use crate::enrolment::{RevocationLists, trust_of};
use crate::error::{ClientError, Result};
use crate::home::{make_folder, read_file, write_file};
use crate::revocation::{self, FETCHED};
use crate::settings::{RevocationRule, SETTINGS, Settings};

/// How old the lists may be before they are fetched again.
pub(super) const REFRESH: Duration = Duration::from_secs(600);

impl Session {
    /// Fetches the revocation lists of all realms unless that was done in the last ten minutes.
    /// When management's public listener cannot be reached, the stored ones stay in force as long
    /// as they are current.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] when a list is not its realm's; the stored ones stay in force.
    /// [`Kind::Unavailable`] when a CA has no current list.
    pub async fn refresh_revocations(&self) -> Result<()> {
        let fetched = revocation::folder(self.profile().folder()).join(FETCHED);
        let modified = fs::metadata(&fetched).and_then(|fetched| fetched.modified()).ok();
        let is_new = modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age < REFRESH);
        if !is_new || !self.without_current_list()?.is_empty() {
            self.fetch_revocations().await?;
        }
        let missing = self.without_current_list()?;
        let Some((realm, ca)) = missing.first() else { return Ok(()) };
        let detail = format!("there is no current revocation list of `{ca}`, a CA of `{realm}`");
        let settings = self.profile().folder().join(SETTINGS);
        if Settings::load(self.profile().folder())?.revocation == RevocationRule::IfAvailable {
            tracing::warn!("{detail}; `{}` lets this go on", settings.display());
            return Ok(());
        }
        Err(ClientError::Problem(Problem::new(Kind::Unavailable, detail).hint(format!(
            "the CA's operator makes one with `datapact ca crl` for management's trust \
             configuration; to go on without, write `{{\"revocation\": \"if-available\"}}` to `{}`",
            settings.display()
        ))))
    }

    /// The CAs without a current list, by realm.
    fn without_current_list(&self) -> Result<Vec<(String, String)>> {
        let missing = self.profile().trust().without_current_list(self.now());
        missing
            .map_err(|e| ClientError::usage(e, "ask management's operator for another enrolment"))
    }

    async fn fetch_revocations(&self) -> Result<()> {
        let folder = revocation::folder(self.profile().folder());
        let fetched = folder.join(FETCHED);
        let enrolment = self.profile().enrolment();
        let mut texts = BTreeMap::new();
        for realm in enrolment.realms.keys() {
            match retry(|| self.public.crl(realm)).await {
                Ok(pem) => {
                    texts.insert(realm, pem);
                }
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) if error.is_temporary() => {
                    tracing::warn!(
                        %error,
                        "revocation lists were not fetched; the earlier ones stay in force"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let mut lists = RevocationLists::new();
        for realm in enrolment.realms.keys() {
            let pem = match texts.get(realm) {
                Some(pem) => Some(pem.clone().into_bytes()),
                // A list that is no longer served stays in force: leaving it out must not make a
                // revoked certificate good.
                None => read_file(&folder.join(format!("{realm}.pem")))?,
            };
            if let Some(pem) = pem {
                lists.insert(realm.clone(), revocation::parse(&pem)?);
            }
        }
        let trust = trust_of(enrolment, &lists).map_err(|e| {
            let detail = format!("management serves a revocation list that is refused: {e}");
            ClientError::Problem(
                Problem::new(Kind::Untrusted, detail).hint("tell management's operator"),
            )
        })?;
        make_folder(&folder)?;
        for (realm, pem) in &texts {
            write_file(&folder.join(format!("{realm}.pem")), pem.as_bytes())?;
        }
        write_file(&fetched, b"")?;
        self.profile().reloadable_trust().replace(trust);
        Ok(())
    }
}
