//! What a real peer, the chaincode and the adapter have said to each other, kept as bytes in
//! `testdata/fabric/`: replayed to the chaincode, and (in `src/gateway/tests.rs`) to the
//! adapter, wherever the tests run, and recorded again by `DATAPACT_RECORD_FABRIC=1` where
//! Fabric's programs are.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod gateway;
mod raw;
mod record;
mod recording;
mod replay;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;

use datapact_chaincode::contract::SetUp;
use serde::{Deserialize, Serialize};

/// A stream, from its beginning.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// What `peer version` said.
    fabric: String,
    /// The chaincode's package id, what its organisation has agreed to, and its clock throughout.
    package: String,
    agreed: SetUp,
    clock: u64,
    /// In order.
    messages: Vec<Said>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    by: By,
    /// A `protos.ChaincodeMessage`, in hexadecimal.
    #[serde(with = "hex::serde")]
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum By {
    Peer,
    Chaincode,
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/fabric/stream.json"))
}

fn gateway_file() -> PathBuf {
    file().with_file_name("gateway.json")
}
