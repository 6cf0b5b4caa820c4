//! TLS 1.3 as both sides of every connection use it: provider, key exchange, and the client's
//! configuration.

use std::sync::Arc;

use datapact_core::trust::TrustError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::trust_file::ReloadableTrust;

/// The cryptography of all connections: TLS 1.3 suites, and X25519MLKEM768 as the first key
/// exchange offered. It is passed explicitly, so that nothing depends on a process-wide default.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    provider.kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    Arc::new(provider)
}

/// The certificate that a client shows: its chain (leaf first) and private key.
pub type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client's side of a connection: TLS 1.3 only; the server's certificate must come from a CA of
/// the server realm of `trust` as it is at the handshake, be on no revocation list, and bear the
/// DNS name in the URL (AC-2).
///
/// Without a `certificate` only the public listeners let the client in.
///
/// # Errors
/// When the private key is unusable or does not belong to the certificate.
pub fn client_config(
    trust: Arc<ReloadableTrust>,
    certificate: Option<ClientCertificate>,
) -> Result<ClientConfig, Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // our own verifier, stricter than the default: it knows realms
        .with_custom_certificate_verifier(Arc::new(ServerVerifier { trust, provider }));
    let mut config = match certificate {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would not see the server's certificate again.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// A client's side of a connection to a server whose certificate proves nothing to us: TLS 1.3 with
/// whatever certificate it shows. Only for answers that are signed themselves, as those of
/// witnesses are, by keys that the asker knows.
///
/// # Errors
/// When the cryptography cannot be set up.
pub fn unauthenticated_config() -> Result<ClientConfig, Error> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // what is fetched is signed under its own key and time
        .with_custom_certificate_verifier(Arc::new(AnyServer { provider }))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes any certificate; the handshake must still be signed with its key.
#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies servers by the trust configuration's server realm.
#[derive(Debug)]
struct ServerVerifier {
    trust: Arc<ReloadableTrust>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.trust
            .current()
            .identify_server(&chain, &server_name.to_str(), now.as_secs())
            .map(|_| ServerCertVerified::assertion())
            .map_err(certificate_error)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // Every certificate here has a P-256 key.
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A refused certificate as TLS says it: the alert tells the peer the kind, the error here tells
/// why.
pub fn certificate_error(error: TrustError) -> Error {
    let kind = match &error {
        TrustError::NoCertificate => return Error::NoCertificatesPresented,
        TrustError::Unknown { .. } => CertificateError::UnknownIssuer,
        TrustError::Expired { .. } => CertificateError::Expired,
        TrustError::Revoked { .. } => CertificateError::Revoked,
        TrustError::WrongServer { .. } => CertificateError::NotValidForName,
        TrustError::Unusable(_) | TrustError::Configuration(_) => {
            CertificateError::Other(rustls::OtherError(Arc::new(error)))
        }
    };
    Error::InvalidCertificate(kind)
}
