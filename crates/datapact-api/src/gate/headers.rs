//! What the gate reads of a call's headers.

use std::sync::Arc;

use http::{HeaderMap, header};

use crate::problem::{Problem, Result};

/// The header by which a caller marks the repeats of one call
/// (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// The longest idempotency key, in characters.
pub const IDEMPOTENCY_KEY_MAX: usize = 128;

/// The idempotency key: a string of structured fields (RFC 9651) without escapes.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>> {
    let mut values = headers.get_all(IDEMPOTENCY_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return match headers.contains_key(IDEMPOTENCY_HEADER) {
            true => Err(Problem::malformed("`Idempotency-Key` is given twice")),
            false => Ok(None),
        };
    };
    let quoted =
        value.to_str().ok().and_then(|text| text.trim().strip_prefix('"')?.strip_suffix('"'));
    let plain = |key: &&str| {
        (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len())
            && key.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\')
    };
    quoted.filter(plain).map(|key| Some(Arc::from(key))).ok_or_else(|| {
        let detail = format!(
            "`Idempotency-Key` is 1 to {IDEMPOTENCY_KEY_MAX} characters between double quotes"
        );
        Problem::malformed(detail)
    })
}

/// The one strong entity tag of `If-Match`.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Arc<str>>> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let tag = value.to_str().ok().filter(|tag| {
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        inner.is_some_and(|inner| !inner.contains('"'))
    });
    match (tag, values.next()) {
        (Some(tag), None) => Ok(Some(Arc::from(tag))),
        _ => Err(Problem::malformed("`If-Match` must be one strong entity tag")),
    }
}
