//! The contract's calls, events and refusals as the chain encodes them (`docs/spec/ethereum.md`).

mod calls;
pub mod sol_types;

use alloy::primitives::{Address, B256, Bytes, LogData, U256, keccak256};
use alloy::sol_types::{SolCall as _, SolEvent as _, SolInterface as _, SolValue as _};
use datapact_core::contract::{AccessRecord, Call, Receipt, Refusal, ShareRecord, UsageRecord};
use datapact_core::id::{Digest, ShareId};

use calls::{
    from_record_usage, from_request_access, from_set_policy, record_usage, request_access,
    set_policy,
};
use sol_types::{Registry, Share};

/// What the chain says that is not as specified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the contract's {0} is not as specified")]
pub struct AbiError(pub &'static str);

/// The contract that a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The registry.
    Registry,
    /// The share's own contract.
    Share,
}

/// A call as a transaction's input, and where it goes.
pub fn input(call: &Call) -> (Target, Bytes) {
    match call {
        Call::SetPolicy(set) => (
            Target::Registry,
            Registry::setPolicyCall { call: set_policy(set) }.abi_encode().into(),
        ),
        Call::RequestAccess(request) => (
            Target::Share,
            Share::requestAccessCall { call: request_access(request) }.abi_encode().into(),
        ),
        Call::RecordUsage(usage) => (
            Target::Registry,
            Registry::recordUsageCall { call: record_usage(usage) }.abi_encode().into(),
        ),
    }
}

/// Whether a call's output says that the very same call is recorded already.
///
/// # Errors
/// When it is not an output of this contract.
pub fn repeated(call: &Call, output: &[u8]) -> Result<bool, AbiError> {
    let wrong = |_| AbiError("answer");
    Ok(match call {
        Call::SetPolicy(_) => {
            Registry::setPolicyCall::abi_decode_returns(output).map_err(wrong)?.repeated
        }
        Call::RequestAccess(_) => {
            Share::requestAccessCall::abi_decode_returns(output).map_err(wrong)?.repeated
        }
        Call::RecordUsage(_) => {
            Registry::recordUsageCall::abi_decode_returns(output).map_err(wrong)?.repeated
        }
    })
}

/// The topics that find the event of a recorded call.
pub fn topics(call: &Call) -> Vec<Option<B256>> {
    match call {
        Call::SetPolicy(set) => {
            vec![
                Some(Registry::PolicySet::SIGNATURE_HASH),
                None,
                Some(B256::from(*set.policy.as_bytes())),
            ]
        }
        Call::RequestAccess(request) => access_topics(&request.request),
        Call::RecordUsage(usage) => vec![
            Some(Registry::UsageRecorded::SIGNATURE_HASH),
            None,
            None,
            Some(B256::from(*usage.report.as_bytes())),
        ],
    }
}

/// The topics that find the event of a granted access.
pub fn access_topics(request: &Digest) -> Vec<Option<B256>> {
    vec![Some(Registry::AccessGranted::SIGNATURE_HASH), None, Some(B256::from(*request.as_bytes()))]
}

/// The topics that find a share's policies.
pub fn policy_topics(share: &ShareId) -> Vec<Option<B256>> {
    let mut topic = [0; 32];
    for (to, from) in topic.iter_mut().zip(share.as_bytes()) {
        *to = *from;
    }
    vec![Some(Registry::PolicySet::SIGNATURE_HASH), Some(B256::from(topic))]
}

/// What an event of the registry announces; none for an event without a receipt.
///
/// # Errors
/// When a receipt's event is not as specified.
pub fn receipt(log: &LogData) -> Result<Option<Receipt>, AbiError> {
    let wrong = |_| AbiError("event");
    let Some(topic) = log.topics().first() else { return Ok(None) };
    Ok(Some(match *topic {
        Registry::PolicySet::SIGNATURE_HASH => {
            let event = Registry::PolicySet::decode_log_data(log).map_err(wrong)?;
            Receipt::Policy(ShareRecord { policy: from_set_policy(event.call)?, time: event.time })
        }
        Registry::AccessGranted::SIGNATURE_HASH => {
            let event = Registry::AccessGranted::decode_log_data(log).map_err(wrong)?;
            let request = from_request_access(event.call)?;
            Receipt::Access(AccessRecord { request, access: event.access, time: event.time })
        }
        Registry::UsageRecorded::SIGNATURE_HASH => {
            let event = Registry::UsageRecorded::decode_log_data(log).map_err(wrong)?;
            Receipt::Usage(UsageRecord { usage: from_record_usage(&event.call), time: event.time })
        }
        _ => return Ok(None),
    }))
}

/// What a revert says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revert {
    /// The contract refuses.
    Refused(Refusal),
    /// The account is not the one that may submit.
    NotSubmitter(Address),
    /// Something that a caller who does as specified never sees.
    Other,
}

/// Reads a revert's data.
pub fn revert(data: &[u8]) -> Revert {
    use Registry::RegistryErrors as E;
    let Ok(error) = E::abi_decode(data) else { return Revert::Other };
    Revert::Refused(match error {
        E::UnknownShare(_) => Refusal::UnknownShare,
        E::Malformed(e) => Refusal::Malformed { detail: e.detail },
        E::Version(e) => Refusal::Version { expected: e.expected },
        E::Predecessor(_) => Refusal::Predecessor,
        E::Owner(_) => Refusal::Owner,
        E::Revoked(_) => Refusal::Revoked,
        E::Suspended(_) => Refusal::Suspended,
        E::Superseded(_) => Refusal::Superseded,
        E::NotYet(e) => Refusal::NotYet { not_before: e.notBefore },
        E::Expired(e) => Refusal::Expired { expires: e.expires },
        E::User(_) => Refusal::User,
        E::Organisation(_) => Refusal::Organisation,
        E::Industry(_) => Refusal::Industry,
        E::Country(_) => Refusal::Country,
        E::Purpose(_) => Refusal::Purpose,
        E::AccessTimes(e) => Refusal::AccessTimes { access_times: e.accessTimes },
        E::RequestTaken(_) => Refusal::RequestTaken,
        E::UnknownAccess(_) => Refusal::UnknownAccess,
        E::Consumer(_) => Refusal::Consumer,
        E::UsageReports(e) => Refusal::UsageReports { usage_reports: e.usageReports },
        E::NotSubmitter(e) => return Revert::NotSubmitter(e.account),
        E::NotOurs(_) | E::WrongShare(_) => return Revert::Other,
    })
}

/// The address of a share's own contract: an EIP-1167 clone that the registry makes with CREATE2.
pub fn share_address(registry: Address, implementation: Address, share: &ShareId) -> Address {
    let mut salt = [0; 32];
    for (to, from) in salt.iter_mut().zip(share.as_bytes()) {
        *to = *from;
    }
    let mut code =
        hex::decode("3d602d80600a3d3981f3363d3d373d3d3d363d73").expect("it is hexadecimal");
    code.extend_from_slice(implementation.as_slice());
    code.extend_from_slice(
        &hex::decode("5af43d82803e903d91602b57fd5bf3").expect("it is hexadecimal"),
    );
    registry.create2(salt, keccak256(&code))
}

/// The constructor's arguments.
pub fn constructor(owner: Address, submitter: Address) -> Vec<u8> {
    (owner, submitter).abi_encode_params()
}

/// A quantity as JSON-RPC writes it.
pub fn quantity(number: u64) -> String {
    format!("{:#x}", U256::from(number))
}
