//! The end of keys and users: what is destroyed, and what stays.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::key_server::{Keys as _, Releases as _};
use datapact_api::operation::Page;
use datapact_api::problem::Kind;
use datapact_api::user::{UserNotice, UserStatus, Users as _};
use datapact_core::permission::AccessTimes;
use datapact_local::testing::TestShare;
use datapact_server::key::KeyServer;
use datapact_store::StoreError;

use crate::rig::*;

#[tokio::test]
async fn ks_2_a_key_is_destroyed_when_the_retention_of_its_share_is_over() {
    let rig = Rig::new().await;
    let day = 24 * 60 * 60;
    let ended = rig.share(AccessTimes::Unlimited, 1).await;
    let mut lasting = rig.share(AccessTimes::Unlimited, 2).await;
    lasting.next(|policy| policy.permission.expires += 400 * day);
    rig.show(&lasting).await.unwrap();
    rig.record(&lasting.set().0);
    rig.replayed().await;
    let of = |share: &TestShare| share.policy.body().information.key.id;
    let left = ended.policy.body().permission.expires - rig.now();
    rig.advance(left + 89 * day);
    let service = rig.reopen(&config(rig.dir.path())).await.unwrap();
    let keys = async |service: &Arc<KeyServer>, share: &TestShare| {
        service.keys(caller(&share.provider.signer)).key_status(&of(share)).await
    };
    keys(&service, &ended).await.unwrap();
    drop(service);
    rig.advance(2 * day);
    let service = rig.reopen(&config(rig.dir.path())).await.unwrap();
    while keys(&service, &ended).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    check_refused(keys(&service, &ended).await, Kind::NotFound, "no key");
    keys(&service, &lasting).await.unwrap();
}

/// Issue 13, point 5: the notice comes after the checks of a release and before its record.
#[tokio::test]
async fn mg_1_a_user_who_is_disabled_while_a_release_waits_gets_no_key() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 3).await;
    let consumer = rig.fixture.consumer("Leaver");
    let access = rig.access(&share, &consumer);
    rig.replayed().await;
    let asked = rig.ask(&access, &consumer);
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let store = rig.service.database().clone();
    let writer = tokio::spawn(async move {
        let hold = store.write(move |_| {
            let _ = begun.send(());
            let _ = blocked.recv();
            Ok::<_, StoreError>(())
        });
        hold.await
    });
    begins.await.unwrap();
    let notice = UserNotice {
        identity: consumer.signer.identity().clone(),
        status: UserStatus::Disabled,
        sequence: 1,
    };
    let (management, as_consumer) = (rig.as_management(), rig.as_user(&consumer));
    let telling = tokio::spawn(async move { management.users().set_user(&notice).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let key = access.token.key;
    let asking = tokio::spawn(async move { as_consumer.releases().release(&key, &asked).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!telling.is_finished() && !asking.is_finished(), "both wait for the writer");
    drop(unblock);
    telling.await.unwrap().unwrap();
    check_refused(asking.await.unwrap(), Kind::Forbidden, "disabled");
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn mg_1_pr_1_a_disabled_user_gets_no_key_and_an_erased_one_leaves_a_mark_alone() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 3).await;
    let consumer = rig.fixture.consumer("Leaver");
    let access = rig.access(&share, &consumer);
    let tell = async |status, sequence| {
        let notice = UserNotice { identity: consumer.signer.identity().clone(), status, sequence };
        rig.as_management().users().set_user(&notice).await.unwrap();
    };
    rig.granted(&access, &consumer, 3).await;
    tell(UserStatus::Disabled, 1).await;
    rig.refused(&access, &consumer, Kind::Forbidden, "disabled").await;
    tell(UserStatus::Active, 2).await;
    rig.granted(&access, &consumer, 3).await;
    assert_eq!(
        rig.as_user(&share.provider)
            .releases()
            .releases(&share.id(), Page::first())
            .await
            .unwrap()
            .len(),
        2
    );
    tell(UserStatus::Erased, 3).await;
    assert_eq!(
        rig.as_user(&share.provider)
            .releases()
            .releases(&share.id(), Page::first())
            .await
            .unwrap()
            .len(),
        0
    );
    rig.refused(&access, &consumer, Kind::Forbidden, "disabled").await;
    // A user who comes again is known by a mark, and gets no second count whatever management says.
    tell(UserStatus::Active, 4).await;
    rig.refused(&access, &consumer, Kind::Forbidden, "an erased account of yours").await;
    let notice = UserNotice {
        identity: consumer.signer.identity().clone(),
        status: UserStatus::Erased,
        sequence: 9,
    };
    check_refused(
        rig.as_user(&consumer).users().set_user(&notice).await,
        Kind::Forbidden,
        MANAGEMENT,
    );
}
