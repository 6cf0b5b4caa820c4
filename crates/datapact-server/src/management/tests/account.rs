use super::*;

#[tokio::test]
async fn mg_1_accounts_are_invited_joined_updated_and_disabled() {
    let world = World::new().await;
    let admin = world.as_user(&world.admin);
    assert_eq!(admin.account().await.unwrap().role, Role::Administrator);
    let attributes = Attributes { country: Some("SE".parse().unwrap()), ..Attributes::default() };
    let user = world.joined(&world.lab, "User", Role::User, attributes.clone()).await;
    let account = world.as_user(&user).account().await.unwrap();
    assert_eq!((account.identity.clone(), account.role), (user.identity(), Role::User));
    assert_eq!(account.attributes, attributes);
    assert_eq!(admin.accounts().await.unwrap().len(), 2);
    assert_eq!(admin.join("").await.unwrap(), admin.account().await.unwrap());

    let update = AccountUpdate { role: Some(Role::Consumer), ..AccountUpdate::default() };
    assert_kind(world.as_user(&user).update_account(&account.id, &update).await, Kind::Forbidden, "role");
    let updated = admin.update_account(&account.id, &update).await.unwrap();
    assert_eq!((updated.role, updated.attributes), (Role::Consumer, attributes));
    assert_kind(admin.update_account(&AccountId::random(), &update).await, Kind::NotFound, "no account");

    let update = AccountUpdate { active: Some(false), ..AccountUpdate::default() };
    assert!(!admin.update_account(&account.id, &update).await.unwrap().active);
    for result in [
        world.as_user(&user).account().await.map(drop),
        world.as_user(&user).catalog(&CatalogQuery::default()).await.map(drop),
        world.as_user(&user).publications(None).await.map(drop),
        world.as_user(&user).notifications(0).await.map(drop),
        world.as_user(&user).accesses(&RecordQuery::default()).await.map(drop),
        world.as_user(&user).info().await.map(drop),
    ] {
        assert_kind(result, Kind::Forbidden, "disabled");
    }
    let own = admin.account().await.unwrap().id;
    assert_kind(admin.update_account(&own, &update).await, Kind::Conflict, "own office");
}

#[tokio::test]
async fn mg_2_a_caller_without_an_account_is_told_to_join() {
    let world = World::new().await;
    let stranger = User { signer: world.lab.signer("Stranger") };
    let session = world.as_user(&stranger);
    let policy = world.policy(&stranger, |_| {});
    for result in [
        session.account().await.map(drop),
        session.info().await.map(drop),
        session.set_policy(&policy).await.map(drop),
        session.request_access(&world.request(&stranger, &policy)).await.map(drop),
        session.catalog_entry(&policy.body().share, None).await.map(drop),
        session.proof(0).await.map(drop),
        session.shares().await.map(drop),
    ] {
        assert_kind(result, Kind::Forbidden, "join");
    }
    assert_kind(session.introspect("x").await, Kind::Forbidden, "servers");
    assert_kind(session.add_cosignature("x").await, Kind::Forbidden, "key servers");
    // Roles: who only shares cannot access, and the other way round; administrators do neither.
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let policy = world.published(&provider, |_| {}).await;
    for user in [&provider, &world.admin] {
        let result = world.as_user(user).request_access(&world.request(user, &policy)).await;
        assert_kind(result, Kind::Forbidden, "access data");
    }
    for user in [&consumer, &world.admin] {
        let result = world.as_user(user).set_policy(&world.policy(user, |_| {})).await;
        assert_kind(result, Kind::Forbidden, "share data");
    }
    assert_eq!(world.size().await, 1);
}

#[tokio::test]
async fn pr_10_an_invitation_works_once_in_its_time_for_its_realm() {
    let world = World::new().await;
    let admin = world.as_user(&world.admin);
    let new = NewInvitation {
        realm: "lab".to_owned(),
        role: Role::User,
        attributes: Attributes::default(),
        seconds: 60,
    };
    let invitation = admin.invite(&new).await.unwrap();
    let enrolment = &invitation.enrolment;
    assert_eq!(enrolment.realms.keys().collect::<Vec<_>>(), ["clinic", "lab", "server"]);
    assert!(enrolment.realms.values().all(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----\n")));
    assert!(enrolment.log_policy.parse::<LogPolicy>().is_ok());
    assert_eq!(enrolment.management.connect, Some("127.0.0.1:4430".parse().unwrap()));

    let users: Vec<_> = ["A", "B"].iter().map(|name| User { signer: world.lab.signer(name) }).collect();
    let outsider = User { signer: world.clinic.signer("Outsider") };
    let joined = world.as_user(&outsider).join(&invitation.code).await;
    assert_kind(joined, Kind::Forbidden, "another realm");
    assert_kind(world.as_user(&users[0]).join("").await, Kind::Forbidden, "no account");
    assert_kind(world.as_user(&users[0]).join("wrong").await, Kind::Forbidden, "not valid");
    let first = world.as_user(&users[0]).join(&invitation.code).await.unwrap();
    assert_eq!(world.as_user(&users[0]).join(&invitation.code).await.unwrap(), first);
    assert_kind(world.as_user(&users[1]).join(&invitation.code).await, Kind::Forbidden, "used");
    // One identity, one account.
    let second = admin.invite(&new).await.unwrap();
    assert_kind(world.as_user(&users[0]).join(&second.code).await, Kind::Conflict, "already");
    world.pass(60);
    assert_kind(world.as_user(&users[1]).join(&second.code).await, Kind::Forbidden, "expired");
    for (realm, seconds) in [("lab", 0), ("lab", 31 * 86400), ("nowhere", 60), ("server", 60)] {
        let new = NewInvitation { realm: realm.to_owned(), seconds, ..new.clone() };
        assert_eq!(refused(admin.invite(&new).await).kind, Kind::Malformed);
    }
    // Only the code's digest is kept.
    let sql = "SELECT code FROM invitation";
    for row in schema::rows(world.server().server.store.read(), sql, []).await.unwrap() {
        assert!(![&invitation.code, &second.code].contains(&&row.text(0).unwrap()));
    }
}

#[tokio::test]
async fn two_processes_never_share_a_data_folder_and_keys_stay() {
    let mut world = World::new().await;
    let config = world.config();
    let (keys, storage) = (BTreeMap::new(), BTreeMap::new());
    let second = ManagementServer::open(
        &config,
        Arc::new(|| trust(&[])),
        &keys,
        &storage,
        datapact_api::gate::system_clock(),
    );
    assert!(matches!(second.await, Err(OpenError::InUse(_))));
    let server = &world.server().server;
    let (log, jwks) = (server.ledger.info().await.unwrap().log_key, server.jwks());
    world.open(|log| log).await;
    let server = &world.server().server;
    assert_eq!((server.ledger.info().await.unwrap().log_key, server.jwks()), (log, jwks));
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["log.key", "token.key"] {
        let mode = std::fs::metadata(world.config().server.data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(matches!(Keys::open(&world.config().server.data, "other/ledger"), Err(KeysError::Wrong(..))));
}
