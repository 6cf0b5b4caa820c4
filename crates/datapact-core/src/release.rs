//! Sealing a released key to the consumer's fresh public key (DC-6): HPKE base mode (RFC 9180) with
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM; `info` is the key request's document id.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::id::Digest;

type Kem = X25519HkdfSha256;

/// A key sealed to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedKey {
    /// The encapsulated key, 32 bytes.
    pub encapsulated: Digest,
    /// The ciphertext of the 32 key bytes with its 16-byte tag, hexadecimal.
    #[serde(with = "hex::serde")]
    pub ciphertext: Vec<u8>,
}

impl SealedKey {
    /// What a [`crate::document::KeyRelease`] says of it: SHA-256 of the encapsulated key and the ciphertext, joined.
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
    /// It was not sealed to this recipient for this request.
    #[error("the released key was not sealed for this request")]
    Open,
}

/// A key pair made for one answer; dropped, it leaves a recorded exchange closed.
pub struct Recipient {
    secret: <Kem as hpke::Kem>::PrivateKey,
    public: Digest,
}

impl Recipient {
    /// A fresh key pair.
    pub fn generate() -> Self {
        let seed = Zeroizing::new(crate::id::random::<32>());
        let (secret, public) = Kem::derive_keypair(seed.as_slice());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&public.to_bytes());
        Self { secret, public: Digest(bytes) }
    }

    /// The key pair of a private key (X25519, 32 bytes), for whoever keeps it elsewhere; a consumer takes a fresh one.
    ///
    /// # Errors
    /// [`ReleaseError::Recipient`] when it is no usable private key.
    pub fn from_private(private: &[u8; 32]) -> Result<Self, ReleaseError> {
        let secret =
            <Kem as hpke::Kem>::PrivateKey::from_bytes(private).map_err(|_| ReleaseError::Recipient)?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&Kem::sk_to_pk(&secret).to_bytes());
        Ok(Self { secret, public: Digest(bytes) })
    }

    /// The public key, for the key request.
    pub fn public(&self) -> Digest {
        self.public
    }

    /// The key's 32 bytes, sealed for the key request with document id `request`.
    pub fn open(&self, request: &Digest, sealed: &SealedKey) -> Result<Zeroizing<[u8; 32]>, ReleaseError> {
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(sealed.encapsulated.as_bytes())
            .map_err(|_| ReleaseError::Open)?;
        let bytes = Zeroizing::new(
            hpke::single_shot_open::<AesGcm256, HkdfSha256, Kem>(
                &OpModeR::Base,
                &self.secret,
                &encapsulated,
                request.as_bytes(),
                &sealed.ciphertext,
                &[],
            )
            .map_err(|_| ReleaseError::Open)?,
        );
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return Err(ReleaseError::Open);
        }
        key.copy_from_slice(&bytes);
        Ok(key)
    }
}

/// Seals `key` to `recipient` for the key request with document id `request`.
pub fn seal(key: &[u8; 32], recipient: &Digest, request: &Digest) -> Result<SealedKey, ReleaseError> {
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(recipient.as_bytes())
        .map_err(|_| ReleaseError::Recipient)?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, Kem>(
        &OpModeS::Base,
        &public,
        request.as_bytes(),
        key,
        &[],
    )
    .map_err(|_| ReleaseError::Recipient)?;
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&encapsulated.to_bytes());
    Ok(SealedKey { encapsulated: Digest(bytes), ciphertext })
}
