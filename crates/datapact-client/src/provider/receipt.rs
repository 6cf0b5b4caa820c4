//! Holding what servers answer to a provider against what was asked.

use datapact_api::endpoint::Endpoint;
use datapact_api::management::PolicyReceipt;
use datapact_core::address::Addressed;
use datapact_core::contract::Call;
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;

use crate::error::{ClientError, Result};

/// A server gives out addresses on itself only.
pub(crate) fn expect_address(server: &Endpoint, id: &impl Addressed, address: &str) -> Result<()> {
    if address == id.address_at(&server.url) {
        return Ok(());
    }
    Err(ClientError::untrusted(format!("`{}` gave `{address}` as its own address", server.url)))
}

/// The call that the ledger must hold, if `receipt` is about `policy` and opens its commitments;
/// none where it leaves out named users, who must have been erased.
pub(crate) fn check_receipt(
    policy: &Signed<SharingPolicy>,
    receipt: &PolicyReceipt,
) -> Result<Option<Call>> {
    let body = policy.body();
    if (receipt.share, receipt.version, receipt.policy) != (body.share, body.version, policy.id()) {
        return Err(ClientError::untrusted("management's receipt is for another policy"));
    }
    let named = &body.terms.users;
    if receipt.users.len() < named.len() {
        let known = receipt.users.iter().all(|user| named.contains(&user.identity));
        if known && receipt.owner.identity == *policy.signer() {
            return Ok(None);
        }
        return Err(ClientError::untrusted(
            "management's receipt opens another user's commitments",
        ));
    }
    let call = Call::of_policy(policy, &receipt.owner, &receipt.users);
    call.map(Some).map_err(|e| {
        ClientError::untrusted(format!("management's receipt does not fit the policy: {e}"))
    })
}
