//! The files of vectors in `testdata/`, as the tests read them and `cargo xtask vectors` writes
//! them.
#![allow(dead_code, unreachable_pub, reason = "the tests read, the example writes")]

use std::fs;
use std::path::{Path, PathBuf};

use datapact_core::id::{Digest, Timestamp};
use datapact_core::release::SealedKey;
use datapact_core::token::{AccessToken, Jwks};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A file or folder in `testdata/`.
pub fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path)
}

/// Reads a file of `testdata/`.
pub fn read<T: DeserializeOwned>(path: &str) -> T {
    serde_json::from_slice(&fs::read(testdata(path)).unwrap()).unwrap()
}

/// Writes a file of `testdata/`.
pub fn write(path: &str, value: &impl Serialize) {
    fs::write(testdata(path), serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
}

/// A signed document: a line of `documents/accepted.json` or `documents/refused.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentVector {
    pub name: String,
    /// The type that its reader expects.
    pub r#type: String,
    pub audience: String,
    pub at: Timestamp,
    pub jws: String,
    /// `ok`, or the error's name.
    pub expect: String,
    /// The document id, of accepted documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Digest>,
}

/// A realm of `documents/trust.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmFile {
    pub name: String,
    /// DER, base64.
    pub ca: Vec<String>,
    pub crl: Vec<String>,
}

/// The versions of an enrolment: an entry of `enrolment/cases.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentVector {
    pub name: String,
    /// The reader's time.
    pub now: Timestamp,
    /// The signatures (JWS) of each version.
    pub versions: Vec<Vec<String>>,
    /// `ok`, or the error's name.
    pub expect: String,
    /// The newest version's fingerprint, where all hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
}

/// A package: an entry of `package/index.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageVector {
    /// The package's file.
    pub file: String,
    /// What the package is.
    pub comment: String,
    /// The key's file.
    pub key: String,
    /// The metadata digest that the reader expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Digest>,
    /// The provider that the reader expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The digest of the provider's key that the reader expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_key: Option<Digest>,
    /// The refusal's name, or none when the package opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// SHA-256 of the data; of a refused package, of the data that it was made from.
    pub data: Digest,
    /// Bytes of the data.
    pub size: u64,
}

/// Tokens and the keys that sign them: `token/vectors.json`.
#[derive(Serialize, Deserialize)]
pub struct TokenFile {
    /// What management publishes.
    pub jwks: Jwks,
    /// The private key behind it (PKCS#8, base64), to sign more vectors with.
    pub pkcs8: String,
    pub vectors: Vec<TokenVector>,
}

/// A token.
#[derive(Serialize, Deserialize)]
pub struct TokenVector {
    pub name: String,
    /// `ok`, or why the token is refused.
    pub expect: String,
    pub token: String,
    pub issuer: String,
    pub audience: String,
    pub now: u64,
    pub skew: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<AccessToken>,
}

/// A sealed key: an entry of `release/vectors.json`.
#[derive(Serialize, Deserialize)]
pub struct ReleaseVector {
    pub name: String,
    /// `ok`, or why the sealed key is refused.
    pub expect: String,
    /// The recipient's X25519 private key.
    pub private: Digest,
    /// The public key that belongs to it, as the key request carries it.
    pub recipient: Digest,
    /// The key request's document id, HPKE's `info`.
    pub key_request: Digest,
    pub sealed: SealedKey,
    /// What a key release says of it.
    pub digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
}
