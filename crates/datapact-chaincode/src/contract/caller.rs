//! Who signed a proposal.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The organisational unit of admins among Fabric's node OUs.
const ADMIN: &str = "admin";

/// The member of an organisation who signed a proposal. The peer has verified certificate and
/// signature before the chaincode sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    msp: String,
    admin: bool,
}

impl Caller {
    /// The member of `msp` with this certificate (PEM). One that cannot be read is not an
    /// admin's.
    pub fn new(msp: String, certificate: &[u8]) -> Self {
        Self { msp, admin: is_admin(certificate).unwrap_or(false) }
    }

    /// The organisation.
    pub fn msp(&self) -> &str {
        &self.msp
    }

    /// Whether it is one of the organisation's admins.
    pub fn is_admin(&self) -> bool {
        self.admin
    }
}

fn is_admin(pem: &[u8]) -> Option<bool> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let units = certificate.subject().iter_organizational_unit();
    Some(units.filter_map(|unit| unit.as_str().ok()).any(|unit| unit == ADMIN))
}
