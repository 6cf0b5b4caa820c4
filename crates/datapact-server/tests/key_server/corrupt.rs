//! With a management that is corrupt in every way that the design names: each is refused, and said.

use datapact_api::key_server::{ReleaseKey, Releases as _, ShownPolicies as _, Withhold};
use datapact_api::problem::Kind;
use datapact_core::contract::{Call, Documents, SetPolicy};
use datapact_core::id::{Digest, Salt, random};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_core::release::Recipient;
use datapact_core::terms::Terms;

use crate::rig::*;

#[tokio::test]
async fn ks_5_a_forged_token_is_refused() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    let good = rig.ask(&access, &consumer);
    let key = access.token.key;

    let forged = ReleaseKey { token: token_key().sign(&access.token), ..good.clone() };
    let answer = rig.as_user(&consumer).releases().release(&key, &forged).await;
    check_refused(answer, Kind::Forbidden, "does not publish");

    let (signed, signature) = good.token.rsplit_once('.').unwrap();
    let other = rig.ask(&rig.access(&share, &consumer), &consumer).token;
    let swapped = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    for (token, kind, says) in [
        (swapped, Kind::Forbidden, "signature is wrong"),
        (signed.to_owned(), Kind::Malformed, "malformed"),
        (format!("{signed}."), Kind::Forbidden, "signature is wrong"),
        (String::new(), Kind::Malformed, "malformed"),
        ("a".repeat(300_000), Kind::Malformed, "longer than"),
    ] {
        let forged = ReleaseKey { token, ..good.clone() };
        check_refused(rig.as_user(&consumer).releases().release(&key, &forged).await, kind, says);
    }
    rig.granted(&access, &consumer, 7).await;
}

/// A change to an access, and what the refusal must say.
type Case = (&'static str, fn(&mut TestAccess));

#[tokio::test]
async fn ks_5_each_claim_of_a_token_counts() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let cases: [Case; 13] = [
        ("is for another server", |a| a.token.iss = "other.example".to_owned()),
        ("is for another server", |a| a.token.aud = "other.example".to_owned()),
        ("has expired", |a| a.token.exp = NOW),
        ("has expired", |a| a.token.exp = a.token.iat + 601),
        ("not valid yet", |a| (a.token.iat, a.token.exp) = (NOW + 61, NOW + 300)),
        ("does not begin with", |a| a.token.iat -= 1),
        ("does not begin with", |a| a.token.iat += 1),
        ("bound to another certificate", |a| a.token.cnf.certificate.truncate(10)),
        ("for another share", |a| a.token.share = datapact_core::id::ShareId::random()),
        ("another contract", |a| a.token.contract.push('x')),
        ("not about one access", |a| a.token.request = Digest(random())),
        ("is not where the access token says", |a| a.token.position += 1),
        ("opens another package", |a| a.token.package = datapact_core::id::PackageId::random()),
    ];
    for (says, change) in cases {
        let mut access = rig.access(&share, &consumer);
        change(&mut access);
        rig.refused(&access, &consumer, Kind::Forbidden, says).await;
    }
    let mut access = rig.access(&share, &consumer);
    access.token.salt = Salt::random();
    rig.refused(&access, &consumer, Kind::Forbidden, "another user's").await;
    rig.granted(&rig.access(&share, &consumer), &consumer, 7).await;
}

#[tokio::test]
async fn ks_5_a_token_for_another_share_is_refused() {
    let rig = Rig::new().await;
    let (first, second) =
        (rig.share(AccessTimes::Unlimited, 7).await, rig.share(AccessTimes::Unlimited, 8).await);
    let consumer = rig.fixture.consumer("Consumer");
    // Management vouches, with the record of the one share, for the key of the other.
    let mut access = rig.access(&first, &consumer);
    access.token.key = second.policy.body().information.key.id;
    rig.refused(&access, &consumer, Kind::Forbidden, "the key belongs to another share").await;
    access.token.package = second.policy.body().information.package.id;
    rig.refused(&access, &consumer, Kind::Forbidden, "the key belongs to another share").await;
    // The token of the one, presented for the key of the other.
    let access = rig.access(&first, &consumer);
    let asked = rig.ask(&access, &consumer);
    let other = second.policy.body().information.key.id;
    let answer = rig.as_user(&consumer).releases().release(&other, &asked).await;
    check_refused(answer, Kind::Forbidden, "the access token is for another key");
}

#[tokio::test]
async fn ks_5_no_record_no_key() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let (call, documents) = share.request(&consumer);
    let Documents::Access { request, .. } = documents else { panic!() };
    // Management vouches without recording.
    let token = rig.token(&share, &consumer, &request, 1);
    let mut access = TestAccess { request, token, recipient: Recipient::generate(), call };
    rig.refused(&access, &consumer, Kind::Forbidden, "no record of this access").await;
    // It records an access without a request, and vouches for it.
    let Call::RequestAccess(mut invented) = access.call.clone() else { panic!() };
    invented.request = Digest(random());
    access.token.position = rig.record(&Call::RequestAccess(invented.clone()));
    rig.refused(&access, &consumer, Kind::Forbidden, "no record of this access").await;
    access.token.request = invented.request;
    rig.refused(&access, &consumer, Kind::Forbidden, "not about one access").await;
}

#[tokio::test]
async fn sh_7_under_no_policy_but_the_providers() {
    let rig = Rig::new().await;
    let consumer = rig.fixture.consumer("Consumer");
    // Recorded, but never shown.
    let share = rig.draft(AccessTimes::Unlimited, 7).await;
    rig.record(&share.set().0);
    let access = rig.access(&share, &consumer);
    rig.refused(&access, &consumer, Kind::Forbidden, "was not shown to the key server").await;
    rig.show(&share).await.unwrap();
    rig.granted(&access, &consumer, 7).await;

    // Recorded with other terms than those shown, under the same digest.
    let named = rig.fixture.consumer("Named");
    let mut share = rig.fixture.share(AccessTimes::Times(1), |_| {});
    let key = rig.store_key(&share, 8).await;
    let mut body = share.policy.body().clone();
    body.information.key = key;
    share.policy = share.provider.signer.sign(LEDGER, rig.now(), body);
    rig.show(&share).await.unwrap();
    let signed = call_of(&share);
    let others =
        Terms { users: [named.opening().commitment(&share.id())].into(), ..Terms::default() };
    let wrong: [fn(&mut SetPolicy); 3] = [
        |set| set.access_times = AccessTimes::Unlimited,
        |set| set.expires += 1,
        |set| set.read_only = false,
    ];
    // Each is a share of its own in the log's eyes: the first call recorded fixes version 1.
    let mut set = signed.clone();
    set.terms = others;
    wrong.iter().for_each(|change| change(&mut set));
    rig.record(&Call::SetPolicy(set));
    let access = rig.access(&share, &named);
    rig.refused(&access, &named, Kind::Forbidden, "says something else than the provider signed")
        .await;

    // Now the true successor: the newest policy is the provider's, but the record is under the
    // false one.
    share.next(|policy| policy.permission.access_times = AccessTimes::Times(5));
    rig.show(&share).await.unwrap();
    rig.record(&share.set().0);
    rig.refused(
        &access,
        &named,
        Kind::Forbidden,
        "recorded under a policy that says something else",
    )
    .await;
    rig.granted(&rig.access(&share, &consumer), &consumer, 8).await;
}

#[tokio::test]
async fn ks_5_another_users_commitment_is_refused() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Times(1), 7).await;
    let (alice, mallory) = (rig.fixture.consumer("Alice"), rig.fixture.consumer("Mallory"));
    // Mallory's request, recorded as Alice's access: Mallory's count stays 0.
    let (call, documents) = share.request(&mallory);
    let Documents::Access { request, .. } = documents else { panic!() };
    let Call::RequestAccess(mut recorded) = call.clone() else { panic!() };
    recorded.consumer = alice.opening().commitment(&share.id());
    let position = rig.record(&Call::RequestAccess(recorded));
    let mut token = rig.token(&share, &mallory, &request, position);
    let access = TestAccess {
        request: request.clone(),
        token: token.clone(),
        recipient: Recipient::generate(),
        call,
    };
    rig.refused(&access, &mallory, Kind::Forbidden, "another user's").await;
    token.salt = alice.opening().salt;
    let access = TestAccess { token, ..access };
    rig.refused(&access, &mallory, Kind::Forbidden, "another user's").await;
}

#[tokio::test]
async fn ks_5_a_second_commitment_of_one_consumer_is_refused() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Times(1), 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    rig.granted(&rig.access(&share, &consumer), &consumer, 7).await;
    // The access is used up; a second salt would start a second count.
    let (call, documents) = share.request(&consumer);
    let Documents::Access { request, .. } = documents else { panic!() };
    let Call::RequestAccess(mut recorded) = call.clone() else { panic!() };
    let mut again = consumer.opening();
    again.salt = Salt::random();
    recorded.consumer = again.commitment(&share.id());
    let position = rig.record(&Call::RequestAccess(recorded));
    let mut token = rig.token(&share, &consumer, &request, position);
    token.salt = again.salt;
    let access = TestAccess { request, token, recipient: Recipient::generate(), call };
    rig.refused(&access, &consumer, Kind::Forbidden, "by another commitment").await;
}

#[tokio::test]
async fn what_is_meant_for_one_consumer_serves_no_other() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let (alice, mallory) = (rig.fixture.consumer("Alice"), rig.fixture.consumer("Mallory"));
    let access = rig.access(&share, &alice);
    let (key, asked) = (access.token.key, rig.ask(&access, &alice));
    let stolen = rig.as_user(&mallory).releases().release(&key, &asked).await;
    check_refused(stolen, Kind::Forbidden, "bound to another certificate");
    // Even when management binds the token to the thief's certificate.
    let mut bound = rig.access(&share, &alice);
    bound.token.cnf = rig.token(&share, &mallory, &bound.request, 0).cnf;
    let theirs = rig.ask(&bound, &alice);
    let stolen = rig.as_user(&mallory).releases().release(&key, &theirs).await;
    check_refused(stolen, Kind::Forbidden, "another user has signed the access request");
    // Alice's documents with a key request for another access, or of the thief.
    let other = rig.ask(&rig.access(&share, &alice), &alice);
    let mixed = ReleaseKey { key_request: other.key_request, ..asked.clone() };
    check_refused(
        rig.as_user(&alice).releases().release(&key, &mixed).await,
        Kind::Forbidden,
        "for another access token",
    );
    let thief = ReleaseKey { key_request: rig.ask(&access, &mallory).key_request, ..asked.clone() };
    let answer = rig.as_user(&alice).releases().release(&key, &thief).await;
    check_refused(answer, Kind::Forbidden, "another user has signed the key request");
    check_refused(
        rig.as_management().releases().release(&key, &asked).await,
        Kind::Forbidden,
        "only users",
    );
    rig.granted(&access, &alice, 7).await;
}

#[tokio::test]
async fn a_documents_audience_counts() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    let mut asked = rig.ask(&access, &consumer);
    let body = asked.key_request.body().clone();
    asked.key_request = consumer.signer.sign("other.example", rig.now(), body);
    let answer = rig.as_user(&consumer).releases().release(&access.token.key, &asked).await;
    check_refused(answer, Kind::Forbidden, "is for `other.example`");
}

#[tokio::test]
async fn nobody_resumes_a_share_but_its_provider() {
    let rig = Rig::new().await;
    let mut share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    share.next(|policy| policy.state = ShareState::Suspended);
    rig.as_user(&share.provider)
        .policies()
        .withhold(&Withhold { policy: share.policy.clone() })
        .await
        .unwrap();
    rig.refused(&access, &consumer, Kind::Refused, "suspended").await;
    rig.show(&share).await.unwrap();
    rig.record(&share.set().0);
    rig.refused(&access, &consumer, Kind::Refused, "suspended").await;
    // Management makes it active on the ledger, without a signature.
    let suspended = call_of(&share);
    let resumed = SetPolicy {
        version: 3,
        previous: Some(suspended.policy),
        policy: Digest(random()),
        state: ShareState::Active,
        ..suspended
    };
    rig.record(&Call::SetPolicy(resumed));
    rig.replayed().await;
    rig.refused(&access, &consumer, Kind::Forbidden, "was not shown").await;
}

#[tokio::test]
async fn the_provider_resumes_its_share() {
    let rig = Rig::new().await;
    let mut share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    share.next(|policy| policy.state = ShareState::Suspended);
    rig.as_user(&share.provider)
        .policies()
        .withhold(&Withhold { policy: share.policy.clone() })
        .await
        .unwrap();
    rig.show(&share).await.unwrap();
    rig.record(&share.set().0);
    share.next(|policy| policy.state = ShareState::Active);
    rig.show(&share).await.unwrap();
    rig.record(&share.set().0);
    rig.granted(&rig.access(&share, &consumer), &consumer, 7).await;
}

#[tokio::test]
async fn a_revocation_that_management_hides_still_counts() {
    let rig = Rig::new().await;
    let consumer = rig.fixture.consumer("Consumer");
    // Management has not even heard of it: the provider's word to the key server suffices.
    let mut share = rig.share(AccessTimes::Unlimited, 7).await;
    let access = rig.access(&share, &consumer);
    rig.granted(&access, &consumer, 7).await;
    let before = share.policy.clone();
    share.next(|policy| policy.state = ShareState::Revoked);
    rig.as_user(&share.provider)
        .policies()
        .withhold(&Withhold { policy: share.policy.clone() })
        .await
        .unwrap();
    rig.refused(&access, &consumer, Kind::Refused, "revoked").await;
    // An update that the provider had signed before, and management kept back, lifts nothing.
    let mut body = before.body().clone();
    (body.version, body.previous) = (2, Some(before.id()));
    share.policy = share.provider.signer.sign(LEDGER, rig.now() - 10, body);
    rig.show(&share).await.unwrap();
    rig.record(&share.set().0);
    rig.refused(&access, &consumer, Kind::Refused, "revoked").await;

    // Management shows the key server a suspension, but does not record it.
    let mut share = rig.share(AccessTimes::Unlimited, 8).await;
    let access = rig.access(&share, &consumer);
    share.next(|policy| policy.state = ShareState::Suspended);
    rig.show(&share).await.unwrap();
    rig.refused(&access, &consumer, Kind::Refused, "suspended").await;
}

#[tokio::test]
async fn a_suspension_is_lifted_only_by_what_the_provider_signed_later() {
    let rig = Rig::new().await;
    let consumer = rig.fixture.consumer("Consumer");
    let mut share = rig.share(AccessTimes::Unlimited, 7).await;
    let first = share.policy.clone();
    // Two active versions that management keeps back, then the provider suspends.
    let kept_back = [2, 3].map(|_| {
        let (call, _) = share.next(|_| {});
        (share.policy.clone(), call)
    });
    rig.advance(5);
    let mut body = first.body().clone();
    (body.version, body.previous, body.state) = (2, Some(first.id()), ShareState::Suspended);
    let suspended = share.provider.signer.sign(LEDGER, rig.now(), body);
    rig.as_user(&share.provider)
        .policies()
        .withhold(&Withhold { policy: suspended.clone() })
        .await
        .unwrap();
    for (policy, call) in kept_back {
        share.policy = policy;
        rig.show(&share).await.unwrap();
        rig.record(&call);
        let access = rig.access(&share, &consumer);
        rig.refused(&access, &consumer, Kind::Refused, "suspended").await;
    }
    rig.advance(5);
    share.next(|_| {});
    rig.show(&share).await.unwrap();
    rig.record(&share.set().0);
    rig.granted(&rig.access(&share, &consumer), &consumer, 7).await;
}
