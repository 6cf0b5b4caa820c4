//! What every answer's header says, and how long a request's header may be.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use datapact_api::problem::{Kind, Problem};

/// The longest header of a request, in bytes: the statement with its certificates is the most of
/// it.
const REQUEST_HEADER_BYTES_MAX: usize = 64 * 1024;

/// A browser that comes by makes nothing of an answer, and comes back by TLS alone (RFC 6797: two
/// years).
const SECURITY: [(HeaderName, &str); 5] = [
    (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The middleware in front of everything that a server offers over TLS.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut answer = if bytes(request.headers()) > REQUEST_HEADER_BYTES_MAX {
        let detail = format!("the header is larger than {REQUEST_HEADER_BYTES_MAX} bytes");
        Problem::new(Kind::HeaderTooLarge, detail).into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in SECURITY {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

fn bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
