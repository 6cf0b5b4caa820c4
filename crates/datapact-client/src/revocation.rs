//! The revocation lists in a profile's state. Each is believed only if its realm's CA has signed
//! it.

use std::path::{Path, PathBuf};

use datapact_api::management::Enrolment;
use datapact_core::trust::Trust;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;

use crate::enrolment::{RevocationLists, trust_of};
use crate::error::{ClientError, Result};
use crate::home::read_file;

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

/// The lists (DER) of a PEM text.
pub(crate) fn parse(pem: &[u8]) -> Result<Vec<Vec<u8>>> {
    CertificateRevocationListDer::pem_slice_iter(pem)
        .map(|list| list.map(|der| der.as_ref().to_vec()))
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| ClientError::untrusted(format!("a revocation list is not in PEM form: {e:?}")))
}
