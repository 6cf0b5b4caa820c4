//! Policies and keys of another provider.

use datapact_api::key_server::StoreKey;
use datapact_api::operation::Page;
use datapact_core::id::{Digest, ShareId};
use datapact_core::jws::Signed;
use datapact_core::permission::AccessTimes;
use datapact_core::policy::SharingPolicy;
use serde_json::json;

use crate::calls::{Call, document, get, post};
use crate::forgery::{forged, with_algorithm};
use crate::support::{data, now};
use crate::world::{Actor, World};

/// SH-6, SH-7: policies that are not the provider's word, or about what is not the provider's.
#[tokio::test(flavor = "multi_thread")]
async fn sh_7_nobody_shares_what_is_anothers() {
    let world = World::start().await;
    let (clinic, rival, lab) = (&world.clinic, &world.rival, &world.lab);
    let own = clinic.user.session.management().shares(Page::first()).await.unwrap();
    let theirs =
        own.iter().find(|own| own.policy.body().share == world.set.share).unwrap().policy.clone();
    let rivals =
        rival.user.share("rival's own", &data(9, 1000), AccessTimes::Times(1)).await.unwrap();
    let rivals_policy = rival.user.session.management().shares(Page::first()).await.unwrap()[0]
        .policy
        .body()
        .clone();
    let before = world.state().await;
    let set = |actor: &Actor, policy: &SharingPolicy| {
        actor.management.call(&document("/v1/shares", actor.sign(policy.clone()).as_str()))
    };
    let new = |change: &dyn Fn(&mut SharingPolicy)| {
        let mut policy = rivals_policy.clone();
        policy.share = ShareId::random();
        change(&mut policy);
        policy
    };
    let coveted = &theirs.body().information;

    // Signed by another user, or forged.
    rival.management.call(&document("/v1/shares", theirs.as_str())).is_problem(
        403,
        "forbidden",
        "another user has signed the policy",
    );
    let jws = theirs.as_str();
    for (forged, detail) in [
        (forged(jws, Some(&with_algorithm(jws, "none")), None, Some(b"")), "is not ES256"),
        (forged(jws, Some(&with_algorithm(jws, "HS256")), None, Some(&[1; 32])), "is not ES256"),
        (forged(jws, None, None, Some(&[1; 64])), "signature is wrong"),
    ] {
        clinic.management.call(&document("/v1/shares", &forged)).is_problem(
            400,
            "malformed",
            detail,
        );
    }
    let elsewhere =
        clinic.signer.sign("other.quickstart.test/ledger", now(), theirs.body().clone());
    clinic.management.call(&document("/v1/shares", elsewhere.as_str())).is_problem(
        400,
        "malformed",
        "is for `other",
    );
    // A share, a key and a package of another user; another user's package under one's own terms.
    let successor =
        SharingPolicy { version: 2, previous: Some(theirs.id()), ..theirs.body().clone() };
    set(rival, &successor).is_problem(
        403,
        "forbidden",
        "the package was stored by another provider",
    );
    let mut stopped = successor.clone();
    stopped.state = datapact_core::policy::ShareState::Suspended;
    set(rival, &stopped).is_problem(403, "refused", "only the share's provider may set its policy");
    set(rival, theirs.body()).is_problem(
        403,
        "forbidden",
        "the package was stored by another provider",
    );
    let relisted = new(&|policy| policy.information.package = coveted.package.clone());
    set(rival, &relisted).is_problem(
        403,
        "forbidden",
        "the package was stored by another provider",
    );
    let with_their_key = new(&|policy| policy.information.key = coveted.key.clone());
    set(rival, &with_their_key).is_problem(409, "conflict", "the key belongs to another share");
    set(rival, &new(&|_| ())).is_problem(409, "conflict", "the key belongs to another share");
    // What leads elsewhere.
    for url in [
        "https://evil.example:1",
        "https://key.quickstart.test.evil.example",
        "https://key.quickstart.test:1",
        "https://127.0.0.1:22",
    ] {
        let moved = new(&|policy| {
            policy.information.key.address = format!("{url}/v1/keys/{}", policy.information.key.id);
        });
        set(rival, &moved).is_problem(400, "malformed", "is on no server of this management");
        let moved = new(&|policy| {
            policy.information.package.address =
                format!("{url}/v1/packages/{}", policy.information.package.id);
        });
        set(rival, &moved).is_problem(400, "malformed", "is on no server of this management");
    }
    let server = &rivals.key.address[..rivals.key.address.find("/v1/").unwrap()];
    for url in [
        format!("{server}@evil.example"),
        format!("{server}/../.."),
        format!("{server}?x="),
        server.replace("https", "http"),
        "file://".to_owned(),
    ] {
        let moved = new(&|policy| {
            policy.information.key.address = format!("{url}/v1/keys/{}", policy.information.key.id);
        });
        set(rival, &moved).is_problem(400, "malformed", "is not the address of the key");
    }
    // Versions, predecessors and terms.
    let mut own = theirs.body().clone();
    own.version = 5;
    own.previous = Some(theirs.id());
    set(clinic, &own).is_problem(409, "conflict", "the next policy version is 2");
    own.version = 2;
    own.previous = Some(Digest([7; 32]));
    set(clinic, &own).is_problem(409, "conflict", "the predecessor named is not the newest");
    own.previous = None;
    set(clinic, &own).is_problem(400, "malformed", "version 2 is wrong");
    own.previous = Some(theirs.id());
    own.terms.anyone = false;
    set(clinic, &own).is_problem(400, "malformed", "");
    own.terms.anyone = true;
    own.permission.access_times = AccessTimes::Times(0);
    set(clinic, &own).is_problem(400, "malformed", "access times must be at least 1");
    own.permission.access_times = AccessTimes::Times(1);
    own.information.title = "x\u{1b}[2J".to_owned();
    set(clinic, &own).is_problem(400, "malformed", "has a control or invisible character");
    // A consumer shares nothing.
    set(lab, &new(&|_| ())).is_problem(403, "forbidden", "");

    // At the key server and the storage server: what is another's is not touched, nor told.
    let (key, package) = (&world.set.key.id, &world.set.package.id);
    for actor in [rival, lab] {
        let theirs = json!({
            "key": "00".repeat(32),
            "share": rivals.share,
            "package": rivals.package.digest,
        });
        let store = Call {
            method: "PUT",
            ..post(&format!("/v1/keys/{key}"), theirs.to_string().as_bytes())
        };
        actor.key.call(&store).is_problem(404, "not-found", "there is no key");
        actor.key.call(&get(&format!("/v1/keys/{key}"))).is_problem(
            404,
            "not-found",
            "there is no key",
        );
        let delete = Call { method: "DELETE", ..get(&format!("/v1/keys/{key}")) };
        actor.key.call(&delete).is_problem(404, "not-found", "there is no key");
        let releases = actor.key.call(&get(&format!("/v1/releases/{}", world.set.share)));
        releases.is_problem(404, "not-found", "you keep no key of the share");
        let status = actor.storage.call(&get(&format!("/v1/packages/{package}/status")));
        status.is_problem(403, "forbidden", "is another provider's");
        let delete = Call { method: "DELETE", ..get(&format!("/v1/packages/{package}")) };
        actor.storage.call(&delete).is_problem(403, "forbidden", "is another provider's");
    }
    // One's own key that a policy names stays, and stays what it is.
    let delete = Call { method: "DELETE", ..get(&format!("/v1/keys/{key}")) };
    clinic.key.call(&delete).is_problem(409, "conflict", "a policy names the key");
    let other = StoreKey {
        key: "11".repeat(32).into(),
        share: world.set.share,
        package: world.set.package.digest,
    };
    let problem = clinic.user.key_server.store_key(key, &other).await.unwrap_err();
    assert!(problem.detail.contains("something else is stored"), "{problem}");
    // Only the provider withholds.
    let mut revoked = successor.clone();
    revoked.state = datapact_core::policy::ShareState::Revoked;
    let withhold = |policy: &Signed<SharingPolicy>| {
        post("/v1/withhold", json!({ "policy": policy }).to_string().as_bytes())
    };
    let theirs_revoked = clinic.sign(revoked.clone());
    rival.key.call(&withhold(&theirs_revoked)).is_problem(
        403,
        "forbidden",
        "only the provider who signed the policy",
    );
    rival.key.call(&withhold(&rival.sign(revoked))).is_problem(
        404,
        "not-found",
        "you keep no key of the share",
    );
    clinic.key.call(&withhold(&clinic.sign(successor))).is_problem(
        400,
        "malformed",
        "the policy is active",
    );
    world.unharmed(before).await;
}
