//! Policies (6.2.2): what providers share, and under which terms.

use datapact_core::commitment::Opening;
use datapact_core::id::{Digest, ShareId};
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use serde::{Deserialize, Serialize};

use crate::operation::{Page, operations};

operations! {
    /// The policies of providers, and their shares.
    pub trait Policies {
        /// Set a policy version.
        ///
        /// The first one or a successor (MG-3 to MG-6). A repeat answers the same.
        post "/v1/shares" for Providers;
        fn set_policy(document policy: &Signed<SharingPolicy>) -> PolicyReceipt as Json;

        /// Own shares, those changed longest ago first, 200 a page.
        ///
        /// A page follows the event of a share's newest change (MG-7, DP-10).
        get "/v1/shares" for Users;
        fn shares(query page: Page<u64>) -> Vec<OwnShare> as Json;

        /// One of the caller's own shares.
        get "/v1/shares/{id}" for Provider;
        fn share(path id: &ShareId) -> OwnShare as Json;
    }
}

/// What a provider gets for a policy (DP-9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyReceipt {
    /// The share.
    pub share: ShareId,
    /// The version.
    pub version: u32,
    /// The policy's document id.
    pub policy: Digest,
    /// The contract's address.
    pub contract: String,
    /// Its position in the ledger.
    pub position: u64,
    /// What opens the commitment to the provider.
    pub owner: Opening,
    /// What opens the commitments to the users named.
    pub users: Vec<Opening>,
}

/// A provider's view of its own share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OwnShare {
    /// The event of its newest change: its number among the publications.
    pub event: u64,
    /// The receipt for the newest version.
    pub receipt: PolicyReceipt,
    /// The newest policy.
    pub policy: Signed<SharingPolicy>,
    /// How many accesses were granted.
    pub accesses: u64,
}
