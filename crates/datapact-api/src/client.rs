//! The client side of HTTP: one connection pool a server, every call of a user signed.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use datapact_core::document::Statement;
use datapact_core::id::{Digest, Timestamp};
use datapact_core::jws::Signer;
use http::{Method, header};
use reqwest::Response;

use crate::endpoint::Endpoint;
use crate::gate::{IDEMPOTENCY_HEADER, STATEMENT_HEADER};
use crate::operation::{Content, Outgoing};
use crate::problem::{Kind, Problem, Result};
use crate::trace;
use datapact_log::clock::Clock;

/// How long a JSON call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting and the handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest JSON answer that is read, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest file of a public listener that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The largest problem that is read, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

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

    /// Sends a call whose answer arrives in one piece.
    pub(crate) async fn send(&self, call: Outgoing) -> Result<Response> {
        let call_timeout = match call.content {
            // A package takes as long as it takes.
            Content::Stream(_) => None,
            Content::None | Content::Small(_) => Some(CALL_TIMEOUT),
        };
        self.send_within(call, call_timeout).await
    }

    /// Sends a call whose answer may go on arriving for any time.
    pub(crate) async fn send_unbounded(&self, call: Outgoing) -> Result<Response> {
        self.send_within(call, None).await
    }

    /// Sends a call, signed if this client signs; an answer that is not a success becomes its
    /// problem.
    async fn send_within(&self, call: Outgoing, timeout: Option<Duration>) -> Result<Response> {
        let Outgoing { method, target, headers, content, .. } = call;
        let url = format!("{}{target}", self.endpoint.url);
        let mut request = self.client.request(method.clone(), url).headers(headers);
        if method == Method::POST
            && let Ok(key) = IDEMPOTENCY_KEY.try_with(|key| format!("\"{key}\""))
        {
            request = request.header(IDEMPOTENCY_HEADER, key);
        }
        if let Some(trace) = trace::current() {
            request = request.header(trace::HEADER, trace.to_string());
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        let mut digest = None;
        request = match content {
            Content::None => request,
            Content::Small(body) => {
                digest = Some(Digest::of(&body));
                request.body(body)
            }
            Content::Stream(bytes) => request.body(reqwest::Body::wrap_stream(bytes)),
        };
        if let Some(signer) = &self.signer {
            let method = method.as_str().to_owned();
            let statement = Statement { method, target, content: digest };
            let signed = signer.sign(&self.name, (self.clock)(), statement);
            request = request.header(STATEMENT_HEADER, signed.as_str());
        }
        let response = request.send().await.map_err(|e| self.transport(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = self.read(response, PROBLEM_BYTES_MAX).await?;
        Err(Problem { retry_after, ..Problem::from_answer(status, &body) })
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
    fn transport(&self, error: &reqwest::Error) -> Problem {
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
