//! Certificates: what every one of this CA has in common, and reading them again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::CaError;

/// How far before its issuance a certificate is valid, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(300);

pub(super) fn self_signed(
    subject: DistinguishedName,
    key: &KeyPair,
    valid: Duration,
) -> Result<CertificateDer<'static>, CaError> {
    let mut parameters = parameters(subject, valid)?;
    // No intermediate CAs: this CA issues to users and servers only.
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(parameters.self_signed(key).map_err(crypto)?.der().clone())
}

pub(super) fn parameters(
    subject: DistinguishedName,
    valid: Duration,
) -> Result<CertificateParams, CaError> {
    let now = SystemTime::now();
    let to = now.checked_add(valid).filter(|to| {
        // The last moment that X.509 can state.
        to.duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() < 253_402_300_800)
    });
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = subject;
    parameters.not_before = (now - BACKDATED).into();
    parameters.not_after =
        to.ok_or_else(|| CaError::Request("it would be valid for too long".to_owned()))?.into();
    let mut serial = datapact_core::id::random::<16>();
    if let Some(first) = serial.first_mut() {
        // Positive and of full length (RFC 5280 4.1.2.2).
        *first = *first & 0x7f | 0x40;
    }
    parameters.serial_number = Some(SerialNumber::from(serial.to_vec()));
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

/// A parsed name, to be written again.
pub(super) fn name(parsed: &x509_parser::x509::X509Name<'_>) -> Result<DistinguishedName, String> {
    use x509_parser::asn1_rs::Tag;
    let mut name = DistinguishedName::new();
    for part in parsed.iter() {
        let mut attributes = part.iter();
        let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
            return Err("its subject has a part with several attributes".to_owned());
        };
        let text = attribute.as_str().map_err(|_| "its subject is not plain text".to_owned())?;
        let unusual = || format!("its subject has an attribute of an unusual type: `{text}`");
        let value = match attribute.attr_value().tag() {
            Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
            Tag::PrintableString => {
                DnValue::PrintableString(text.try_into().map_err(|_| unusual())?)
            }
            Tag::Ia5String => DnValue::Ia5String(text.try_into().map_err(|_| unusual())?),
            _ => return Err(unusual()),
        };
        let oid: Vec<u64> = attribute.attr_type().iter().ok_or_else(unusual)?.collect();
        name.push(DnType::from_oid(&oid), value);
    }
    Ok(name)
}

pub(super) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CaError> {
    X509Certificate::from_der(certificate).map(|(_, parsed)| parsed).map_err(crypto)
}

pub(super) fn serial(certificate: &X509Certificate<'_>) -> String {
    canonical_serial(&hex::encode(certificate.raw_serial()))
}

/// A serial number in lower-case hexadecimal, without separators and leading zero bytes.
pub(super) fn canonical_serial(text: &str) -> String {
    let digits: String =
        text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    let digits = digits.trim_start_matches('0');
    if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() }
}

pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Result<OffsetDateTime, CaError> {
    Ok(parse(certificate)?.validity().not_after.to_datetime())
}

pub(super) fn pem(certificate: &CertificateDer<'_>) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (i, c) in STANDARD.encode(certificate).chars().enumerate() {
        if i > 0 && i % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text + "\n-----END CERTIFICATE-----\n"
}

pub(super) fn crypto(error: impl std::fmt::Display) -> CaError {
    CaError::Crypto(error.to_string())
}
