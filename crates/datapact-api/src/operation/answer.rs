//! The forms of answers: how a server sends one, and how a client reads it.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use eventsource_stream::Eventsource as _;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Incoming, Outgoing};
use crate::client::{ANSWER_BYTES_MAX, FILE_BYTES_MAX, Http};
use crate::gate::OCTET_STREAM;
use crate::management::{Account, Publications};
use crate::problem::{Kind, Problem, Result};
use crate::storage_server::Download;

/// JSON.
pub(crate) struct Json;

impl Json {
    pub(crate) fn send<A: Serialize>(_: &Incoming, answer: A) -> Result<Response> {
        Ok(axum::Json(answer).into_response())
    }

    pub(crate) async fn receive<A: DeserializeOwned>(http: &Http, call: Outgoing) -> Result<A> {
        let answer = http.read(http.send(call).await?, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&answer).map_err(|e| {
            let name = http.name();
            Problem::new(Kind::Untrusted, format!("`{name}` gave a malformed answer: {e}"))
        })
    }
}

/// An account with its entity tag (RFC 9110), which a change may name.
pub(crate) struct Tagged;

impl Tagged {
    pub(crate) fn send(_: &Incoming, account: Account) -> Result<Response> {
        Ok(([(header::ETAG, account.entity_tag())], axum::Json(account)).into_response())
    }

    pub(crate) async fn receive(http: &Http, call: Outgoing) -> Result<Account> {
        Json::receive(http, call).await
    }
}

/// JSON that is not to be stored (RFC 7662).
pub(crate) struct Unstored;

impl Unstored {
    pub(crate) fn send<A: Serialize>(_: &Incoming, answer: A) -> Result<Response> {
        Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
    }

    pub(crate) async fn receive<A: DeserializeOwned>(http: &Http, call: Outgoing) -> Result<A> {
        Json::receive(http, call).await
    }
}

/// Server-sent events; each event's id is the publication's number, so that a client resumes with
/// Last-Event-ID.
pub(crate) struct Events;

impl Events {
    pub(crate) fn send(_: &Incoming, publications: Publications) -> Result<Response> {
        let events = publications.map(|entry| {
            let event = match entry {
                Ok(entry) => Event::default()
                    .event("publication")
                    .id(entry.event.to_string())
                    .json_data(&entry),
                Err(problem) => Event::default().event("problem").json_data(problem.to_json()),
            };
            Ok::<_, Infallible>(event.unwrap_or_default())
        });
        Ok(Sse::new(events.boxed()).keep_alive(KeepAlive::default()).into_response())
    }

    pub(crate) async fn receive(http: &Http, call: Outgoing) -> Result<Publications> {
        let name = http.name().to_owned();
        let events = http.send_unbounded(call).await?.bytes_stream().eventsource();
        let entries = events.filter_map(move |event| {
            let entry = match event {
                Ok(event) if event.event == "publication" => {
                    Some(serde_json::from_str(&event.data).map_err(|e| {
                        Problem::new(Kind::Untrusted, format!("a malformed event: {e}"))
                    }))
                }
                Ok(event) if event.event == "problem" => Some(Err(Problem::from_answer(
                    StatusCode::SERVICE_UNAVAILABLE,
                    event.data.as_bytes(),
                ))),
                Ok(_) => None,
                Err(_) => {
                    let detail = format!("the connection to `{name}` ended");
                    Some(Err(Problem::new(Kind::Unavailable, detail)))
                }
            };
            std::future::ready(entry)
        });
        Ok(entries.boxed())
    }
}

/// A package, or the range of it that was asked for.
pub(crate) struct Ranged;

impl Ranged {
    pub(crate) fn send(request: &Incoming, download: Download) -> Result<Response> {
        let mut response = Body::from_stream(download.bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OCTET_STREAM));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_LENGTH, download.length.into());
        if request.asks_for_range() {
            let last = download.first.saturating_add(download.length.saturating_sub(1));
            let value = format!("bytes {}-{last}/{}", download.first, download.size);
            let value = HeaderValue::try_from(value).map_err(Problem::internal)?;
            headers.insert(header::CONTENT_RANGE, value);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }

    pub(crate) async fn receive(http: &Http, call: Outgoing) -> Result<Download> {
        let range = call.range;
        let response = http.send_unbounded(call).await?;
        let untrusted = || {
            Problem::new(Kind::Untrusted, "the storage server sent another range than asked for")
        };
        let length = response.content_length().ok_or_else(untrusted)?;
        let (first, size) = match range {
            None => (0, length),
            Some(range) => {
                let (first, size) = content_range(response.headers()).ok_or_else(untrusted)?;
                if response.status() != StatusCode::PARTIAL_CONTENT || first != range.first {
                    return Err(untrusted());
                }
                (first, size)
            }
        };
        let bytes = response.bytes_stream().map_err(io::Error::other).boxed();
        Ok(Download { size, first, length, bytes })
    }
}

/// First byte and whole size, of `bytes FIRST-LAST/SIZE`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

/// A file of the log (C2SP tlog-tiles).
pub(crate) struct LogFile;

impl LogFile {
    pub(crate) fn send(request: &Incoming, bytes: Bytes) -> Result<Response> {
        let path = request.target();
        let text = path.ends_with("/checkpoint");
        let media_type = if text { "text/plain; charset=utf-8" } else { OCTET_STREAM };
        // Full tiles never change; the checkpoint and partial tiles do.
        let fixed = !text && !path.contains(".p/");
        let cache = if fixed { "public, max-age=31536000, immutable" } else { "no-cache" };
        let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, cache)];
        Ok((headers, bytes).into_response())
    }

    pub(crate) async fn receive(http: &Http, call: Outgoing) -> Result<Bytes> {
        Ok(http.read(http.send(call).await?, FILE_BYTES_MAX).await?.into())
    }
}

/// Revocation lists, PEM.
pub(crate) struct Pem;

impl Pem {
    pub(crate) fn send(_: &Incoming, pem: String) -> Result<Response> {
        Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response())
    }

    pub(crate) async fn receive(http: &Http, call: Outgoing) -> Result<String> {
        let bytes = http.read(http.send(call).await?, FILE_BYTES_MAX).await?;
        String::from_utf8(bytes).map_err(|_| Problem::malformed("a revocation list is not text"))
    }
}
