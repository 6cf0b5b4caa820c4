//! Revocation lists (RFC 5280 clause 5).

use std::collections::BTreeMap;

use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer as _, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::id::Timestamp;

/// SHA-1 with RSA and its OIW twin: the parser of lists would accept them, and nothing else here
/// does.
const SHA_1: [&str; 2] = ["1.2.840.113549.1.1.5", "1.3.14.3.2.29"];

/// One CA's list of revoked certificates.
#[derive(Debug)]
pub(super) struct RevocationList {
    der: Vec<u8>,
    /// The issuer's name, DER.
    issuer: Vec<u8>,
    /// From when each serial number (without leading zeros) is revoked.
    revoked: BTreeMap<Vec<u8>, Timestamp>,
    /// The keys (SubjectPublicKeyInfo, DER) of those configured CAs that signed it.
    signed_by: Vec<Vec<u8>>,
    /// When the next list is due, as it says itself.
    next_update: Option<Timestamp>,
}

/// What the lists say of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// On no list.
    Good,
    /// On a list, with effect from this moment.
    RevokedFrom(Timestamp),
    /// There are lists in the name of its issuer, which is not a configured CA, but none is signed
    /// with the issuer's key.
    Unauthentic,
}

impl RevocationList {
    /// Reads a list. A list in the name of one of `cas` must be signed by one of those of that
    /// name.
    ///
    /// # Errors
    /// Why the list cannot be used, for the operator.
    pub(super) fn read(der: &[u8], cas: &[X509Certificate<'_>]) -> Result<Self, String> {
        // webpki refuses delta, indirect and partial lists, which the lookup below would misread.
        webpki::OwnedCertRevocationList::from_der(der).map_err(|e| e.to_string())?;
        let Ok(([], list)) = CertificateRevocationList::from_der(der) else {
            return Err("it is not a DER revocation list".to_owned());
        };
        if SHA_1.contains(&list.signature_algorithm.algorithm.to_id_string().as_str()) {
            return Err("it is signed with SHA-1".to_owned());
        }
        let revoked = list
            .iter_revoked_certificates()
            .map(|entry| {
                let listed = entry.revocation_date.timestamp();
                let invalid = entry.invalidity_date().map_or(listed, |(_, date)| date.timestamp());
                (serial(entry.raw_serial()), u64::try_from(listed.min(invalid)).unwrap_or(0))
            })
            .collect();
        let issuer = list.issuer().as_raw().to_vec();
        let bearers: Vec<_> = cas.iter().filter(|ca| ca.subject().as_raw() == issuer).collect();
        let signed_by: Vec<_> = bearers
            .iter()
            .filter(|ca| list.verify_signature(ca.public_key()).is_ok())
            .map(|ca| ca.public_key().raw.to_vec())
            .collect();
        if !bearers.is_empty() && signed_by.is_empty() {
            return Err("its signature is wrong".to_owned());
        }
        let second = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let next_update = list.next_update().map(second);
        Ok(Self { der: der.to_vec(), issuer, revoked, signed_by, next_update })
    }

    /// The list as it was read.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the configured CA with this key (SubjectPublicKeyInfo, DER) signed it, and the next
    /// one is not due at `now`.
    pub(super) fn is_current(&self, key: &[u8], now: Timestamp) -> bool {
        self.signed_by.iter().any(|signer| signer == key)
            && self.next_update.is_some_and(|due| now < due)
    }

    /// Whether the key signed it. Signatures of configured CAs were checked when the list was read;
    /// those of intermediate CAs, whose certificates come with the chain, are checked here.
    fn is_signed_by(&self, key: &SubjectPublicKeyInfo<'_>) -> bool {
        if !self.signed_by.is_empty() {
            return self.signed_by.iter().any(|signer| signer == key.raw);
        }
        CertificateRevocationList::from_der(&self.der)
            .is_ok_and(|(_, list)| list.verify_signature(key).is_ok())
    }
}

/// What `lists` say of `certificate`, issued with the key of `issuer`. All lists of an issuer
/// count, and the earliest revocation is the one that holds.
pub(super) fn status(
    lists: &[RevocationList],
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
) -> Status {
    let mut authentic = true;
    let mut revoked: Option<Timestamp> = None;
    for list in lists.iter().filter(|list| list.issuer == certificate.issuer().as_raw()) {
        if list.is_signed_by(issuer.public_key()) {
            let from = list.revoked.get(&serial(certificate.raw_serial())).copied();
            revoked = [revoked, from].into_iter().flatten().min();
        } else if list.signed_by.is_empty() {
            authentic = false;
        }
    }
    match revoked {
        Some(from) => Status::RevokedFrom(from),
        None if authentic => Status::Good,
        None => Status::Unauthentic,
    }
}

/// The serial number without leading zeros, which encoders add or leave out.
fn serial(raw: &[u8]) -> Vec<u8> {
    raw.iter().copied().skip_while(|byte| *byte == 0).collect()
}
