//! Signs any header and payload as a JWS, right or wrong.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The compact serialization of `header` and `payload`, signed with the P-256 key `pkcs8`.
pub(crate) fn sign(
    algorithm: &'static EcdsaSigningAlgorithm,
    pkcs8: &[u8],
    header: &str,
    payload: &str,
) -> String {
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}
