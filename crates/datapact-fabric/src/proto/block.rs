//! Envelopes, blocks and their delivery (`common`, `orderer`).

use datapact_chaincode::proto::common::Header;
use prost::Message;

/// What an orderer takes and a block holds.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Envelope {
    /// A [`Payload`].
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: bytes::Bytes,
    /// Its creator's, over these bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: bytes::Bytes,
}

/// Headers and what they are of.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Payload {
    /// The headers.
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    /// By the channel header's type.
    #[prost(bytes = "bytes", tag = "2")]
    pub data: bytes::Bytes,
}

/// A block.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Block {
    /// Its number and hashes.
    #[prost(message, optional, tag = "1")]
    pub header: Option<BlockHeader>,
    /// Its transactions.
    #[prost(message, optional, tag = "2")]
    pub data: Option<BlockData>,
    /// What orderers and peers say of it.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<BlockMetadata>,
}

/// What a block's hash is of.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct BlockHeader {
    /// From 0.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The hash of the header before.
    #[prost(bytes = "bytes", tag = "2")]
    pub previous_hash: bytes::Bytes,
    /// SHA-256 of the transactions, one behind the other.
    #[prost(bytes = "bytes", tag = "3")]
    pub data_hash: bytes::Bytes,
}

/// A block's transactions.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BlockData {
    /// Each an [`Envelope`].
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub data: Vec<bytes::Bytes>,
}

/// What a block has besides its header and transactions.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BlockMetadata {
    /// At 0 a [`Metadata`] with the orderers' signatures, at 2 one validation code for each
    /// transaction.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub metadata: Vec<bytes::Bytes>,
}

/// Signed metadata of a block.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Metadata {
    /// What is signed.
    #[prost(bytes = "bytes", tag = "1")]
    pub value: bytes::Bytes,
    /// By whom.
    #[prost(message, repeated, tag = "2")]
    pub signatures: Vec<MetadataSignature>,
}

/// An orderer's signature.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct MetadataSignature {
    /// A [`datapact_chaincode::proto::common::SignatureHeader`]; absent under BFT.
    #[prost(bytes = "bytes", tag = "1")]
    pub signature_header: bytes::Bytes,
    /// The signature.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: bytes::Bytes,
    /// Under BFT, which consenter it is.
    #[prost(bytes = "bytes", tag = "3")]
    pub identifier_header: bytes::Bytes,
}

/// How high a peer's copy of a channel is.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct BlockchainInfo {
    /// The number of blocks.
    #[prost(uint64, tag = "1")]
    pub height: u64,
    /// The newest block's hash.
    #[prost(bytes = "bytes", tag = "2")]
    pub current_block_hash: bytes::Bytes,
    /// That of the one before.
    #[prost(bytes = "bytes", tag = "3")]
    pub previous_block_hash: bytes::Bytes,
}

/// Nothing more to say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Empty {}

/// A block by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct SeekSpecified {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// Which block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct SeekPosition {
    /// Which.
    #[prost(oneof = "SeekType", tags = "1, 2, 3")]
    pub r#type: Option<SeekType>,
}

/// Which block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Oneof)]
pub enum SeekType {
    /// The newest one.
    #[prost(message, tag = "1")]
    Newest(Empty),
    /// The oldest one.
    #[prost(message, tag = "2")]
    Oldest(Empty),
    /// One by its number.
    #[prost(message, tag = "3")]
    Specified(SeekSpecified),
}

/// Which blocks are to be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct SeekInfo {
    /// The first.
    #[prost(message, optional, tag = "1")]
    pub start: Option<SeekPosition>,
    /// The last.
    #[prost(message, optional, tag = "2")]
    pub stop: Option<SeekPosition>,
    /// 0 waits for blocks that do not exist yet, 1 fails.
    #[prost(int32, tag = "3")]
    pub behavior: i32,
    /// 0 delivers nothing when the orderer has no consensus.
    #[prost(int32, tag = "4")]
    pub error_response: i32,
    /// 0 for whole blocks, 1 for headers with signatures.
    #[prost(int32, tag = "5")]
    pub content_type: i32,
}

/// One answer of a peer's or an orderer's delivery.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeliverResponse {
    /// What it is.
    #[prost(oneof = "Delivered", tags = "1, 2")]
    pub r#type: Option<Delivered>,
}

/// A block, or the end.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Delivered {
    /// 200 at the end, or why no more blocks come.
    #[prost(int32, tag = "1")]
    Status(i32),
    /// A block.
    #[prost(message, tag = "2")]
    Block(Block),
}
