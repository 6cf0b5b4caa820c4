//! The adapter's types are those of the compiled contract, and what it can read is what the
//! contract can say.

use std::collections::BTreeSet;

use alloy::json_abi::JsonAbi;
use alloy::primitives::{B256, LogData};
use alloy::sol_types::{SolEvent, SolInterface};
use datapact_core::contract::SetPolicy;
use datapact_core::id::Digest;
use datapact_core::permission::AccessTimes;
use datapact_core::terms::Terms;
use datapact_evm::abi;
use datapact_evm::abi::sol_types::{Registry, Share};

use crate::chain::Views;
use crate::gas::{anyone, policy, successor};
use crate::state::abi_policy;

fn compiled(artifact: &str) -> JsonAbi {
    let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
    serde_json::from_value(artifact["abi"].clone()).unwrap()
}

/// Selectors and topics are digests of names and types: where they agree, the encodings do.
#[test]
fn the_types_are_those_of_the_compiled_contract() {
    let registry = compiled(include_str!("../../../../contracts/artifacts/DatapactRegistry.json"));
    let share = compiled(include_str!("../../../../contracts/artifacts/DatapactShare.json"));
    let functions =
        |abi: &JsonAbi| abi.functions().map(|f| f.selector().0).collect::<BTreeSet<_>>();
    let errors = |abi: &JsonAbi| abi.errors().map(|e| e.selector().0).collect::<BTreeSet<_>>();
    assert!(
        Registry::RegistryCalls::selectors()
            .all(|selector| functions(&registry).contains(&selector))
    );
    assert!(Share::ShareCalls::selectors().all(|selector| functions(&share).contains(&selector)));
    let views: BTreeSet<[u8; 4]> = Views::ViewsCalls::selectors().collect();
    assert!(views.is_subset(&functions(&registry).union(&functions(&share)).copied().collect()));

    let ours: BTreeSet<[u8; 4]> = Registry::RegistryErrors::selectors().collect();
    let either = errors(&registry).union(&errors(&share)).copied().collect();
    assert!(ours.is_subset(&either), "an error that the contract does not have");
    let named =
        |abi: &JsonAbi| abi.errors().map(|e| (e.selector().0, e.name.clone())).collect::<Vec<_>>();
    let unknown: BTreeSet<String> = [named(&registry), named(&share)]
        .concat()
        .into_iter()
        .filter(|(selector, _)| !ours.contains(selector))
        .map(|(_, name)| name)
        .collect();
    // Those of OpenZeppelin, and one for a policy's contract that could not be made: no answers to
    // a call.
    let others = [
        "FailedDeployment",
        "InsufficientBalance",
        "NotKept",
        "OwnableInvalidOwner",
        "OwnableUnauthorizedAccount",
    ];
    assert_eq!(unknown, others.map(str::to_owned).into());

    let topics: BTreeSet<B256> = registry.events().map(|event| event.selector()).collect();
    for topic in [
        Registry::PolicySet::SIGNATURE_HASH,
        Registry::AccessGranted::SIGNATURE_HASH,
        Registry::UsageRecorded::SIGNATURE_HASH,
    ] {
        assert!(topics.contains(&topic));
    }
}

#[test]
fn an_event_that_holds_no_readable_call_is_no_receipt() {
    let event = |policy: abi::sol_types::SetPolicy| {
        Registry::PolicySet {
            share: policy.share,
            policy: policy.policy,
            contractAddress: Default::default(),
            call: policy,
            time: 1,
        }
        .encode_log_data()
    };
    let open = policy("open", anyone());
    assert!(abi::receipt(&event(abi_policy(&open))).unwrap().is_some());
    let refused = |change: fn(&mut abi::sol_types::SetPolicy)| {
        let mut call = abi_policy(&policy("open", anyone()));
        change(&mut call);
        assert!(abi::receipt(&event(call)).is_err());
    };
    refused(|p| p.terms.countries = vec![(*b"ZZ").into()]);
    refused(|p| p.terms.industries = vec![(*b"isic4:86zzz").into()]);
    refused(|p| p.terms.organisations = vec!["a b".to_owned()]);
    refused(|p| (p.unlimited, p.accessTimes) = (true, 1));
    // Cut short, and another event.
    let whole = event(abi_policy(&open));
    let cut =
        LogData::new_unchecked(whole.topics().to_vec(), whole.data.slice(..whole.data.len() - 32));
    assert!(abi::receipt(&cut).is_err());
    let other = LogData::new_unchecked(vec![B256::repeat_byte(1)], whole.data);
    assert_eq!(abi::receipt(&other), Ok(None));
    assert_eq!(abi::receipt(&LogData::default()), Ok(None));
}

/// Equal calls and no others have equal encodings: a call's every member is in it.
#[test]
fn every_member_of_a_policy_is_encoded() {
    let first = successor(&policy("open", anyone()));
    let changes: [fn(&mut SetPolicy); 14] = [
        |p| p.share.0[15] ^= 1,
        |p| p.version += 1,
        |p| p.previous = Some(Digest([1; 32])),
        |p| p.policy.0[31] ^= 1,
        |p| p.owner.0[31] ^= 1,
        |p| p.state = datapact_core::policy::ShareState::Suspended,
        |p| p.package.0[31] ^= 1,
        |p| p.access_times = AccessTimes::Unlimited,
        |p| p.access_times = AccessTimes::Times(u32::MAX),
        |p| p.not_before += 1,
        |p| p.expires += 1,
        |p| p.read_only ^= true,
        |p| p.terms.purposes = ["care".parse().unwrap()].into(),
        |p| p.terms = Terms { countries: ["SE".parse().unwrap()].into(), ..Terms::default() },
    ];
    let mut seen = BTreeSet::from([crate::state::policy_digest(&first)]);
    for change in changes {
        let mut other = first.clone();
        change(&mut other);
        assert!(seen.insert(crate::state::policy_digest(&other)));
    }
}
