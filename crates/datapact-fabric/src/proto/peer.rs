//! Proposals, transactions, chaincode input and events (`peer`).

use std::collections::BTreeMap;

use prost::Message;

/// A proposal and its creator's signature.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SignedProposal {
    /// A [`Proposal`].
    #[prost(bytes = "bytes", tag = "1")]
    pub proposal_bytes: bytes::Bytes,
    /// Over these bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: bytes::Bytes,
}

/// What a client asks peers to endorse.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Proposal {
    /// A [`super::common::Header`].
    #[prost(bytes = "bytes", tag = "1")]
    pub header: bytes::Bytes,
    /// A [`ChaincodeProposalPayload`].
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: bytes::Bytes,
    /// Unused by Fabric.
    #[prost(bytes = "bytes", tag = "3")]
    pub extension: bytes::Bytes,
}

/// What a chaincode is asked, and what it is shown besides.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChaincodeProposalPayload {
    /// A `ChaincodeInvocationSpec`.
    #[prost(bytes = "bytes", tag = "1")]
    pub input: bytes::Bytes,
    /// What the chaincode sees and no block holds.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub transient_map: BTreeMap<String, Vec<u8>>,
}

/// A chaincode's name, or, between it and its peer, its package id.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ChaincodeId {
    /// Where it was deployed from; unused since the new lifecycle.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub version: String,
}

/// Which chaincode a proposal is for: the extension of its channel header.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ChaincodeHeaderExtension {
    /// The chaincode.
    #[prost(message, optional, tag = "2")]
    pub chaincode_id: Option<ChaincodeId>,
}

/// A chaincode's arguments.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ChaincodeInput {
    /// The function's name and its arguments.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub args: Vec<bytes::Bytes>,
    /// What a peer's plug-ins add.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub decorations: BTreeMap<String, Vec<u8>>,
    /// Whether this is the initialisation that a definition can ask for.
    #[prost(bool, tag = "3")]
    pub is_init: bool,
}

/// What a chaincode announces.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ChaincodeEvent {
    /// The chaincode.
    #[prost(string, tag = "1")]
    pub chaincode_id: String,
    /// The transaction.
    #[prost(string, tag = "2")]
    pub tx_id: String,
    /// The event's name.
    #[prost(string, tag = "3")]
    pub event_name: String,
    /// What it says.
    #[prost(bytes = "bytes", tag = "4")]
    pub payload: bytes::Bytes,
}

/// What a chaincode, or a peer, answers.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Response {
    /// As in HTTP: 200 is success, 400 and above failure.
    #[prost(int32, tag = "1")]
    pub status: i32,
    /// Why it failed.
    #[prost(string, tag = "2")]
    pub message: String,
    /// What it answers.
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: bytes::Bytes,
}

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
    /// A [`ChaincodeEvent`].
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
    /// A [`super::common::SerializedIdentity`].
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
    /// A [`ChaincodeProposalPayload`] without its transient map.
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
    pub transaction_envelope: Option<super::common::Envelope>,
    /// 0 is valid.
    #[prost(int32, tag = "2")]
    pub validation_code: i32,
}
