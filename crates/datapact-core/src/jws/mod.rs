//! Signing and reading documents: JWS (RFC 7515) compact serialization, ES256, certificate chain in
//! `x5c`.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::document::{Body, Document};
use crate::id::{Digest, Timestamp, random};
use crate::identity::Identity;
use crate::trust::{self, Trust, TrustError};

#[cfg(test)]
mod tests;

/// The longest compact serialization that is read, in bytes: a policy with all its texts and terms,
/// and a chain of five long certificates, fit.
pub const JWS_BYTES_MAX: usize = 256 * 1024;
pub use crate::trust::CHAIN_MAX;

/// Why a signed document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Longer than [`JWS_BYTES_MAX`].
    #[error("the document is longer than {JWS_BYTES_MAX} bytes")]
    TooLong,
    /// Not three base64url parts, or not the JSON expected.
    #[error("the document is malformed: {0}")]
    Malformed(String),
    /// Another algorithm than ES256.
    #[error("the document's algorithm is not ES256")]
    Algorithm,
    /// Another type than the one expected here.
    #[error("the document is not a {expected}")]
    Type {
        /// The type expected.
        expected: &'static str,
    },
    /// The signature does not fit the content.
    #[error("the document's signature is wrong")]
    Signature,
    /// The certificate is not the signer's.
    #[error(
        "the document names `{claimed}` as its signer, but its certificate is that of `{certified}`"
    )]
    Signer {
        /// The signer that the payload names.
        claimed: Identity,
        /// The identity that the certificate bears.
        certified: Identity,
    },
    /// Addressed to another reader.
    #[error("the document is for `{found}`, not for `{expected}`")]
    Audience {
        /// The reader.
        expected: String,
        /// The document's audience.
        found: String,
    },
    /// The certificate is not trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl DocumentError {
    /// The error's name, as the specification and its vectors use it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Malformed(_) => "malformed",
            Self::Algorithm => "algorithm",
            Self::Type { .. } => "type",
            Self::Signature => "signature",
            Self::Signer { .. } => "signer",
            Self::Audience { .. } => "audience",
            Self::Trust(error) => error.name(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    x5c: Vec<String>,
}

/// A private key with its certificate chain: what signs documents.
pub struct Signer {
    key: EcdsaKeyPair,
    chain: Vec<CertificateDer<'static>>,
    public: Digest,
    identity: Identity,
}

impl Signer {
    /// A signer from a PKCS#8 private key (DER, P-256), its chain (leaf first) and the identity
    /// that the chain certifies.
    ///
    /// # Errors
    /// [`DocumentError::Malformed`] when the key is not P-256 or not the leaf's, and
    /// [`DocumentError::Trust`] when there is no usable leaf.
    pub fn new(
        pkcs8: &[u8],
        chain: Vec<CertificateDer<'static>>,
        identity: Identity,
    ) -> Result<Self, DocumentError> {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| {
                DocumentError::Malformed("the private key is not a P-256 key in PKCS#8".to_owned())
            })?;
        let leaf = chain.first().ok_or(TrustError::NoCertificate)?;
        let public = trust::public_key(leaf)?;
        if public.point != key.public_key().as_ref() {
            return Err(DocumentError::Malformed(
                "the private key does not belong to the certificate".to_owned(),
            ));
        }
        Ok(Self { key, chain, public: public.digest, identity })
    }

    /// Who signs.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Signs `body` for `audience` at `time`.
    pub fn sign<B: Body>(&self, audience: &str, time: Timestamp, body: B) -> Signed<B> {
        let document = Document {
            kind: B::TYPE.to_owned(),
            audience: audience.to_owned(),
            signer: self.identity.clone(),
            time,
            nonce: Digest(random()),
            body,
        };
        let payload = serde_json::to_vec(&document).expect("documents have only string keys");
        let header = Header {
            alg: "ES256".to_owned(),
            typ: typ::<B>(),
            x5c: self.chain.iter().map(|der| STANDARD.encode(der)).collect(),
        };
        let header = serde_json::to_vec(&header).expect("a header is plain JSON");
        let jws = sign_compact(&self.key, &header, &payload);
        Signed {
            jws,
            id: Digest::of(&payload),
            document,
            chain: self.chain.clone(),
            key: self.public,
        }
    }
}

/// A document whose signature fits the certificate it carries. [`Signed::verify`] says whether that
/// certificate is to be trusted at a given time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<B> {
    jws: String,
    id: Digest,
    document: Document<B>,
    chain: Vec<CertificateDer<'static>>,
    /// SHA-256 of the leaf's SubjectPublicKeyInfo.
    key: Digest,
}

impl<B: Body> Signed<B> {
    /// Reads a compact serialization and checks algorithm, type, bounds and signature.
    ///
    /// # Errors
    /// Every [`DocumentError`] that does not depend on who is trusted.
    pub fn parse(jws: &str) -> Result<Self, DocumentError> {
        let parts = Compact::split(jws)?;
        let header: Header = from_json(&parts.header)?;
        if header.alg != "ES256" {
            return Err(DocumentError::Algorithm);
        }
        if header.typ != typ::<B>() {
            return Err(DocumentError::Type { expected: B::TYPE });
        }
        if header.x5c.is_empty() || header.x5c.len() > CHAIN_MAX {
            return Err(DocumentError::Malformed(format!(
                "x5c must hold 1 to {CHAIN_MAX} certificates"
            )));
        }
        let chain = header
            .x5c
            .iter()
            .map(|text| STANDARD.decode(text).map(CertificateDer::from))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| DocumentError::Malformed("x5c is not base64".to_owned()))?;
        // The payload is parsed only after its signature holds, so that an unsigned text never gets
        // to the parser of documents.
        let key = trust::public_key(chain.first().ok_or(TrustError::NoCertificate)?)?;
        parts.verify(&key.point)?;
        let document: Document<B> = from_json(&parts.payload)?;
        // The header says the type as well; the payload's is the one that was hashed into the id.
        if document.kind != B::TYPE {
            return Err(DocumentError::Type { expected: B::TYPE });
        }
        Ok(Self {
            id: Digest::of(&parts.payload),
            jws: jws.to_owned(),
            document,
            chain,
            key: key.digest,
        })
    }

    /// Checks that `trust` certifies the signer at time `at` and that the document is for
    /// `audience`.
    ///
    /// # Errors
    /// [`DocumentError::Audience`], [`DocumentError::Signer`] and [`DocumentError::Trust`].
    pub fn verify(
        &self,
        trust: &Trust,
        audience: &str,
        at: Timestamp,
    ) -> Result<(), DocumentError> {
        if self.document.audience != audience {
            return Err(DocumentError::Audience {
                expected: audience.to_owned(),
                found: self.document.audience.clone(),
            });
        }
        let certified = trust.identify(&self.chain, at)?;
        if certified != self.document.signer {
            return Err(DocumentError::Signer { claimed: self.document.signer.clone(), certified });
        }
        Ok(())
    }

    /// The document id: SHA-256 of the payload.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// The compact serialization.
    pub fn as_str(&self) -> &str {
        &self.jws
    }

    /// The payload.
    pub fn document(&self) -> &Document<B> {
        &self.document
    }

    /// The payload's content.
    pub fn body(&self) -> &B {
        &self.document.body
    }

    /// The signer that the payload names; call [`Signed::verify`] before you rely on it.
    pub fn signer(&self) -> &Identity {
        &self.document.signer
    }

    /// The signer's certificate chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// SHA-256 of the signer's public key (SubjectPublicKeyInfo, DER).
    pub fn key_digest(&self) -> Digest {
        self.key
    }
}

impl<B: Body> Serialize for Signed<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.jws)
    }
}

impl<'de, B: Body> Deserialize<'de> for Signed<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// The three parts of a compact serialization, decoded.
pub(crate) struct Compact<'a> {
    pub(crate) header: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Splits and decodes a compact serialization.
    ///
    /// # Errors
    /// [`DocumentError::TooLong`] and [`DocumentError::Malformed`].
    pub(crate) fn split(jws: &'a str) -> Result<Self, DocumentError> {
        if jws.len() > JWS_BYTES_MAX {
            return Err(DocumentError::TooLong);
        }
        let malformed = || DocumentError::Malformed("it is not three base64url parts".to_owned());
        let (signed, signature) = jws.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        Ok(Self {
            header: decode(header)?,
            payload: decode(payload)?,
            signed,
            signature: decode(signature)?,
        })
    }

    /// Checks the ES256 signature with an uncompressed P-256 point.
    pub(crate) fn verify(&self, point: &[u8]) -> Result<(), DocumentError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| DocumentError::Signature)
    }
}

/// The compact serialization of header and payload, signed with ES256.
pub(crate) fn sign_compact(key: &EcdsaKeyPair, header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key
        .sign(&SystemRandom::new(), signed.as_bytes())
        .expect("signing with a loaded key does not fail");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// The header's `typ`, which keeps a signature of one type from passing as another's (RFC 8725
/// clause 3.11).
fn typ<B: Body>() -> String {
    format!("datapact-{}+jws", B::TYPE)
}

/// Reads JSON that another user wrote.
///
/// # Errors
/// [`DocumentError::Malformed`] with at most 200 characters of the parser's message.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, DocumentError> {
    serde_json::from_slice(bytes).map_err(|e| {
        // The message quotes the input, which may be long and goes into logs and answers.
        DocumentError::Malformed(e.to_string().chars().take(200).collect())
    })
}
