//! Who is at the other end of a connection.

use datapact_core::id::Digest;
use datapact_core::identity::Identity;
use rustls::pki_types::CertificateDer;

/// A user or server authenticated by the TLS handshake (AC-1). The chain is kept so that every
/// request on a long-lived connection can be identified again: a revocation counts at once.
#[derive(Debug, Clone)]
pub struct AuthenticatedPeer {
    /// Who the certificate certified at the handshake.
    pub identity: Identity,
    /// The certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// SHA-256 of the leaf certificate, what tokens are bound to (RFC 8705).
    pub certificate: Digest,
}
