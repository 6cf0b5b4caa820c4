//! The gateway service (`gateway`), and what it says of errors (`google.rpc`).

use datapact_chaincode::proto::peer::{Response, SignedProposal};
use prost::Message;

use super::block::Envelope;

/// Asks for endorsements.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EndorseRequest {
    /// The transaction.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel_id: String,
    /// The proposal.
    #[prost(message, optional, tag = "3")]
    pub proposed_transaction: Option<SignedProposal>,
    /// Whose peers are asked; none leaves it to the gateway.
    #[prost(string, repeated, tag = "4")]
    pub endorsing_organizations: Vec<String>,
}

/// The endorsed transaction.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EndorseResponse {
    /// To be signed.
    #[prost(message, optional, tag = "1")]
    pub prepared_transaction: Option<Envelope>,
}

/// Hands a transaction to the orderers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SubmitRequest {
    /// The transaction.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel_id: String,
    /// The signed transaction.
    #[prost(message, optional, tag = "3")]
    pub prepared_transaction: Option<Envelope>,
}

/// They took it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct SubmitResponse {}

/// A signed [`CommitStatusRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignedCommitStatusRequest {
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub request: bytes::Bytes,
    /// Over these bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: bytes::Bytes,
}

/// Asks what became of a transaction; waits until it is in a block.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CommitStatusRequest {
    /// The transaction.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel_id: String,
    /// Who asks: a [`datapact_chaincode::proto::common::SerializedIdentity`].
    #[prost(bytes = "bytes", tag = "3")]
    pub identity: bytes::Bytes,
}

/// What became of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CommitStatusResponse {
    /// The validation code, 0 for valid.
    #[prost(int32, tag = "1")]
    pub result: i32,
    /// The block.
    #[prost(uint64, tag = "2")]
    pub block_number: u64,
}

/// Asks a chaincode without writing.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EvaluateRequest {
    /// The transaction's id, though there will be none.
    #[prost(string, tag = "1")]
    pub transaction_id: String,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel_id: String,
    /// The proposal.
    #[prost(message, optional, tag = "3")]
    pub proposed_transaction: Option<SignedProposal>,
    /// Whose peers may answer.
    #[prost(string, repeated, tag = "4")]
    pub target_organizations: Vec<String>,
}

/// What the chaincode answers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EvaluateResponse {
    /// The answer.
    #[prost(message, optional, tag = "1")]
    pub result: Option<Response>,
}

/// An error with details, as a call's trailers have it (`google.rpc.Status`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Status {
    /// gRPC's code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What the gateway says.
    #[prost(string, tag = "2")]
    pub message: String,
    /// [`ErrorDetail`]s, packed.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// A packed message (`google.protobuf.Any`).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Any {
    /// What it is.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
}

/// What one peer or orderer said.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ErrorDetail {
    /// Where it is.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Whose it is.
    #[prost(string, tag = "2")]
    pub msp_id: String,
    /// What it said.
    #[prost(string, tag = "3")]
    pub message: String,
}
