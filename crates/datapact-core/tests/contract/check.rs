//! Verifying the documents behind a call.

use std::collections::BTreeSet;

use datapact_core::commitment::Opening;
use datapact_core::contract::{
    Attributes, Call, CheckError, DOCUMENT_AHEAD_SECONDS_MAX, Documents, POLICY_AGE_SECONDS_MAX,
    REPORT_AGE_SECONDS_MAX, REQUEST_AGE_SECONDS_MAX, check,
};
use datapact_core::document::{AccessRequest, UsageAction, UsageReport};
use datapact_core::id::{Commitment, Digest, KeyId, PackageId, Salt, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::{DocumentError, Signer};
use datapact_core::permission::{AccessPermission, AccessTimes, KeyReference, PackageReference};
use datapact_core::policy::{PolicyError, Price, ShareState, SharingInformation, SharingPolicy};
use datapact_core::terms::{Terms, TermsError};
use datapact_core::trust::{Trust, TrustError};

use crate::support::pki::{Ca, NOW, key};

const LEDGER: &str = "ledger.example";

/// A realm's CA and one user of it.
pub struct User {
    ca: Ca,
    signer: Signer,
    opening: Opening,
}

fn user(realm: &str, name: &str) -> User {
    let (ca, key) = (Ca::new(realm), key());
    let identity = Identity { realm: realm.to_owned(), subject: format!("CN={name}") };
    let signer =
        Signer::new(&key.serialize_der(), vec![ca.user(name, &key)], identity.clone()).unwrap();
    User { ca, signer, opening: Opening { identity, salt: Salt::random() } }
}

fn trust(users: &[&User]) -> Trust {
    let mut trust = Trust::default();
    for user in users {
        trust.add(&user.opening.identity.realm, vec![user.ca.der.clone()], Vec::new()).unwrap();
    }
    trust
}

pub fn policy(users: &[&User]) -> SharingPolicy {
    let (key, package) = (KeyId::random(), PackageId::random());
    SharingPolicy {
        share: ShareId([1; 16]),
        version: 1,
        previous: None,
        state: ShareState::Active,
        information: SharingInformation {
            package: PackageReference {
                id: package,
                address: format!("https://storage.example:8443/v1/packages/{package}"),
                digest: Digest([2; 32]),
                size: 1_000,
            },
            key: KeyReference { id: key, address: format!("https://keys.example/v1/keys/{key}") },
            title: "Blood counts 2025".to_owned(),
            media_type: "text/csv".to_owned(),
            categories: vec!["health".parse().unwrap()],
            introduction: "Two columns.\n\tOne is the count.".to_owned(),
            usage: "Research.".to_owned(),
            price: Some(Price { amount: 100, currency: "EUR".to_owned() }),
            desensitization: None,
        },
        terms: Terms {
            users: users.iter().map(|user| user.opening.identity.clone()).collect(),
            countries: BTreeSet::from(["SE".parse().unwrap()]),
            ..Terms::default()
        },
        permission: AccessPermission {
            access_times: AccessTimes::Times(3),
            not_before: NOW,
            expires: NOW + 1_000,
            read_only: true,
        },
    }
}

struct PolicyCase {
    provider: User,
    documents: Documents,
    call: Call,
}

fn policy_case() -> PolicyCase {
    let (provider, ann, bob) = (user("clinic", "Eve"), user("lab", "Ann"), user("bank", "Bob"));
    let signed = provider.signer.sign(LEDGER, NOW, policy(&[&ann, &bob]));
    let users = vec![bob.opening, ann.opening];
    let call = Call::of_policy(&signed, &provider.opening, &users).unwrap();
    let documents = Documents::Policy { policy: signed, owner: provider.opening.clone(), users };
    PolicyCase { provider, documents, call }
}

fn attributes() -> Attributes {
    Attributes {
        organisation: Some("lab.example".parse().unwrap()),
        industry: Some("isic4:8610".parse().unwrap()),
        country: Some("SE".parse().unwrap()),
    }
}

fn request() -> AccessRequest {
    AccessRequest {
        share: ShareId([1; 16]),
        policy: Digest([3; 32]),
        purpose: Some("research".parse().unwrap()),
    }
}

/// Terms that ask for a country and a purpose.
fn asks() -> Terms<Commitment> {
    Terms {
        countries: BTreeSet::from(["SE".parse().unwrap()]),
        purposes: BTreeSet::from(["research".parse().unwrap()]),
        ..Terms::default()
    }
}

fn access_case(consumer: &User, time: Timestamp) -> (Call, Documents) {
    let request = consumer.signer.sign(LEDGER, time, request());
    let call = Call::of_request(&request, &consumer.opening, &attributes(), &asks()).unwrap();
    (
        call,
        Documents::Access { request, consumer: consumer.opening.clone(), attributes: attributes() },
    )
}

fn usage_case(consumer: &User, time: Timestamp) -> (Call, Documents) {
    let report = UsageReport {
        share: ShareId([1; 16]),
        request: Digest([4; 32]),
        action: UsageAction::Opened,
    };
    let report = consumer.signer.sign(LEDGER, time, report);
    let call = Call::of_report(&report, &consumer.opening).unwrap();
    (call, Documents::Usage { report, consumer: consumer.opening.clone() })
}

#[test]
fn sh_6_a_policy_is_checked_against_its_call() {
    let PolicyCase { provider, documents, call } = policy_case();
    let trust = trust(&[&provider]);
    assert_eq!(check(&call, &documents, &trust, LEDGER, NOW), Ok(()));
    let Call::SetPolicy(set) = &call else { unreachable!() };
    let text = serde_json::to_string(&call).unwrap();
    assert!(!text.contains("Ann") && !text.contains("CN="), "a person on the ledger: {text}");

    let differs = |change: &dyn Fn(&mut datapact_core::contract::SetPolicy), field| {
        let mut set = set.clone();
        change(&mut set);
        let found = check(&Call::SetPolicy(set), &documents, &trust, LEDGER, NOW);
        assert_eq!(found, Err(CheckError::Differs(field)));
    };
    differs(&|s| s.share = ShareId([9; 16]), "share");
    differs(&|s| s.version = 2, "version");
    differs(&|s| s.previous = Some(Digest([9; 32])), "predecessor");
    differs(&|s| s.policy = Digest([9; 32]), "policy");
    differs(&|s| s.owner = Commitment([9; 32]), "owner");
    differs(&|s| s.state = ShareState::Suspended, "state");
    differs(&|s| s.package = Digest([9; 32]), "package");
    differs(&|s| s.terms.users.clear(), "terms");
    differs(&|s| s.terms.anyone = true, "terms");
    differs(&|s| s.access_times = AccessTimes::Unlimited, "permission");
    differs(&|s| s.expires += 1, "permission");
    differs(&|s| s.not_before -= 1, "permission");
    differs(&|s| s.read_only = false, "permission");
}

#[test]
fn named_users_and_the_owner_are_opened_exactly() {
    let PolicyCase { provider, documents, call } = policy_case();
    let trust = trust(&[&provider]);
    let Documents::Policy { policy, owner, users } = documents else { unreachable!() };
    let found = |owner: &Opening, users: &[Opening]| {
        let documents = Documents::Policy {
            policy: policy.clone(),
            owner: owner.clone(),
            users: users.to_vec(),
        };
        check(&call, &documents, &trust, LEDGER, NOW)
    };
    let salted = |opening: &Opening| Opening { salt: Salt::random(), ..opening.clone() };
    let openings = Err(CheckError::Policy(PolicyError::Terms(TermsError::Openings)));
    assert_eq!(found(&owner, &users), Ok(()));
    assert_eq!(found(&owner, &users[..1]), openings);
    assert_eq!(found(&owner, &[users[0].clone(), users[0].clone()]), openings);
    assert_eq!(found(&owner, &[users[0].clone(), owner.clone()]), openings);
    assert_eq!(
        found(&owner, &[users[0].clone(), salted(&users[1])]),
        Err(CheckError::Differs("terms"))
    );
    assert_eq!(found(&salted(&owner), &users), Err(CheckError::Differs("owner")));
    assert_eq!(found(&users[0], &users), Err(CheckError::Opening(owner.identity.clone())));
}

#[test]
fn ax_4_a_request_is_checked_against_its_call() {
    let consumer = user("lab", "Ann");
    let trust = trust(&[&consumer]);
    let (call, documents) = access_case(&consumer, NOW);
    assert_eq!(check(&call, &documents, &trust, LEDGER, NOW), Ok(()));
    let Call::RequestAccess(request) = &call else { unreachable!() };
    assert_eq!(request.organisation, None, "no terms ask for it");
    assert_eq!(request.country, attributes().country);

    let differs = |change: &dyn Fn(&mut datapact_core::contract::RequestAccess), field| {
        let mut request = request.clone();
        change(&mut request);
        let found = check(&Call::RequestAccess(request), &documents, &trust, LEDGER, NOW);
        assert_eq!(found, Err(CheckError::Differs(field)));
    };
    differs(&|r| r.share = ShareId([9; 16]), "share");
    differs(&|r| r.policy = Digest([9; 32]), "policy");
    differs(&|r| r.request = Digest([9; 32]), "request");
    differs(&|r| r.consumer = Commitment([9; 32]), "consumer");
    differs(&|r| r.organisation = Some("bank.example".parse().unwrap()), "organisation");
    differs(&|r| r.industry = Some("isic4:87".parse().unwrap()), "industry");
    differs(&|r| r.country = Some("DE".parse().unwrap()), "country");
    differs(&|r| r.purpose = Some("care".parse().unwrap()), "purpose");

    // An attribute that management does not vouch for cannot be in the call.
    let Documents::Access { request, consumer, .. } = &documents else { unreachable!() };
    let unvouched = Documents::Access {
        request: request.clone(),
        consumer: consumer.clone(),
        attributes: Attributes::default(),
    };
    assert_eq!(check(&call, &unvouched, &trust, LEDGER, NOW), Err(CheckError::Differs("country")));
}

#[test]
fn a_request_of_another_signer_is_refused() {
    let (ann, bob) = (user("lab", "Ann"), user("bank", "Bob"));
    let (call, documents) = access_case(&ann, NOW);
    let Documents::Access { request, attributes, .. } = documents.clone() else { unreachable!() };
    let swapped = Documents::Access { request, consumer: bob.opening.clone(), attributes };
    let opening = Err(CheckError::Opening(ann.opening.identity.clone()));
    assert_eq!(check(&call, &swapped, &trust(&[&ann, &bob]), LEDGER, NOW), opening);

    // Ann's CA is not trusted, or speaks for another realm.
    let unknown = check(&call, &documents, &trust(&[&bob]), LEDGER, NOW);
    assert!(matches!(
        unknown,
        Err(CheckError::Document(DocumentError::Trust(TrustError::Unknown { .. })))
    ));
    let mut foreign = Trust::default();
    foreign.add("bank", vec![ann.ca.der.clone()], Vec::new()).unwrap();
    let found = check(&call, &documents, &foreign, LEDGER, NOW);
    assert!(matches!(found, Err(CheckError::Document(DocumentError::Signer { .. }))), "{found:?}");
}

#[test]
fn ur_2_a_usage_report_is_checked_against_its_call() {
    let consumer = user("lab", "Ann");
    let trust = trust(&[&consumer]);
    let (call, documents) = usage_case(&consumer, NOW);
    assert_eq!(check(&call, &documents, &trust, LEDGER, NOW), Ok(()));
    let Call::RecordUsage(usage) = &call else { unreachable!() };
    let differs = |change: &dyn Fn(&mut datapact_core::contract::RecordUsage), field| {
        let mut usage = usage.clone();
        change(&mut usage);
        let found = check(&Call::RecordUsage(usage), &documents, &trust, LEDGER, NOW);
        assert_eq!(found, Err(CheckError::Differs(field)));
    };
    differs(&|u| u.share = ShareId([9; 16]), "share");
    differs(&|u| u.request = Digest([9; 32]), "request");
    differs(&|u| u.report = Digest([9; 32]), "report");
    differs(&|u| u.consumer = Commitment([9; 32]), "consumer");
}

#[test]
fn documents_of_another_kind_are_refused() {
    let consumer = user("lab", "Ann");
    let trust = trust(&[&consumer]);
    let (access, _) = access_case(&consumer, NOW);
    let (_, usage) = usage_case(&consumer, NOW);
    assert_eq!(check(&access, &usage, &trust, LEDGER, NOW), Err(CheckError::Kind));
}

#[test]
fn documents_are_fresh_and_for_this_ledger() {
    let consumer = user("lab", "Ann");
    let PolicyCase { provider, documents, call } = policy_case();
    let trust = trust(&[&consumer, &provider]);
    let request = access_case(&consumer, NOW);
    let usage = usage_case(&consumer, NOW);
    let cases = [
        ((call, documents), POLICY_AGE_SECONDS_MAX),
        (request, REQUEST_AGE_SECONDS_MAX),
        (usage, REPORT_AGE_SECONDS_MAX),
    ];
    for ((call, documents), age_seconds_max) in cases {
        let at = |time| check(&call, &documents, &trust, LEDGER, time);
        assert_eq!(at(NOW + age_seconds_max), Ok(()));
        let age_seconds = age_seconds_max + 1;
        assert_eq!(at(NOW + age_seconds), Err(CheckError::Stale { age_seconds, age_seconds_max }));
        assert_eq!(at(NOW - DOCUMENT_AHEAD_SECONDS_MAX), Ok(()));
        let ahead_seconds = DOCUMENT_AHEAD_SECONDS_MAX + 1;
        assert_eq!(at(NOW - ahead_seconds), Err(CheckError::Ahead { ahead_seconds }));
        let elsewhere = check(&call, &documents, &trust, "other.example", NOW);
        assert!(matches!(elsewhere, Err(CheckError::Document(DocumentError::Audience { .. }))));
        let expired = at(NOW + 10 * 365 * 86_400);
        assert!(matches!(
            expired,
            Err(CheckError::Document(DocumentError::Trust(TrustError::Expired { .. })))
        ));
    }
}

#[test]
fn documents_survive_their_json() {
    let PolicyCase { documents, .. } = policy_case();
    let text = serde_json::to_string(&documents).unwrap();
    assert_eq!(serde_json::from_str::<Documents>(&text).unwrap(), documents);
}
