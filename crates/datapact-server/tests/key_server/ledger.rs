//! With a ledger that is old, forked, rolled back or breaks its rules: nothing is released.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use datapact_api::problem::Kind;
use datapact_api::public::Public as _;
use datapact_core::contract::{Call, SetPolicy};
use datapact_core::id::{Commitment, Digest, random};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_local::testing::{MemoryLog, TestShare};
use datapact_log::log_policy::LogPolicy;

use crate::rig::*;

#[tokio::test]
async fn a_stale_copy_releases_nothing() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    rig.granted(&access, &consumer, 7).await;
    rig.management.reachable.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    rig.refused(
        &access,
        &consumer,
        Kind::Unavailable,
        "cannot confirm that its copy of the ledger is current",
    )
    .await;
    check_refused(rig.service.health().await, Kind::Unavailable, "cannot confirm");
    rig.management.reachable.store(true, Ordering::SeqCst);
    rig.granted(&access, &consumer, 7).await;
    rig.service.health().await.unwrap();
}

#[tokio::test]
async fn an_old_record_releases_nothing() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let mut access = rig.access(&share, &consumer);
    rig.granted(&access, &consumer, 7).await;
    rig.advance(300);
    rig.refused(&access, &consumer, Kind::Forbidden, "has expired").await;
    // Management extends the token's life.
    access.token.exp += 300;
    rig.granted(&access, &consumer, 7).await;
    rig.advance(300);
    rig.refused(&access, &consumer, Kind::Forbidden, "has expired").await;
    (access.token.iat, access.token.exp) = (rig.now(), rig.now() + 300);
    rig.refused(&access, &consumer, Kind::Forbidden, "does not begin with its access record").await;
}

#[tokio::test]
async fn an_expired_policy_releases_nothing() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    rig.advance(3599);
    let access = rig.access(&share, &consumer);
    rig.granted(&access, &consumer, 7).await;
    rig.advance(1);
    rig.refused(&access, &consumer, Kind::Refused, "access ended").await;
}

/// Checks that `misbehave` stops the key server for good, for a reason that it says, in `says`.
async fn stops(says: &str, misbehave: impl AsyncFnOnce(&Rig, &TestShare)) {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    rig.granted(&access, &consumer, 7).await;
    misbehave(&rig, &share).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    rig.refused(&access, &consumer, Kind::Unavailable, says).await;
    check_refused(rig.service.health().await, Kind::Unavailable, "stopped releasing keys");
    // A restart, or a log that behaves again, changes nothing.
    rig.log.restore();
    let again = rig.reopen(&config(rig.dir.path())).await.unwrap();
    check_refused(again.health().await, Kind::Unavailable, says);
}

#[tokio::test]
async fn an_entry_that_the_contract_would_refuse_stops_releases() {
    let unshared = |rig: &Rig| rig.fixture.share(AccessTimes::Unlimited, |_| {});
    stops("the contract refuses it: there is no such share", async |rig, _| {
        let (call, _) = unshared(rig).request(&rig.fixture.consumer("Consumer"));
        rig.record(&call);
    })
    .await;
    stops("only the share's provider may set its policy", async |rig, share| {
        let set = call_of(share);
        let stolen = SetPolicy {
            version: 2,
            previous: Some(set.policy),
            policy: Digest(random()),
            owner: Commitment(random()),
            ..set
        };
        rig.record(&Call::SetPolicy(stolen));
    })
    .await;
}

#[tokio::test]
async fn a_backdated_record_is_not_taken_after_a_start_until_the_clock_is_put_right() {
    let mut rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    // A clock that jumps while the server runs is no measure of time; one that starts later is.
    rig.advance(200);
    let config = config(rig.dir.path());
    rig.service = rig.reopen(&config).await.unwrap();
    rig.service.health().await.unwrap();
    let (call, _) = share.request(&rig.fixture.consumer("Friend"));
    rig.record_at(&call, rig.now() - 100);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    check_refused(
        rig.service.health().await,
        Kind::Unavailable,
        "100 s behind this machine's clock",
    );
    // It may be that clock that is wrong, as it was here.
    rig.time.fetch_sub(100, Ordering::SeqCst);
    rig.service.health().await.unwrap();
}

#[tokio::test]
async fn a_fork_stops_releases() {
    stops("forked", async |rig, share| {
        let other = share.request(&rig.fixture.consumer("Other")).0;
        rig.log.edit(|entries| {
            entries.pop();
        });
        rig.record(&other);
    })
    .await;
}

#[tokio::test]
async fn a_rollback_stops_releases() {
    stops("rolled back", async |rig, _| {
        rig.log.edit(|entries| {
            entries.pop();
        });
    })
    .await;
}

#[tokio::test]
async fn a_fork_shown_only_to_the_provider_lacks_the_cosignature() {
    let rig = Rig::new().await;
    let mut share = rig.share(AccessTimes::Unlimited, 7).await;
    rig.service.health().await.unwrap();
    let vkey = rig.service.witness_vkey().parse().unwrap();
    let policy = LogPolicy::new(log_key().public(), &[vkey]).unwrap();
    let wanted = rig.log.checkpoint();
    let cosigned = rig.cosigned(&wanted).await;
    policy.open(cosigned.as_bytes()).unwrap();
    let (request, _) = share.request(&rig.fixture.consumer("Consumer"));
    // Management revokes on a branch that only the provider is shown.
    let branch = Arc::new(MemoryLog::new(log_key()));
    let mut entries = Vec::new();
    rig.log.edit(|all| entries = all.clone());
    branch.edit(|all| *all = entries);
    share.next(|policy| policy.state = ShareState::Revoked);
    let (call, _) = share.set();
    branch
        .edit(|all| all.push(datapact_log::entry::Entry::new(call, rig.now()).to_bytes().unwrap()));
    let shown = branch.checkpoint();
    assert!(policy.open(shown.as_bytes()).unwrap_err().to_string().contains("cosign"));
    // Asked to cosign it beside its own, the key server stops instead.
    rig.record(&request);
    rig.replayed().await;
    *rig.management.log.lock().unwrap() = branch;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    check_refused(rig.service.health().await, Kind::Unavailable, "forked");
    assert!(!rig.management.cosigned.lock().unwrap().iter().any(|note| note.starts_with(&shown)));
}
