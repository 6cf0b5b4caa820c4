//! Problem details (RFC 9457): what every refusal looks like on the wire and in the command line.

use std::fmt;

use axum::response::{IntoResponse, Response};
use datapact_core::contract::Refusal;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

/// The kinds of refusal, by what a caller can do about them. The name in JSON is part of the
/// problem's `type`, `urn:datapact:problem:KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The request is wrong; change it.
    Malformed,
    /// The server cannot tell who calls.
    Unauthenticated,
    /// The server knows, and does not allow it.
    Forbidden,
    /// The contract refuses; the rule says why.
    Refused,
    /// There is no such thing.
    NotFound,
    /// The address takes other methods.
    MethodNotAllowed,
    /// It contradicts what is there; read and try again.
    Conflict,
    /// It was changed since the caller read it.
    PreconditionFailed,
    /// The body or the file is larger than allowed.
    TooLarge,
    /// The request's header is larger than allowed.
    HeaderTooLarge,
    /// Too much at once; try again later.
    Busy,
    /// Something that this needs cannot be reached or is not current; try again later.
    Unavailable,
    /// The peer, its certificate or its answer cannot be trusted.
    Untrusted,
    /// A defect, or an operator's action is needed.
    Internal,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Refused,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::HeaderTooLarge,
        Self::Busy,
        Self::Unavailable,
        Self::Untrusted,
        Self::Internal,
    ];

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Refused => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Untrusted => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The name, as in the problem's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition-failed",
            Self::TooLarge => "too-large",
            Self::HeaderTooLarge => "header-too-large",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Untrusted => "untrusted",
            Self::Internal => "internal",
        }
    }
}

/// A refusal: what was wrong and how to go on. It names no secret and no person but the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The kind.
    pub kind: Kind,
    /// What was wrong, for people; lower case, no full stop.
    pub detail: String,
    /// How to go on.
    pub hint: Option<String>,
    /// The contract's refusal, when it was the contract that refused.
    pub refusal: Option<Refusal>,
    /// After how many seconds the same may be asked again (RFC 9110, `Retry-After`).
    pub retry_after: Option<u64>,
}

/// The result of every call.
pub type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// A problem of `kind`.
    pub fn new(kind: Kind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string(), hint: None, refusal: None, retry_after: None }
    }

    /// The same, with a hint how to go on.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same, which may be asked again after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The request is wrong.
    pub fn malformed(detail: impl fmt::Display) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// Not allowed to this caller.
    pub fn forbidden(detail: impl fmt::Display) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// A defect: `detail` goes to the log, the caller learns only that it happened.
    pub fn internal(detail: impl fmt::Display) -> Self {
        tracing::error!(%detail, "internal error");
        Self::new(Kind::Internal, "the server failed; its log says more")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::UnknownShare | Refusal::UnknownAccess => Kind::NotFound,
            Refusal::Malformed { .. } => Kind::Malformed,
            Refusal::Version { .. } | Refusal::Predecessor | Refusal::RequestTaken => {
                Kind::Conflict
            }
            _ => Kind::Refused,
        };
        Self { refusal: Some(refusal.clone()), ..Self::new(kind, refusal) }
    }
}

/// Problem details (RFC 9457). Programs look at `type` and `refusal.rule` only.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Problem"))]
pub(crate) struct Wire {
    #[serde(rename = "type")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = Kind::types())))]
    kind: String,
    title: String,
    status: u16,
    detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
}

const TYPE_PREFIX: &str = "urn:datapact:problem:";

impl Kind {
    /// The problem's `type`.
    fn problem_type(self) -> String {
        format!("{TYPE_PREFIX}{}", self.name())
    }

    #[cfg(feature = "schema")]
    fn types() -> Vec<String> {
        Self::ALL.map(Self::problem_type).to_vec()
    }
}

impl Problem {
    /// The `application/problem+json` form, also what the command line prints with `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        let wire = Wire {
            kind: self.kind.problem_type(),
            title: self.kind.name().replace('-', " "),
            status: self.kind.status().as_u16(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            refusal: self.refusal.clone(),
        };
        serde_json::to_value(wire).unwrap_or_default()
    }

    /// Reads a server's answer; an answer that is not a problem document becomes one by its status.
    pub fn from_answer(status: StatusCode, body: &[u8]) -> Self {
        let wire = serde_json::from_slice::<Wire>(body).ok();
        let parsed = wire.and_then(|wire| {
            let name = wire.kind.strip_prefix(TYPE_PREFIX)?;
            let kind = serde_json::from_value(serde_json::Value::from(name)).ok()?;
            let Wire { detail, hint, refusal, .. } = wire;
            Some(Self { kind, detail, hint, refusal, retry_after: None })
        });
        parsed.unwrap_or_else(|| Self::new(Kind::Internal, format!("the server answered {status}")))
    }
}

/// What a refusal is called in figures, an extension of its response: the contract's rule, or the
/// kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub &'static str);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, "application/problem+json")];
        let code = Code(self.refusal.as_ref().map_or(self.kind.name(), Refusal::rule));
        let mut response =
            (self.kind.status(), headers, self.to_json().to_string()).into_response();
        response.extensions_mut().insert(code);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
