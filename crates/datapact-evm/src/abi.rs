//! The contract's calls, events and refusals as the chain encodes them (`docs/spec/ethereum.md`).

use std::collections::BTreeSet;
use std::str::FromStr;

use alloy::primitives::{Address, B256, Bytes, FixedBytes, LogData, U256, keccak256};
use alloy::sol;
use alloy::sol_types::{SolCall as _, SolEvent as _, SolInterface as _, SolValue as _};
use datapact_core::contract::{
    AccessRecord, Call, Receipt, RecordUsage, Refusal, RequestAccess, SetPolicy, ShareRecord,
    UsageRecord,
};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_core::terms::Terms;

/// The interface of `contracts/src/IDatapact.sol`; a test compares it with what the compiler says.
#[allow(
    missing_docs,
    clippy::too_many_arguments,
    clippy::indexing_slicing,
    reason = "generated from the interface"
)]
pub mod sol_types {
    use super::sol;
    sol! {
        #[derive(Debug, PartialEq)]
        enum ShareState { Active, Suspended, Revoked }

        #[derive(Debug, PartialEq)]
        struct Terms {
            bool anyone;
            bytes32[] users;
            string[] organisations;
            bytes11[] industries;
            bytes2[] countries;
            string[] purposes;
        }

        #[derive(Debug, PartialEq)]
        struct SetPolicy {
            bytes16 share;
            uint32 version;
            bytes32 previous;
            bytes32 policy;
            bytes32 owner;
            ShareState state;
            bytes32 package;
            Terms terms;
            bool unlimited;
            uint32 accessTimes;
            uint64 notBefore;
            uint64 expires;
            bool readOnly;
        }

        #[derive(Debug, PartialEq)]
        struct RequestAccess {
            bytes16 share;
            bytes32 policy;
            bytes32 request;
            bytes32 consumer;
            string organisation;
            bytes11 industry;
            bytes2 country;
            string purpose;
        }

        #[derive(Debug, PartialEq)]
        struct RecordUsage {
            bytes16 share;
            bytes32 request;
            bytes32 report;
            bytes32 consumer;
        }

        #[derive(Debug)]
        interface Registry {
            constructor(address owner, address submitter);

            error UnknownShare();
            error Malformed(string detail);
            error Version(uint32 expected);
            error Predecessor();
            error Owner();
            error Revoked();
            error Suspended();
            error Superseded();
            error NotYet(uint64 notBefore);
            error Expired(uint64 expires);
            error User();
            error Organisation();
            error Industry();
            error Country();
            error Purpose();
            error AccessTimes(uint32 accessTimes);
            error RequestTaken();
            error UnknownAccess();
            error Consumer();
            error NotSubmitter(address account);
            error NotOurs(address account);
            error WrongShare(bytes16 share);

            event PolicySet(bytes16 indexed share, bytes32 indexed policy, address contractAddress, SetPolicy call, uint64 time);
            event AccessGranted(bytes16 indexed share, bytes32 indexed request, bytes32 indexed consumer, RequestAccess call, uint32 access, uint64 time);
            event UsageRecorded(bytes16 indexed share, bytes32 indexed request, bytes32 indexed report, RecordUsage call, uint64 time);

            function setPolicy(SetPolicy calldata call) external returns (address contractAddress, uint64 time, bool repeated);
            function recordUsage(RecordUsage calldata call) external returns (uint64 time, bool repeated);
            function accessOf(bytes32 request) external view returns (uint32 access, uint64 time);
            function submitter() external view returns (address);
            function owner() external view returns (address);
            function replaceSubmitter(address account) external;
            function implementation() external view returns (address);
            function contractVersion() external view returns (uint32);
        }

        #[derive(Debug)]
        interface Share {
            function requestAccess(RequestAccess calldata call) external returns (uint32 access, uint64 time, bool repeated);
            function granted(bytes32 consumer) external view returns (uint32);
        }
    }
}

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

/// Whether a call's output says that the very same call stands already.
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

/// What an event of the registry announces; none for an event that is no receipt.
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

fn digest(digest: &Digest) -> FixedBytes<32> {
    FixedBytes(*digest.as_bytes())
}

fn commitment(commitment: &Commitment) -> FixedBytes<32> {
    FixedBytes(*commitment.as_bytes())
}

/// ASCII text with zero bytes after it; core's codes are never longer.
fn code<const N: usize>(text: &str) -> FixedBytes<N> {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    FixedBytes(bytes)
}

fn text<T: FromStr>(bytes: &[u8]) -> Result<T, AbiError> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let text = bytes.get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).ok_or(AbiError("code"))
}

fn optional<T: FromStr>(bytes: &[u8]) -> Result<Option<T>, AbiError> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(None) } else { text(bytes).map(Some) }
}

fn set<T: FromStr + Ord>(
    values: impl Iterator<Item = impl AsRef<[u8]>>,
) -> Result<BTreeSet<T>, AbiError> {
    values.map(|value| text(value.as_ref())).collect()
}

fn set_policy(set: &SetPolicy) -> sol_types::SetPolicy {
    let (unlimited, times) = match set.access_times {
        AccessTimes::Unlimited => (true, 0),
        AccessTimes::Times(times) => (false, times),
    };
    let terms = &set.terms;
    sol_types::SetPolicy {
        share: FixedBytes(*set.share.as_bytes()),
        version: set.version,
        previous: set.previous.as_ref().map(digest).unwrap_or_default(),
        policy: digest(&set.policy),
        owner: commitment(&set.owner),
        state: match set.state {
            ShareState::Active => sol_types::ShareState::Active,
            ShareState::Suspended => sol_types::ShareState::Suspended,
            ShareState::Revoked => sol_types::ShareState::Revoked,
        },
        package: digest(&set.package),
        terms: sol_types::Terms {
            anyone: terms.anyone,
            users: terms.users.iter().map(commitment).collect(),
            organisations: terms
                .organisations
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
            industries: terms.industries.iter().map(|industry| code(industry.as_str())).collect(),
            countries: terms.countries.iter().map(|country| code(country.as_str())).collect(),
            purposes: terms.purposes.iter().map(|name| name.as_str().to_owned()).collect(),
        },
        unlimited,
        accessTimes: times,
        notBefore: set.not_before,
        expires: set.expires,
        readOnly: set.read_only,
    }
}

fn from_set_policy(set_policy: sol_types::SetPolicy) -> Result<SetPolicy, AbiError> {
    let terms = set_policy.terms;
    Ok(SetPolicy {
        share: ShareId(set_policy.share.0),
        version: set_policy.version,
        previous: (!set_policy.previous.is_zero()).then_some(Digest(set_policy.previous.0)),
        policy: Digest(set_policy.policy.0),
        owner: Commitment(set_policy.owner.0),
        state: match set_policy.state {
            sol_types::ShareState::Active => ShareState::Active,
            sol_types::ShareState::Suspended => ShareState::Suspended,
            sol_types::ShareState::Revoked => ShareState::Revoked,
            _ => return Err(AbiError("share state")),
        },
        package: Digest(set_policy.package.0),
        terms: Terms {
            anyone: terms.anyone,
            users: terms.users.iter().map(|user| Commitment(user.0)).collect(),
            organisations: set(terms.organisations.iter())?,
            industries: set(terms.industries.iter())?,
            countries: set(terms.countries.iter())?,
            purposes: set(terms.purposes.iter())?,
        },
        access_times: match (set_policy.unlimited, set_policy.accessTimes) {
            (true, 0) => AccessTimes::Unlimited,
            (false, times) => AccessTimes::Times(times),
            (true, _) => return Err(AbiError("number of accesses")),
        },
        not_before: set_policy.notBefore,
        expires: set_policy.expires,
        read_only: set_policy.readOnly,
    })
}

fn request_access(request: &RequestAccess) -> sol_types::RequestAccess {
    let name = |name: &Option<datapact_core::terms::Name>| {
        name.as_ref().map_or("", |name| name.as_str()).to_owned()
    };
    sol_types::RequestAccess {
        share: FixedBytes(*request.share.as_bytes()),
        policy: digest(&request.policy),
        request: digest(&request.request),
        consumer: commitment(&request.consumer),
        organisation: name(&request.organisation),
        industry: request
            .industry
            .as_ref()
            .map(|industry| code(industry.as_str()))
            .unwrap_or_default(),
        country: request.country.as_ref().map(|country| code(country.as_str())).unwrap_or_default(),
        purpose: name(&request.purpose),
    }
}

fn from_request_access(request: sol_types::RequestAccess) -> Result<RequestAccess, AbiError> {
    Ok(RequestAccess {
        share: ShareId(request.share.0),
        policy: Digest(request.policy.0),
        request: Digest(request.request.0),
        consumer: Commitment(request.consumer.0),
        organisation: optional(request.organisation.as_bytes())?,
        industry: optional(request.industry.as_slice())?,
        country: optional(request.country.as_slice())?,
        purpose: optional(request.purpose.as_bytes())?,
    })
}

fn record_usage(usage: &RecordUsage) -> sol_types::RecordUsage {
    sol_types::RecordUsage {
        share: FixedBytes(*usage.share.as_bytes()),
        request: digest(&usage.request),
        report: digest(&usage.report),
        consumer: commitment(&usage.consumer),
    }
}

fn from_record_usage(usage: &sol_types::RecordUsage) -> RecordUsage {
    RecordUsage {
        share: ShareId(usage.share.0),
        request: Digest(usage.request.0),
        report: Digest(usage.report.0),
        consumer: Commitment(usage.consumer.0),
    }
}
