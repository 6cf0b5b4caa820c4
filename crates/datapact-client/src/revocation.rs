//! The revocation lists in a profile's state. Each is believed only if its realm's CA has signed
//! it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use datapact_core::enrolment::Enrolment;
use datapact_core::trust::Trust;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;

use crate::enrolment::{RevocationLists, trust_of};
use crate::error::{ClientError, Result};
use crate::home::read_file;

/// The empty file whose time says when the lists were fetched last.
pub(crate) const FETCHED: &str = "fetched";

/// The folder of the lists, one `REALM.pem` a realm.
pub(crate) fn folder(profile: &Path) -> PathBuf {
    profile.join("state").join("crl")
}

/// The trust that an enrolment configures, with the stored lists.
pub(crate) fn trust(enrolment: &Enrolment, profile: &Path) -> Result<Trust> {
    let mut lists = RevocationLists::new();
    for realm in enrolment.realms.keys() {
        if let Some(pem) = read_file(&folder(profile).join(format!("{realm}.pem")))? {
            lists.insert(realm.clone(), parse(&pem)?);
        }
    }
    trust_of(enrolment, &lists)
}

/// Removes the stored lists that no CA of the enrolment has signed, and has all of them fetched
/// again: a version may have replaced a CA by another of the same name.
pub(crate) fn forget_foreign(enrolment: &Enrolment, profile: &Path) -> Result<()> {
    let folder = folder(profile);
    let remove = |name: &str| match fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ClientError::file(&folder, error))
        }
        _ => Ok(()),
    };
    for realm in enrolment.realms.keys() {
        let name = format!("{realm}.pem");
        let Some(pem) = read_file(&folder.join(&name))? else { continue };
        let lists = RevocationLists::from([(realm.clone(), parse(&pem)?)]);
        if trust_of(enrolment, &lists).is_err() {
            remove(&name)?;
        }
    }
    remove(FETCHED)
}

/// The lists (DER) of a PEM text.
pub(crate) fn parse(pem: &[u8]) -> Result<Vec<Vec<u8>>> {
    CertificateRevocationListDer::pem_slice_iter(pem)
        .map(|list| list.map(|der| der.as_ref().to_vec()))
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| ClientError::untrusted(format!("a revocation list is not in PEM form: {e:?}")))
}
