//! Trust: which CA certifies whom, and what a certificate says.

use std::collections::BTreeMap;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::id::{Digest, Timestamp};
use crate::identity::{Identity, SERVER_REALM};

/// Why a certificate was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No certificate was given.
    #[error("there is no certificate")]
    NoCertificate,
    /// Not a certificate this system can use.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    /// No realm's CA issued it.
    #[error("the certificate of `{subject}` is not issued by a CA of any configured realm")]
    Unknown {
        /// Its subject.
        subject: String,
    },
    /// Not valid at the time in question.
    #[error("the certificate of `{subject}` is not valid at this time")]
    Expired {
        /// Its subject.
        subject: String,
    },
    /// On its CA's revocation list.
    #[error("the certificate of `{subject}` is revoked")]
    Revoked {
        /// Its subject.
        subject: String,
    },
    /// The configuration itself is wrong.
    #[error("the trust configuration is wrong: {0}")]
    Configuration(String),
}

/// The CAs and revocation lists of one realm.
#[derive(Debug, Default)]
struct Realm {
    cas: Vec<CertificateDer<'static>>,
    crls: Vec<CertRevocationList<'static>>,
}

/// Which CA may certify whom: each CA is bound to one realm, and speaks for no other's users.
#[derive(Debug, Default)]
pub struct Trust {
    realms: BTreeMap<String, Realm>,
}

/// A certificate's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The uncompressed P-256 point, 65 bytes.
    pub point: Vec<u8>,
    /// SHA-256 of the SubjectPublicKeyInfo (DER).
    pub digest: Digest,
}

impl Trust {
    /// Adds a realm with its CAs and revocation lists (DER).
    ///
    /// # Errors
    /// [`TrustError::Configuration`] when a CA already speaks for another realm or a list cannot be read.
    pub fn add(
        &mut self,
        realm: &str,
        cas: Vec<CertificateDer<'static>>,
        crls: Vec<Vec<u8>>,
    ) -> Result<(), TrustError> {
        for (name, other) in &self.realms {
            if name != realm && cas.iter().any(|ca| other.cas.contains(ca)) {
                return Err(TrustError::Configuration(format!(
                    "one CA speaks for both `{name}` and `{realm}`"
                )));
            }
        }
        let crls = crls
            .iter()
            .map(|der| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| TrustError::Configuration(format!("a revocation list of `{realm}`: {e}")))?;
        let entry = self.realms.entry(realm.to_owned()).or_default();
        entry.cas.extend(cas);
        entry.crls.extend(crls);
        Ok(())
    }

    /// Who the chain (leaf first) certifies at time `at`: a user of the realm whose CA it leads to. A chain of
    /// the reserved server realm certifies the server named by its first DNS name.
    pub fn identify(&self, chain: &[CertificateDer<'_>], at: Timestamp) -> Result<Identity, TrustError> {
        let (leaf, intermediates) = chain.split_first().ok_or(TrustError::NoCertificate)?;
        let end_entity = EndEntityCert::try_from(leaf).map_err(|e| TrustError::Unusable(e.to_string()))?;
        let mut refusal = None;
        for (name, realm) in &self.realms {
            let anchors = realm
                .cas
                .iter()
                .map(webpki::anchor_from_trusted_cert)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| TrustError::Configuration(format!("a CA of `{name}`: {e}")))?;
            let crls: Vec<&CertRevocationList<'_>> = realm.crls.iter().collect();
            let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|options| {
                options
                    .with_depth(RevocationCheckDepth::Chain)
                    .with_status_policy(UnknownStatusPolicy::Allow)
                    .with_expiration_policy(ExpirationPolicy::Ignore)
                    .build()
            });
            let usage = if name == SERVER_REALM { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
            let result = end_entity.verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &anchors,
                intermediates,
                UnixTime::since_unix_epoch(Duration::from_secs(at)),
                usage,
                revocation,
                None,
            );
            match result {
                Ok(_) if name == SERVER_REALM => {
                    return server_name(leaf).map(|name| Identity::server(&name));
                }
                Ok(_) => return Ok(Identity { realm: name.clone(), subject: subject(leaf)? }),
                Err(webpki::Error::CertRevoked) => {
                    return Err(TrustError::Revoked { subject: subject(leaf)? });
                }
                Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => {
                    refusal = Some(TrustError::Expired { subject: subject(leaf)? });
                }
                Err(_) => {}
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None => Err(TrustError::Unknown { subject: subject(leaf)? }),
        }
    }
}

/// The public key of a certificate, which must be P-256.
pub fn public_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, TrustError> {
    let parsed = parse(certificate)?;
    let spki = parsed.public_key();
    let point = spki.subject_public_key.data.as_ref();
    let curve =
        spki.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()).map(|oid| oid.to_id_string());
    if curve.as_deref() != Some("1.2.840.10045.3.1.7") || point.len() != 65 || point.first() != Some(&4) {
        return Err(TrustError::Unusable("its key is not an uncompressed P-256 key".to_owned()));
    }
    Ok(PublicKey { point: point.to_vec(), digest: Digest::of(spki.raw) })
}

/// The subject of a certificate in one canonical form, close to RFC 4514: attributes in the certificate's order,
/// `NAME=value` joined by commas, `+` within a multi-valued part, special characters escaped with a backslash.
pub fn subject(certificate: &CertificateDer<'_>) -> Result<String, TrustError> {
    let parsed = parse(certificate)?;
    let mut text = String::new();
    for (i, rdn) in parsed.subject().iter().enumerate() {
        for (j, attribute) in rdn.iter().enumerate() {
            if j > 0 {
                text.push('+');
            } else if i > 0 {
                text.push(',');
            }
            let oid = attribute.attr_type().to_id_string();
            text.push_str(short_name(&oid).unwrap_or(&oid));
            text.push('=');
            let value = attribute
                .as_str()
                .map_err(|_| TrustError::Unusable("its subject is not plain text".to_owned()))?;
            for c in value.chars() {
                if matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
                    text.push('\\');
                }
                if c.is_control() {
                    return Err(TrustError::Unusable("its subject has a control character".to_owned()));
                }
                text.push(c);
            }
        }
    }
    if text.is_empty() || text.len() > 512 {
        return Err(TrustError::Unusable("its subject is empty or longer than 512 bytes".to_owned()));
    }
    Ok(text)
}

/// The first DNS name of a certificate's subject alternative names.
pub fn server_name(certificate: &CertificateDer<'_>) -> Result<String, TrustError> {
    let parsed = parse(certificate)?;
    let names = parsed.subject_alternative_name().ok().flatten();
    names
        .and_then(|names| {
            names.value.general_names.iter().find_map(|name| match name {
                x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            })
        })
        .ok_or_else(|| {
            TrustError::Unusable("it names no server (no DNS subject alternative name)".to_owned())
        })
}

fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, TrustError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(TrustError::Unusable("it is not a DER certificate".to_owned())),
    }
}
