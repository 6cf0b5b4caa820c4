//! TLS 1.3, and who the peer is.

use std::io;
use std::sync::Arc;

use datapact_api::peer::AuthenticatedPeer;
use datapact_api::tls::{certificate_error, provider};
use datapact_api::trust_file::ReloadableTrust;
use datapact_core::id::Digest;
use datapact_core::trust::TrustError;
use datapact_log::clock::system_clock;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

/// Who shook hands.
pub(super) fn peer(
    trust: &ReloadableTrust,
    chain: Option<&[CertificateDer<'static>]>,
) -> Result<AuthenticatedPeer, TrustError> {
    let chain = chain.unwrap_or_default().to_vec();
    let certificate = Digest::of(chain.first().ok_or(TrustError::NoCertificate)?);
    let identity = trust.current().identify(&chain, system_clock()())?;
    Ok(AuthenticatedPeer { identity, chain, certificate })
}

/// Why a handshake failed.
pub(super) fn why_refused(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::Revoked)) => "certificate-revoked",
        Some(Error::InvalidCertificate(CertificateError::Expired)) => "certificate-expired",
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => "certificate-unknown",
        Some(Error::InvalidCertificate(_)) => "certificate",
        Some(Error::NoCertificatesPresented) => "no-certificate",
        _ => "handshake",
    }
}

/// The server's side of a connection: TLS 1.3 only, no resumption (each handshake shows the
/// certificate).
pub(super) fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<Arc<ReloadableTrust>>,
) -> Result<ServerConfig, Error> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = match clients {
        Some(trust) => {
            builder.with_client_cert_verifier(Arc::new(ClientVerifier { trust, provider }))
        }
        None => builder.with_no_client_auth(),
    }
    .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// Verifies clients by the trust configuration as it is at the handshake: users of all realms, and
/// servers.
#[derive(Debug)]
struct ClientVerifier {
    trust: Arc<ReloadableTrust>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.trust
            .current()
            .identify(&chain, now.as_secs())
            .map(|_| ClientCertVerified::assertion())
            .map_err(certificate_error)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
