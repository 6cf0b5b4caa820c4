//! Headers and identities (`common`, `msp`).

use prost::Message;

/// A moment (`google.protobuf.Timestamp`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// The two headers of a proposal or transaction, each encoded.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Header {
    /// A [`ChannelHeader`].
    #[prost(bytes = "bytes", tag = "1")]
    pub channel_header: bytes::Bytes,
    /// A [`SignatureHeader`].
    #[prost(bytes = "bytes", tag = "2")]
    pub signature_header: bytes::Bytes,
}

/// What is asked of which channel, and when.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ChannelHeader {
    /// 3 for a transaction that was endorsed.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// The protocol's version.
    #[prost(int32, tag = "2")]
    pub version: i32,
    /// The sender's clock.
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
    /// The channel.
    #[prost(string, tag = "4")]
    pub channel_id: String,
    /// The transaction.
    #[prost(string, tag = "5")]
    pub tx_id: String,
    /// Unused by Fabric.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
    /// By type; for an endorsed transaction, a `ChaincodeHeaderExtension`.
    #[prost(bytes = "bytes", tag = "7")]
    pub extension: bytes::Bytes,
    /// SHA-256 of the client's TLS certificate, where clients have one.
    #[prost(bytes = "bytes", tag = "8")]
    pub tls_cert_hash: bytes::Bytes,
}

/// Who signed.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SignatureHeader {
    /// A [`SerializedIdentity`].
    #[prost(bytes = "bytes", tag = "1")]
    pub creator: bytes::Bytes,
    /// Random, used once.
    #[prost(bytes = "bytes", tag = "2")]
    pub nonce: bytes::Bytes,
}

/// A member of an organisation (`msp.SerializedIdentity`).
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SerializedIdentity {
    /// The organisation.
    #[prost(string, tag = "1")]
    pub mspid: String,
    /// Its certificate, PEM.
    #[prost(bytes = "bytes", tag = "2")]
    pub id_bytes: bytes::Bytes,
}
