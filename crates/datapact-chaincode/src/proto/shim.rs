//! The stream between a peer and its chaincode (`peer/chaincode_shim`).

use prost::Message;

use super::common::Timestamp;
use super::peer::{ChaincodeEvent, SignedProposal};

/// The one message of the stream, in both directions.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ChaincodeMessage {
    /// A [`MessageType`].
    #[prost(enumeration = "MessageType", tag = "1")]
    pub r#type: i32,
    /// The sender's clock; unused.
    #[prost(message, optional, tag = "2")]
    pub timestamp: Option<Timestamp>,
    /// By type.
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: bytes::Bytes,
    /// The transaction; with the channel, what tells one exchange from another.
    #[prost(string, tag = "4")]
    pub txid: String,
    /// What the client signed.
    #[prost(message, optional, tag = "5")]
    pub proposal: Option<SignedProposal>,
    /// With a completed transaction.
    #[prost(message, optional, tag = "6")]
    pub chaincode_event: Option<ChaincodeEvent>,
    /// The channel.
    #[prost(string, tag = "7")]
    pub channel_id: String,
}

/// The kinds of messages, as far as this chaincode sends or takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MessageType {
    /// None.
    Undefined = 0,
    /// The chaincode says its package id ([`super::peer::ChaincodeId`]).
    Register = 1,
    /// The peer knows it.
    Registered = 2,
    /// Initialise ([`super::peer::ChaincodeInput`]).
    Init = 3,
    /// The peer will send transactions.
    Ready = 4,
    /// Do something ([`super::peer::ChaincodeInput`]).
    Transaction = 5,
    /// Done ([`super::peer::Response`]).
    Completed = 6,
    /// It went wrong, in words.
    Error = 7,
    /// Read ([`GetState`]).
    GetState = 8,
    /// Write ([`PutState`]).
    PutState = 9,
    /// Remove.
    DelState = 10,
    /// The answer to a read or a write.
    Response = 13,
    /// To be sent back.
    Keepalive = 18,
}

/// What to read.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct GetState {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// A collection of private data; empty for the world state.
    #[prost(string, tag = "2")]
    pub collection: String,
}

/// What to write.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct PutState {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
    /// A collection of private data; empty for the world state.
    #[prost(string, tag = "3")]
    pub collection: String,
}
