//! Accesses (6.2.2): requests for them, what was granted, and what was done under them.

use datapact_core::commitment::Opening;
use datapact_core::contract::{AccessRecord, RequestedPermission, UsageRecord};
use datapact_core::document::{AccessRequest, UsageReport};
use datapact_core::id::{ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use serde::{Deserialize, Serialize};

use crate::operation::operations;

operations! {
    /// Accesses to shares, and reports of what was done under them.
    pub trait Accesses {
        /// Ask the contract for one access.
        ///
        /// (MG-8 to MG-12.) A repeat answers with the first receipt.
        post "/v1/accesses" for Consumers;
        fn request_access(document request: &Signed<AccessRequest>) -> AccessGrant as Json;

        /// Own accesses and those to own shares, by position, 200 a page.
        ///
        /// With what opens their records (MG-13).
        get "/v1/accesses" for Users;
        fn accesses(query query: &RecordQuery) -> Vec<AccessEntry> as Json;

        /// Record what was done under an access.
        ///
        /// (UR-2.)
        post "/v1/usages" for Users;
        fn report_usage(document report: &Signed<UsageReport>) -> UsageReceipt as Json;

        /// Own usage reports and those on own shares, by position, 200 a page.
        get "/v1/usages" for Users;
        fn usages(query query: &RecordQuery) -> Vec<UsageEntry> as Json;

        /// Entries about own shares whose documents were erased, 200 a page.
        ///
        /// They were erased with the users who signed them.
        get "/v1/erasures" for Users;
        fn erasures(query query: &RecordQuery) -> Vec<Erasure> as Json;
    }
}

/// What a consumer gets for a granted access (AX-11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessGrant {
    /// The access token.
    pub token: String,
    /// The requested permission.
    pub permission: RequestedPermission,
    /// The policy that the record names.
    pub policy: Signed<SharingPolicy>,
    /// The contract's address.
    pub contract: String,
    /// The record's position in the ledger.
    pub position: u64,
    /// The record.
    pub record: AccessRecord,
    /// What opens the record's commitment to the consumer.
    pub consumer: Opening,
    /// The key server's certificate chain, PEM.
    pub key_server_certificate: String,
    /// The storage server's certificate chain, PEM.
    pub storage_server_certificate: String,
}

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RecordQuery {
    /// Only of this share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    /// Only behind this position, for the next page; pages hold 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// An access with what opens its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccessEntry {
    /// The record's position in the ledger.
    pub position: u64,
    /// The record.
    pub record: AccessRecord,
    /// The consumer's signed request.
    pub request: Signed<AccessRequest>,
    /// What opens the commitment to the consumer.
    pub consumer: Opening,
}

/// What a consumer gets for a usage report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UsageReceipt {
    /// Its position in the ledger.
    pub position: u64,
    /// The record.
    pub record: UsageRecord,
}

/// A usage report with its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UsageEntry {
    /// The record's position in the ledger.
    pub position: u64,
    /// The record.
    pub record: UsageRecord,
    /// The consumer's signed report.
    pub report: Signed<UsageReport>,
}

/// An entry of the ledger whose documents were erased with the user who signed them: what is on the
/// ledger stays, but nothing tells any more whose it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The entry's position in the ledger.
    pub position: u64,
    /// When its documents were erased.
    pub time: Timestamp,
}
