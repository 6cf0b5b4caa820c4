//! Blocks and transactions as the own organisation's peer has them, and how far the orderers are.

use std::sync::atomic::Ordering;
use std::time::Duration;

use datapact_ledger::LedgerError;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use tonic::Streaming;

use super::{Gateway, TIMEOUT, none_configured, worse};
use crate::gateway::block::CommittedBlock;
use crate::gateway::channel_config::ChannelOrderers;
use crate::gateway::error::GatewayError;
use crate::gateway::identity::Identity;
use crate::gateway::node::Node;
use crate::gateway::proposal::{Invocation, seek};
use crate::gateway::words::is_unknown_transaction;
use crate::proto::block::{
    Block, BlockchainInfo, DeliverResponse, Delivered, Empty, SeekInfo, SeekPosition,
    SeekSpecified, SeekType,
};
use crate::proto::transaction::ProcessedTransaction;

const PEER_DELIVER: &str = "/protos.Deliver/Deliver";
const ORDERER_DELIVER: &str = "/orderer.AtomicBroadcast/Deliver";
/// The chaincode of every peer that reads blocks.
const QUERIES: &str = "qscc";
/// The chaincode of every peer that reads channels' configurations.
const CONFIGURATION: &str = "cscc";
/// How long an orderer may take to say which block is the newest.
const NEWEST_TIMEOUT: Duration = Duration::from_secs(4);

impl Gateway {
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
            Err(GatewayError::Said { said, .. }) if is_unknown_transaction(&said) => Ok(None),
            Err(error) => Err(error.into()),
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
            "`{}` gives an unexpected answer to `{function}`",
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
            "{answered} of {orderers} orderers say which block is the newest, and {needed} \
             must{why}"
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
            "`{address}` gives the identity no blocks; correct `msp_id` and `certificate_file`, \
             and see that the identity may read the channel"
        )),
        404 => GatewayError::Misconfigured(format!(
            "`{address}` has not joined the channel; correct `channel`"
        )),
        400 => GatewayError::Misconfigured(format!(
            "`{address}` cannot read a request for blocks; set the clocks, and see that `[tls]` is \
             what it asks for"
        )),
        said => {
            GatewayError::Unreachable(format!("`{address}` delivers no blocks (status {said})"))
        }
    })
}
