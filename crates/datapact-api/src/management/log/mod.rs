//! The ledger's log, as users and servers see it, and what goes with this management.

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::operation::operations;

operations! {
    /// The ledger and its log.
    pub trait Log {
        /// The ledger and the servers that go with it.
        get "/v1/info" for UsersAndServers;
        fn info() -> ManagementInfo as Json;

        /// A proof that an entry is in the log.
        ///
        /// A C2SP tlog-proof of the entry at `position`, with the cosignatures that the log's
        /// policy demands; waits for them a few seconds.
        get "/v1/log/proofs/{position}" for UsersAndServers;
        fn proof(path position: u64) -> LedgerProof as Json;

        /// Hand in a cosigned checkpoint.
        ///
        /// (C2SP tlog-cosignature.)
        post "/v1/log/cosignatures" for KeyServers;
        fn add_cosignature(document note: &str) -> () as Json;
    }
}

/// What goes with a management.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ManagementInfo {
    /// Its name, the issuer of its tokens.
    pub name: String,
    /// The ledger's kind: `embedded`, or that of the chain which the log mirrors.
    pub ledger_kind: String,
    /// The contract on a chain that all shares' contracts come from (CAIP-10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_contract: Option<String>,
    /// The ledger's id, the audience of what it records.
    pub ledger: String,
    /// How many entries it has.
    pub size: u64,
    /// How many publications there were, which is the number of the newest.
    pub published: u64,
    /// Key servers, the first is the default.
    pub key_servers: Vec<Endpoint>,
    /// Storage servers, the first is the default.
    pub storage_servers: Vec<Endpoint>,
}

/// A proof that an entry is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LedgerProof {
    /// The entry's exact bytes, as text.
    pub entry: String,
    /// The C2SP tlog-proof.
    pub proof: String,
}
