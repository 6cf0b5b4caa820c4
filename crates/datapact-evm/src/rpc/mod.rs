//! Ethereum JSON-RPC over HTTP, to several nodes of one chain: the next one is asked when one does
//! not answer.

mod answer;
mod error;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes};
use datapact_ledger::LedgerError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::abi::quantity;
use answer::parse_quantity;

pub use answer::{Block, Log, TransactionReceipt};
pub use error::RpcError;

/// How long a node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests under way at once, those for new blocks not counted.
const REQUESTS_MAX: usize = 64;
/// The longest answer that is read, in bytes; and the longest with events, of which a full block
/// holds many.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const EVENTS_BYTES_MAX: usize = 32 * 1024 * 1024;
const GET_LOGS: &str = "eth_getLogs";

struct Endpoint {
    url: String,
    /// Scheme, host and port: what may be said of it. Its address may hold a key or a password, and
    /// what is said here reaches users and logs.
    shown: String,
    /// Whether it has said that it is on the chain.
    is_checked: AtomicBool,
}

/// The nodes.
pub struct Rpc {
    http: reqwest::Client,
    endpoints: Vec<Endpoint>,
    chain_id: u64,
    preferred: AtomicUsize,
    id: AtomicU64,
    under_way: Semaphore,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    code: i64,
    message: String,
    data: Option<Value>,
}

impl Rpc {
    /// Nodes of the chain `chain_id`, in the order in which they are asked. Nothing is asked yet.
    ///
    /// # Errors
    /// [`LedgerError::Misconfigured`] without a usable address.
    pub fn new(endpoints: &[String], chain_id: u64) -> Result<Self, LedgerError> {
        let wrong = |detail: String| LedgerError::Misconfigured(format!("`endpoints`: {detail}"));
        if endpoints.is_empty() {
            return Err(wrong("name at least one node".to_owned()));
        }
        let mut nodes = Vec::new();
        for url in endpoints {
            let parsed: reqwest::Url = url.parse().map_err(|e| wrong(format!("`{url}`: {e}")))?;
            if !matches!(parsed.scheme(), "http" | "https") {
                return Err(wrong(format!("`{url}` is neither http nor https")));
            }
            let shown = parsed.origin().ascii_serialization();
            nodes.push(Endpoint { url: url.clone(), shown, is_checked: AtomicBool::new(false) });
        }
        // An error means that one was chosen before: the servers choose this one, too.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| wrong(e.to_string()))?;
        Ok(Self {
            http,
            endpoints: nodes,
            chain_id,
            preferred: AtomicUsize::new(0),
            id: AtomicU64::new(1),
            under_way: Semaphore::new(REQUESTS_MAX),
        })
    }

    /// The node that is asked first now, as it may be shown.
    pub fn preferred(&self) -> &str {
        let at = self.preferred.load(Ordering::Relaxed);
        self.endpoints.get(at).map_or("", |endpoint| &endpoint.shown)
    }

    /// Asks the next node first from now on; the preferred one answers, but what it says is old.
    pub fn prefer_next(&self) {
        let next = (self.preferred.load(Ordering::Relaxed) + 1) % self.endpoints.len().max(1);
        self.preferred.store(next, Ordering::Relaxed);
    }

    /// Asks the preferred node, and the others when it does not answer.
    ///
    /// # Errors
    /// What the node that answered says, or that none does.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, RpcError> {
        let _permit =
            self.under_way.acquire().await.map_err(|e| RpcError::Unreachable(e.to_string()))?;
        self.call_at_once(method, params).await
    }

    /// As [`Self::call`], but ahead of those that wait for their turn: new blocks are what most of
    /// them wait for.
    async fn call_at_once<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> Result<T, RpcError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let count = self.endpoints.len();
        let mut failure = None;
        for at in (0..count).map(|nth| (first + nth) % count) {
            let Some(endpoint) = self.endpoints.get(at) else { continue };
            let answer = match self.check_chain(endpoint).await {
                Ok(()) => self.ask(endpoint, method, &params).await,
                Err(error) => Err(error),
            };
            let read = answer.and_then(|value| {
                serde_json::from_value(value).map_err(|e| {
                    let endpoint = &endpoint.shown;
                    RpcError::Unreachable(format!(
                        "`{endpoint}` gives an unexpected answer to `{method}`: {e}"
                    ))
                })
            });
            match read {
                Ok(value) => {
                    if at != first {
                        tracing::warn!(
                            endpoint = endpoint.shown,
                            "another node of the chain is asked from now on"
                        );
                        self.preferred.store(at, Ordering::Relaxed);
                    }
                    return Ok(value);
                }
                Err(error @ RpcError::Node { .. }) => return Err(error),
                // One that answers would answer less; a node of another chain is worth more words
                // than one that is down.
                Err(error @ RpcError::TooMuch(_)) => failure = Some(error),
                Err(error @ RpcError::WrongChain { .. })
                    if !matches!(failure, Some(RpcError::TooMuch(_))) =>
                {
                    failure = Some(error);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| RpcError::Unreachable("none is configured".to_owned())))
    }

    /// Checks, until it fails once, that the node is on the configured chain.
    async fn check_chain(&self, endpoint: &Endpoint) -> Result<(), RpcError> {
        if endpoint.is_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let value = self.ask(endpoint, "eth_chainId", &json!([])).await?;
        let found = value.as_str().and_then(parse_quantity).ok_or_else(|| {
            RpcError::Unreachable(format!("`{}` is not an Ethereum JSON-RPC node", endpoint.shown))
        })?;
        if found != self.chain_id {
            let (endpoint, expected) = (endpoint.shown.clone(), self.chain_id);
            return Err(RpcError::WrongChain { endpoint, expected, found });
        }
        endpoint.is_checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        method: &str,
        params: &Value,
    ) -> Result<Value, RpcError> {
        let id = self.id.fetch_add(1, Ordering::Relaxed);
        let failed = |kind: fn(String) -> RpcError, why: String| {
            // What comes next at this address may be another node.
            endpoint.is_checked.store(false, Ordering::Relaxed);
            kind(format!("`{}`: {why}", endpoint.shown))
        };
        let lost = |error: reqwest::Error| {
            let slow = error.is_timeout() && !error.is_connect();
            let why = cause(&error.without_url());
            failed(if slow { RpcError::TooMuch } else { RpcError::Unreachable }, why)
        };
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let mut response = self.http.post(&endpoint.url).json(&body).send().await.map_err(lost)?;
        let status = response.status();
        if matches!(status.as_u16(), 429 | 502..=504) {
            return Err(failed(
                RpcError::Unreachable,
                format!("it answers `{method}` with status {status}"),
            ));
        }
        let most = if method == GET_LOGS { EVENTS_BYTES_MAX } else { ANSWER_BYTES_MAX };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if bytes.len() + chunk.len() > most {
                return Err(failed(
                    RpcError::TooMuch,
                    format!("its answer to `{method}` is too long"),
                ));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| {
            failed(
                RpcError::Unreachable,
                format!("it answers `{method}` with status {status} and no JSON-RPC"),
            )
        })?;
        match answer.error {
            None => Ok(answer.result),
            Some(said) => Err(RpcError::Node {
                endpoint: endpoint.shown.clone(),
                code: said.code,
                message: said.message,
                data: said.data.as_ref().and_then(revert_data),
            }),
        }
    }

    /// The block `tag`: a number, or `latest`.
    pub async fn block(&self, tag: &str) -> Result<Option<Block>, RpcError> {
        self.call_at_once("eth_getBlockByNumber", json!([tag, false])).await
    }

    /// The newest block.
    pub async fn latest(&self) -> Result<Block, RpcError> {
        let missing = || RpcError::Unreachable("the node has no blocks yet".to_owned());
        self.block("latest").await?.ok_or_else(missing)
    }

    /// The events of `address` in the blocks `from` to `to`.
    pub async fn logs(
        &self,
        address: Address,
        from: u64,
        to: u64,
        topics: &[Option<B256>],
    ) -> Result<Vec<Log>, RpcError> {
        let filter = json!([{
            "address": address, "topics": topics,
            "fromBlock": quantity(from), "toBlock": quantity(to),
        }]);
        let logs: Vec<Log> = self.call(GET_LOGS, filter).await?;
        Ok(logs.into_iter().filter(|log| log.address == address).collect())
    }

    /// The events of `address` in one block. A node that does not have the block says so, rather
    /// than that there are none.
    pub async fn logs_of(&self, address: Address, block: B256) -> Result<Vec<Log>, RpcError> {
        let filter = json!([{ "address": address, "blockHash": block }]);
        let logs: Vec<Log> = self.call_at_once(GET_LOGS, filter).await?;
        Ok(logs.into_iter().filter(|log| log.address == address).collect())
    }

    /// What `input` to `to` would give.
    pub async fn view(
        &self,
        from: Option<Address>,
        to: Address,
        input: &Bytes,
    ) -> Result<Bytes, RpcError> {
        let mut call = json!({ "to": to, "data": input });
        if let (Some(from), Some(call)) = (from, call.as_object_mut()) {
            call.insert("from".to_owned(), json!(from));
        }
        self.call("eth_call", json!([call, "latest"])).await
    }

    /// Hands a signed transaction in.
    pub async fn send(&self, raw: &Bytes) -> Result<B256, RpcError> {
        self.call("eth_sendRawTransaction", json!([raw])).await
    }

    /// How many transactions the account has sent, those waiting included if `tag` is `pending`.
    pub async fn nonce(&self, account: Address, tag: &str) -> Result<u64, RpcError> {
        let text: String = self.call("eth_getTransactionCount", json!([account, tag])).await?;
        parse_quantity(&text)
            .ok_or_else(|| RpcError::Unreachable("the node's nonce is not a quantity".to_owned()))
    }

    /// Whether the node has the transaction, in a block or waiting for one.
    pub async fn has_transaction(&self, hash: B256) -> Result<bool, RpcError> {
        let found: Option<Value> = self.call("eth_getTransactionByHash", json!([hash])).await?;
        Ok(found.is_some())
    }

    /// What became of a transaction, once it is in a block.
    pub async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, RpcError> {
        self.call("eth_getTransactionReceipt", json!([hash])).await
    }

    /// The code at an address.
    pub async fn code(&self, address: Address) -> Result<Bytes, RpcError> {
        self.call("eth_getCode", json!([address, "latest"])).await
    }
}

/// Some nodes put the data of a revert into an object.
fn revert_data(data: &Value) -> Option<Bytes> {
    let text = data.as_str().or_else(|| data.get("data")?.as_str())?;
    text.parse().ok()
}

/// The innermost cause says most.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
