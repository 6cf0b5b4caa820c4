//! Notifications are kept until they are acknowledged.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::management::tests::*;

#[tokio::test]
async fn us_5_a_notification_is_kept_until_it_is_acknowledged() {
    let world = World::new().await;
    let (provider, other) = (world.provider().await, world.consumer("Other").await);
    for _ in 0..3 {
        world.published(&provider, |_| {}).await;
    }
    let (open, all) = (NotificationQuery::default(), NotificationQuery { after: None, all: true });
    let session = world.as_user(&provider);
    let told = session.notifications().notifications(&open).await.unwrap();
    assert_eq!(told.len(), 3);
    // A user's acknowledgement does not count for another.
    world
        .as_user(&other)
        .notifications()
        .acknowledge(&Acknowledged { sequence: told[2].sequence })
        .await
        .unwrap();
    session
        .notifications()
        .acknowledge(&Acknowledged { sequence: told[1].sequence })
        .await
        .unwrap();
    assert_eq!(session.notifications().notifications(&open).await.unwrap(), told[2..]);
    assert_eq!(session.notifications().notifications(&all).await.unwrap(), told);
    // A year later the acknowledged ones are gone, the other is not.
    world.pass(366 * 24 * 60 * 60);
    let policy = world.policy(&provider, |_| {});
    session.policies().set_policy(&policy).await.unwrap();
    let left = session.notifications().notifications(&all).await.unwrap();
    assert_eq!((left.len(), left[0].sequence), (2, told[2].sequence));
}
