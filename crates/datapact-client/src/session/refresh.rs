//! Fetching revocation lists from management's public listener; they are in force at once.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use datapact_api::problem::{Kind, Problem};

use super::{Session, retry};
use crate::enrolment::{RevocationLists, trust_of};
use crate::error::{ClientError, Result};
use crate::home::{make_folder, read_file, write_file};
use crate::revocation::{self, FETCHED};

/// How old the lists may be before they are fetched again.
pub(super) const REFRESH: Duration = Duration::from_secs(600);

impl Session {
    /// Fetches the revocation lists of all realms unless that was done in the last ten minutes.
    /// When management's public listener cannot be reached, the stored ones stay in
    /// force.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] when a list is not its realm's; the stored ones stay in force.
    pub async fn refresh_revocations(&self) -> Result<()> {
        let folder = revocation::folder(self.profile().folder());
        let fetched = folder.join(FETCHED);
        let modified = fs::metadata(&fetched).and_then(|fetched| fetched.modified()).ok();
        if modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age < REFRESH) {
            return Ok(());
        }
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
