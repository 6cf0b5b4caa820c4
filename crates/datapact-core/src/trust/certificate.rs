//! What a certificate says: its key, its subject, the server it names.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::TrustError;
use crate::id::{Digest, Timestamp};
use crate::identity::{SUBJECT_BYTES_MAX, is_plain};

/// The longest certificate that is read, in bytes: well above what CAs issue, so that parsing stays
/// cheap for any caller.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// A certificate's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The uncompressed P-256 point, 65 bytes.
    pub point: Vec<u8>,
    /// SHA-256 of the SubjectPublicKeyInfo (DER).
    pub digest: Digest,
}

/// The public key of a certificate, which must be P-256.
///
/// # Errors
/// [`TrustError::Unusable`] when it is not a certificate, or its key is not a P-256 key.
pub fn public_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, TrustError> {
    let parsed =
        EndEntityCert::try_from(certificate).map_err(|e| TrustError::Unusable(e.to_string()))?;
    let spki = parsed.subject_public_key_info();
    match spki.strip_prefix(&P256_SPKI) {
        Some(point) if point.len() == 65 && point.first() == Some(&4) => {
            Ok(PublicKey { point: point.to_vec(), digest: Digest::of(&spki) })
        }
        _ => Err(TrustError::Unusable("its key is not an uncompressed P-256 key".to_owned())),
    }
}

/// How the SubjectPublicKeyInfo (DER, RFC 5480) of each uncompressed P-256 key begins: the point's
/// 65 bytes follow.
const P256_SPKI: [u8; 26] = *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// The subject of a certificate in one canonical form, close to RFC 4514: attributes in the
/// certificate's order, `NAME=value` joined by commas; the parts of a multi-valued attribute sorted
/// and joined by `+`; the characters `, + " \ < > ; =`, a leading `#`, and spaces at either end
/// escaped with a backslash. Two subjects have the same text only if they have the same attributes
/// in the same order.
///
/// # Errors
/// [`TrustError::Unusable`] when it is empty, longer than 512 bytes, or holds a value that is not
/// plain text.
pub fn subject(certificate: &CertificateDer<'_>) -> Result<String, TrustError> {
    let parsed = parse(certificate)?;
    let mut attributes = Vec::new();
    for rdn in parsed.subject().iter() {
        let mut parts = Vec::new();
        for attribute in rdn.iter() {
            let oid = attribute.attr_type().to_id_string();
            let value = attribute
                .as_str()
                .map_err(|_| TrustError::Unusable("its subject is not plain text".to_owned()))?;
            if value.is_empty() || !is_plain(value) {
                return Err(TrustError::Unusable(
                    "its subject has an empty value, or control or invisible characters".to_owned(),
                ));
            }
            parts.push(format!("{}={}", short_name(&oid).unwrap_or(&oid), escape(value)));
        }
        // A SET has no order: sorting makes the text independent of how the CA encoded it.
        parts.sort_unstable();
        attributes.push(parts.join("+"));
    }
    let text = attributes.join(",");
    if text.is_empty() || text.len() > SUBJECT_BYTES_MAX {
        return Err(TrustError::Unusable(format!(
            "its subject is empty or longer than {SUBJECT_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// The value of an attribute as [`subject`] writes it.
pub fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=');
        if special || (c == '#' && i == 0) || (c == ' ' && (i == 0 || i == last)) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// The first and the last second at which a certificate is valid (RFC 5280 clause 4.1.2.5).
///
/// # Errors
/// [`TrustError::Unusable`] when it is not a certificate.
pub fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), TrustError> {
    let parsed = parse(certificate)?;
    let second = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    Ok((second(parsed.validity().not_before), second(parsed.validity().not_after)))
}

/// When the next revocation list is due, as this one (DER) states (RFC 5280 clause 5.1.2.5).
///
/// # Errors
/// [`TrustError::Unusable`] when it is not a revocation list.
pub fn next_update(list: &[u8]) -> Result<Option<Timestamp>, TrustError> {
    let Ok(([], list)) = CertificateRevocationList::from_der(list) else {
        return Err(TrustError::Unusable("it is not a DER revocation list".to_owned()));
    };
    Ok(list.next_update().map(|time| u64::try_from(time.timestamp()).unwrap_or(0)))
}

/// The server that a certificate names: the first DNS name of its subject alternative names, in
/// lower case.
///
/// # Errors
/// [`TrustError::Unusable`] when there is none, or it is not the name of one host.
pub fn server_name(certificate: &CertificateDer<'_>) -> Result<String, TrustError> {
    let parsed = parse(certificate)?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let name = names.and_then(|names| {
        names.value.general_names.iter().find_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
    });
    match name {
        Some(name) if is_host_name(&name) => Ok(name),
        Some(_) => {
            Err(TrustError::Unusable("the server it names is not one host (RFC 1123)".to_owned()))
        }
        None => Err(TrustError::Unusable(
            "it names no server (no DNS subject alternative name)".to_owned(),
        )),
    }
}

/// Whether this is a host name in lower case (RFC 1123): labels of `a-z 0-9 -`, 253 bytes at most.
pub fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// The attribute's short name (RFC 4514 clause 3 and RFC 4519), where it has one.
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

/// Reads a certificate of bounded length, with nothing after it.
///
/// # Errors
/// [`TrustError::Unusable`] for anything else.
pub(super) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, TrustError> {
    if certificate.len() > CERTIFICATE_BYTES_MAX {
        return Err(TrustError::Unusable(format!(
            "it is longer than {CERTIFICATE_BYTES_MAX} bytes"
        )));
    }
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(TrustError::Unusable("it is not a DER certificate".to_owned())),
    }
}
