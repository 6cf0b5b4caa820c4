//! A case's state on the chain: shares are created as they are in life, and what no call leads to
//! in one step (a late version, a counter, a record) is put where the specification says that it
//! lies.

use alloy::primitives::{B256, U256, keccak256};
use alloy::sol_types::{SolCall, SolValue};
use datapact_core::contract::{
    AccessRecord, Call, RequestAccess, SetPolicy, ShareRecord, UsageRecord, Value, Values,
};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_core::terms::Terms;
use datapact_evm::abi;
use datapact_evm::abi::sol_types::{Registry, Share};

use crate::chain::{Chain, entry, share_key, slot};

/// What the ABI says of a call.
pub fn abi_policy(set: &SetPolicy) -> abi::sol_types::SetPolicy {
    let (_, input) = abi::input(&Call::SetPolicy(set.clone()));
    Registry::setPolicyCall::abi_decode(&input).unwrap().call
}

pub fn abi_request(request: &RequestAccess) -> abi::sol_types::RequestAccess {
    let (_, input) = abi::input(&Call::RequestAccess(request.clone()));
    Share::requestAccessCall::abi_decode(&input).unwrap().call
}

/// The digest of a policy that its share's contract keeps.
pub fn policy_digest(set: &SetPolicy) -> B256 {
    keccak256(abi_policy(set).abi_encode())
}

/// The word that the registry keeps of an access.
pub fn access_word(chain: &Chain, record: &AccessRecord) -> U256 {
    let call = abi_request(&record.request);
    let content = (call.policy, call.organisation, call.industry, call.country, call.purpose);
    let content = keccak256(content.abi_encode_params());
    let number = chain.number_of(&record.request.share);
    let mut word = Vec::new();
    word.extend(record.access.to_be_bytes());
    word.extend(&record.time.to_be_bytes()[3..]);
    word.extend(number.to_be_bytes());
    word.extend(&record.request.consumer.0[..10]);
    word.push(0);
    word.extend(&content[..8]);
    U256::from_be_slice(&word)
}

/// Where the registry keeps an access.
pub fn access_place(request: &Digest) -> U256 {
    entry(request.0.into(), slot::REGISTRY_ACCESS)
}

/// An access's word with this number of usage reports.
pub fn with_reports(access: U256, recorded: u32) -> U256 {
    let mut word = access.to_be_bytes::<32>();
    word[23] = u8::try_from(recorded).unwrap();
    U256::from_be_bytes(word)
}

/// The word that the registry keeps of a usage report.
pub fn usage_word(record: &UsageRecord) -> U256 {
    let (_, input) = abi::input(&Call::RecordUsage(record.usage.clone()));
    let digest = keccak256(&input[4..]);
    U256::from_be_slice(&[&record.time.to_be_bytes()[3..], &digest[..27]].concat())
}

/// A chain in the state of `values`; none when a typed chain cannot have it.
pub fn install(deployed: &Chain, values: &Values) -> Option<Chain> {
    let mut chain = deployed.clone();
    for (key, value) in values {
        match value {
            Value::Share(record) if *key == format!("share/{}", record.policy.share) => {
                share(&mut chain, record)
            }
            Value::Share(_) => return None,
            _ => {}
        }
    }
    for (key, value) in values {
        let kind = key.split('/').next().unwrap();
        match value {
            Value::Counter(counter) if kind == "counter" => {
                let (share, consumer) =
                    key.strip_prefix("counter/").unwrap().split_once('/').unwrap();
                let (share, consumer): (ShareId, Commitment) =
                    (share.parse().unwrap(), consumer.parse().unwrap());
                let place = entry(consumer.0.into(), slot::SHARE_GRANTED);
                chain.store(chain.share_address(&share), place, U256::from(counter.granted));
                assert_eq!(chain.granted(&share, &consumer), counter.granted);
            }
            Value::Access(record) if kind == "access" => {
                some_share(&mut chain, &record.request.share);
                let id = record.request.request;
                let word = access_word(&chain, record);
                chain.store(chain.registry, access_place(&id), word);
                assert_eq!(chain.access_of(&id), (record.access, record.time));
            }
            Value::Usage(record) if kind == "usage" => {
                let id = record.usage.report;
                chain.store(
                    chain.registry,
                    entry(id.0.into(), slot::REGISTRY_USAGE),
                    usage_word(record),
                );
                assert_eq!(chain.usage_of(&id), record.time);
            }
            // Of an access, which is written first.
            Value::Reports(reports) if kind == "reports" => {
                let request = key.strip_prefix("reports/").unwrap().parse().unwrap();
                let place = access_place(&request);
                let access = chain.load(chain.registry, place);
                let word = with_reports(access, reports.recorded);
                chain.store(chain.registry, place, word);
            }
            Value::Share(_) if kind == "share" => {}
            _ => return None,
        }
    }
    Some(chain)
}

fn share(chain: &mut Chain, record: &ShareRecord) {
    let first = SetPolicy { version: 1, previous: None, ..record.policy.clone() };
    chain.execute(&Call::SetPolicy(first), record.time).answer.unwrap();
    if record.policy.version > 1 {
        let contract = chain.share_address(&record.policy.share);
        let data = chain.load(contract, U256::from(slot::SHARE_POLICY));
        let data = alloy::primitives::Address::from_word(data.into());
        let mut code = chain.code(data);
        code[1..33].copy_from_slice(policy_digest(&record.policy).as_slice());
        code[149..153].copy_from_slice(&record.policy.version.to_be_bytes());
        chain.replace_code(data, code);
    }
    check_kept(chain, record);
}

/// On a chain, an access is of a share that exists, which core's values need not show.
fn some_share(chain: &mut Chain, share: &ShareId) {
    if chain.load(chain.registry, entry(share_key(share), slot::REGISTRY_NUMBER)).is_zero() {
        let policy = SetPolicy {
            share: *share,
            version: 1,
            previous: None,
            policy: Digest([0x11; 32]),
            owner: Commitment([0x22; 32]),
            state: ShareState::Active,
            package: Digest([0x33; 32]),
            terms: Terms { anyone: true, ..Terms::default() },
            access_times: AccessTimes::Unlimited,
            not_before: 0,
            expires: 1,
            read_only: true,
        };
        chain.execute(&Call::SetPolicy(policy), 1).answer.unwrap();
    }
}

/// The share's contract says of its newest policy what `record` does.
pub fn check_kept(chain: &Chain, record: &ShareRecord) {
    let (kept, policy) = (chain.kept(&record.policy.share), abi_policy(&record.policy));
    assert_eq!(kept.digest, policy_digest(&record.policy));
    assert_eq!(
        (kept.share, kept.version, kept.policy),
        (policy.share, policy.version, policy.policy)
    );
    assert_eq!(
        (kept.owner, kept.package, kept.state),
        (policy.owner, policy.package, policy.state as u8)
    );
    assert_eq!((kept.unlimited, kept.accessTimes), (policy.unlimited, policy.accessTimes));
    assert_eq!((kept.notBefore, kept.expires), (policy.notBefore, policy.expires));
    assert_eq!((kept.readOnly, kept.time), (policy.readOnly, record.time));
    assert_eq!(kept.number, chain.number_of(&record.policy.share));
}
