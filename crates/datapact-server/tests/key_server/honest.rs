//! With an honest management: what is granted, what is repeated, and what users may not do.

use datapact_api::problem::Kind;
use datapact_core::permission::AccessTimes;

use crate::rig::*;

#[tokio::test]
async fn ks_4_a_recorded_access_gets_the_key() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Times(3), 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    rig.granted(&access, &consumer, 7).await;

    let released = rig.as_user(&share.provider).releases(&share.id()).await.unwrap();
    assert_eq!(released.len(), 1);
    let (release, asked) = (&released[0].release, &released[0].key_request);
    release.verify(&rig.server_trust, LEDGER, rig.now()).unwrap();
    assert_eq!(release.body().request, access.request.id());
    assert_eq!(release.body().key_request, asked.id());
    assert_eq!(asked.signer(), consumer.signer.identity());
    check_refused(rig.as_user(&consumer).releases(&share.id()).await, Kind::NotFound, "you keep no key");
}
