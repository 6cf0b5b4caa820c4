//! What is read from a request; one method for each kind of argument.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts as _, Path, Query, Request};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::header;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::Document;
use super::outgoing::FORM;
use crate::gate::{BODY_BYTES_MAX, Caller, OCTET_STREAM, too_large};
use crate::problem::{Kind, Problem, Result};
use crate::storage_server::{ByteRange, ByteStream};

/// A request whose arguments are still to be read.
pub(crate) struct Incoming {
    parts: Parts,
    body: Body,
}

impl<S: Sync> FromRequest<S> for Incoming {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> std::result::Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        Ok(Self { parts, body })
    }
}

impl Incoming {
    /// The caller, who has passed the gate.
    pub(crate) fn caller(&mut self) -> Result<Caller> {
        let caller = self.parts.extensions.remove::<Caller>();
        caller.ok_or_else(|| Problem::internal("a route behind the gate was called without it"))
    }

    /// No caller: the route is open.
    pub(crate) fn anybody(&mut self) -> Result<()> {
        Ok(())
    }

    /// The path that was called.
    pub(super) fn target(&self) -> &str {
        self.parts.uri.path()
    }

    /// Whether the caller asked for a range.
    pub(super) fn asks_for_range(&self) -> bool {
        self.parts.headers.contains_key(header::RANGE)
    }

    pub(crate) async fn path<T: DeserializeOwned + Send>(&mut self) -> Result<T> {
        Ok(Path::from_request_parts(&mut self.parts, &()).await?.0)
    }

    pub(crate) async fn query<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(Query::from_request_parts(&mut self.parts, &()).await?.0)
    }

    pub(crate) async fn body<T: DeserializeOwned>(&mut self) -> Result<T> {
        serde_json::from_slice(&self.bytes().await?)
            .map_err(|e| Problem::malformed(format!("the body is not as specified: {e}")))
    }

    pub(crate) async fn document<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(self.body::<Document<T>>().await?.document)
    }

    /// A form (RFC 6749, appendix B): parameters that the type does not know change nothing, and
    /// each is given once.
    pub(crate) async fn form<T: DeserializeOwned>(&mut self) -> Result<T> {
        let value = self.parts.headers.get(header::CONTENT_TYPE);
        let media_type = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
            return Err(Problem::malformed(format!("the body must be `{FORM}`")));
        }
        let wrong = |e: &dyn std::fmt::Display| {
            Problem::malformed(format!("the body is not a form as specified: {e}"))
        };
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_bytes(&self.bytes().await?).map_err(|e| wrong(&e))?;
        let mut members = BTreeMap::new();
        for (name, value) in pairs {
            if members.insert(name, value).is_some() {
                return Err(Problem::malformed("a parameter is given twice"));
            }
        }
        let members = members.into_iter().map(|(name, value)| (name, value.into())).collect();
        serde_json::from_value(serde_json::Value::Object(members)).map_err(|e| wrong(&e))
    }

    pub(crate) async fn last_event(&mut self) -> Result<Option<u64>> {
        let Some(id) = self.parts.headers.get("last-event-id") else { return Ok(None) };
        let id = id.to_str().ok().and_then(|text| text.parse().ok());
        id.map(Some).ok_or_else(|| Problem::malformed("`Last-Event-ID` must be a number"))
    }

    pub(crate) async fn range(&mut self) -> Result<Option<ByteRange>> {
        let Some(value) = self.parts.headers.get(header::RANGE) else { return Ok(None) };
        let range = value.to_str().ok().and_then(ByteRange::parse);
        range.map(Some).ok_or_else(|| {
            Problem::malformed("`Range` must be `bytes=FIRST-` or `bytes=FIRST-LAST`")
        })
    }

    pub(crate) async fn length(&mut self) -> Result<u64> {
        self.must_be_octets()?;
        let value = self.parts.headers.get(header::CONTENT_LENGTH);
        let length = value.and_then(|value| value.to_str().ok()?.parse().ok());
        length.ok_or_else(|| Problem::malformed("an upload says its `Content-Length`"))
    }

    pub(crate) async fn part<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.query().await
    }

    pub(crate) async fn octets(&mut self) -> Result<ByteStream> {
        self.must_be_octets()?;
        Ok(std::mem::take(&mut self.body).into_data_stream().map_err(io::Error::other).boxed())
    }

    fn must_be_octets(&self) -> Result<()> {
        let media_type = self.parts.headers.get(header::CONTENT_TYPE);
        if media_type.is_some_and(|value| value == OCTET_STREAM) {
            return Ok(());
        }
        Err(Problem::malformed(format!("a package is uploaded as `{OCTET_STREAM}`")))
    }

    /// The whole body. The gate has bounded it, unless it calls itself a stream of octets.
    async fn bytes(&mut self) -> Result<Bytes> {
        let body = std::mem::take(&mut self.body);
        axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| too_large())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Kind::Malformed, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Kind::Malformed, rejection.body_text())
    }
}
