//! TLS between peer and chaincode: both sides show a certificate.

use datapact_chaincode::shim::ServerTls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::peer::{Peer, start};

fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(
    ca: &CertifiedIssuer<'static, KeyPair>,
    usage: ExtendedKeyUsagePurpose,
) -> (String, String) {
    let mut params = CertificateParams::new(vec!["chaincode.example".to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, ca).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn only_a_peer_with_a_certificate_of_the_configured_ca_is_greeted() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (own, other) = (ca("own"), ca("other"));
    let (certificate, key) = issue(&own, ExtendedKeyUsagePurpose::ServerAuth);
    let service = start(Some(ServerTls {
        key: key.into_bytes(),
        certificate: certificate.into_bytes(),
        client_ca: Some(own.pem().into_bytes()),
    }))
    .await;
    let trusting = || {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(own.pem()))
            .domain_name("chaincode.example")
    };
    let shows = |ca: &CertifiedIssuer<'static, KeyPair>| {
        let (certificate, key) = issue(ca, ExtendedKeyUsagePurpose::ClientAuth);
        trusting().identity(Identity::from_pem(certificate, key))
    };
    for refused in [trusting(), shows(&other)] {
        assert!(Peer::connect_tls(service.address, refused).await.is_err());
    }
    let mut peer = Peer::connect_tls(service.address, shows(&own)).await.unwrap();
    peer.greet().await;
}
