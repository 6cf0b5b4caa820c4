use super::*;
use datapact_api::management::Deed;

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
    assert_eq!(admin.accounts(Page::first()).await.unwrap().len(), 2);
    assert_eq!(
        admin.join(&Join { code: String::new() }).await.unwrap(),
        admin.account().await.unwrap()
    );

    let update = AccountUpdate { role: Some(Role::Consumer), ..AccountUpdate::default() };
    assert_kind(
        world.as_user(&user).update_account(&account.id, &update).await,
        Kind::Forbidden,
        "role",
    );
    let updated = admin.update_account(&account.id, &update).await.unwrap();
    assert_eq!(admin.account_of(&account.id).await.unwrap(), updated);
    assert_eq!((updated.role, updated.attributes), (Role::Consumer, attributes));
    assert_kind(world.as_user(&user).account_of(&account.id).await, Kind::Forbidden, "role");
    assert_kind(admin.account_of(&AccountId::random()).await, Kind::NotFound, "no account");
    assert_kind(
        admin.update_account(&AccountId::random(), &update).await,
        Kind::NotFound,
        "no account",
    );

    let update = AccountUpdate { active: Some(false), ..AccountUpdate::default() };
    assert!(!admin.update_account(&account.id, &update).await.unwrap().active);
    for result in [
        world.as_user(&user).account().await.map(drop),
        world.as_user(&user).catalog(&CatalogQuery::default()).await.map(drop),
        world.as_user(&user).publications(None).await.map(drop),
        world.as_user(&user).notifications(&NotificationQuery::default()).await.map(drop),
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
        session.catalog_entry(&policy.body().share, &Purpose::default()).await.map(drop),
        session.proof(0).await.map(drop),
        session.shares(Page::first()).await.map(drop),
    ] {
        assert_kind(result, Kind::Forbidden, "join");
    }
    assert_kind(
        session.introspect(&TokenForm { token: "x".to_owned() }).await,
        Kind::Forbidden,
        "servers",
    );
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

    let users: Vec<_> =
        ["A", "B"].iter().map(|name| User { signer: world.lab.signer(name) }).collect();
    let outsider = User { signer: world.clinic.signer("Outsider") };
    let joined = world.as_user(&outsider).join(&Join { code: invitation.code.clone() }).await;
    assert_kind(joined, Kind::Forbidden, "another realm");
    assert_kind(
        world.as_user(&users[0]).join(&Join { code: String::new() }).await,
        Kind::Forbidden,
        "no account",
    );
    assert_kind(
        world.as_user(&users[0]).join(&Join { code: "wrong".to_owned() }).await,
        Kind::Forbidden,
        "not valid",
    );
    let first =
        world.as_user(&users[0]).join(&Join { code: invitation.code.clone() }).await.unwrap();
    assert_eq!(
        world.as_user(&users[0]).join(&Join { code: invitation.code.clone() }).await.unwrap(),
        first
    );
    assert_kind(
        world.as_user(&users[1]).join(&Join { code: invitation.code.clone() }).await,
        Kind::Forbidden,
        "used",
    );
    // One identity, one account.
    let second = admin.invite(&new).await.unwrap();
    assert_kind(
        world.as_user(&users[0]).join(&Join { code: second.code.clone() }).await,
        Kind::Conflict,
        "already",
    );
    world.pass(60);
    assert_kind(
        world.as_user(&users[1]).join(&Join { code: second.code.clone() }).await,
        Kind::Forbidden,
        "expired",
    );
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
        datapact_log::clock::system_clock(),
    );
    assert!(matches!(second.await, Err(OpenError::InUse(_))));
    let server = &world.server().server;
    let (log, jwks) = (server.ledger.info().await.unwrap().log_key, server.jwks());
    world.open(|log| log).await;
    let server = &world.server().server;
    assert_eq!((server.ledger.info().await.unwrap().log_key, server.jwks()), (log, jwks));
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["log.key", "token.key"] {
        let mode =
            std::fs::metadata(world.config().server.data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(matches!(
        super::super::Keys::open(&world.config().server.data, "other/ledger"),
        Err(KeysError::Wrong(..))
    ));
}

/// Whether management's database holds `needle` anywhere, as text or in binary.
async fn holds(world: &World, needle: &str) -> bool {
    let all = everything(world).await;
    all.contains(needle) || all.contains(&hex::encode_upper(needle))
}

#[tokio::test]
async fn mg_1_accounts_are_listed_page_by_page() {
    let world = World::new().await;
    let admin = world.as_user(&world.admin);
    world
        .server()
        .server
        .store
        .write(|tx| {
            Box::pin(async move {
                for number in 0..450 {
                    let sql = format!(
                        "INSERT INTO account (id, identity, role, attributes, active, created) \
                         SELECT $1, 'lab:CN={number}', role, attributes, active, created FROM account LIMIT 1"
                    );
                    schema::run(tx, &sql, [schema::text(AccountId::random())]).await?;
                }
                Ok::<_, failure::Failure>(())
            })
        })
        .await
        .unwrap();
    let (mut ids, mut sizes): (Vec<AccountId>, Vec<usize>) = Default::default();
    while sizes.last() != Some(&0) {
        let page = admin.accounts(Page { after: ids.last().copied() }).await.unwrap();
        sizes.push(page.len());
        ids.extend(page.iter().map(|account| account.id));
    }
    assert_eq!(sizes, [200, 200, 51, 0]);
    assert!(ids.is_sorted_by(|one, next| one < next));
}

/// Everything that management's database holds, as text, with binary columns in hexadecimal.
async fn everything(world: &World) -> String {
    let server = &world.server().server;
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut all = String::new();
    for table in schema::rows(server.store.read(), tables, []).await.unwrap() {
        let table = table.text(0).unwrap();
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns: Vec<String> = schema::rows(server.store.read(), columns, [])
            .await
            .unwrap()
            .iter()
            .map(|row| format!("quote(\"{}\")", row.text(0).unwrap()))
            .collect();
        let sql = format!("SELECT {} FROM \"{table}\"", columns.join(" || ' ' || "));
        for row in schema::rows(server.store.read(), sql, []).await.unwrap() {
            all.push_str(&row.text(0).unwrap());
            all.push('\n');
        }
    }
    all
}

#[tokio::test]
async fn mg_1_a_disabled_account_is_refused_by_all_servers_and_one_that_was_away_hears_of_it() {
    let world = World::new().await;
    let (admin, user) = (world.as_user(&world.admin), world.consumer("User").await);
    let id = world.as_user(&user).account().await.unwrap().id;
    let set = |active| AccountUpdate { active: Some(active), ..AccountUpdate::default() };
    let last = |told: &Mutex<Vec<UserNotice>>| {
        told.lock().unwrap().iter().rfind(|n| n.identity == user.identity()).map(|n| n.status)
    };
    admin.update_account(&id, &set(false)).await.unwrap();
    assert_eq!(
        (last(&world.keys.told), last(&world.storage.told)),
        (Some(UserStatus::Disabled), Some(UserStatus::Disabled))
    );
    admin.update_account(&id, &set(true)).await.unwrap();
    assert_eq!(last(&world.keys.told), Some(UserStatus::Active));

    *world.keys.away.lock().unwrap() = Some(Problem::new(Kind::Unavailable, "away"));
    assert_kind(
        admin.update_account(&id, &set(false)).await,
        Kind::Unavailable,
        "key:keys.example could not be told",
    );
    assert_kind(world.as_user(&user).account().await, Kind::Forbidden, "disabled");
    assert_eq!(
        last(&world.storage.told),
        Some(UserStatus::Disabled),
        "one that is away holds up no other"
    );
    *world.keys.away.lock().unwrap() = None;
    assert!(!admin.update_account(&id, &set(false)).await.unwrap().active);
    assert_eq!(last(&world.keys.told), Some(UserStatus::Disabled));
}

#[tokio::test]
async fn mg_1_a_management_restored_from_an_old_backup_is_believed_about_accounts() {
    let world = World::new().await;
    let (admin, user) = (world.as_user(&world.admin), world.consumer("User").await);
    let id = world.as_user(&user).account().await.unwrap().id;
    let set = |active| AccountUpdate { active: Some(active), ..AccountUpdate::default() };
    for active in [false, true, false] {
        admin.update_account(&id, &set(active)).await.unwrap();
    }
    // As the backup has it: the account is active, and the servers were told nothing.
    let store = &world.server().server.store;
    store
        .write(|tx| {
            Box::pin(async move {
                schema::run(tx, "UPDATE account SET active = 1, noticed = 0", []).await?;
                schema::run(tx, "DELETE FROM action WHERE sequence > 2", []).await?;
                Ok::<_, failure::Failure>(())
            })
        })
        .await
        .unwrap();
    world.pass(1);
    // It is active here, and now for the servers as well.
    for active in [true, false, true] {
        admin.update_account(&id, &set(active)).await.unwrap();
    }
    let told = world.keys.told.lock().unwrap();
    let of_user: Vec<_> = told.iter().filter(|notice| notice.identity == user.identity()).collect();
    assert!(of_user.is_sorted_by(|one, next| one.sequence < next.sequence), "{of_user:?}");
    let last: Vec<_> = of_user.iter().rev().take(3).map(|notice| notice.status).collect();
    assert_eq!(last, [UserStatus::Active, UserStatus::Disabled, UserStatus::Active]);
}

#[tokio::test]
async fn pr_1_a_deleted_account_is_erased_and_nothing_on_the_ledger_points_to_its_holder() {
    let world = World::new().await;
    let (admin, provider) = (world.as_user(&world.admin), world.provider().await);
    let user = world.consumer("Leaving").await;
    let policy = world
        .published(&provider, |p| {
            p.permission.access_times = datapact_core::permission::AccessTimes::Times(1)
        })
        .await;
    let request = world.request(&user, &policy);
    let granted = world.as_user(&user).request_access(&request).await.unwrap();
    let report = UsageReport {
        share: policy.body().share,
        request: request.id(),
        action: datapact_core::document::UsageAction::Opened,
    };
    world
        .as_user(&user)
        .report_usage(&user.signer.sign(LEDGER, world.now(), report))
        .await
        .unwrap();
    let id = world.as_user(&user).account().await.unwrap().id;
    assert!(holds(&world, "Leaving").await);

    // Deleted is disabled; within the retention it can be taken back.
    let deleted = admin.delete_account(&id, &Deletion { now: false }).await.unwrap();
    assert_eq!((deleted.active, deleted.erase_at), (false, Some(world.now() + 30 * 24 * 60 * 60)));
    let enable = AccountUpdate { active: Some(true), ..AccountUpdate::default() };
    assert_eq!(admin.update_account(&id, &enable).await.unwrap().erase_at, None);
    admin.delete_account(&id, &Deletion { now: false }).await.unwrap();
    world.server().server.erase_due().await.unwrap();
    assert_eq!(admin.accounts(Page::first()).await.unwrap().len(), 3);

    admin.delete_account(&id, &Deletion { now: true }).await.unwrap();
    let salt = granted.consumer.salt.to_string();
    for needle in ["Leaving", request.as_str(), salt.as_str()] {
        assert!(!holds(&world, needle).await, "{needle}");
    }
    assert_eq!(admin.accounts(Page::first()).await.unwrap().len(), 2);
    assert_eq!(world.keys.told.lock().unwrap().last().unwrap().status, UserStatus::Erased);

    // The ledger stays, and its provider learns that it is no secret access.
    assert_eq!(world.size().await, 3);
    let erasures = world.as_user(&provider).erasures(&RecordQuery::default()).await.unwrap();
    assert_eq!(
        erasures.iter().map(|e| e.position).collect::<Vec<_>>(),
        [granted.position, granted.position + 1]
    );
    assert!(world.as_user(&provider).accesses(&RecordQuery::default()).await.unwrap().is_empty());

    // Whoever comes again is another account, and gets no second access on the live share.
    let again = world.consumer("Leaving").await;
    assert_ne!(world.as_user(&again).account().await.unwrap().id, id);
    let second = world.as_user(&again).request_access(&world.request(&again, &policy)).await;
    assert_kind(second, Kind::Forbidden, "an erased account of yours");
    assert_eq!(world.count("tombstone").await, 1);
    world.pass(3601);
    world.server().server.erase_due().await.unwrap();
    assert_eq!(world.count("tombstone").await, 0, "the share has ended");
}

#[tokio::test]
async fn pr_1_an_erased_provider_leaves_no_share_and_its_consumers_their_records() {
    let world = World::new().await;
    let (admin, provider) = (world.as_user(&world.admin), world.provider().await);
    let (user, named) = (world.consumer("User").await, world.consumer("Named").await);
    let policy = world.published(&provider, |_| {}).await;
    world.as_user(&user).request_access(&world.request(&user, &policy)).await.unwrap();
    // Another provider's live policy names a user who is erased: its salt stays with that policy
    // until it ends.
    let other = world.joined(&world.lab, "Other", Role::User, Attributes::default()).await;
    let naming = world
        .published(&other, |p| {
            p.terms = Terms { users: BTreeSet::from([named.identity()]), ..Terms::default() };
        })
        .await;
    for user in [&provider, &named] {
        let id = world.as_user(user).account().await.unwrap().id;
        admin.delete_account(&id, &Deletion { now: true }).await.unwrap();
    }
    let catalog = world.as_user(&user).catalog(&CatalogQuery::default()).await.unwrap();
    assert_eq!(catalog.iter().map(|entry| entry.share).collect::<Vec<_>>(), [naming.body().share]);
    assert!(!holds(&world, "CN=Provider").await);
    let refused_access = world.as_user(&user).request_access(&world.request(&user, &policy)).await;
    assert_eq!(refused(refused_access).kind, Kind::NotFound);
    assert_eq!(world.as_user(&user).accesses(&RecordQuery::default()).await.unwrap().len(), 1);
    let own = world.as_user(&other).shares(Page::first()).await.unwrap();
    assert_eq!(own[0].receipt.users.len(), 1);
    world.pass(3601);
    world.server().server.erase_due().await.unwrap();
    let own = world.as_user(&other).shares(Page::first()).await.unwrap();
    assert!(own[0].receipt.users.is_empty(), "the share has ended, and so has the salt");
}

#[tokio::test]
async fn mg_1_what_administrators_do_stands_on_a_record_that_shows_changes() {
    use datapact_api::management::{Deed, check_actions};

    let world = World::new().await;
    let (admin, user) = (world.as_user(&world.admin), world.consumer("User").await);
    let id = world.as_user(&user).account().await.unwrap().id;
    let update = AccountUpdate { role: Some(Role::User), ..AccountUpdate::default() };
    admin.update_account(&id, &update).await.unwrap();
    admin.delete_account(&id, &Deletion { now: true }).await.unwrap();
    let actions = admin.actions(Page::first()).await.unwrap();
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
    let own = admin.account().await.unwrap().id;
    assert_eq!(actions[3].record.actor, Some(own));
    assert_eq!(actions[3].statement.as_deref(), Some("a statement by clinic:CN=Admin"));
    assert_eq!(actions[2].statement, None, "the statement of an erased user is erased");
    let zero = (0, Digest([0; 32]));
    assert_eq!(check_actions(zero, &actions).unwrap().0, 6);
    assert_eq!(admin.actions(Page::after(4)).await.unwrap().len(), 2);
    assert_kind(
        admin.delete_account(&own, &Deletion { now: false }).await,
        Kind::Conflict,
        "its own account",
    );
    let provider = world.provider().await;
    assert_kind(world.as_user(&provider).actions(Page::first()).await, Kind::Forbidden, "role");
    assert_kind(
        world.as_user(&provider).delete_account(&own, &Deletion { now: true }).await,
        Kind::Forbidden,
        "role",
    );
    let sql = "UPDATE action SET record = REPLACE(record, 'consumer', 'user')";
    let run = world
        .server()
        .server
        .store
        .write(move |tx| Box::pin(async move { schema::run(tx, sql, []).await }));
    run.await.unwrap();
    let actions = admin.actions(Page::first()).await.unwrap();
    assert!(check_actions(zero, &actions).is_err());
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
        world.arc().called(caller).invite(&new(role)).await
    };
    let first = invite("one", Role::User).await.unwrap();
    world.pass(60);
    let again = invite("one", Role::User).await.unwrap();
    assert_eq!((&again.code, again.expires), (&first.code, first.expires));
    assert_kind(invite("one", Role::Provider).await, Kind::Conflict, "another invitation");
    let other = invite("two", Role::User).await.unwrap();
    let unmarked = world.as_user(&world.admin).invite(&new(Role::User)).await.unwrap();
    assert!(first.code != other.code && first.code != unmarked.code);
    assert_eq!(world.count("invitation").await, 3);
    let invited = world.as_user(&world.admin).actions(Page::first()).await.unwrap();
    let invited = invited.iter().filter(|a| matches!(a.record.deed, Deed::Invited { .. })).count();
    assert_eq!(invited, 3, "a repeat is no deed");
}

#[tokio::test]
async fn mg_1_an_account_is_changed_only_as_it_was_read() {
    let world = World::new().await;
    let user = world.consumer("Consumer").await;
    let read = world.as_user(&user).account().await.unwrap();
    let change = async |tag: &str, role| {
        let caller = Caller { if_match: Some(Arc::from(tag)), ..world.admin.caller() };
        let update = AccountUpdate { role: Some(role), ..AccountUpdate::default() };
        world.arc().called(caller).update_account(&read.id, &update).await
    };
    let changed = change(&read.entity_tag(), Role::User).await.unwrap();
    assert_ne!(changed.entity_tag(), read.entity_tag());
    assert_kind(
        change(&read.entity_tag(), Role::Provider).await,
        Kind::PreconditionFailed,
        "changed since",
    );
    let caller = Caller { if_match: Some(Arc::from(read.entity_tag())), ..world.admin.caller() };
    let deleted =
        world.arc().called(caller).delete_account(&read.id, &Deletion { now: true }).await;
    assert_kind(deleted, Kind::PreconditionFailed, "changed since");
    assert_eq!(world.as_user(&user).account().await.unwrap(), changed);
    change(&changed.entity_tag(), Role::Provider).await.unwrap();
}
