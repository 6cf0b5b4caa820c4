//! The end of keys and users: what is destroyed, and what stays.

use std::sync::Arc;
use std::time::Duration;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datapact_api::key_server::{Keys as _, Releases as _};
use datapact_api::operation::Page;
use datapact_api::problem::Kind;
use datapact_api::user::{Authorisation, Deletion, UserNotice, UserStatus, Users as _};
use datapact_core::document::Statement;
use datapact_core::id::AccountId;
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::permission::AccessTimes;
use datapact_local::testing::{TestShare, TestUser};
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
        authorisation: None,
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

/// The notice that `user` was erased, by a statement that `by` signed of the deletion of `of`.
fn erased(rig: &Rig, user: &TestUser, sequence: u64, by: &Signer, of: &Identity) -> UserNotice {
    let deletion = Deletion::of(of.clone(), true);
    let (method, target) = ("POST".to_owned(), Deletion::target(&AccountId::random()));
    let statement = Statement { method, target, content: Some(deletion.digest()) };
    let statement = by.sign(MANAGEMENT, rig.now(), statement);
    UserNotice {
        identity: user.signer.identity().clone(),
        status: UserStatus::Erased,
        sequence,
        authorisation: Some(Authorisation { deletion, statement }),
    }
}

fn told(user: &TestUser, status: UserStatus, sequence: u64) -> UserNotice {
    let identity = user.signer.identity().clone();
    UserNotice { identity, status, sequence, authorisation: None }
}

#[tokio::test]
async fn mg_1_pr_1_a_disabled_user_gets_no_key_and_an_erased_one_leaves_a_mark_alone() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 3).await;
    let (consumer, admin) = (rig.fixture.consumer("Leaver"), rig.fixture.consumer("Admin"));
    let access = rig.access(&share, &consumer);
    let tell = async |notice| rig.as_management().users().set_user(&notice).await;
    let provider = rig.as_user(&share.provider).releases();
    let releases = async || provider.releases(&share.id(), Page::first()).await.unwrap().len();
    let identity = consumer.signer.identity();
    rig.granted(&access, &consumer, 3).await;
    tell(told(&consumer, UserStatus::Disabled, 1)).await.unwrap();
    rig.refused(&access, &consumer, Kind::Forbidden, "disabled").await;
    tell(told(&consumer, UserStatus::Active, 2)).await.unwrap();
    rig.granted(&access, &consumer, 3).await;
    assert_eq!(releases().await, 2);

    // Management alone erases nothing: not without a statement, not by one of another user's
    // deletion, of another call, of the future, or by a user who is no administrator here.
    let (other, by) = (rig.fixture.consumer("Other"), &share.provider.signer);
    let mut elsewhere = erased(&rig, &consumer, 3, &admin.signer, identity);
    let mut late = elsewhere.clone();
    let given = elsewhere.authorisation.as_mut().unwrap();
    let statement = Statement { method: "DELETE".to_owned(), ..given.statement.body().clone() };
    given.statement = admin.signer.sign(MANAGEMENT, rig.now(), statement);
    let given = late.authorisation.as_mut().unwrap();
    let statement = given.statement.body().clone();
    given.statement = admin.signer.sign(MANAGEMENT, rig.now() + 61, statement);
    for (notice, why) in [
        (told(&consumer, UserStatus::Erased, 3), "no statement"),
        (erased(&rig, &consumer, 3, &admin.signer, other.signer.identity()), "another user"),
        (elsewhere, "another call"),
        (late, "of the future"),
        (erased(&rig, &consumer, 3, by, identity), "no administrator"),
    ] {
        check_refused(tell(notice).await, Kind::Forbidden, why);
    }
    assert_eq!(releases().await, 2);
    rig.granted(&access, &consumer, 3).await;
    assert_eq!(releases().await, 3);

    // An administrator's statement may be old when the retention is over.
    let notice = erased(&rig, &consumer, 3, &admin.signer, identity);
    let request = access.request.id();
    rig.advance(40);
    tell(notice.clone()).await.unwrap();
    tell(notice.clone()).await.unwrap();
    assert_eq!(releases().await, 0);
    let left = provider.erased_releases(&share.id(), Page::first()).await.unwrap();
    assert_eq!(left.len(), 3);
    for release in &left {
        assert_eq!(release.erasure.body().request, request);
        let statement = release.statement.as_ref().unwrap();
        assert_eq!(statement.id(), release.erasure.body().statement);
        assert_eq!(statement.signer(), admin.signer.identity());
        for document in [release.erasure.as_str(), statement.as_str()] {
            let payload = document.split('.').nth(1).unwrap();
            let text = base64::Engine::decode(&URL_SAFE_NO_PAD, payload).unwrap();
            assert!(!String::from_utf8(text).unwrap().contains("Leaver"));
        }
    }
    let page = Page::after(left[1].erasure.body().key_request);
    assert_eq!(provider.erased_releases(&share.id(), page).await.unwrap(), left[2..]);
    rig.refused(&access, &consumer, Kind::Forbidden, "disabled").await;
    // A user who comes again is known by a mark, and gets no second count whatever management says.
    tell(told(&consumer, UserStatus::Active, 4)).await.unwrap();
    rig.refused(&access, &consumer, Kind::Forbidden, "an erased account of yours").await;
    // A statement is good for one erasure.
    let again = UserNotice { sequence: 5, ..notice };
    check_refused(tell(again.clone()).await, Kind::Forbidden, "used before");
    let by_user = rig.as_user(&consumer).users().set_user(&again).await;
    check_refused(by_user, Kind::Forbidden, MANAGEMENT);
    // Users may ask for their own erasure.
    tell(erased(&rig, &consumer, 6, &consumer.signer, identity)).await.unwrap();
}
