//! What is left of a user who was erased.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::Eraser;
use crate::management::notice::Outbox;
use crate::management::policy::SignedPolicies;
use crate::management::tests::*;
use crate::users::Marker;

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
    let granted = world.as_user(&user).accesses().request_access(&request).await.unwrap();
    let report = UsageReport {
        share: policy.body().share,
        request: request.id(),
        action: datapact_core::document::UsageAction::Opened,
    };
    world
        .as_user(&user)
        .accesses()
        .report_usage(&user.signer.sign(LEDGER, world.now(), report))
        .await
        .unwrap();
    let id = world.as_user(&user).accounts().account().await.unwrap().id;
    assert!(holds(&world, "Leaving").await);

    // Deleted is disabled; within the retention it can be taken back.
    let deleted = world.delete(id, &user, false).await.unwrap();
    assert_eq!((deleted.active, deleted.erase_at), (false, Some(world.now() + 30 * 24 * 60 * 60)));
    let enable = AccountUpdate { active: Some(true), ..AccountUpdate::default() };
    assert_eq!(admin.accounts().update_account(&id, &enable).await.unwrap().erase_at, None);
    world.delete(id, &user, false).await.unwrap();
    eraser(&world).await.erase_due().await.unwrap();
    assert_eq!(admin.accounts().accounts(Page::first()).await.unwrap().len(), 3);

    world.delete(id, &user, true).await.unwrap();
    let salt = granted.consumer.salt.to_string();
    for needle in ["Leaving", request.as_str(), salt.as_str()] {
        assert!(!holds(&world, needle).await, "{needle}");
    }
    assert_eq!(admin.accounts().accounts(Page::first()).await.unwrap().len(), 2);
    // The key server is shown who asked for it; the statement names no erased user, and stays.
    let told = world.keys.told.lock().unwrap().last().unwrap().clone();
    assert_eq!((told.status, &told.identity), (UserStatus::Erased, &user.identity()));
    let given = told.authorisation.unwrap();
    assert_eq!(given.statement.body().content, Some(given.deletion.digest()));
    assert_eq!(given.deletion.identity, user.identity());
    assert!(holds(&world, given.statement.as_str()).await);

    // The ledger stays, and its provider learns that it is no secret access.
    assert_eq!(world.size().await, 3);
    let erasures =
        world.as_user(&provider).accesses().erasures(&RecordQuery::default()).await.unwrap();
    assert_eq!(
        erasures.iter().map(|e| e.position).collect::<Vec<_>>(),
        [granted.position, granted.position + 1]
    );
    assert!(
        world
            .as_user(&provider)
            .accesses()
            .accesses(&RecordQuery::default())
            .await
            .unwrap()
            .is_empty()
    );

    // A user who comes again gets another account, and no second access on the live share.
    let again = world.consumer("Leaving").await;
    assert_ne!(world.as_user(&again).accounts().account().await.unwrap().id, id);
    let second =
        world.as_user(&again).accesses().request_access(&world.request(&again, &policy)).await;
    assert_kind(second, Kind::Forbidden, "an erased account of yours");
    assert_eq!(world.count("tombstone").await, 1);
    world.pass(3601);
    eraser(&world).await.erase_due().await.unwrap();
    assert_eq!(world.count("tombstone").await, 0, "the share has ended");
}

#[tokio::test]
async fn pr_1_an_erased_provider_leaves_no_share_and_its_consumers_their_records() {
    let world = World::new().await;
    let provider = world.provider().await;
    let (user, named) = (world.consumer("User").await, world.consumer("Named").await);
    let policy = world.published(&provider, |_| {}).await;
    world.as_user(&user).accesses().request_access(&world.request(&user, &policy)).await.unwrap();
    // Another provider's live policy names a user who is erased: its salt stays with that policy
    // until it ends.
    let other = world.joined(&world.lab, "Other", Role::User, Attributes::default()).await;
    let naming = world
        .published(&other, |p| {
            p.terms = Terms { users: BTreeSet::from([named.identity()]), ..Terms::default() };
        })
        .await;
    for user in [&provider, &named] {
        let id = world.as_user(user).accounts().account().await.unwrap().id;
        world.delete(id, user, true).await.unwrap();
    }
    let catalog = world.as_user(&user).catalog().catalog(&CatalogQuery::default()).await.unwrap();
    assert_eq!(catalog.iter().map(|entry| entry.share).collect::<Vec<_>>(), [naming.body().share]);
    assert!(!holds(&world, "CN=Provider").await);
    let refused_access =
        world.as_user(&user).accesses().request_access(&world.request(&user, &policy)).await;
    assert_eq!(refused(refused_access).kind, Kind::NotFound);
    assert_eq!(
        world.as_user(&user).accesses().accesses(&RecordQuery::default()).await.unwrap().len(),
        1
    );
    let own = world.as_user(&other).policies().shares(Page::first()).await.unwrap();
    assert_eq!(own[0].receipt.users.len(), 1);
    world.pass(3601);
    eraser(&world).await.erase_due().await.unwrap();
    let own = world.as_user(&other).policies().shares(Page::first()).await.unwrap();
    assert!(own[0].receipt.users.is_empty(), "the share has ended, and so has the salt");

    // Of its accesses to what an erased provider had shared, too.
    let id = world.as_user(&user).accounts().account().await.unwrap().id;
    world.delete(id, &user, true).await.unwrap();
    assert!(!holds(&world, "CN=User").await);
}

/// What erases in this management.
async fn eraser(world: &World) -> Eraser {
    let base = &world.management().base;
    let outbox = Arc::new(Outbox::new(
        base.store.clone(),
        Arc::clone(&base.peers),
        Arc::clone(&base.clock),
        base.erasures.clone(),
    ));
    let policies = Arc::new(SignedPolicies::new(base.store.clone()));
    Eraser::new(base, Marker::open(&base.store).await.unwrap(), outbox, policies)
}

/// Whether management's database holds `needle` anywhere, as text or in binary.
async fn holds(world: &World, needle: &str) -> bool {
    let all = everything(world).await;
    all.contains(needle) || all.contains(&hex::encode_upper(needle))
}

/// Everything that management's database holds, as text, with binary columns in hexadecimal.
async fn everything(world: &World) -> String {
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut all = String::new();
    for table in world.rows(tables.to_owned()).await {
        let table = table.text(0).unwrap();
        let columns = world.rows(format!("SELECT name FROM pragma_table_info('{table}')")).await;
        let columns: Vec<String> =
            columns.iter().map(|row| format!("quote(\"{}\")", row.text(0).unwrap())).collect();
        let columns = columns.join(" || ' ' || ");
        for row in world.rows(format!("SELECT {columns} FROM \"{table}\"")).await {
            all.push_str(&row.text(0).unwrap());
            all.push('\n');
        }
    }
    all
}
