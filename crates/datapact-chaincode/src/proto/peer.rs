//! Proposals, chaincode input, answers and events (`peer`).

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
