//! The user's private key: P-256, PKCS#8, in a PEM file of mode 0600 (US-2).

use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::error::{ClientError, Result};
use crate::home::{read_file, write_file};

/// The key in `path` (PKCS#8, DER); none if there is no file.
pub(crate) fn load(path: &Path, passphrase: Option<&str>) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(pem) = read_file(path)?.map(Zeroizing::new) else { return Ok(None) };
    if passphrase.is_some() {
        return Err(ClientError::usage("the private key has no passphrase", "leave the passphrase out"));
    }
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| {
        let detail = format!("`{}` is not a private key in PKCS#8 PEM form", path.display());
        ClientError::usage(detail, "restore the file, or join again")
    })?;
    Ok(Some(Zeroizing::new(key.secret_pkcs8_der().to_vec())))
}

/// Makes a key and keeps it in `path`.
pub(crate) fn generate(path: &Path, passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>> {
    if passphrase.is_some() {
        return Err(ClientError::usage("a passphrase is not taken yet", "leave the passphrase out"));
    }
    let key = KeyPair::generate().map_err(ClientError::defect)?;
    write_file(path, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    Ok(Zeroizing::new(key.serialize_der()))
}

/// A certificate signing request (RFC 2986, PEM) of `key` for `subject`.
pub(crate) fn request(key: &[u8], subject: DistinguishedName) -> Result<String> {
    let key = KeyPair::try_from(key).map_err(ClientError::defect)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    let request = params.serialize_request(&key).map_err(ClientError::defect)?;
    request.pem().map_err(ClientError::defect)
}
