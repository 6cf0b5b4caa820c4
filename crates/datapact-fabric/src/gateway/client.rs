//! Asking and submitting through the gateway service of a peer, and getting blocks from peers and
//! orderers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use datapact_core::id::random;
use datapact_ledger::LedgerError;
use datapact_log::clock::Clock;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tonic::Streaming;

use super::block::CommittedBlock;
use super::channel_config::ChannelOrderers;
use super::config::FabricConfig;
use super::error::GatewayError;
use super::identity::{FileIdentity, Identity};
use super::node::Node;
use super::proposal::{Endorsed, Invocation, propose, seek};
use crate::proto::common::{
    Block, BlockchainInfo, DeliverResponse, Delivered, Empty, SeekInfo, SeekPosition,
    SeekSpecified, SeekType,
};
use crate::proto::gateway::{
    CommitStatusRequest, CommitStatusResponse, EndorseRequest, EndorseResponse, EvaluateRequest,
    EvaluateResponse, SignedCommitStatusRequest, SubmitRequest, SubmitResponse,
};
use crate::proto::peer::ProcessedTransaction;

const EVALUATE: &str = "/gateway.Gateway/Evaluate";
const ENDORSE: &str = "/gateway.Gateway/Endorse";
const SUBMIT: &str = "/gateway.Gateway/Submit";
const COMMIT_STATUS: &str = "/gateway.Gateway/CommitStatus";
const PEER_DELIVER: &str = "/protos.Deliver/Deliver";
const ORDERER_DELIVER: &str = "/orderer.AtomicBroadcast/Deliver";
/// The chaincode of every peer that reads blocks.
const QUERIES: &str = "qscc";
/// The chaincode of every peer that reads channels' configurations.
const CONFIGURATION: &str = "cscc";

/// How long a node may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long an orderer may take to say which block is the newest.
const NEWEST_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a commit is waited for before the transaction is handed in again: an orderer that took
/// it may be gone.
const AGAIN: Duration = Duration::from_secs(6);
/// And after the orderers did not take it.
const AGAIN_SOON: Duration = Duration::from_millis(500);
/// How long a transaction may take to stand in a block.
const FINALITY_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests under way at once, and commits waited for: a peer's gateway takes 500 of both together.
const REQUESTS_MAX: usize = 160;
const COMMITS_MAX: usize = 256;

/// What an endorsed invocation says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The transaction that it would be.
    pub transaction: String,
    /// The chaincode's answer.
    pub payload: Bytes,
    pub(crate) prepared: crate::proto::common::Envelope,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The validation code, 0 for valid.
    pub code: i32,
    /// Its block.
    pub block: u64,
}

impl Commit {
    /// Whether the transaction counts.
    pub fn is_valid(self) -> bool {
        self.code == 0
    }

    /// Whether something that the transaction had read was changed before it, or the transaction
    /// stands twice: asking again tells what holds now.
    pub fn is_conflict(self) -> bool {
        matches!(self.code, 9 | 11 | 12)
    }
}

/// A validation code's name in Fabric's published protocol buffers.
pub(crate) fn code_name(code: i32) -> &'static str {
    const NAMES: [&str; 26] = [
        "VALID",
        "NIL_ENVELOPE",
        "BAD_PAYLOAD",
        "BAD_COMMON_HEADER",
        "BAD_CREATOR_SIGNATURE",
        "INVALID_ENDORSER_TRANSACTION",
        "INVALID_CONFIG_TRANSACTION",
        "UNSUPPORTED_TX_PAYLOAD",
        "BAD_PROPOSAL_TXID",
        "DUPLICATE_TXID",
        "ENDORSEMENT_POLICY_FAILURE",
        "MVCC_READ_CONFLICT",
        "PHANTOM_READ_CONFLICT",
        "UNKNOWN_TX_TYPE",
        "TARGET_CHAIN_NOT_FOUND",
        "MARSHAL_TX_ERROR",
        "NIL_TXACTION",
        "EXPIRED_CHAINCODE",
        "CHAINCODE_VERSION_CONFLICT",
        "BAD_HEADER_EXTENSION",
        "BAD_CHANNEL_HEADER",
        "BAD_RESPONSE_PAYLOAD",
        "BAD_RWSET",
        "ILLEGAL_WRITESET",
        "INVALID_WRITESET",
        "INVALID_CHAINCODE",
    ];
    let named = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    named.copied().unwrap_or(if code == 254 { "NOT_VALIDATED" } else { "INVALID_OTHER_REASON" })
}

/// What every changing function of the chaincode answers.
#[derive(Deserialize)]
struct Done {
    /// The transaction that did it.
    transaction: String,
}

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
        let nodes = |nodes: &[super::config::NodeConfig]| {
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
    ) -> Result<Bytes, LedgerError> {
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
        self.query(&self.config.chaincode, invocation).await
    }

    /// Lets the contract's chaincode change something, in the name of the own identity, and waits
    /// for it: what it answers, and the commit, which a repeat does not need.
    ///
    /// # Errors
    /// What the chaincode, a peer or an orderer says, or that what became of it is not known.
    pub async fn invoke(
        &self,
        function: &str,
        args: impl IntoIterator<Item = Vec<u8>>,
        transient: BTreeMap<String, Vec<u8>>,
    ) -> Result<(Answer, Option<Commit>), LedgerError> {
        let invocation = Invocation { transient, ..Invocation::new(function, args) };
        Ok(self.submit(None, invocation).await?)
    }

    /// Lets the contract's chaincode be endorsed by as many organisations as its policy asks for,
    /// in the name of `who`, or of the own identity.
    pub(crate) async fn endorse(
        &self,
        who: Option<&FileIdentity>,
        invocation: Invocation,
    ) -> Result<Answer, GatewayError> {
        let time = (self.clock)();
        let identity = who.unwrap_or(&self.identity).at(time)?;
        let FabricConfig { channel, chaincode, .. } = &self.config;
        let proposed = propose(&identity, channel, chaincode, invocation, time)?;
        let transaction = proposed.transaction;
        let request = EndorseRequest {
            transaction_id: transaction.clone(),
            channel_id: channel.clone(),
            proposed_transaction: Some(proposed.signed),
            endorsing_organizations: Vec::new(),
        };
        let permit = self.requests.acquire().await;
        let answer: EndorseResponse = self.unary(ENDORSE, request, TIMEOUT).await?;
        drop(permit);
        let unreadable =
            || LedgerError::Unavailable(format!("`{}` answers no transaction", self.preferred()));
        let mut prepared = answer.prepared_transaction.ok_or_else(unreadable)?;
        let payload = Endorsed::answer(&prepared).ok_or_else(unreadable)?;
        prepared.signature = identity.sign(&prepared.payload)?;
        Ok(Answer { transaction, payload, prepared })
    }

    /// Hands an endorsed transaction in, and waits until it stands in a block of the own
    /// organisation's peer.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when that is not known: it may or may not stand in one later.
    pub(crate) async fn commit(&self, answer: &Answer) -> Result<Commit, LedgerError> {
        let end = Instant::now() + FINALITY_TIMEOUT;
        let channel_id = self.config.channel.clone();
        let submit = SubmitRequest {
            transaction_id: answer.transaction.clone(),
            channel_id: channel_id.clone(),
            prepared_transaction: Some(answer.prepared.clone()),
        };
        let _permit = self.commits.acquire().await;
        loop {
            let sent: Result<SubmitResponse, _> = {
                let _permit = self.requests.acquire().await;
                self.unary(SUBMIT, submit.clone(), TIMEOUT).await
            };
            if let Err(GatewayError::Said { code: tonic::Code::Aborted, .. }) = &sent {
                // The orderers will never take it.
                return sent.map(|_| Commit { code: 0, block: 0 }).map_err(LedgerError::from);
            }
            // Whatever was answered, it may have arrived; and the same transaction counts once.
            let patience = if sent.is_ok() { AGAIN } else { AGAIN_SOON };
            let asked = self.commit_status(&answer.transaction, patience).await;
            let why = match (asked, sent) {
                (Ok(status), _) => return Ok(status),
                (
                    Err(GatewayError::Said { code: tonic::Code::PermissionDenied, said, .. }),
                    Ok(_),
                ) => {
                    return Err(LedgerError::Misconfigured(said));
                }
                (_, Err(why)) | (Err(why), Ok(_)) => why,
            };
            if Instant::now() > end {
                return Err(LedgerError::Unavailable(format!(
                    "no block has taken the transaction in {} s: {why}",
                    FINALITY_TIMEOUT.as_secs()
                )));
            }
            pause(AGAIN_SOON).await;
        }
    }

    pub(crate) async fn commit_status(
        &self,
        transaction: &str,
        patience: Duration,
    ) -> Result<Commit, GatewayError> {
        let identity = self.identity.at((self.clock)())?;
        let request = CommitStatusRequest {
            transaction_id: transaction.to_owned(),
            channel_id: self.config.channel.clone(),
            identity: identity.creator(),
        };
        let request: Bytes = request.encode_to_vec().into();
        let signature = identity.sign(&request)?;
        // One peer: that it does not know yet is no reason to ask another.
        let at = self.preferred.load(Ordering::Relaxed);
        let peer = self.peers.get(at).ok_or_else(none_configured)?;
        let request = SignedCommitStatusRequest { request, signature };
        let status: CommitStatusResponse = peer.unary(COMMIT_STATUS, request, patience).await?;
        Ok(Commit { code: status.result, block: status.block_number })
    }

    /// Endorses and commits, again while that conflicts with others. No commit is needed, nor made,
    /// when the answer names another transaction, which has done the same before.
    pub(crate) async fn submit(
        &self,
        who: Option<&FileIdentity>,
        invocation: Invocation,
    ) -> Result<(Answer, Option<Commit>), GatewayError> {
        let mut tries = Tries::new();
        loop {
            let answer = match self.endorse(who, invocation.clone()).await {
                Err(error) if error.is_passing() => {
                    tries.again(&error.to_string()).await?;
                    continue;
                }
                answer => answer?,
            };
            let done: Done = serde_json::from_slice(&answer.payload).map_err(|_| {
                LedgerError::Misconfigured(format!(
                    "`{}` is another chaincode",
                    self.config.chaincode
                ))
            })?;
            if done.transaction != answer.transaction {
                return Ok((answer, None));
            }
            let commit = self.commit(&answer).await?;
            if commit.is_valid() {
                return Ok((answer, Some(commit)));
            }
            if !commit.is_conflict() {
                return Err(invalid(commit).into());
            }
            tries.again("others change what it rests on").await?;
        }
    }

    /// How high the own organisation's peer is.
    pub(crate) async fn height(&self) -> Result<BlockchainInfo, LedgerError> {
        let invocation = Invocation::new("GetChainInfo", [self.config.channel.as_str()]);
        let bytes = self.query(QUERIES, invocation).await?;
        BlockchainInfo::decode(bytes).map_err(|_| self.unreadable("GetChainInfo"))
    }

    /// The block that holds a transaction; none when the own organisation's peer knows no such
    /// transaction.
    pub(crate) async fn block_of_transaction(
        &self,
        transaction: &str,
    ) -> Result<Option<Block>, LedgerError> {
        self.query_transaction("GetBlockByTxID", transaction).await
    }

    /// A transaction and its validation code.
    pub(crate) async fn transaction(
        &self,
        transaction: &str,
    ) -> Result<Option<ProcessedTransaction>, LedgerError> {
        self.query_transaction("GetTransactionByID", transaction).await
    }

    async fn query_transaction<T: Message + Default>(
        &self,
        function: &str,
        transaction: &str,
    ) -> Result<Option<T>, LedgerError> {
        let invocation = Invocation::new(function, [self.config.channel.as_str(), transaction]);
        match self.query(QUERIES, invocation).await {
            Ok(bytes) => T::decode(bytes).map(Some).map_err(|_| self.unreadable(function)),
            Err(LedgerError::Unavailable(why)) if why.contains("no such transaction ID") => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// One block by its number.
    pub(crate) async fn block(&self, number: u64) -> Result<Block, LedgerError> {
        let invocation = Invocation::new(
            "GetBlockByNumber",
            [self.config.channel.as_str(), &number.to_string()],
        );
        Block::decode(self.query(QUERIES, invocation).await?)
            .map_err(|_| self.unreadable("GetBlockByNumber"))
    }

    /// Who orders on the channel, by its configuration.
    pub(crate) async fn orderers(&self) -> Result<ChannelOrderers, LedgerError> {
        let invocation = Invocation::new("GetConfigBlock", [self.config.channel.as_str()]);
        let bytes = self.query(CONFIGURATION, invocation).await?;
        ChannelOrderers::of(Block::decode(bytes).map_err(|_| self.unreadable("GetConfigBlock"))?)
    }

    fn unreadable(&self, function: &str) -> LedgerError {
        LedgerError::Unavailable(format!(
            "`{}` answers `{function}` otherwise than expected",
            self.preferred()
        ))
    }

    /// Blocks of the own organisation's peer, from `first` (or its newest one) to `last`, waiting
    /// for those that do not exist yet. The first one must exist.
    pub(crate) async fn blocks(
        &self,
        first: Option<u64>,
        last: u64,
    ) -> Result<Blocks<'_>, LedgerError> {
        let identity = self.identity.at((self.clock)())?;
        let start = first.map_or(SeekType::Newest(Empty {}), |number| {
            SeekType::Specified(SeekSpecified { number })
        });
        let info = SeekInfo {
            start: Some(SeekPosition { r#type: Some(start) }),
            stop: Some(SeekPosition {
                r#type: Some(SeekType::Specified(SeekSpecified { number: last })),
            }),
            ..SeekInfo::default()
        };
        let mut failure = None;
        for (at, peer) in self.in_turn() {
            match self.delivered(peer, PEER_DELIVER, &identity, info, TIMEOUT).await {
                Ok(answers) => {
                    self.prefer(at);
                    return Ok(Blocks { gateway: self, at, answers });
                }
                Err(error) if error.is_of_node() => failure = Some(worse(failure, error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(failure.unwrap_or_else(none_configured).into())
    }

    async fn delivered(
        &self,
        node: &Node,
        path: &'static str,
        identity: &Identity,
        info: SeekInfo,
        timeout: Duration,
    ) -> Result<Streaming<DeliverResponse>, GatewayError> {
        let envelope =
            seek(identity, &self.config.channel, info, node.certificate()?, (self.clock)())?;
        node.deliver(path, envelope, timeout).await
    }

    /// The number of the newest block that the orderers have, as a quorum of them says.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when too few answer.
    pub(crate) async fn newest(&self) -> Result<u64, LedgerError> {
        let identity = self.identity.at((self.clock)())?;
        let newest = Some(SeekPosition { r#type: Some(SeekType::Newest(Empty {})) });
        // Headers will do.
        let info = SeekInfo {
            start: newest,
            stop: newest,
            behavior: 1,
            error_response: 0,
            content_type: 1,
        };
        let needed = self.config.consensus.quorum(self.orderers.len());
        let mut asked: FuturesUnordered<_> =
            self.orderers.iter().map(|orderer| self.newest_of(orderer, &identity, info)).collect();
        let (mut answered, mut highest, mut failure) = (0, 0, None);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(number) => {
                    answered += 1;
                    highest = highest.max(number);
                    if answered == needed {
                        return Ok(highest);
                    }
                }
                Err(error) => failure = Some(worse(failure, error)),
            }
        }
        let orderers = self.orderers.len();
        let (why, is_wrong) = failure.map_or_else(
            || (String::new(), false),
            |error| {
                (
                    format!(": {error}"),
                    matches!(LedgerError::from(error), LedgerError::Misconfigured(_)),
                )
            },
        );
        let said = format!(
            "{answered} of {orderers} orderers say which block is the newest, and {needed} must{why}"
        );
        Err(if is_wrong {
            LedgerError::Misconfigured(said)
        } else {
            LedgerError::Unavailable(said)
        })
    }

    async fn newest_of(
        &self,
        orderer: &Node,
        identity: &Identity,
        info: SeekInfo,
    ) -> Result<u64, GatewayError> {
        let mut answers =
            self.delivered(orderer, ORDERER_DELIVER, identity, info, NEWEST_TIMEOUT).await?;
        let silent =
            || GatewayError::Unreachable(format!("`{}` sends no block", orderer.address()));
        let block = tokio::time::timeout(NEWEST_TIMEOUT, next(orderer, &mut answers)).await;
        let header = block.map_err(|_| silent())??.and_then(|block| block.header);
        header.map(|header| header.number).ok_or_else(silent)
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

/// Blocks as they come.
pub(crate) struct Blocks<'a> {
    gateway: &'a Gateway,
    at: usize,
    answers: Streaming<DeliverResponse>,
}

impl Blocks<'_> {
    /// The next block; none behind the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<CommittedBlock>, LedgerError> {
        let Some(peer) = self.gateway.peers.get(self.at) else { return Ok(None) };
        let block = next(peer, &mut self.answers).await?;
        block.map(|block| CommittedBlock::read(block, &self.gateway.config.chaincode)).transpose()
    }

    /// Whether they come from the peer that is asked first now.
    pub(crate) fn is_preferred(&self) -> bool {
        self.gateway.preferred.load(Ordering::Relaxed) == self.at
    }
}

async fn next(
    node: &Node,
    answers: &mut Streaming<DeliverResponse>,
) -> Result<Option<Block>, GatewayError> {
    let answer = answers.message().await.map_err(|status| node.failed(&status))?;
    let said = match answer.and_then(|answer| answer.r#type) {
        Some(Delivered::Block(block)) => return Ok(Some(block)),
        Some(Delivered::Status(200)) | None => return Ok(None),
        Some(Delivered::Status(said)) => said,
    };
    let address = node.address();
    Err(match said {
        403 => GatewayError::Misconfigured(format!(
            "`{address}` gives the identity no blocks; correct `msp_id` and `certificate_file`, and see that the \
             identity may read the channel"
        )),
        404 => GatewayError::Misconfigured(format!(
            "`{address}` has not joined the channel; correct `channel`"
        )),
        400 => GatewayError::Misconfigured(format!(
            "`{address}` cannot read a request for blocks; set the clocks, and see that `[tls]` is as it asks for"
        )),
        said => {
            GatewayError::Unreachable(format!("`{address}` delivers no blocks (status {said})"))
        }
    })
}

/// A transaction that will never count.
pub(crate) fn invalid(commit: Commit) -> LedgerError {
    let said = format!(
        "the transaction in block {} is not valid: {}",
        commit.block,
        code_name(commit.code)
    );
    match commit.code {
        4 | 10 | 17 | 18 | 25 => LedgerError::Misconfigured(said),
        _ => LedgerError::Unavailable(said),
    }
}

/// Tries that are further and further apart, each by chance a little more or less.
struct Tries {
    count: u32,
    end: Instant,
}

impl Tries {
    /// How often something is tried.
    const MAX: u32 = 60;
    /// And for how long.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn new() -> Self {
        Self { count: 0, end: Instant::now() + Self::PATIENCE }
    }

    /// Waits for the next try.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] with `why` when there were enough.
    async fn again(&mut self, why: &str) -> Result<(), LedgerError> {
        self.count += 1;
        if self.count >= Self::MAX || Instant::now() > self.end {
            return Err(LedgerError::Unavailable(format!("tried {} times: {why}", self.count)));
        }
        pause(Duration::from_millis(20 << self.count.min(5))).await;
        Ok(())
    }
}

/// Waits for about as long as that: half to one and a half times.
async fn pause(about: Duration) {
    let [chance]: [u8; 1] = random();
    tokio::time::sleep(about / 2 + about * u32::from(chance) / 256).await;
}
