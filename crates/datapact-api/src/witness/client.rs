//! Calls to witnesses, of whatever make.

use std::time::Duration;

use datapact_log::note::CHECKPOINT_BYTES_MAX;
use datapact_log::witness::{AddCheckpoint, Refusal, origin_hash};
use http::StatusCode;
use reqwest::Response;

use super::{ADD_CHECKPOINT, WitnessUrl};
use crate::problem::{Kind, Problem, Result};
use crate::tls::unauthenticated_config;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connecting and the handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a witness answered to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// Its signature lines, unchecked.
    Cosigned(String),
    /// It refuses.
    Refused(Refusal),
}

/// Calls to one witness.
#[derive(Clone)]
pub struct WitnessClient {
    client: reqwest::Client,
    url: WitnessUrl,
}

impl WitnessClient {
    /// Calls to the witness at `url`; nothing is sent yet.
    ///
    /// # Errors
    /// When this machine cannot make calls at all.
    pub fn new(url: WitnessUrl) -> Result<Self> {
        let tls = unauthenticated_config().map_err(Problem::internal)?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(address) = url.connect {
            builder = builder.resolve(&url.host, address);
        }
        let client = builder.build().map_err(Problem::internal)?;
        Ok(Self { client, url })
    }

    /// Where it is.
    pub fn url(&self) -> &WitnessUrl {
        &self.url
    }

    /// The newest checkpoint of the log `origin` that the witness shows, unchecked; none if it has
    /// cosigned none.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it does not answer so.
    pub async fn newest(&self, origin: &str) -> Result<Option<Vec<u8>>> {
        let url = format!("{}/{}/checkpoint", self.url.prefix, origin_hash(origin));
        let response = self.client.get(url).send().await.map_err(|e| self.away(&e))?;
        match response.status() {
            StatusCode::OK => self.read(response).await.map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(self.unexpected(status)),
        }
    }

    /// Asks the witness to cosign a checkpoint.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it does not answer so.
    pub async fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<Added> {
        let url = format!("{}{ADD_CHECKPOINT}", self.url.prefix);
        let sent = self.client.post(url).body(request.to_string()).send().await;
        let response = sent.map_err(|e| self.away(&e))?;
        let refusal = match response.status() {
            StatusCode::OK => {
                let bytes = self.read(response).await?;
                let lines = String::from_utf8(bytes);
                return lines.map(Added::Cosigned).map_err(|_| self.unexpected(StatusCode::OK));
            }
            StatusCode::BAD_REQUEST => Refusal::Malformed,
            StatusCode::FORBIDDEN => Refusal::Unsigned,
            StatusCode::NOT_FOUND => Refusal::UnknownLog,
            StatusCode::UNPROCESSABLE_ENTITY => Refusal::Inconsistent,
            StatusCode::CONFLICT => {
                let bytes = self.read(response).await?;
                let size =
                    std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
                // Before C2SP tlog-witness 1.0.0 this was also the answer to another tree of the
                // same size, without one.
                size.map_or(Refusal::Inconsistent, Refusal::Conflict)
            }
            status => return Err(self.unexpected(status)),
        };
        Ok(Added::Refused(refusal))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.away(&e))? {
            if bytes.len() + chunk.len() > CHECKPOINT_BYTES_MAX {
                let detail = format!("the witness at `{}` gave too long an answer", self.url);
                return Err(Problem::new(Kind::Unavailable, detail));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn away(&self, error: &reqwest::Error) -> Problem {
        let mut innermost: &dyn std::error::Error = error;
        while let Some(inner) = innermost.source() {
            innermost = inner;
        }
        let what = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        let detail = format!("the witness at `{}` {what}: {innermost}", self.url);
        Problem::new(Kind::Unavailable, detail)
    }

    fn unexpected(&self, status: StatusCode) -> Problem {
        let detail = format!("the witness at `{}` answers unexpectedly: {status}", self.url);
        Problem::new(Kind::Unavailable, detail)
    }
}
