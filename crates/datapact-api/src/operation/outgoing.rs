//! What is written into a request; one method for each kind of argument.

use std::fmt::Display;

use http::{HeaderMap, HeaderValue, Method, header};
use serde::Serialize;

use super::Document;
use crate::gate::OCTET_STREAM;
use crate::problem::{Problem, Result};
use crate::storage_server::{ByteRange, ByteStream, Part};

/// The media type of forms.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A request that is being made.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Path and query, as they are signed and sent.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    /// The range asked for.
    pub(super) range: Option<ByteRange>,
}

/// The body of a request.
pub(crate) enum Content {
    None,
    /// Signed with the call.
    Small(Vec<u8>),
    /// Bound by what is in it.
    Stream(ByteStream),
}

impl Outgoing {
    /// A request by `verb`, an HTTP method in lower case, with its path's parameters to be filled.
    pub(crate) fn new(verb: &str, path: &str) -> Self {
        let method = match verb {
            "post" => Method::POST,
            "put" => Method::PUT,
            "patch" => Method::PATCH,
            "delete" => Method::DELETE,
            _ => Method::GET,
        };
        let (target, headers) = (path.to_owned(), HeaderMap::new());
        Self { method, target, headers, content: Content::None, range: None }
    }

    pub(crate) fn path(&mut self, name: &str, value: impl Display) -> Result<()> {
        let value = value.to_string();
        for parameter in [format!("{{{name}}}"), format!("{{*{name}}}")] {
            self.target = self.target.replace(&parameter, &value);
        }
        Ok(())
    }

    pub(crate) fn query(&mut self, _: &str, query: impl Serialize) -> Result<()> {
        let query = serde_urlencoded::to_string(query).map_err(Problem::malformed)?;
        if !query.is_empty() {
            self.target = format!("{}?{query}", self.target);
        }
        Ok(())
    }

    pub(crate) fn body(&mut self, _: &str, body: impl Serialize) -> Result<()> {
        let body = serde_json::to_vec(&body)
            .map_err(|e| Problem::internal(format!("a body cannot be written: {e}")))?;
        self.small("application/json", body);
        Ok(())
    }

    pub(crate) fn document(&mut self, name: &str, document: impl Serialize) -> Result<()> {
        self.body(name, Document { document })
    }

    pub(crate) fn form(&mut self, _: &str, form: impl Serialize) -> Result<()> {
        let form = serde_urlencoded::to_string(form).map_err(Problem::malformed)?;
        self.small(FORM, form.into_bytes());
        Ok(())
    }

    pub(crate) fn last_event(&mut self, _: &str, after: Option<u64>) -> Result<()> {
        if let Some(after) = after {
            self.headers.insert("last-event-id", after.into());
        }
        Ok(())
    }

    pub(crate) fn range(&mut self, _: &str, range: Option<ByteRange>) -> Result<()> {
        if let Some(range) = range {
            let value = HeaderValue::try_from(range.to_string()).map_err(Problem::internal)?;
            self.headers.insert(header::RANGE, value);
        }
        self.range = range;
        Ok(())
    }

    pub(crate) fn length(&mut self, _: &str, length: u64) -> Result<()> {
        self.headers.insert(header::CONTENT_LENGTH, length.into());
        Ok(())
    }

    pub(crate) fn part(&mut self, name: &str, part: &Part) -> Result<()> {
        self.length(name, part.size.saturating_sub(part.offset))?;
        self.query(name, part)
    }

    pub(crate) fn octets(&mut self, _: &str, bytes: ByteStream) -> Result<()> {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OCTET_STREAM));
        self.content = Content::Stream(bytes);
        Ok(())
    }

    fn small(&mut self, media_type: &'static str, content: Vec<u8>) {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.content = Content::Small(content);
    }
}
