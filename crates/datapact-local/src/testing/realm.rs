//! Organisations that certify users, and the trust configuration that knows them.

use std::sync::Arc;

use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::trust::{Trust, subject};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// A CA and the realm that it speaks for.
pub struct TestRealm {
    name: String,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl TestRealm {
    /// A realm with a fresh CA.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{name} CA"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, key()).expect("the parameters are valid");
        Self { name: name.to_owned(), ca }
    }

    /// A user that this realm's CA certifies.
    pub fn signer(&self, name: &str) -> Signer {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = key();
        let certificate = params.signed_by(&key, &self.ca).expect("the parameters are valid");
        let subject = subject(certificate.der()).expect("the subject is plain");
        let identity = Identity { realm: self.name.clone(), subject };
        Signer::new(&key.serialize_der(), vec![certificate.der().clone()], identity)
            .expect("the key is its own")
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("the system makes keys")
}

/// The trust configuration that knows `realms`.
pub fn trust(realms: &[&TestRealm]) -> Arc<Trust> {
    let mut trust = Trust::default();
    for realm in realms {
        trust
            .add(&realm.name, vec![realm.ca.der().clone()], Vec::new())
            .expect("each CA has one realm");
    }
    Arc::new(trust)
}
