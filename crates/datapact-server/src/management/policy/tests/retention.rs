//! Packages of shares that have ended are deleted.

use crate::management::tests::*;

#[tokio::test]
async fn ds_3_packages_go_when_their_retention_is_over_and_not_before() {
    let world = World::new().await;
    let days = world.config().package_retention_days;
    let retention =
        crate::management::policy::retention::Retention::new(&world.management().base, days);
    let provider = world.provider().await;
    let day = 24 * 60 * 60;
    let lasting = |p: &mut SharingPolicy| p.permission.expires += 400 * day;
    let revoked = world.published(&provider, lasting).await;
    let expired = world.published(&provider, |_| {}).await;
    let kept = world.published(&provider, lasting).await;
    let replaced = world.published(&provider, lasting).await;
    let session = world.as_user(&provider);
    session
        .policies()
        .set_policy(&world.successor(&provider, &revoked, |p| p.state = ShareState::Revoked))
        .await
        .unwrap();
    // Another package, stored under the same share.
    let with_another = |policy: &Signed<SharingPolicy>| {
        let other = world.policy(&provider, |_| {});
        world
            .keys
            .keys
            .lock()
            .unwrap()
            .get_mut(&other.body().information.key.id)
            .unwrap()
            .1
            .share = Some(policy.body().share);
        world.successor(&provider, policy, |p| p.information = other.body().information.clone())
    };
    let next = with_another(&replaced);
    session.policies().set_policy(&next).await.unwrap();
    // A share that comes back to its first package.
    let returned = world.published(&provider, lasting).await;
    let between = with_another(&returned);
    session.policies().set_policy(&between).await.unwrap();
    let last = world
        .successor(&provider, &between, |p| p.information = returned.body().information.clone());
    session.policies().set_policy(&last).await.unwrap();

    let stored = |policy: &Signed<SharingPolicy>| {
        world.storage.packages.lock().unwrap().contains_key(&policy.body().information.package.id)
    };
    let packages = [&revoked, &expired, &replaced, &between, &kept, &next, &last];
    world.pass(90 * day - 5);
    retention.delete_packages().await.unwrap();
    assert_eq!(packages.map(stored), [true; 7]);
    world.pass(3700);
    retention.delete_packages().await.unwrap();
    assert_eq!(packages.map(stored), [false, false, false, false, true, true, true]);
    retention.delete_packages().await.unwrap();
}
