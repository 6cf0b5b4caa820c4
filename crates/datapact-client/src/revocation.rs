//! Revocation lists on the user's side: fetched from management's public listener, kept in the
//! profile's state, and in force at once. Each is believed only if its realm's CA has signed it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datapact_api::management::Enrolment;
use datapact_api::problem::{Kind, Problem};
use datapact_core::trust::Trust;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;

use crate::error::{ClientError, Result};
use crate::home::{make_folder, read_file, write_file};
use crate::profile::trust_of;
use crate::session::{Session, retry};

/// The lists (DER) of each realm.
pub(crate) type RevocationLists = BTreeMap<String, Vec<Vec<u8>>>;

/// How old the lists may be before they are fetched again.
const REFRESH: Duration = Duration::from_secs(600);
const FETCHED: &str = "fetched";

fn folder(profile: &Path) -> PathBuf {
    profile.join("state").join("crl")
}

/// The trust that an enrolment configures, with the lists that were kept.
pub(crate) fn trust(enrolment: &Enrolment, profile: &Path) -> Result<Trust> {
    let mut lists = RevocationLists::new();
    for realm in enrolment.realms.keys() {
        if let Some(pem) = read_file(&folder(profile).join(format!("{realm}.pem")))? {
            lists.insert(realm.clone(), parse(&pem)?);
        }
    }
    trust_of(enrolment, &lists)
}

fn parse(pem: &[u8]) -> Result<Vec<Vec<u8>>> {
    CertificateRevocationListDer::pem_slice_iter(pem)
        .map(|list| list.map(|der| der.as_ref().to_vec()))
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| ClientError::untrusted(format!("a revocation list is not in PEM form: {e:?}")))
}

impl Session {
    /// Fetches the revocation lists of all realms unless that was done in the last ten minutes.
    /// When management's public listener cannot be reached, those that are kept stay in force.
    ///
    /// # Errors
    /// [`Kind::Untrusted`] when a list is not its realm's; those that are kept stay in force.
    pub async fn refresh_revocations(&self) -> Result<()> {
        let folder = folder(self.profile().folder());
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
                    tracing::warn!(%error, "revocation lists were not fetched; those of before stay in force");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let mut lists = RevocationLists::new();
        for realm in enrolment.realms.keys() {
            let pem = match texts.get(realm) {
                Some(pem) => Some(pem.clone().into_bytes()),
                // A list that is not served any more stays in force: leaving it out must not free
                // anybody.
                None => read_file(&folder.join(format!("{realm}.pem")))?,
            };
            if let Some(pem) = pem {
                lists.insert(realm.clone(), parse(&pem)?);
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
