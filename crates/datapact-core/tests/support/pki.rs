//! Certificate authorities for tests.
#![allow(dead_code, clippy::unwrap_used, reason = "a fixture, of which each user needs a part")]

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::CertificateDer;

/// A moment, in seconds since 1970: as `datapact_core::id`, which unit tests know as `crate::id`.
type Timestamp = u64;

/// The tests' present.
pub(crate) const NOW: Timestamp = 1_800_000_000;
/// When the certificates start to be valid.
pub(crate) const FROM: Timestamp = NOW - 1_000_000;
/// When they end.
pub(crate) const TO: Timestamp = NOW + 1_000_000;

/// What a leaf is for.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    User,
    Server,
    Unstated,
}

pub(crate) struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pub(crate) der: CertificateDer<'static>,
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

pub(crate) fn name(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), DnValue::Utf8String((*value).to_owned()));
    }
    name
}

fn params(name: DistinguishedName, from: Timestamp, to: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = time(from);
    params.not_after = time(to);
    params.use_authority_key_identifier_extension = true;
    params
}

fn time(at: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(i64::try_from(at).unwrap()).unwrap()
}

impl Ca {
    pub(crate) fn new(common_name: &str) -> Self {
        Self::with(common_name, key(), FROM, TO)
    }

    pub(crate) fn with(common_name: &str, key: KeyPair, from: Timestamp, to: Timestamp) -> Self {
        let params = Self::params(common_name, from, to);
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { params, key, der }
    }

    fn params(common_name: &str, from: Timestamp, to: Timestamp) -> CertificateParams {
        let mut params = params(name(&[(DnType::CommonName, common_name)]), from, to);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// An intermediate CA under this one.
    pub(crate) fn intermediate(&self, common_name: &str) -> Self {
        let (key, params) = (key(), Self::params(common_name, FROM, TO));
        let der = params.signed_by(&key, &self.issuer()).unwrap().der().clone();
        Self { params, key, der }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    pub(crate) fn user(
        &self,
        common_name: &str,
        key: &impl PublicKeyData,
    ) -> CertificateDer<'static> {
        self.leaf(name(&[(DnType::CommonName, common_name)]), key, Use::User, FROM, TO, 1)
    }

    pub(crate) fn leaf(
        &self,
        name: DistinguishedName,
        key: &impl PublicKeyData,
        usage: Use,
        from: Timestamp,
        to: Timestamp,
        serial: u64,
    ) -> CertificateDer<'static> {
        let mut params = params(name, from, to);
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = match usage {
            Use::User => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Use::Server => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
            Use::Unstated => vec![],
        };
        if matches!(usage, Use::Server) {
            params.subject_alt_names = vec![
                rcgen::SanType::DnsName("Keys.Example".try_into().unwrap()),
                rcgen::SanType::DnsName("alias.example".try_into().unwrap()),
            ];
        }
        params.signed_by(key, &self.issuer()).unwrap().der().clone()
    }

    /// A revocation list: serial numbers and since when.
    pub(crate) fn crl(&self, revoked: &[(u64, Timestamp)]) -> Vec<u8> {
        let revoked_certs = revoked
            .iter()
            .map(|(serial, at)| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: time(*at),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        CertificateRevocationListParams {
            this_update: time(FROM),
            next_update: time(TO),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer())
        .unwrap()
        .der()
        .to_vec()
    }
}
