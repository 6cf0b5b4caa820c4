//! What only a chain needs: who may call, and calls that core's types cannot even express.

use alloy::primitives::{Address, Bytes, FixedBytes};
use alloy::sol_types::{SolCall, SolValue};
use datapact_core::contract::{Call, RequestAccess, SetPolicy};
use datapact_core::id::ShareId;
use datapact_core::terms::{Country, Industry, Name, Terms};
use datapact_evm::abi::sol_types::{Registry, SetPolicy as AbiPolicy, Share};
use datapact_evm::abi::{self, Revert};

use crate::chain::{Chain, MANAGEMENT, OWNER, Views};
use crate::gas::{anyone, policy, request, successor};
use crate::state::{abi_policy, abi_request};

const NOW: u64 = 1_800_000_001;
const STRANGER: Address = Address::repeat_byte(0x77);

fn refused(sent: crate::chain::Sent, signature: &str) {
    let data = sent.answer.expect_err(signature);
    let selector = &alloy::primitives::keccak256(signature)[..4];
    assert_eq!(&data[..4], selector, "{signature}: {:?}", abi::revert(&data));
    assert!(sent.changes.is_empty() && sent.logs.is_empty());
}

#[test]
fn only_the_submitter_is_heard() {
    let mut chain = Chain::deployed();
    let open = policy("open", anyone());
    let ask = request(&open, 1);
    let usage = datapact_core::contract::RecordUsage {
        share: ask.share,
        request: ask.request,
        report: ask.policy,
        consumer: ask.consumer,
    };
    let calls = [Call::SetPolicy(open), Call::RequestAccess(ask), Call::RecordUsage(usage)];
    for call in &calls {
        for sender in [STRANGER, OWNER] {
            refused(chain.execute_as(sender, call, NOW), "NotSubmitter(address)");
        }
        let sent = chain.execute(call, NOW);
        assert_eq!(sent.receipts(&chain).len(), 1);
        // Nor is a repeat for others: it would tell them nothing new, but they have no business
        // here.
        refused(chain.execute_as(STRANGER, call, NOW), "NotSubmitter(address)");
        let data = chain.execute_as(STRANGER, call, NOW).answer.unwrap_err();
        assert_eq!(abi::revert(&data), Revert::NotSubmitter(STRANGER));
    }
}

#[test]
fn only_the_owner_replaces_the_submitter() {
    let mut chain = Chain::deployed();
    let registry = chain.registry;
    let replace = |account| Bytes::from(Registry::replaceSubmitterCall { account }.abi_encode());
    for sender in [STRANGER, MANAGEMENT] {
        refused(
            chain.send(sender, registry, replace(STRANGER), NOW),
            "OwnableUnauthorizedAccount(address)",
        );
    }
    refused(chain.send(OWNER, registry, replace(Address::ZERO), NOW), "NotSubmitter(address)");
    let sent = chain.send(OWNER, registry, replace(STRANGER), NOW);
    assert_eq!(sent.logs.len(), 1);
    assert_eq!(chain.view(registry, Registry::submitterCall {}), STRANGER);
    let call = Call::SetPolicy(policy("open", anyone()));
    refused(chain.execute(&call, NOW), "NotSubmitter(address)");
    chain.execute_as(STRANGER, &call, NOW).answer.unwrap();

    // The owner is replaced in two steps.
    let transfer = Views::transferOwnershipCall { account: STRANGER }.abi_encode();
    let accept = Bytes::from(Views::acceptOwnershipCall {}.abi_encode());
    chain.send(OWNER, registry, transfer.into(), NOW).answer.unwrap();
    refused(
        chain.send(MANAGEMENT, registry, accept.clone(), NOW),
        "OwnableUnauthorizedAccount(address)",
    );
    assert_eq!(chain.view(registry, Views::ownerCall {}), OWNER);
    chain.send(STRANGER, registry, accept, NOW).answer.unwrap();
    assert_eq!(chain.view(registry, Views::ownerCall {}), STRANGER);
}

/// Management itself cannot go around a share's contract, nor can a contract that another user has
/// made.
#[test]
fn records_are_made_by_the_shares_own_contract_alone() {
    alloy::sol! {
        interface Inner {
            struct Ask {
                bytes16 share;
                bytes32 policy;
                bytes32 request;
                bytes32 consumer;
                string organisation;
                bytes11 industry;
                bytes2 country;
                string purpose;
            }
            function recordAccess(Ask call, uint32 access, uint32 number) external;
        }
    }
    let mut chain = Chain::deployed();
    let (open, other) = (policy("open", anyone()), policy("other", anyone()));
    for policy in [&open, &other] {
        chain.execute(&Call::SetPolicy(policy.clone()), NOW).answer.unwrap();
    }
    let ask = abi_request(&request(&open, 1));
    let call = Inner::Ask {
        share: ask.share,
        policy: ask.policy,
        request: ask.request,
        consumer: ask.consumer,
        organisation: String::new(),
        industry: ask.industry,
        country: ask.country,
        purpose: String::new(),
    };
    let record = Bytes::from(Inner::recordAccessCall { call, access: 1, number: 1 }.abi_encode());
    let (registry, implementation) = (chain.registry, chain.implementation);
    for sender in [MANAGEMENT, OWNER, STRANGER, chain.share_address(&other.share), implementation] {
        refused(chain.send(sender, registry, record.clone(), NOW), "NotOurs(address)");
    }
    // A share's contract takes its policies from the registry alone, and the implementation takes
    // none at all.
    let signature = "setPolicy((bytes16,uint32,bytes32,bytes32,bytes32,uint8,bytes32,(bool,bytes32[],string[],bytes11[],\
        bytes2[],string[]),bool,uint32,uint64,uint64,bool),uint32)";
    let mut input = alloy::primitives::keccak256(signature)[..4].to_vec();
    input.extend((abi_policy(&successor(&open)), 1u32).abi_encode_params());
    let at = chain.share_address(&open.share);
    for sender in [MANAGEMENT, OWNER, STRANGER] {
        refused(chain.send(sender, at, input.clone().into(), NOW), "NotOurs(address)");
    }
    refused(chain.send(registry, implementation, input.clone().into(), NOW), "NotOurs(address)");
    chain.send(registry, at, input.into(), NOW).answer.unwrap();

    // A call for another share than the one whose contract it is sent to.
    let (_, stray) = abi::input(&Call::RequestAccess(request(&open, 1)));
    let there = chain.share_address(&other.share);
    refused(chain.send(MANAGEMENT, there, stray, NOW), "WrongShare(bytes16)");
}

#[test]
fn a_shares_address_is_known_before_it_exists() {
    let mut chain = Chain::deployed();
    for number in 0..3u8 {
        let share = ShareId([number; 16]); // All zeros is a share like others.
        let call = |share: ShareId| Views::contractOfCall { share: share.0.into() };
        let before = chain.view(chain.registry, call(share));
        assert_eq!((before.contractAddress, before.exists), (chain.implementation, false));
        let set = SetPolicy { share, ..policy("open", anyone()) };
        let sent = chain.execute(&Call::SetPolicy(set), NOW);
        let answer = Registry::setPolicyCall::abi_decode_returns(&sent.answer.unwrap()).unwrap();
        assert_eq!(answer.contractAddress, chain.share_address(&share));
        let after = chain.view(chain.registry, call(share));
        assert_eq!((after.contractAddress, after.exists), (chain.share_address(&share), true));
        assert_eq!(chain.number_of(&share), u32::from(number) + 1);
    }
}

fn set(change: impl FnOnce(&mut AbiPolicy)) -> (Chain, crate::chain::Sent) {
    let mut chain = Chain::deployed();
    let mut call = abi_policy(&policy("open", anyone()));
    change(&mut call);
    let input = Registry::setPolicyCall { call }.abi_encode();
    let registry = chain.registry;
    let sent = chain.send(MANAGEMENT, registry, input.into(), NOW);
    (chain, sent)
}

fn malformed(change: impl FnOnce(&mut AbiPolicy)) {
    refused(set(change).1, "Malformed(string)");
}

fn only(change: impl FnOnce(&mut AbiPolicy)) -> impl FnOnce(&mut AbiPolicy) {
    |policy: &mut AbiPolicy| {
        policy.terms.anyone = false;
        change(policy);
    }
}

fn padded<const N: usize>(text: &str) -> FixedBytes<N> {
    FixedBytes::right_padding_from(text.as_bytes())
}

#[test]
fn lists_are_sets_in_order() {
    let users =
        |users: [u8; 2]| only(move |p| p.terms.users = users.map(FixedBytes::repeat_byte).to_vec());
    let names = |names: [&'static str; 2]| {
        only(move |p| p.terms.organisations = names.map(str::to_owned).to_vec())
    };
    let countries =
        |codes: [&'static str; 2]| only(move |p| p.terms.countries = codes.map(padded).to_vec());
    let industries =
        |codes: [&'static str; 2]| only(move |p| p.terms.industries = codes.map(padded).to_vec());
    let purposes = |names: [&'static str; 2]| {
        move |p: &mut AbiPolicy| p.terms.purposes = names.map(str::to_owned).to_vec()
    };
    let long = "abcdefghijklmnopqrstuvwxyz0123456789";
    for right in
        [["a", "aa"], ["a", "b"], ["A", "a"], [long, "abcdefghijklmnopqrstuvwxyz012345678A"]]
    {
        let mut right = right;
        right.sort();
        set(names(right)).1.answer.unwrap();
        set(purposes(right)).1.answer.unwrap();
        right.reverse();
        malformed(names(right));
        malformed(purposes(right));
        malformed(names([right[0]; 2]));
    }
    set(users([1, 2])).1.answer.unwrap();
    malformed(users([2, 1]));
    malformed(users([1, 1]));
    set(countries(["DE", "SE"])).1.answer.unwrap();
    malformed(countries(["SE", "DE"]));
    malformed(countries(["SE", "SE"]));
    set(industries(["isic4:86", "isic4:861"])).1.answer.unwrap();
    malformed(industries(["isic4:861", "isic4:86"]));
    malformed(industries(["isic4:86", "isic4:86"]));
}

/// The contract takes just the countries that core takes: all two-byte texts around the letters.
#[test]
fn countries_are_those_of_core() {
    let mut taken = 0;
    for a in b'@'..=b'[' {
        for b in b'@'..=b'[' {
            let text = String::from_utf8(vec![a, b]).unwrap();
            let core = text.parse::<Country>().is_ok();
            let accepted = set(only(|p| p.terms.countries = vec![padded(&text)])).1.answer.is_ok();
            assert_eq!(accepted, core, "{text}");
            taken += u32::from(core);
        }
    }
    assert_eq!(taken, 249);
    malformed(only(|p| p.terms.countries = vec![padded("se")]));
    malformed(only(|p| p.terms.countries = vec![padded("")]));
}

#[test]
fn industries_are_those_of_core() {
    let mut texts: Vec<String> = Vec::new();
    for scheme in ["isic4:", "nace2:", "isic5:", "ISIC4:"] {
        texts.extend(
            (0..=u8::MAX).filter(u8::is_ascii).map(|c| format!("{scheme}{}", char::from(c))),
        );
        texts.extend((0..100).map(|division| format!("{scheme}{division:02}")));
        for below in [
            "", "1", "10", "100", ".", ".1", ".10", ".100", "a", "1a", ".a", ".1a", "..", " ",
            "1.0",
        ] {
            texts.push(format!("{scheme}86{below}"));
            texts.push(format!("{scheme}Q{below}"));
            texts.push(format!("{scheme}8a{below}"));
        }
    }
    let mut taken = 0;
    for text in texts.iter().filter(|text| text.len() <= 11) {
        // A text that ends in zero bytes is the one without them.
        let core = text.trim_end_matches('\0').parse::<Industry>().is_ok();
        let accepted = set(only(|p| p.terms.industries = vec![padded(text)])).1.answer.is_ok();
        assert_eq!(accepted, core, "{text:?}");
        taken += u32::from(core);
    }
    assert!(taken > 200, "{taken}");
    // A zero byte within.
    malformed(only(|p| p.terms.industries = vec![padded("isic4:86\u{0}1")]));
    malformed(only(|p| p.terms.industries = vec![padded("isic4:Q\u{0}1")]));
}

#[test]
fn names_are_those_of_core() {
    let mut texts: Vec<String> = (0..=u8::MAX).map(|c| format!("a{}", char::from(c))).collect();
    texts.extend([String::new(), "a".repeat(64), "a".repeat(65), "a".repeat(200)]);
    for text in texts {
        let accepted = set(|p| p.terms.purposes = vec![text.clone()]).1.answer.is_ok();
        assert_eq!(accepted, text.parse::<Name>().is_ok(), "{text:?}");
    }
}

#[test]
fn what_core_cannot_read_is_malformed() {
    malformed(|p| (p.unlimited, p.accessTimes) = (true, 1));
    malformed(|p| p.expires = u64::MAX);
    malformed(|p| p.notBefore = u64::MAX);
    // An industry in a request would be covered by a prefix of it.
    let policy = policy(
        "some",
        Terms { industries: ["isic4:86".parse().unwrap()].into(), ..Terms::default() },
    );
    let mut chain = Chain::deployed();
    chain.execute(&Call::SetPolicy(policy.clone()), NOW).answer.unwrap();
    let mut call = abi_request(&RequestAccess { industry: None, ..request(&policy, 1) });
    call.industry = padded("isic4:86zz");
    let input = Share::requestAccessCall { call }.abi_encode();
    let at = chain.share_address(&policy.share);
    refused(chain.send(MANAGEMENT, at, input.into(), NOW), "Malformed(string)");
    // An unknown state reverts without data, for there is no rule to name.
    let mut call = abi_policy(&policy);
    call.version = 2;
    let mut input = Registry::setPolicyCall { call }.abi_encode();
    input[4 + 32 + 5 * 32 + 31] = 3;
    let registry = chain.registry;
    let sent = chain.send(MANAGEMENT, registry, input.into(), NOW);
    assert_eq!(sent.answer.unwrap_err().len(), 0);
}
