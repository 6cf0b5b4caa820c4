//! The client side of HTTP: one connection pool a server, every call of a user signed.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use datapact_core::document::Statement;
use datapact_core::id::{Digest, Timestamp};
use datapact_core::jws::Signer;
use http::{Method, header};
use reqwest::{RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::endpoint::Endpoint;
use crate::gate::{IDEMPOTENCY_HEADER, STATEMENT_HEADER};
use crate::problem::{Kind, Problem, Result};
use crate::trace;
use datapact_log::clock::Clock;

/// How long a JSON call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting and the handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest JSON answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the TLS client cannot be set up: {0}")]
pub struct TlsFailure(String);

tokio::task_local! {
    /// What names the call of this task among its repeats.
    static IDEMPOTENCY_KEY: String;
}

/// Makes `call`, whose requests the server knows as repeats of each other and of all that were made
/// with the same `key`: 1 to 128 printable ASCII characters without `"` and `\`.
pub async fn as_one_call<F: Future>(key: &str, call: F) -> F::Output {
    IDEMPOTENCY_KEY.scope(key.to_owned(), call).await
}

/// Calls to one server.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    endpoint: Endpoint,
    name: String,
    signer: Option<Arc<Signer>>,
    clock: Clock,
}

impl Http {
    /// Calls to `endpoint` over `tls`; a user's calls are signed by `signer`, servers and callers
    /// of a public listener have none.
    pub fn new(
        endpoint: &Endpoint,
        tls: rustls::ClientConfig,
        signer: Option<Arc<Signer>>,
        clock: Clock,
    ) -> std::result::Result<Self, TlsFailure> {
        let name = endpoint.name().map_err(|e| TlsFailure(e.to_string()))?.to_owned();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(address) = endpoint.connect {
            builder = builder.resolve(&name, address);
        }
        let client = builder.build().map_err(|e| TlsFailure(e.to_string()))?;
        Ok(Self { client, endpoint: endpoint.clone(), name, signer, clock })
    }

    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks for anything at all: whether the server answers with the certificate that it must have.
    /// Its clock, if it tells it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] or [`Kind::Untrusted`].
    pub async fn probe(&self) -> Result<Option<Timestamp>> {
        let request =
            self.client.get(format!("{}/healthz", self.endpoint.url)).timeout(CALL_TIMEOUT);
        let response = request.send().await.map_err(|e| self.transport(&e))?;
        let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let since = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(since.map(|since| since.as_secs()))
    }

    /// A request, signed if this client signs; `content` is the digest of a JSON body.
    pub(crate) fn request(
        &self,
        method: Method,
        target: &str,
        content: Option<Digest>,
    ) -> RequestBuilder {
        let mut request =
            self.client.request(method.clone(), format!("{}{target}", self.endpoint.url));
        if method == Method::POST
            && let Ok(key) = IDEMPOTENCY_KEY.try_with(|key| format!("\"{key}\""))
        {
            request = request.header(IDEMPOTENCY_HEADER, key);
        }
        if let Some(trace) = trace::current() {
            request = request.header(trace::HEADER, trace.to_string());
        }
        match &self.signer {
            Some(signer) => {
                let statement = Statement {
                    method: method.as_str().to_owned(),
                    target: target.to_owned(),
                    content,
                };
                let signed = signer.sign(&self.name, (self.clock)(), statement);
                request.header(STATEMENT_HEADER, signed.as_str())
            }
            None => request,
        }
    }

    /// Sends; an answer that is no success becomes its problem.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|e| self.transport(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.read(response, 64 * 1024).await?;
        Err(Problem::from_answer(status, &body))
    }

    /// A call without a body.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        self.call(Method::GET, target, None).await
    }

    /// A call with a JSON body.
    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        target: &str,
        body: &B,
    ) -> Result<T> {
        self.call(Method::POST, target, Some(to_json(body)?)).await
    }

    /// A call with or without a JSON body, and a JSON answer.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T> {
        self.call_with(method, target, body.map(|body| ("application/json", body))).await
    }

    /// A call with or without a body, whose media type stands beside it, and a JSON answer.
    pub(crate) async fn call_with<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<T> {
        let content = body.as_ref().map(|(_, body)| Digest::of(body));
        let mut request = self.request(method, target, content).timeout(CALL_TIMEOUT);
        if let Some((media_type, body)) = body {
            request = request.header(header::CONTENT_TYPE, media_type).body(body);
        }
        let response = self.send(request).await?;
        let answer = self.read(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&answer).map_err(|e| {
            Problem::new(Kind::Untrusted, format!("`{}` gave a malformed answer: {e}", self.name))
        })
    }

    /// Reads an answer of at most `max` bytes.
    pub(crate) async fn read(&self, mut response: Response, max: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.transport(&e))? {
            if bytes.len() + chunk.len() > max {
                return Err(Problem::new(
                    Kind::Untrusted,
                    format!("`{}` gave too long an answer", self.name),
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// What a failed connection means to the caller.
    pub(crate) fn transport(&self, error: &reqwest::Error) -> Problem {
        let mut cause = error.source();
        let mut innermost = error.to_string();
        while let Some(inner) = cause {
            innermost = inner.to_string();
            if let Some(io) = inner.downcast_ref::<std::io::Error>()
                && let Some(tls) =
                    io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                return self.tls(tls);
            }
            if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                return self.tls(tls);
            }
            cause = inner.source();
        }
        let what = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        Problem::new(Kind::Unavailable, format!("`{}` {what}: {innermost}", self.endpoint.url))
            .hint("check that the server runs and the address is right, then try again")
    }

    fn tls(&self, error: &rustls::Error) -> Problem {
        let problem =
            Problem::new(Kind::Untrusted, format!("no secure channel to `{}`: {error}", self.name));
        match error {
            rustls::Error::AlertReceived(_) => problem.hint("the server refuses this certificate"),
            _ => problem
                .hint("the server's certificate must bear this name and come from a configured CA"),
        }
    }
}

/// A JSON body.
pub(crate) fn to_json<B: Serialize>(body: &B) -> Result<Vec<u8>> {
    serde_json::to_vec(body)
        .map_err(|e| Problem::internal(format!("a body cannot be written: {e}")))
}

/// `path` with `query`.
pub(crate) fn with_query<Q: Serialize>(path: &str, query: &Q) -> Result<String> {
    let query = serde_urlencoded::to_string(query).map_err(Problem::malformed)?;
    Ok(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}
