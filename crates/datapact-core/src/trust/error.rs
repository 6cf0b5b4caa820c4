//! Why a certificate was refused.

/// Why a certificate was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No certificate was given.
    #[error("there is no certificate")]
    NoCertificate,
    /// Not a certificate this system can use.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    /// It does not come from a CA of any realm.
    #[error("the certificate of `{subject}` is not issued by a CA of any configured realm")]
    Unknown {
        /// Its subject.
        subject: String,
    },
    /// It, or the CA above it, is not valid at the time in question.
    #[error(
        "the certificate of `{subject}`, or a CA certificate above it, is not valid at this time"
    )]
    Expired {
        /// Its subject.
        subject: String,
    },
    /// It, or a CA above it, is on its issuer's revocation list.
    #[error("the certificate of `{subject}`, or a CA certificate above it, is revoked")]
    Revoked {
        /// Its subject.
        subject: String,
    },
    /// It is not the certificate of the server that was called.
    #[error("the certificate of `{subject}` is not that of the server `{expected}`")]
    WrongServer {
        /// The server called.
        expected: String,
        /// The certificate's server.
        subject: String,
    },
    /// The trust configuration contradicts itself or cannot be read.
    #[error("the trust configuration is wrong: {0}")]
    Configuration(String),
}

impl TrustError {
    /// The error's name, as the specification and its vectors use it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::Unusable(_) => "unusable",
            Self::Unknown { .. } => "unknown",
            Self::Expired { .. } => "expired",
            Self::Revoked { .. } => "revoked",
            Self::WrongServer { .. } => "wrong-server",
            Self::Configuration(_) => "configuration",
        }
    }
}
