//! Signed documents that are taken apart and put together differently.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// A compact serialization with another header, and perhaps another payload or signature.
pub(crate) fn forged(
    jws: &str,
    header: Option<&Value>,
    payload: Option<&[u8]>,
    signature: Option<&[u8]>,
) -> String {
    let mut parts: Vec<String> = jws.split('.').map(str::to_owned).collect();
    let header = header.map(|header| header.to_string().into_bytes());
    for (part, new) in parts.iter_mut().zip([header.as_deref(), payload, signature]) {
        if let Some(new) = new {
            *part = URL_SAFE_NO_PAD.encode(new);
        }
    }
    parts.join(".")
}

pub(crate) fn part(jws: &str, number: usize) -> Value {
    let part = jws.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The header of `jws` with another algorithm.
pub(crate) fn with_algorithm(jws: &str, algorithm: &str) -> Value {
    let mut header = part(jws, 0);
    header["alg"] = algorithm.into();
    header
}
