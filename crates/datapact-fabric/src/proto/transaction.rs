//! Invocations, and transactions with what endorsers make of them (`peer`).

use datapact_chaincode::proto::peer::{ChaincodeId, ChaincodeInput, Response};
use prost::Message;

/// A chaincode and what it is asked.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChaincodeSpec {
    /// The language, which no peer looks at.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// By its name.
    #[prost(message, optional, tag = "2")]
    pub chaincode_id: Option<ChaincodeId>,
    /// Function and arguments.
    #[prost(message, optional, tag = "3")]
    pub input: Option<ChaincodeInput>,
    /// Unused by Fabric.
    #[prost(int32, tag = "4")]
    pub timeout: i32,
}

/// A chaincode and what it is asked.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChaincodeInvocationSpec {
    /// The same.
    #[prost(message, optional, tag = "1")]
    pub chaincode_spec: Option<ChaincodeSpec>,
}

/// What a chaincode did.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChaincodeAction {
    /// The read and write sets.
    #[prost(bytes = "bytes", tag = "1")]
    pub results: bytes::Bytes,
    /// A [`datapact_chaincode::proto::peer::ChaincodeEvent`].
    #[prost(bytes = "bytes", tag = "2")]
    pub events: bytes::Bytes,
    /// What it answered.
    #[prost(message, optional, tag = "3")]
    pub response: Option<Response>,
    /// Which chaincode, and which version of it.
    #[prost(message, optional, tag = "4")]
    pub chaincode_id: Option<ChaincodeId>,
}

/// What endorsers sign.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ProposalResponsePayload {
    /// Which proposal.
    #[prost(bytes = "bytes", tag = "1")]
    pub proposal_hash: bytes::Bytes,
    /// A [`ChaincodeAction`].
    #[prost(bytes = "bytes", tag = "2")]
    pub extension: bytes::Bytes,
}

/// An endorser's signature.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Endorsement {
    /// A [`datapact_chaincode::proto::common::SerializedIdentity`].
    #[prost(bytes = "bytes", tag = "1")]
    pub endorser: bytes::Bytes,
    /// Over the [`ProposalResponsePayload`]'s bytes and `endorser`, one behind the other.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: bytes::Bytes,
}

/// A transaction.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Transaction {
    /// One.
    #[prost(message, repeated, tag = "1")]
    pub actions: Vec<TransactionAction>,
}

/// What a transaction does.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct TransactionAction {
    /// The proposal's signature header.
    #[prost(bytes = "bytes", tag = "1")]
    pub header: bytes::Bytes,
    /// A [`ChaincodeActionPayload`].
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: bytes::Bytes,
}

/// The proposal and what was endorsed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChaincodeActionPayload {
    /// A [`datapact_chaincode::proto::peer::ChaincodeProposalPayload`] without its transient map.
    #[prost(bytes = "bytes", tag = "1")]
    pub chaincode_proposal_payload: bytes::Bytes,
    /// What was endorsed.
    #[prost(message, optional, tag = "2")]
    pub action: Option<ChaincodeEndorsedAction>,
}

/// What was endorsed, and by whom.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChaincodeEndorsedAction {
    /// A [`ProposalResponsePayload`].
    #[prost(bytes = "bytes", tag = "1")]
    pub proposal_response_payload: bytes::Bytes,
    /// The endorsers' signatures.
    #[prost(message, repeated, tag = "2")]
    pub endorsements: Vec<Endorsement>,
}

/// A transaction and what a peer makes of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ProcessedTransaction {
    /// The transaction.
    #[prost(message, optional, tag = "1")]
    pub transaction_envelope: Option<super::block::Envelope>,
    /// 0 is valid.
    #[prost(int32, tag = "2")]
    pub validation_code: i32,
}
