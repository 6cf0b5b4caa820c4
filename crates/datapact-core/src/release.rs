//! Sealing a released key to the consumer's fresh public key (DC-6): HPKE base mode (RFC 9180) with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM; `info` is the key request's document
//! id.

use aws_lc_rs::agreement;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::id::Digest;

/// A key sealed to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SealedKey {
    /// The encapsulated key, 32 bytes.
    pub encapsulated: Digest,
    /// The ciphertext of the 32 key bytes with its 16-byte tag, hexadecimal.
    #[serde(with = "hex::serde")]
    #[cfg_attr(feature = "schema", schemars(with = "String", regex(pattern = "^[0-9a-f]{96}$")))]
    pub ciphertext: Vec<u8>,
}

impl SealedKey {
    /// SHA-256 of the encapsulated key followed by the ciphertext: what a
    /// [`crate::document::KeyRelease`] records of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&[self.encapsulated.as_bytes().as_slice(), &self.ciphertext].concat())
    }
}

/// Why a key could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The recipient's key is not an X25519 public key.
    #[error("the key request's recipient is not a usable X25519 public key")]
    Recipient,
    /// Sealed to another recipient or for another request, or altered.
    #[error("the released key was not sealed for this request")]
    Open,
}

/// A key pair made for one answer. Once it is dropped, a recorded exchange cannot be decrypted any
/// more.
pub struct Recipient {
    secret: HpkePrivateKey,
    public: Digest,
}

impl Recipient {
    /// A fresh key pair.
    pub fn generate() -> Self {
        let private = Zeroizing::new(crate::id::random::<32>());
        Self::from_private(&private).expect("any 32 bytes are an X25519 private key")
    }

    /// The key pair of a private key (X25519, 32 bytes). Consumers use [`Recipient::generate`];
    /// this is for vectors and for keys that are held elsewhere.
    ///
    /// # Errors
    /// [`ReleaseError::Recipient`] when it is not a usable private key.
    pub fn from_private(private: &[u8; 32]) -> Result<Self, ReleaseError> {
        let public = agreement::PrivateKey::from_private_key(&agreement::X25519, private)
            .and_then(|key| Ok(key.compute_public_key()?))
            .map_err(|_| ReleaseError::Recipient)?;
        let public = public.as_ref().try_into().map_err(|_| ReleaseError::Recipient)?;
        Ok(Self { secret: HpkePrivateKey::from(private.to_vec()), public: Digest(public) })
    }

    /// The public key, for the key request.
    pub fn public(&self) -> Digest {
        self.public
    }

    /// Opens a key that was sealed to this recipient for the key request with document id
    /// `request`.
    ///
    /// # Errors
    /// [`ReleaseError::Open`].
    pub fn open(
        &self,
        request: &Digest,
        sealed: &SealedKey,
    ) -> Result<Zeroizing<[u8; 32]>, ReleaseError> {
        let encapsulated = EncapsulatedSecret(sealed.encapsulated.as_bytes().to_vec());
        let opened =
            SUITE.open(&encapsulated, request.as_bytes(), &[], &sealed.ciphertext, &self.secret);
        let bytes = Zeroizing::new(opened.map_err(|_| ReleaseError::Open)?);
        let key = bytes.as_slice().try_into().map_err(|_| ReleaseError::Open)?;
        Ok(Zeroizing::new(key))
    }
}

/// Seals `key` to `recipient` for the key request with document id `request`, which HPKE binds as
/// its `info`: the answer opens for no other request.
///
/// # Errors
/// [`ReleaseError::Recipient`].
pub fn seal(
    key: &[u8; 32],
    recipient: &Digest,
    request: &Digest,
) -> Result<SealedKey, ReleaseError> {
    let public = HpkePublicKey(recipient.as_bytes().to_vec());
    let (encapsulated, ciphertext) =
        SUITE.seal(request.as_bytes(), &[], key, &public).map_err(|_| ReleaseError::Recipient)?;
    let encapsulated = encapsulated.0.try_into().map_err(|_| ReleaseError::Recipient)?;
    Ok(SealedKey { encapsulated: Digest(encapsulated), ciphertext })
}
