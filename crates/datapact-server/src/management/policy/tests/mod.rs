//! Policies and shares.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod retention;

use crate::management::tests::*;
use datapact_core::contract::Refusal;

#[tokio::test]
async fn mg_3_a_policy_is_verified_confirmed_shown_recorded_and_told() {
    let world = World::new().await;
    let provider = world.provider().await;
    let user: Identity = "lab:CN=Named".parse().unwrap();
    let policy = world.policy(&provider, |p| {
        p.terms = Terms { users: BTreeSet::from([user.clone()]), ..Terms::default() };
    });
    let session = world.as_user(&provider);
    let receipt = session.policies().set_policy(&policy).await.unwrap();
    assert_eq!((receipt.version, receipt.policy, receipt.position), (1, policy.id(), 0));
    assert_eq!(receipt.contract, format!("datapact:{LEDGER}/{}", receipt.share));
    assert_eq!(receipt.owner.identity, provider.identity());
    assert_eq!(receipt.users[0].identity, user);
    // SH-7: the key server saw it, with what opens the commitments, before the ledger did.
    let shown = world.keys.shown.lock().unwrap().clone();
    assert_eq!(
        (&shown[0].policy, &shown[0].owner, &shown[0].users),
        (&policy, &receipt.owner, &receipt.users)
    );
    // The ledger names no person.
    let record = world.submit().share(&receipt.share).await.unwrap().unwrap();
    assert_eq!(record.policy.owner, receipt.owner.commitment(&receipt.share));
    let proof = session.log().proof(0).await.unwrap();
    assert!(!proof.entry.contains("Named") && !proof.entry.contains("Provider"));
    // A repeat answers the same and records nothing.
    assert_eq!(session.policies().set_policy(&policy).await.unwrap(), receipt);
    assert_eq!((world.size().await, world.count("intent").await), (1, 0));
    let own = session.policies().shares(Page::first()).await.unwrap();
    assert_eq!((own.len(), &own[0].receipt, &own[0].policy), (1, &receipt, &policy));
    // DP-9.
    let told = session.notifications().notifications(&NotificationQuery::default()).await.unwrap();
    let event = NotificationEvent::PolicySet {
        version: 1,
        state: ShareState::Active,
        contract: receipt.contract,
    };
    assert_eq!((told.len(), &told[0].event, told[0].share), (1, &event, receipt.share));
    assert!(
        session
            .notifications()
            .notifications(&NotificationQuery { after: Some(told[0].sequence), all: false })
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn sh_7_nothing_is_recorded_unless_key_and_package_are_stored_and_the_providers_own() {
    let world = World::new().await;
    let provider = world.provider().await;
    let thief = world.joined(&world.clinic, "Thief", Role::User, Attributes::default()).await;
    let session = world.as_user(&provider);
    let policy = world.policy(&provider, |_| {});
    let information = policy.body().information.clone();
    let package =
        world.storage.packages.lock().unwrap().get(&information.package.id).cloned().unwrap();
    let key = world.keys.keys.lock().unwrap().get(&information.key.id).cloned().unwrap();
    let set_package = |status: Option<PackageStatus>| {
        let mut packages = world.storage.packages.lock().unwrap();
        packages.remove(&information.package.id);
        packages.extend(status.map(|status| (information.package.id, status)));
    };
    let set_key = |status: Option<(Identity, KeyStatus)>| {
        let mut keys = world.keys.keys.lock().unwrap();
        keys.remove(&information.key.id);
        keys.extend(status.map(|status| (information.key.id, status)));
    };
    set_package(None);
    assert_kind(session.policies().set_policy(&policy).await, Kind::Conflict, "not stored");
    set_package(Some(PackageStatus { stored: false, ..package.clone() }));
    assert_kind(session.policies().set_policy(&policy).await, Kind::Conflict, "not stored");
    set_package(Some(PackageStatus { size: Some(7), ..package.clone() }));
    assert_kind(
        session.policies().set_policy(&policy).await,
        Kind::Conflict,
        "another digest, size",
    );
    set_package(Some(package));
    for (status, says) in [
        (None, "key is not stored"),
        (Some(KeyStatus { stored: false, ..key.1.clone() }), "key is not stored"),
        (Some(KeyStatus { share: Some(ShareId::random()), ..key.1.clone() }), "another share"),
        (Some(KeyStatus { package: None, ..key.1.clone() }), "another package"),
    ] {
        set_key(status.map(|status| (provider.identity(), status)));
        assert_kind(session.policies().set_policy(&policy).await, Kind::Conflict, says);
    }
    set_key(Some((thief.identity(), key.1.clone())));
    assert_kind(
        session.policies().set_policy(&policy).await,
        Kind::Forbidden,
        "another provider's",
    );
    set_key(Some(key));
    // Another user's package under one's own terms, with or without a key of one's own.
    let relisted = thief.signer.sign(LEDGER, world.now(), policy.body().clone());
    assert_kind(
        world.as_user(&thief).policies().set_policy(&relisted).await,
        Kind::Forbidden,
        "another provider",
    );
    let own = world.policy(&thief, |p| p.information.package = information.package.clone());
    assert_kind(
        world.as_user(&thief).policies().set_policy(&own).await,
        Kind::Forbidden,
        "another provider",
    );
    // A server that is away is said to be away.
    *world.keys.away.lock().unwrap() =
        Some(Problem::new(Kind::Untrusted, "the certificate is wrong"));
    assert_kind(session.policies().set_policy(&policy).await, Kind::Unavailable, KEYS);
    *world.keys.away.lock().unwrap() = None;
    assert_eq!((world.size().await, world.count("intent").await), (0, 0));
    assert!(world.keys.shown.lock().unwrap().is_empty());
    session.policies().set_policy(&policy).await.unwrap();
}

#[tokio::test]
async fn sh_6_a_policy_that_is_not_the_providers_word_is_refused() {
    let world = World::new().await;
    let provider = world.provider().await;
    let other = world.joined(&world.clinic, "Other", Role::User, Attributes::default()).await;
    let session = world.as_user(&provider);
    let policy = world.policy(&provider, |_| {});
    let body = policy.body().clone();
    assert_kind(
        world.as_user(&other).policies().set_policy(&policy).await,
        Kind::Forbidden,
        "another user",
    );
    let audience = provider.signer.sign("another/ledger", world.now(), body.clone());
    assert_kind(session.policies().set_policy(&audience).await, Kind::Malformed, "not for");
    let stranger = TestRealm::new("clinic");
    let forged = User { signer: stranger.signer("Provider") };
    assert_eq!(forged.identity(), provider.identity());
    let forged = forged.signer.sign(LEDGER, world.now(), body.clone());
    assert_eq!(refused(session.policies().set_policy(&forged).await).kind, Kind::Malformed);
    let old = provider.signer.sign(LEDGER, world.now() - 2 * 86400, body.clone());
    assert_kind(session.policies().set_policy(&old).await, Kind::Malformed, "seconds ago");
    for (edit, says) in [
        ((|p| p.terms.anyone = false) as fn(&mut SharingPolicy), "who"),
        (|p| p.information.title = String::new(), "title"),
        (|p| p.permission.access_times = AccessTimes::Times(0), "access times"),
        (
            |p| {
                p.information.key.address =
                    format!("https://evil.example/v1/keys/{}", p.information.key.id)
            },
            "no server",
        ),
        (
            |p| {
                let id = p.information.package.id;
                p.information.package.address =
                    format!("https://{STORAGE}.evil.example/v1/packages/{id}");
            },
            "no server",
        ),
        (|p| p.version = 2, "predecessor"),
    ] {
        let policy = world.policy(&provider, edit);
        let problem = refused(session.policies().set_policy(&policy).await);
        assert_eq!(problem.kind, Kind::Malformed, "{problem:?}");
        assert!(problem.to_string().contains(says) || says == "who", "{problem:?}");
    }
    assert_eq!(world.size().await, 0);
    // A share that exists belongs to its provider.
    session.policies().set_policy(&policy).await.unwrap();
    let taken = world.policy(&other, |p| p.share = policy.body().share);
    world.keys.keys.lock().unwrap().get_mut(&taken.body().information.key.id).unwrap().1.share =
        Some(policy.body().share);
    let problem = refused(world.as_user(&other).policies().set_policy(&taken).await);
    assert_eq!(problem.refusal, Some(Refusal::Owner));
}

#[tokio::test]
async fn mg_7_suspend_resume_and_revoke_take_effect() {
    let world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let (session, reader) = (world.as_user(&provider), world.as_user(&consumer));
    let first = world.published(&provider, |_| {}).await;
    let share = first.body().share;
    let owner = session.policies().shares(Page::first()).await.unwrap()[0].receipt.owner.clone();
    let request = world.request(&consumer, &first);
    let granted = reader.accesses().request_access(&request).await.unwrap();

    let suspended = world.successor(&provider, &first, |p| p.state = ShareState::Suspended);
    // Stopping access does not hang on the other servers.
    *world.keys.away.lock().unwrap() = Some(Problem::new(Kind::Unavailable, "away"));
    session.policies().set_policy(&suspended).await.unwrap();
    *world.keys.away.lock().unwrap() = None;
    let refused_now =
        refused(reader.accesses().request_access(&world.request(&consumer, &suspended)).await);
    assert_eq!(refused_now.refusal, Some(Refusal::Suspended));
    assert_eq!(
        reader.catalog().catalog_entry(&share, &Purpose::default()).await.unwrap().refusal,
        Some(Refusal::Suspended)
    );
    let token =
        world.as_server(KEYS).tokens().introspect(&token_form(&granted.token)).await.unwrap();
    assert!(!token.active);

    let resumed = world.successor(&provider, &suspended, |p| p.state = ShareState::Active);
    let receipt = session.policies().set_policy(&resumed).await.unwrap();
    assert_eq!((receipt.version, receipt.owner), (3, owner));
    let superseded =
        refused(reader.accesses().request_access(&world.request(&consumer, &first)).await);
    assert_eq!(superseded.refusal, Some(Refusal::Superseded));
    assert_eq!(
        reader
            .accesses()
            .request_access(&world.request(&consumer, &resumed))
            .await
            .unwrap()
            .record
            .access,
        2
    );

    let skipped = world.successor(&provider, &resumed, |p| p.version = 7);
    let problem = refused(session.policies().set_policy(&skipped).await);
    assert_eq!(
        (problem.kind, problem.refusal),
        (Kind::Conflict, Some(Refusal::Version { expected: 4 }))
    );
    let revoked = world.successor(&provider, &resumed, |p| p.state = ShareState::Revoked);
    session.policies().set_policy(&revoked).await.unwrap();
    let again = world.successor(&provider, &revoked, |p| p.state = ShareState::Active);
    assert_eq!(
        refused(session.policies().set_policy(&again).await).refusal,
        Some(Refusal::Revoked)
    );
    assert_eq!(
        reader.catalog().catalog_entry(&share, &Purpose::default()).await.unwrap().refusal,
        Some(Refusal::Revoked)
    );
    assert!(reader.catalog().catalog(&CatalogQuery::default()).await.unwrap().is_empty());
    // What was granted is still told to who was granted it, with no more life than it had.
    assert_eq!(reader.accesses().request_access(&request).await.unwrap().record, granted.record);
    assert_eq!(world.count("intent").await, 0);
    let versions: Vec<_> =
        world.keys.shown.lock().unwrap().iter().map(|s| s.policy.body().version).collect();
    assert_eq!(versions, [1, 3, 4]);
}

#[tokio::test]
async fn a_share_is_set_once_however_many_ask_at_once() {
    let world = World::new().await;
    let provider = world.provider().await;
    let policy = world.policy(&provider, |_| {});
    let session = world.as_user(&provider).policies();
    let answers =
        futures_util::future::join_all((0..20).map(|_| session.set_policy(&policy))).await;
    let first = answers[0].clone().unwrap();
    assert!(answers.into_iter().all(|answer| answer.unwrap() == first));
    assert_eq!(
        (world.size().await, world.count("intent").await, world.count("publication").await),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn a_share_is_revoked_though_its_key_server_is_gone() {
    let mut world = World::new().await;
    let provider = world.provider().await;
    let policy = world.published(&provider, |_| {}).await;
    let path = world.dir.path().join("management.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let moved = config
        .replace(&format!("url = \"https://{KEYS}\""), &format!("url = \"https://{KEYS}:8443\""));
    assert_ne!(config, moved);
    std::fs::write(&path, moved).unwrap();
    world.open(|log| log).await;
    let session = world.as_user(&provider);
    let updated = world.successor(&provider, &policy, |p| p.information.title = "New".to_owned());
    assert_kind(session.policies().set_policy(&updated).await, Kind::Malformed, "no server");
    let revoked = world.successor(&provider, &policy, |p| p.state = ShareState::Revoked);
    assert_eq!(session.policies().set_policy(&revoked).await.unwrap().version, 2);
}

#[tokio::test]
async fn mg_12_certificates_of_the_servers_are_read_again() {
    let world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let policy = world.published(&provider, |_| {}).await;
    let session = world.as_user(&consumer);
    let before =
        session.accesses().request_access(&world.request(&consumer, &policy)).await.unwrap();
    let path = world.dir.path().join("server.pem");
    std::fs::write(&path, "no certificate").unwrap();
    assert!(matches!(world.management().reload(), Err(OpenError::Configuration(_))));
    let renewed = keys::to_pem("CERTIFICATE", &world.servers.signer("server").chain()[0]);
    std::fs::write(&path, format!("a comment\n{}", *renewed)).unwrap();
    world.management().reload().unwrap();
    let after =
        session.accesses().request_access(&world.request(&consumer, &policy)).await.unwrap();
    assert_ne!(after.key_server_certificate, before.key_server_certificate);
    assert_eq!(after.key_server_certificate, *renewed);
}
