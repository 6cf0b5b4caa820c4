//! Policies, as a key server is shown them: only under one of them is a key released.

use datapact_core::commitment::Opening;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use serde::{Deserialize, Serialize};

use crate::operation::operations;

operations! {
    /// The policies that a key server is shown.
    pub trait ShownPolicies {
        /// Show a policy that the key's owner signed.
        ///
        /// Only under a policy that was shown is a key released (SH-7).
        post "/v1/policies" for Management;
        fn show_policy(body shown: &ShownPolicy) -> () as Json;

        /// Release nothing more under a share.
        ///
        /// From now on; the policy suspends or revokes it.
        post "/v1/withhold" for Signer;
        fn withhold(body withheld: &Withhold) -> () as Json;
    }
}

/// A policy with what lets a key server recompute what the ledger must say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ShownPolicy {
    /// The policy.
    pub policy: Signed<SharingPolicy>,
    /// What opens the commitment to the provider.
    pub owner: Opening,
    /// What opens the commitments to the users named.
    pub users: Vec<Opening>,
}

/// A policy that suspends or revokes a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Withhold {
    /// The policy.
    pub policy: Signed<SharingPolicy>,
}
