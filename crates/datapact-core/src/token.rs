//! The access token (MG-16): a JWT (RFC 9068 `at+jwt`, ES256) bound to the consumer's TLS
//! certificate (RFC 8705).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::id::{AccountId, Digest, KeyId, PackageId, Salt, ShareId, Timestamp};
use crate::jws::{self, Compact, DocumentError};

/// The claims of an access token. It identifies one recorded access, and may be shown more than
/// once while it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessToken {
    /// The management's name.
    pub iss: String,
    /// The consumer's account.
    pub sub: AccountId,
    /// The key server's name.
    pub aud: String,
    /// The consumer's account, as RFC 9068 asks for.
    pub client_id: AccountId,
    /// The record's time.
    pub iat: Timestamp,
    /// The last moment of use; counted from the record and never extended.
    pub exp: Timestamp,
    /// The token's identifier.
    pub jti: Digest,
    /// The certificate that it is bound to.
    pub cnf: Confirmation,
    /// The share.
    pub share: ShareId,
    /// The key that it is for.
    pub key: KeyId,
    /// The package that the key opens.
    pub package: PackageId,
    /// The contract's address.
    pub contract: String,
    /// The access request's document id, under which the ledger keeps the access record.
    pub request: Digest,
    /// The record's position in the ledger.
    pub position: u64,
    /// The salt that opens the record's commitment to the consumer.
    pub salt: Salt,
}

/// The key that a token is bound to (RFC 7800).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// SHA-256 of the TLS client certificate, base64url without padding (RFC 8705).
    #[serde(rename = "x5t#S256")]
    pub certificate: String,
}

/// The most keys of a [`Jwks`] that are read: management publishes the current one and those that
/// it replaced lately, and the bound keeps a hostile list short.
pub const JWKS_KEYS_MAX: usize = 16;
/// The longest life of a token, in seconds, counted from the access record.
pub const TOKEN_SECONDS_MAX: u64 = 600;

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT of this kind.
    #[error("the access token is malformed: {0}")]
    Malformed(String),
    /// Another algorithm or type.
    #[error("the access token is not an ES256 `at+jwt`")]
    Algorithm,
    /// Signed by a key that the management does not publish.
    #[error("the access token is signed by a key that its management does not publish")]
    UnknownKey,
    /// The signature does not fit the content.
    #[error("the access token's signature is wrong")]
    Signature,
    /// For another key server, or by another management.
    #[error("the access token is for another server")]
    Audience,
    /// Past its life, or with a life longer than allowed.
    #[error("the access token has expired; ask for access again")]
    Expired,
    /// From the future.
    #[error("the access token is not valid yet; compare the clocks of the servers")]
    NotYet,
}

/// The header of an access token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// A public key in a [`Jwks`] (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Jwk {
    /// `EC`.
    pub kty: String,
    /// `P-256`.
    pub crv: String,
    /// The point's x, base64url.
    pub x: String,
    /// The point's y, base64url.
    pub y: String,
    /// The key's thumbprint (RFC 7638).
    pub kid: String,
    /// `ES256`.
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: String,
}

/// The keys that a management signs tokens with (RFC 7517).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("additionalProperties" = false)))]
pub struct Jwks {
    /// The keys; at most [`JWKS_KEYS_MAX`] are read.
    pub keys: Vec<Jwk>,
}

/// The key that a management signs tokens with.
pub struct TokenKey {
    key: EcdsaKeyPair,
    jwk: Jwk,
}

impl TokenKey {
    /// From a P-256 private key in PKCS#8 (DER).
    ///
    /// # Errors
    /// [`TokenError::Malformed`] when it is not one.
    pub fn new(pkcs8: &[u8]) -> Result<Self, TokenError> {
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| {
                TokenError::Malformed("the token key is not a P-256 key in PKCS#8".to_owned())
            })?;
        let point = key.public_key().as_ref();
        let (x, y) =
            point.get(1..65).map(|xy| xy.split_at(32)).expect("a P-256 point has 65 bytes");
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638: the required members alone, in alphabetical order, without white space.
        let thumbprint =
            Digest::of(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#).as_bytes());
        let jwk = Jwk {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x,
            y,
            kid: URL_SAFE_NO_PAD.encode(thumbprint.as_bytes()),
            alg: "ES256".to_owned(),
            usage: "sig".to_owned(),
        };
        Ok(Self { key, jwk })
    }

    /// The public half, for the JWKS.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The token's text.
    pub fn sign(&self, token: &AccessToken) -> String {
        let header =
            Header { alg: "ES256".to_owned(), typ: "at+jwt".to_owned(), kid: self.jwk.kid.clone() };
        let header = serde_json::to_vec(&header).expect("a header is plain JSON");
        let claims = serde_json::to_vec(token).expect("claims are plain JSON");
        jws::sign_compact(&self.key, &header, &claims)
    }
}

impl Jwks {
    /// The claims of `text` if one of these keys signed it for `audience` and it is alive at `now`.
    ///
    /// `now` may lag the management's clock by up to `skew` seconds.
    ///
    /// # Errors
    /// The first check that fails, in the order of `docs/spec/access-token-and-key-release.md`.
    pub fn verify(
        &self,
        text: &str,
        issuer: &str,
        audience: &str,
        now: Timestamp,
        skew: u64,
    ) -> Result<AccessToken, TokenError> {
        let malformed = |e: DocumentError| TokenError::Malformed(e.to_string());
        let parts = Compact::split(text).map_err(malformed)?;
        let header: Header = jws::from_json(&parts.header).map_err(malformed)?;
        if header.alg != "ES256" || header.typ != "at+jwt" {
            return Err(TokenError::Algorithm);
        }
        let jwk = self
            .keys
            .iter()
            .take(JWKS_KEYS_MAX)
            .find(|jwk| jwk.kid == header.kid)
            .ok_or(TokenError::UnknownKey)?;
        // The claims are parsed only after the signature holds.
        parts.verify(&jwk.point()?).map_err(|_| TokenError::Signature)?;
        let token: AccessToken = jws::from_json(&parts.payload).map_err(malformed)?;
        if token.iss != issuer || token.aud != audience {
            return Err(TokenError::Audience);
        }
        if token.iat > now.saturating_add(skew) {
            return Err(TokenError::NotYet);
        }
        if now >= token.exp || token.exp.saturating_sub(token.iat) > TOKEN_SECONDS_MAX {
            return Err(TokenError::Expired);
        }
        Ok(token)
    }
}

impl Jwk {
    /// The uncompressed P-256 point.
    fn point(&self) -> Result<Vec<u8>, TokenError> {
        let malformed =
            || TokenError::Malformed("the management publishes a key that is not P-256".to_owned());
        if self.kty != "EC" || self.crv != "P-256" || self.alg != "ES256" {
            return Err(malformed());
        }
        let mut point = vec![4];
        for coordinate in [&self.x, &self.y] {
            let bytes = URL_SAFE_NO_PAD.decode(coordinate).map_err(|_| malformed())?;
            if bytes.len() != 32 {
                return Err(malformed());
            }
            point.extend_from_slice(&bytes);
        }
        Ok(point)
    }
}

impl Confirmation {
    /// The confirmation for a TLS client certificate (DER).
    pub fn of(certificate: &[u8]) -> Self {
        Self { certificate: URL_SAFE_NO_PAD.encode(Digest::of(certificate).as_bytes()) }
    }
}
