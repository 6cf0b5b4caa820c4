//! Asking and submitting through the gateway service of a peer, and getting blocks from peers and
//! orderers.

mod blocks;
mod commit;
mod submit;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use datapact_ledger::LedgerError;
use datapact_log::clock::Clock;
use prost::Message;
use tokio::sync::Semaphore;

use super::config::{FabricConfig, NodeConfig};
use super::error::GatewayError;
use super::identity::FileIdentity;
use super::node::Node;
use super::proposal::{Invocation, propose};
use crate::proto::gateway::{EvaluateRequest, EvaluateResponse};

pub(crate) use commit::code_name;
#[cfg(test)]
pub(crate) use commit::invalid;

pub use commit::Commit;
pub use submit::Answer;

const EVALUATE: &str = "/gateway.Gateway/Evaluate";

/// How long a node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Requests under way at once, and commits waited for: a peer's gateway takes 500 of both together.
const REQUESTS_MAX: usize = 160;
const COMMITS_MAX: usize = 256;

/// A channel, reached through the own organisation's peers.
pub struct Gateway {
    config: FabricConfig,
    identity: FileIdentity,
    clock: Clock,
    peers: Vec<Node>,
    orderers: Vec<Node>,
    preferred: AtomicUsize,
    requests: Semaphore,
    commits: Semaphore,
}

impl Gateway {
    /// The channel that `config` describes. Nothing is asked yet.
    pub fn new(config: FabricConfig, clock: Clock) -> Arc<Self> {
        let nodes = |nodes: &[NodeConfig]| {
            nodes.iter().map(|node| Node::new(node.clone(), config.tls.clone())).collect()
        };
        Arc::new(Self {
            identity: FileIdentity::new(config.identity.clone()),
            clock,
            peers: nodes(&config.peers),
            orderers: nodes(&config.orderers),
            preferred: AtomicUsize::new(0),
            requests: Semaphore::new(REQUESTS_MAX),
            commits: Semaphore::new(COMMITS_MAX),
            config,
        })
    }

    /// What it was made of.
    pub fn config(&self) -> &FabricConfig {
        &self.config
    }

    /// The peer that is asked first now.
    pub fn preferred(&self) -> &str {
        self.peers.get(self.preferred.load(Ordering::Relaxed)).map_or("", Node::address)
    }

    /// Asks the preferred peer, and the others when it does not answer.
    async fn unary<Q, A>(
        &self,
        path: &'static str,
        request: Q,
        timeout: Duration,
    ) -> Result<A, GatewayError>
    where
        Q: Message + Clone + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut failure = None;
        for (at, peer) in self.in_turn() {
            match peer.unary(path, request.clone(), timeout).await {
                Err(error) if error.is_of_node() => failure = Some(worse(failure, error)),
                answer => {
                    self.prefer(at);
                    return answer;
                }
            }
        }
        Err(failure.unwrap_or_else(none_configured))
    }

    /// The peers, the preferred one first.
    fn in_turn(&self) -> impl Iterator<Item = (usize, &Node)> {
        let first = self.preferred.load(Ordering::Relaxed);
        let (before, after) = self.peers.split_at(first.min(self.peers.len()));
        (first..).zip(after).chain((0..).zip(before))
    }

    fn prefer(&self, at: usize) {
        if self.preferred.swap(at, Ordering::Relaxed) != at {
            tracing::warn!(peer = self.preferred(), "another peer is asked from now on");
        }
    }

    /// Asks `chaincode` without writing: the answer of a peer of the own organisation.
    pub(crate) async fn query(
        &self,
        chaincode: &str,
        invocation: Invocation,
    ) -> Result<Bytes, GatewayError> {
        let time = (self.clock)();
        let identity = self.identity.at(time)?;
        let proposed = propose(&identity, &self.config.channel, chaincode, invocation, time)?;
        let request = EvaluateRequest {
            transaction_id: proposed.transaction,
            channel_id: self.config.channel.clone(),
            proposed_transaction: Some(proposed.signed),
            target_organizations: vec![self.identity.msp_id().to_owned()],
        };
        let _permit = self.requests.acquire().await;
        let answer: EvaluateResponse = self.unary(EVALUATE, request, TIMEOUT).await?;
        Ok(answer.result.map(|result| result.payload).unwrap_or_default())
    }

    /// Asks the contract's chaincode without writing.
    ///
    /// # Errors
    /// What the chaincode or the peer says, or that none can be reached.
    pub async fn evaluate(&self, function: &str, args: &[&str]) -> Result<Bytes, LedgerError> {
        let invocation = Invocation::new(function, args.iter().map(|arg| arg.as_bytes()));
        Ok(self.query(&self.config.chaincode, invocation).await?)
    }
}

/// What is wrong with the configuration is worth more words than that a node is down.
fn worse(failure: Option<GatewayError>, error: GatewayError) -> GatewayError {
    match failure {
        Some(failure) if !matches!(error, GatewayError::Misconfigured(_)) => failure,
        _ => error,
    }
}

fn none_configured() -> GatewayError {
    GatewayError::Unreachable("no peer is configured".to_owned())
}
