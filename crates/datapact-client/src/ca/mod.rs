//! A small certification authority for a first run and for organisations that have none: one folder
//! with the CA's certificate, its key and a list of what it has issued and revoked. Any other CA
//! that issues such certificates works the same. No server ever holds a CA key.

mod certificate;
mod index;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use datapact_core::trust;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

use crate::key_file::{KeyFileError, PrivateKey, replace};
use certificate::{
    canonical_serial, crypto, name, not_after, parameters, parse, pem, self_signed, serial,
};
use index::{Event, Index};

/// How long a revocation list says that it is current.
const CRL_VALID: Duration = Duration::from_secs(30 * 86400);
/// The longest request, in bytes.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key.pem";
const CRL: &str = "crl.pem";
/// Where the newest list is published, if that is known: one line.
const CRL_URL: &str = "crl.url";
/// The longest address of a list, in bytes.
const CRL_URL_BYTES_MAX: usize = 1024;

/// Why the CA did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The operating system refuses.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The CA's key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// There is a CA already.
    #[error("`{}` holds a CA already; choose another folder", .0.display())]
    Exists(PathBuf),
    /// A file of the CA is not what it wrote.
    #[error("`{}` is damaged: {message}; restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        message: String,
    },
    /// The request cannot be granted.
    #[error("the request is refused: {0}")]
    Request(String),
    /// This CA has issued no such certificate.
    #[error("this CA has issued no certificate with the serial number `{0}`")]
    NotIssued(String),
    /// The cryptography failed, which is a defect.
    #[error("the certificate cannot be made: {0}")]
    Crypto(String),
}

/// What a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A user, named by the request's subject.
    User,
    /// A server, named by these DNS names, the first of which is its identity.
    Server {
        /// In lower case.
        dns_names: Vec<String>,
    },
}

/// A certification authority in its folder.
pub struct Ca {
    folder: PathBuf,
    key: KeyPair,
    certificate: CertificateDer<'static>,
    crl_url: Option<String>,
}

impl Ca {
    /// Makes a CA named `name` in `folder`, valid for `valid`: a key of mode 0600 (encrypted if
    /// there is a `passphrase`), and a self-signed certificate in `ca.pem`, which is what others
    /// trust.
    ///
    /// # Errors
    /// [`CaError::Exists`] when there is one; [`CaError::Request`] for a name that no identity
    /// could have.
    pub fn init(
        folder: &Path,
        name: &str,
        valid: Duration,
        passphrase: Option<&str>,
    ) -> Result<Self, CaError> {
        let file = |source| CaError::File { path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(file)?;
        if folder.join(KEY).exists() {
            return Err(CaError::Exists(folder.to_owned()));
        }
        let key = PrivateKey::generate()?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, DnValue::Utf8String(name.to_owned()));
        let certificate = self_signed(subject, &key.pair()?, valid)?;
        trust::subject(&certificate).map_err(|e| CaError::Request(e.to_string()))?;
        // The key last: without it the folder is not a CA, and a second try starts over.
        let path = folder.join(CERTIFICATE);
        replace(&path, pem(&certificate).as_bytes(), 0o644)
            .map_err(|source| CaError::File { path, source })?;
        key.save(&folder.join(KEY), passphrase)?;
        Self::open(folder, passphrase)
    }

    /// Opens the CA in `folder`.
    ///
    /// # Errors
    /// [`CaError::Key`] when its key needs a passphrase or may be read by others,
    /// [`CaError::Damaged`].
    pub fn open(folder: &Path, passphrase: Option<&str>) -> Result<Self, CaError> {
        let key = PrivateKey::load(&folder.join(KEY), passphrase)?.pair()?;
        let path = folder.join(CERTIFICATE);
        let text =
            fs::read(&path).map_err(|source| CaError::File { path: path.clone(), source })?;
        // After a renewal the newest certificate comes first.
        let damaged =
            |message: &str| CaError::Damaged { path: path.clone(), message: message.to_owned() };
        let certificate = CertificateDer::from_pem_slice(&text)
            .map_err(|_| damaged("it is not a certificate"))?;
        let public = trust::public_key(&certificate).map_err(|e| damaged(&e.to_string()))?;
        if public.point != key.public_key_raw() {
            return Err(damaged("it does not belong to the key"));
        }
        let path = folder.join(CRL_URL);
        let crl_url = match fs::read_to_string(&path) {
            Ok(text) => Some(text.trim_end().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(CaError::File { path, source }),
        };
        Ok(Self { folder: folder.to_owned(), key, certificate, crl_url })
    }

    /// Certificates that are issued from now on name `url` as the place of the CA's revocation
    /// list (RFC 5280, 4.2.1.13), such as management's `/crl/REALM`.
    ///
    /// # Errors
    /// [`CaError::Request`] when it is not an address of `http` or `https`.
    pub fn publish_crl_at(&mut self, url: &str) -> Result<(), CaError> {
        let has_scheme = url.starts_with("https://") || url.starts_with("http://");
        let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
        if !has_scheme || !is_plain || url.len() > CRL_URL_BYTES_MAX {
            return Err(CaError::Request(
                "the revocation list's address is not an `https` or `http` URL".to_owned(),
            ));
        }
        let path = self.folder.join(CRL_URL);
        replace(&path, format!("{url}\n").as_bytes(), 0o644)
            .map_err(|source| CaError::File { path, source })?;
        self.crl_url = Some(url.to_owned());
        Ok(())
    }

    /// The CA's certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        pem(&self.certificate)
    }

    /// Renews the CA's own certificate: same name and key, valid for `valid` from now. `ca.pem`
    /// then holds the new one and, behind it, the former ones, by which what was signed earlier
    /// stays verifiable.
    ///
    /// # Errors
    /// [`CaError::File`], [`CaError::Crypto`].
    pub fn renew(&mut self, valid: Duration) -> Result<(), CaError> {
        let path = self.folder.join(CERTIFICATE);
        let file = |source| CaError::File { path: path.clone(), source };
        let subject = name(parse(&self.certificate)?.subject()).map_err(CaError::Crypto)?;
        let renewed = self_signed(subject, &self.key, valid)?;
        let former = fs::read_to_string(&path).map_err(file)?;
        replace(&path, (pem(&renewed) + &former).as_bytes(), 0o644).map_err(file)?;
        self.certificate = renewed;
        Ok(())
    }

    /// Certifies the key and subject of a request (PKCS#10, PEM) for `valid` from now; whatever
    /// else the request asks for is ignored. The answer is the certificate chain, PEM.
    ///
    /// # Errors
    /// [`CaError::Request`] when the request is not signed by its key, the key is not P-256, the
    /// subject is not one of an identity, a DNS name is none, or the certificate would outlive the
    /// CA.
    pub fn issue(&self, request: &str, kind: &Kind, valid: Duration) -> Result<String, CaError> {
        let refused = |why: &str| CaError::Request(why.to_owned());
        if request.len() > REQUEST_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes())
            .map_err(|_| refused("it is not a certificate signing request in PEM form"))?;
        let Ok(([], asked)) = X509CertificationRequest::from_der(&der) else {
            return Err(refused("it is not a PKCS#10 request"));
        };
        asked.verify_signature().map_err(|_| refused("its signature is wrong"))?;
        let asked = &asked.certification_request_info;
        let key = SubjectPublicKeyInfo::from_der(asked.subject_pki.raw)
            .map_err(|_| refused("its key is of an unknown kind"))?;
        let mut parameters = parameters(name(&asked.subject).map_err(CaError::Request)?, valid)?;
        if parameters.not_after > not_after(&self.certificate)? {
            return Err(refused(
                "it would outlive the CA's certificate; ask for fewer days, or renew the CA",
            ));
        }
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Kind::Server { dns_names } = kind {
            // Both: a server calls others, too.
            parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            for dns in dns_names {
                let valid =
                    dns.as_str().try_into().map_err(|_| refused("a DNS name is not ASCII"))?;
                parameters.subject_alt_names.push(SanType::DnsName(valid));
            }
        }
        let points =
            self.crl_url.iter().map(|url| CrlDistributionPoint { uris: vec![url.clone()] });
        parameters.crl_distribution_points = points.collect();
        let certificate =
            parameters.signed_by(&key, &self.issuer()?).map_err(crypto)?.der().clone();
        let subject = trust::subject(&certificate).map_err(|e| CaError::Request(e.to_string()))?;
        trust::public_key(&certificate).map_err(|e| CaError::Request(e.to_string()))?;
        let parsed = parse(&certificate)?;
        if parsed.subject().as_raw() != asked.subject.as_raw() {
            return Err(refused("its subject repeats an attribute, or has one of an unusual type"));
        }
        if let Kind::Server { dns_names } = kind {
            trust::server_name(&certificate).map_err(|e| CaError::Request(e.to_string()))?;
            if let Some(wrong) = dns_names.iter().find(|dns| !trust::is_host_name(dns)) {
                return Err(CaError::Request(format!(
                    "`{wrong}` is not a host name in lower case"
                )));
            }
        }
        // Recorded before it leaves, so that whatever is out there can be revoked.
        let mut index = Index::open(&self.folder)?;
        index.append(&Event::Issued {
            serial: serial(&parsed),
            subject,
            until: not_after(&certificate)?.unix_timestamp(),
        })?;
        Ok(pem(&certificate))
    }

    /// Revokes the certificate with this serial number (hexadecimal) as of now. A second time
    /// changes nothing.
    ///
    /// # Errors
    /// [`CaError::NotIssued`] when this CA has not issued it.
    pub fn revoke(&self, serial: &str) -> Result<(), CaError> {
        let wanted = canonical_serial(serial);
        let mut index = Index::open(&self.folder)?;
        if !index.is_issued(&wanted) {
            return Err(CaError::NotIssued(serial.chars().take(64).collect()));
        }
        if !index.is_revoked(&wanted) {
            index.append(&Event::Revoked { serial: wanted, time: now() })?;
        }
        Ok(())
    }

    /// Revokes a certificate (PEM) of this CA as of now.
    ///
    /// # Errors
    /// As [`Ca::revoke`].
    pub fn revoke_certificate(&self, certificate: &str) -> Result<(), CaError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| CaError::Request("it is not a certificate in PEM form".to_owned()))?;
        let parsed = parse(&der)?;
        if parsed.issuer().as_raw() != parse(&self.certificate)?.subject().as_raw() {
            return Err(CaError::NotIssued(serial(&parsed)));
        }
        self.revoke(&serial(&parsed))
    }

    /// A new revocation list (PEM), with the next number; it is also in the folder's `crl.pem`.
    ///
    /// # Errors
    /// [`CaError::File`], [`CaError::Damaged`].
    pub fn crl(&self) -> Result<String, CaError> {
        let mut index = Index::open(&self.folder)?;
        let number = index.crl_number() + 1;
        // Used up before it is published: no two lists have the same number.
        index.append(&Event::Crl { number, time: now() })?;
        let revoked = |(serial, at): (&str, i64)| -> Result<RevokedCertParams, CaError> {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from(hex::decode(serial).map_err(crypto)?),
                revocation_time: OffsetDateTime::from_unix_timestamp(at).map_err(crypto)?,
                reason_code: None,
                invalidity_date: None,
            })
        };
        let list = CertificateRevocationListParams {
            this_update: SystemTime::now().into(),
            next_update: (SystemTime::now() + CRL_VALID).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: index.revoked().map(revoked).collect::<Result<_, _>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer()?).map_err(crypto)?.pem().map_err(crypto)?;
        let path = self.folder.join(CRL);
        replace(&path, list.as_bytes(), 0o644).map_err(|source| CaError::File { path, source })?;
        Ok(list)
    }

    fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, CaError> {
        Issuer::from_ca_cert_der(&self.certificate, &self.key).map_err(crypto)
    }
}

fn now() -> i64 {
    OffsetDateTime::from(SystemTime::now()).unix_timestamp()
}
