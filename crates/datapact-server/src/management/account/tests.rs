//! Accounts and invitations.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::management::tests::*;

#[tokio::test]
async fn mg_1_accounts_are_invited_joined_updated_and_disabled() {
    let world = World::new().await;
    let admin = world.as_user(&world.admin);
    assert_eq!(admin.accounts().account().await.unwrap().role, Role::Administrator);
    let attributes = Attributes { country: Some("SE".parse().unwrap()), ..Attributes::default() };
    let user = world.joined(&world.lab, "User", Role::User, attributes.clone()).await;
    let account = world.as_user(&user).accounts().account().await.unwrap();
    assert_eq!((account.identity.clone(), account.role), (user.identity(), Role::User));
    assert_eq!(account.attributes, attributes);
    assert_eq!(admin.accounts().accounts(Page::first()).await.unwrap().len(), 2);
    assert_eq!(
        admin.accounts().join(&code("")).await.unwrap(),
        admin.accounts().account().await.unwrap()
    );

    let update = AccountUpdate { role: Some(Role::Consumer), ..AccountUpdate::default() };
    assert_kind(
        world.as_user(&user).accounts().update_account(&account.id, &update).await,
        Kind::Forbidden,
        "role",
    );
    let updated = admin.accounts().update_account(&account.id, &update).await.unwrap();
    assert_eq!(admin.accounts().account_of(&account.id).await.unwrap(), updated);
    assert_eq!((updated.role, updated.attributes), (Role::Consumer, attributes));
    assert_kind(
        world.as_user(&user).accounts().account_of(&account.id).await,
        Kind::Forbidden,
        "role",
    );
    assert_kind(
        admin.accounts().account_of(&AccountId::random()).await,
        Kind::NotFound,
        "no account",
    );
    assert_kind(
        admin.accounts().update_account(&AccountId::random(), &update).await,
        Kind::NotFound,
        "no account",
    );

    let update = AccountUpdate { active: Some(false), ..AccountUpdate::default() };
    assert!(!admin.accounts().update_account(&account.id, &update).await.unwrap().active);
    for result in [
        world.as_user(&user).accounts().account().await.map(drop),
        world.as_user(&user).catalog().catalog(&CatalogQuery::default()).await.map(drop),
        world.as_user(&user).catalog().publications(None).await.map(drop),
        world
            .as_user(&user)
            .notifications()
            .notifications(&NotificationQuery::default())
            .await
            .map(drop),
        world.as_user(&user).accesses().accesses(&RecordQuery::default()).await.map(drop),
        world.as_user(&user).log().info().await.map(drop),
    ] {
        assert_kind(result, Kind::Forbidden, "disabled");
    }
    let own = admin.accounts().account().await.unwrap().id;
    assert_kind(
        admin.accounts().update_account(&own, &update).await,
        Kind::Conflict,
        "demote or disable its own",
    );
}

#[tokio::test]
async fn mg_2_a_caller_without_an_account_is_told_to_join() {
    let world = World::new().await;
    let stranger = User { signer: world.lab.signer("Stranger") };
    let session = world.as_user(&stranger);
    let policy = world.policy(&stranger, |_| {});
    for result in [
        session.accounts().account().await.map(drop),
        session.log().info().await.map(drop),
        session.policies().set_policy(&policy).await.map(drop),
        session.accesses().request_access(&world.request(&stranger, &policy)).await.map(drop),
        session.catalog().catalog_entry(&policy.body().share, &Purpose::default()).await.map(drop),
        session.log().proof(0).await.map(drop),
        session.policies().shares(Page::first()).await.map(drop),
    ] {
        assert_kind(result, Kind::Forbidden, "join");
    }
    assert_kind(session.tokens().introspect(&token_form("x")).await, Kind::Forbidden, "servers");
    assert_kind(session.log().add_cosignature("x").await, Kind::Forbidden, "key servers");
    // Roles: who only shares cannot access, and the other way round; administrators do neither.
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let policy = world.published(&provider, |_| {}).await;
    for user in [&provider, &world.admin] {
        let result =
            world.as_user(user).accesses().request_access(&world.request(user, &policy)).await;
        assert_kind(result, Kind::Forbidden, "access data");
    }
    for user in [&consumer, &world.admin] {
        let result = world.as_user(user).policies().set_policy(&world.policy(user, |_| {})).await;
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
    let invitation = admin.accounts().invite(&new).await.unwrap();

    let users: Vec<_> =
        ["A", "B"].iter().map(|name| User { signer: world.lab.signer(name) }).collect();
    let outsider = User { signer: world.clinic.signer("Outsider") };
    let joined = world.as_user(&outsider).accounts().join(&code(&invitation.code)).await;
    assert_kind(joined, Kind::Forbidden, "another realm");
    assert_kind(
        world.as_user(&users[0]).accounts().join(&code("")).await,
        Kind::Forbidden,
        "no account",
    );
    assert_kind(
        world.as_user(&users[0]).accounts().join(&code("wrong")).await,
        Kind::Forbidden,
        "not valid",
    );
    let first = world.as_user(&users[0]).accounts().join(&code(&invitation.code)).await.unwrap();
    assert_eq!(
        world.as_user(&users[0]).accounts().join(&code(&invitation.code)).await.unwrap(),
        first
    );
    assert_kind(
        world.as_user(&users[1]).accounts().join(&code(&invitation.code)).await,
        Kind::Forbidden,
        "used",
    );
    // One identity, one account.
    let second = admin.accounts().invite(&new).await.unwrap();
    assert_kind(
        world.as_user(&users[0]).accounts().join(&code(&second.code)).await,
        Kind::Conflict,
        "already",
    );
    world.pass(60);
    assert_kind(
        world.as_user(&users[1]).accounts().join(&code(&second.code)).await,
        Kind::Forbidden,
        "expired",
    );
    for (realm, seconds) in [("lab", 0), ("lab", 31 * 86400), ("nowhere", 60), ("server", 60)] {
        let new = NewInvitation { realm: realm.to_owned(), seconds, ..new.clone() };
        assert_eq!(refused(admin.accounts().invite(&new).await).kind, Kind::Malformed);
    }
    // Only the code's digest is kept.
    for row in world.rows("SELECT code FROM invitation".to_owned()).await {
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
        datapact_log::clock::system_clock(),
    );
    assert!(matches!(second.await, Err(OpenError::InUse(_))));
    let keys = async |world: &World| {
        let log_key = world.submit().info().await.unwrap().log_key;
        (log_key, world.management().issuer.jwks())
    };
    let before = keys(&world).await;
    world.open(|log| log).await;
    assert_eq!(keys(&world).await, before);
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["log.key", "token.key"] {
        let mode =
            std::fs::metadata(world.config().server.data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(matches!(
        Keys::open(&world.config().server.data, "other/ledger"),
        Err(KeysError::Wrong(..))
    ));
}

#[tokio::test]
async fn mg_1_accounts_are_listed_page_by_page() {
    let world = World::new().await;
    let admin = world.as_user(&world.admin);
    let add = world.store().write(|tx| {
        for number in 0..450 {
            let sql = format!(
                "INSERT INTO account (id, identity, role, attributes, active, created) \
                 SELECT $1, 'lab:CN={number}', role, attributes, active, created \
                 FROM account LIMIT 1"
            );
            tx.run(sql, [text(AccountId::random())])?;
        }
        Ok::<_, StoreError>(())
    });
    add.await.unwrap();
    let (mut ids, mut sizes): (Vec<AccountId>, Vec<usize>) = Default::default();
    while sizes.last() != Some(&0) {
        let page = admin.accounts().accounts(Page { after: ids.last().copied() }).await.unwrap();
        sizes.push(page.len());
        ids.extend(page.iter().map(|account| account.id));
    }
    assert_eq!(sizes, [200, 200, 51, 0]);
    assert!(ids.is_sorted_by(|one, next| one < next));
}

#[tokio::test]
async fn mg_1_a_disabled_account_is_refused_by_all_servers_and_one_that_was_away_hears_of_it() {
    let world = World::new().await;
    let (admin, user) = (world.as_user(&world.admin), world.consumer("User").await);
    let id = world.as_user(&user).accounts().account().await.unwrap().id;
    let set = |active| AccountUpdate { active: Some(active), ..AccountUpdate::default() };
    let last = |told: &Mutex<Vec<UserNotice>>| {
        told.lock().unwrap().iter().rfind(|n| n.identity == user.identity()).map(|n| n.status)
    };
    admin.accounts().update_account(&id, &set(false)).await.unwrap();
    assert_eq!(
        (last(&world.keys.told), last(&world.storage.told)),
        (Some(UserStatus::Disabled), Some(UserStatus::Disabled))
    );
    admin.accounts().update_account(&id, &set(true)).await.unwrap();
    assert_eq!(last(&world.keys.told), Some(UserStatus::Active));

    *world.keys.away.lock().unwrap() = Some(Problem::new(Kind::Unavailable, "away"));
    assert_kind(
        admin.accounts().update_account(&id, &set(false)).await,
        Kind::Unavailable,
        "key:keys.example could not be told",
    );
    assert_kind(world.as_user(&user).accounts().account().await, Kind::Forbidden, "disabled");
    assert_eq!(
        last(&world.storage.told),
        Some(UserStatus::Disabled),
        "one that is away holds up no other"
    );
    *world.keys.away.lock().unwrap() = None;
    assert!(!admin.accounts().update_account(&id, &set(false)).await.unwrap().active);
    assert_eq!(last(&world.keys.told), Some(UserStatus::Disabled));
}

#[tokio::test]
async fn mg_1_a_management_restored_from_an_old_backup_is_believed_about_accounts() {
    let world = World::new().await;
    let (admin, user) = (world.as_user(&world.admin), world.consumer("User").await);
    let id = world.as_user(&user).accounts().account().await.unwrap().id;
    let set = |active| AccountUpdate { active: Some(active), ..AccountUpdate::default() };
    for active in [false, true, false] {
        admin.accounts().update_account(&id, &set(active)).await.unwrap();
    }
    // As the backup has it: the account is active, and the servers were told nothing.
    world.run("UPDATE account SET active = 1, noticed = 0").await;
    world.run("DELETE FROM action WHERE sequence > 2").await;
    world.pass(1);
    // It is active here, and now for the servers as well.
    for active in [true, false, true] {
        admin.accounts().update_account(&id, &set(active)).await.unwrap();
    }
    let told = world.keys.told.lock().unwrap();
    let of_user: Vec<_> = told.iter().filter(|notice| notice.identity == user.identity()).collect();
    assert!(of_user.is_sorted_by(|one, next| one.sequence < next.sequence), "{of_user:?}");
    let last: Vec<_> = of_user.iter().rev().take(3).map(|notice| notice.status).collect();
    assert_eq!(last, [UserStatus::Active, UserStatus::Disabled, UserStatus::Active]);
}

#[tokio::test]
async fn mg_1_actions_of_administrators_are_on_a_record_that_shows_changes() {
    let world = World::new().await;
    let (admin, user) = (world.as_user(&world.admin), world.consumer("User").await);
    let id = world.as_user(&user).accounts().account().await.unwrap().id;
    let update = AccountUpdate { role: Some(Role::User), ..AccountUpdate::default() };
    admin.accounts().update_account(&id, &update).await.unwrap();
    world.delete(id, &user, true).await.unwrap();
    let actions = admin.accounts().actions(Page::first()).await.unwrap();
    let deeds: Vec<&Deed> = actions.iter().map(|action| &action.record.deed).collect();
    assert!(
        matches!(
            deeds[..],
            [
                Deed::Configured,
                Deed::Invited { .. },
                Deed::Joined { .. },
                Deed::Updated { .. },
                Deed::Deleted { .. },
                Deed::Erased { .. }
            ]
        ),
        "{deeds:?}"
    );
    let own = admin.accounts().account().await.unwrap().id;
    assert_eq!(actions[3].record.actor, Some(own));
    assert_eq!(actions[3].statement.as_deref(), Some("a statement by clinic:CN=Admin"));
    assert_eq!(actions[2].statement, None, "the statement of an erased user is erased");
    assert_eq!(check_actions(None, &actions).unwrap().unwrap().0, 6);
    assert_eq!(admin.accounts().actions(Page::after(4)).await.unwrap().len(), 2);
    assert_kind(world.delete(own, &world.admin, false).await, Kind::Conflict, "its own account");
    let provider = world.provider().await;
    assert_kind(
        world.as_user(&provider).accounts().actions(Page::first()).await,
        Kind::Forbidden,
        "role",
    );
    assert_kind(
        world.delete_by(provider.caller(), own, &world.admin, true).await,
        Kind::Forbidden,
        "role",
    );
    world.run("UPDATE action SET record = REPLACE(record, 'consumer', 'user')").await;
    let actions = admin.accounts().actions(Page::first()).await.unwrap();
    assert!(check_actions(None, &actions).is_err());
}

#[tokio::test]
async fn mg_1_an_invitation_with_an_idempotency_key_is_made_once() {
    let world = World::new().await;
    let new = |role| NewInvitation {
        realm: "lab".to_owned(),
        role,
        attributes: Attributes::default(),
        seconds: 3600,
    };
    let invite = async |key: &str, role| {
        let caller = Caller { idempotency_key: Some(Arc::from(key)), ..world.admin.caller() };
        world.as_caller(caller).accounts().invite(&new(role)).await
    };
    let first = invite("one", Role::User).await.unwrap();
    world.pass(60);
    let again = invite("one", Role::User).await.unwrap();
    assert_eq!((&again.code, again.expires), (&first.code, first.expires));
    assert_kind(invite("one", Role::Provider).await, Kind::Conflict, "another invitation");
    let other = invite("two", Role::User).await.unwrap();
    let unmarked = world.as_user(&world.admin).accounts().invite(&new(Role::User)).await.unwrap();
    assert!(first.code != other.code && first.code != unmarked.code);
    assert_eq!(world.count("invitation").await, 3);
    let invited = world.as_user(&world.admin).accounts().actions(Page::first()).await.unwrap();
    let invited = invited.iter().filter(|a| matches!(a.record.deed, Deed::Invited { .. })).count();
    assert_eq!(invited, 3, "a repeat is no deed");
}

#[tokio::test]
async fn mg_1_an_account_is_changed_only_as_it_was_read() {
    let world = World::new().await;
    let user = world.consumer("Consumer").await;
    let read = world.as_user(&user).accounts().account().await.unwrap();
    let change = async |tag: &str, role| {
        let caller = Caller { if_match: Some(Arc::from(tag)), ..world.admin.caller() };
        let update = AccountUpdate { role: Some(role), ..AccountUpdate::default() };
        world.as_caller(caller).accounts().update_account(&read.id, &update).await
    };
    let changed = change(&read.entity_tag(), Role::User).await.unwrap();
    assert_ne!(changed.entity_tag(), read.entity_tag());
    assert_kind(
        change(&read.entity_tag(), Role::Provider).await,
        Kind::PreconditionFailed,
        "changed since",
    );
    let caller = Caller { if_match: Some(Arc::from(read.entity_tag())), ..world.admin.caller() };
    let deleted = world.delete_by(caller, read.id, &user, true).await;
    assert_kind(deleted, Kind::PreconditionFailed, "changed since");
    let another = world.delete(read.id, &world.provider().await, true).await;
    assert_kind(another, Kind::Conflict, "not that of the user");
    assert_eq!(world.as_user(&user).accounts().account().await.unwrap(), changed);
    change(&changed.entity_tag(), Role::Provider).await.unwrap();
}
