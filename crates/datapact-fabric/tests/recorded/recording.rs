//! `testdata/fabric/gateway.json`: what the adapter has asked a peer's gateway, and what that has
//! answered.

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Recording {
    /// What `peer version` said.
    pub(crate) fabric: String,
    pub(crate) channel: String,
    pub(crate) chaincode: String,
    /// The adapter's clock, about.
    pub(crate) clock: u64,
    /// The identity of every call, unless its case is about that. Made for the recording and thrown
    /// away with its network.
    pub(crate) identity: RecordedIdentity,
    /// In order.
    pub(crate) asked: Vec<GatewayCall>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RecordedIdentity {
    pub(crate) msp_id: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GatewayCall {
    /// What it is an example of.
    pub(crate) case: String,
    pub(crate) path: String,
    #[serde(with = "hex::serde")]
    pub(crate) request: Vec<u8>,
    /// The answer, in hexadecimal, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<GatewayRefusal>,
}

/// A status of gRPC.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct GatewayRefusal {
    pub(crate) code: i32,
    pub(crate) message: String,
    #[serde(with = "hex::serde")]
    pub(crate) details: Vec<u8>,
}
