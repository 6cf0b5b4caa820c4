//! Tokens, access requests and key requests of another consumer.

use datapact_api::key_server::ReleaseKey;
use datapact_core::document::{AccessRequest, KeyRequest, UsageAction, UsageReport};
use datapact_core::id::{Digest, KeyId, ShareId};
use datapact_core::jws::Signed;
use datapact_core::permission::AccessTimes;
use datapact_core::release::Recipient;

use crate::calls::{document, post};
use crate::forgery::{forged, part, with_algorithm};
use crate::support::{data, now};
use crate::world::{Actor, World};

/// KS-4, KS-5, AX-4, AX-13: requests and tokens that are forged, replayed by another, or about
/// something else.
#[tokio::test(flavor = "multi_thread")]
async fn ks_5_tokens_and_requests_are_their_holders_alone() {
    let world = World::start().await;
    let (lab, overseas, clinic) = (&world.lab, &world.overseas, &world.clinic);
    let other =
        clinic.user.share("another", &data(10, 1000), AccessTimes::Unlimited).await.unwrap();
    // One access to each, by the lab; another by the colleague overseas.
    let request = lab.user.request(other.share, other.policy);
    let grant = lab.user.session.management().request_access(&request).await.unwrap();
    let overseas_request = overseas.user.request(other.share, other.policy);
    let overseas_grant =
        overseas.user.session.management().request_access(&overseas_request).await.unwrap();
    let before = world.state().await;

    let key_request = |actor: &Actor, token: &str, request: &Signed<AccessRequest>, key: KeyId| {
        let body = KeyRequest {
            token: Digest::of(token.as_bytes()),
            request: request.id(),
            key,
            recipient: Recipient::generate().public(),
        };
        actor.signer.sign(&actor.key.name, now(), body)
    };
    let release = |actor: &Actor,
                   key: KeyId,
                   token: &str,
                   request: &Signed<AccessRequest>,
                   signed: &Signed<KeyRequest>| {
        let asked = ReleaseKey {
            token: token.to_owned(),
            request: request.clone(),
            key_request: signed.clone(),
        };
        actor.key.call(&post(
            &format!("/v1/keys/{key}/release"),
            serde_json::to_string(&asked).unwrap().as_bytes(),
        ))
    };
    let (key, token) = (other.key.id, grant.token.as_str());
    let good = key_request(lab, token, &request, key);

    // The whole of another's, and with one's own key request.
    release(overseas, key, token, &request, &good).is_problem(
        403,
        "forbidden",
        "bound to another certificate",
    );
    let own = key_request(overseas, token, &request, key);
    release(overseas, key, token, &request, &own).is_problem(
        403,
        "forbidden",
        "bound to another certificate",
    );
    // One's own token for another's request, and another's key request.
    let theirs = overseas_grant.token.as_str();
    release(overseas, key, theirs, &request, &own).is_problem(
        403,
        "forbidden",
        "signed the access request",
    );
    release(overseas, key, theirs, &overseas_request, &good).is_problem(
        403,
        "forbidden",
        "signed the key request",
    );
    // Forged tokens.
    for (forged, status, kind, detail) in [
        ("", 400, "malformed", "is malformed"),
        ("a.b.c", 400, "malformed", "is malformed"),
        (
            &*forged(token, Some(&with_algorithm(token, "none")), None, Some(b"")),
            400,
            "malformed",
            "not an ES256",
        ),
        (
            &*forged(token, Some(&with_algorithm(token, "HS256")), None, Some(&[1; 32])),
            400,
            "malformed",
            "not an ES256",
        ),
        (&*forged(token, None, None, Some(&[1; 64])), 403, "forbidden", "signature is wrong"),
        (
            &*forged(token, None, Some(br#"{"iss":"me"}"#), None),
            403,
            "forbidden",
            "signature is wrong",
        ),
        (request.as_str(), 400, "malformed", ""),
    ] {
        let signed = key_request(lab, forged, &request, key);
        release(lab, key, forged, &request, &signed).is_problem(status, kind, detail);
    }
    let mut header = part(token, 0);
    header["kid"] = "another".into();
    let unknown = forged(token, Some(&header), None, None);
    let signed = key_request(lab, &unknown, &request, key);
    release(lab, key, &unknown, &request, &signed).is_problem(403, "forbidden", "does not publish");
    // Another key, another request, another server, another time.
    let coveted = world.set.key.id;
    let signed = key_request(lab, token, &request, coveted);
    release(lab, coveted, token, &request, &signed).is_problem(
        403,
        "forbidden",
        "the access token is for another key",
    );
    release(lab, key, token, &request, &signed).is_problem(
        403,
        "forbidden",
        "the key request is for another key",
    );
    let never_recorded = lab.user.request(other.share, other.policy);
    let signed = key_request(lab, token, &never_recorded, key);
    release(lab, key, token, &never_recorded, &signed).is_problem(
        403,
        "forbidden",
        "not about one access",
    );
    let signed = key_request(lab, theirs, &request, key);
    release(lab, key, token, &request, &signed).is_problem(
        403,
        "forbidden",
        "is for another access token",
    );
    let body = good.body().clone();
    let elsewhere = lab.signer.sign("other.quickstart.test", now(), body);
    release(lab, key, token, &request, &elsewhere).is_problem(
        403,
        "forbidden",
        "is for `other.quickstart.test`",
    );

    // At management: another's request, one of another time, an unknown share, another's usage.
    let access = |actor: &Actor, jws: &str| actor.management.call(&document("/v1/accesses", jws));
    access(overseas, request.as_str()).is_problem(
        403,
        "forbidden",
        "another user has signed the document",
    );
    let jws = request.as_str();
    for algorithm in ["none", "HS256"] {
        let forged = forged(jws, Some(&with_algorithm(jws, algorithm)), None, Some(&[1; 32]));
        access(lab, &forged).is_problem(400, "malformed", "is not ES256");
    }
    let asking = AccessRequest { share: world.set.share, policy: world.set.policy, purpose: None };
    for (time, detail) in [(now() + 3600, "seconds ahead"), (now() - 3600, "")] {
        let signed = lab.signer.sign(&lab.ledger, time, asking.clone());
        access(lab, signed.as_str()).is_problem(400, "malformed", detail);
    }
    let elsewhere = lab.signer.sign("other.quickstart.test/ledger", now(), asking.clone());
    access(lab, elsewhere.as_str()).is_problem(
        400,
        "malformed",
        "is for `other.quickstart.test/ledger`",
    );
    let unknown = lab.user.request(ShareId::random(), world.set.policy);
    access(lab, unknown.as_str()).is_problem(404, "not-found", "there is no such share");
    let superseded = lab.user.request(world.set.share, Digest([9; 32]));
    access(lab, superseded.as_str()).is_problem(403, "refused", "the terms have changed");
    access(clinic, clinic.user.request(world.set.share, world.set.policy).as_str()).is_problem(
        403,
        "forbidden",
        "",
    );
    let usage = |actor: &Actor, request: Digest| {
        let report = UsageReport { share: other.share, request, action: UsageAction::Opened };
        actor.management.call(&document("/v1/usages", actor.sign(report).as_str()))
    };
    usage(overseas, request.id()).is_problem(403, "refused", "only the consumer of an access");
    usage(lab, Digest([3; 32])).is_problem(404, "not-found", "there is no such access");

    // Nothing of this was released, granted or recorded. The rightful holder gets the key, and the
    // same one again.
    assert_eq!(world.state().await, before);
    let first = release(lab, key, token, &request, &good).json();
    assert_eq!(release(lab, key, token, &request, &good).json(), first);
    let after = world.state().await;
    assert_eq!(after.releases.len(), before.releases.len() + 1);
    world.unharmed(after).await;
}
