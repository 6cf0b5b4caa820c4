//! With an honest management: what is granted, what is repeated, and what a withheld share does to
//! a storm of requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use datapact_api::key_server::{
    ReleaseKey, Releases as _, ShownPolicies as _, TokenRevocation, Withhold,
};
use datapact_api::operation::Page;
use datapact_api::problem::Kind;
use datapact_core::contract::Documents;
use datapact_core::document::KeyRequest;
use datapact_core::id::{Digest, ShareId};
use datapact_core::permission::AccessTimes;
use datapact_core::policy::ShareState;
use datapact_core::release::Recipient;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::{Ledger as _, tables};
use datapact_server::key::{RELEASES_MAX, witness_key};
use datapact_store::Store;

use crate::rig::*;

#[tokio::test]
async fn ks_4_a_recorded_access_gets_the_key() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Times(3), 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    rig.granted(&access, &consumer, 7).await;

    let released =
        rig.as_user(&share.provider).releases().releases(&share.id(), Page::first()).await.unwrap();
    assert_eq!(released.len(), 1);
    let (release, asked) = (&released[0].release, &released[0].key_request);
    release.verify(&rig.server_trust, LEDGER, rig.now()).unwrap();
    assert_eq!(release.body().request, access.request.id());
    assert_eq!(release.body().key_request, asked.id());
    assert_eq!(asked.signer(), consumer.signer.identity());
    check_refused(
        rig.as_user(&consumer).releases().releases(&share.id(), Page::first()).await,
        Kind::NotFound,
        "you keep no key",
    );
}

#[tokio::test]
async fn ks_4_on_a_real_embedded_ledger() {
    let rig = Rig::new().await;
    let witness = witness_key(&config(rig.dir.path()).server.data, KEYS).unwrap();
    assert_eq!(witness.public().to_string(), rig.service.witness_vkey());
    let store = Store::open(&rig.dir.path().join("ledger"), tables::MIGRATIONS).await.unwrap();
    let trust = rig.fixture.trust();
    let ledger = EmbeddedConfig {
        key: log_key(),
        witnesses: vec![witness.public().clone()],
        trust: Arc::new(move || Arc::clone(&trust)),
        clock: clock(&rig.time),
    };
    let ledger = Arc::new(EmbeddedLedger::open(store, ledger).await.unwrap());
    *rig.management.log.lock().unwrap() = ledger.clone();

    let mut share = rig.draft(AccessTimes::Times(1), 7).await;
    rig.show(&share).await.unwrap();
    let (call, documents) = share.set();
    ledger.execute(&call, &documents).await.unwrap();
    let consumer = rig.fixture.consumer("Consumer");
    let (call, documents) = share.request(&consumer);
    let receipt = ledger.execute(&call, &documents).await.unwrap();
    let Documents::Access { request, .. } = documents else { panic!() };
    let token = rig.token(&share, &consumer, &request, receipt.position);
    let access = TestAccess { request, token, recipient: Recipient::generate(), call };
    rig.granted(&access, &consumer, 7).await;

    // The ledger takes the cosignature of what was replayed.
    rig.replayed().await;
    let note = ledger.read("checkpoint").await.unwrap().unwrap();
    let cosigned = rig.cosigned(std::str::from_utf8(&note).unwrap()).await;
    ledger.add_cosignature(cosigned.as_bytes()).await.unwrap();

    let (call, documents) = share.next(|policy| policy.state = ShareState::Suspended);
    rig.as_user(&share.provider)
        .policies()
        .withhold(&Withhold { policy: share.policy.clone() })
        .await
        .unwrap();
    ledger.execute(&call, &documents).await.unwrap();
    rig.refused(&access, &consumer, Kind::Refused, "suspended").await;
}

#[tokio::test]
async fn ks_4_a_repeat_gets_the_same_answer_also_after_a_crash() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Times(1), 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    let (key, asked) = (access.token.key, rig.ask(&access, &consumer));
    let first = rig.as_user(&consumer).releases().release(&key, &asked).await.unwrap();
    let again = rig.as_user(&consumer).releases().release(&key, &asked).await.unwrap();
    assert_eq!(again, first);
    // The answer was lost in a crash after it had become durable.
    let reopened = rig.reopen(&config(rig.dir.path())).await.unwrap();
    let again = reopened.releases(caller(&consumer.signer)).release(&key, &asked).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(*access.recipient.open(&asked.key_request.id(), &again.sealed).unwrap(), [7; 32]);
    assert_eq!(first.release.body().sealed, first.sealed.digest());
    let releases =
        rig.as_user(&share.provider).releases().releases(&share.id(), Page::first()).await.unwrap();
    assert_eq!(releases.len(), 1, "a repeat is no second release");
    // Not for ever, and not for a share that was revoked meanwhile.
    rig.advance(301);
    check_refused(
        rig.as_user(&consumer).releases().release(&key, &asked).await,
        Kind::Forbidden,
        "expired",
    );
}

#[tokio::test]
async fn ks_4_a_lost_recipient_key_costs_no_access() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Times(1), 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let mut access = rig.access(&share, &consumer);
    for _ in 0..RELEASES_MAX {
        access.recipient = Recipient::generate();
        rig.granted(&access, &consumer, 7).await;
    }
    rig.refused(&access, &consumer, Kind::Busy, "was released 32 times").await;
    let releases =
        rig.as_user(&share.provider).releases().releases(&share.id(), Page::first()).await.unwrap();
    assert_eq!(releases.len() as u64, RELEASES_MAX, "each is on record");
}

#[tokio::test]
async fn mg_16_a_revoked_token_releases_nothing() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Times(3), 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let (access, other) = (rig.access(&share, &consumer), rig.access(&share, &consumer));
    let (key, asked) = (access.token.key, rig.ask(&access, &consumer));
    rig.as_user(&consumer).releases().release(&key, &asked).await.unwrap();
    let revocation = TokenRevocation { request: access.request.id(), until: rig.now() + 600 };
    for caller in
        [caller(&consumer.signer), caller(&share.provider.signer), server("storage.example")]
    {
        let refused = rig.called(caller).releases().revoke_token(&revocation).await;
        check_refused(refused, Kind::Forbidden, "only the server");
    }
    for _ in 0..2 {
        rig.as_management().releases().revoke_token(&revocation).await.unwrap();
    }
    // Neither a new key request nor a repeat of the one that was answered before; also after a
    // crash.
    rig.refused(&access, &consumer, Kind::Forbidden, "was revoked").await;
    check_refused(
        rig.as_user(&consumer).releases().release(&key, &asked).await,
        Kind::Forbidden,
        "was revoked",
    );
    let reopened = rig.reopen(&config(rig.dir.path())).await.unwrap();
    let again = reopened.releases(caller(&consumer.signer)).release(&key, &asked).await;
    check_refused(again, Kind::Forbidden, "was revoked");
    // Another access of the same consumer is not touched.
    rig.granted(&other, &consumer, 7).await;
}

#[tokio::test]
async fn an_access_under_the_terms_before_an_update_still_gets_the_key() {
    let rig = Rig::new().await;
    let mut share = rig.share(AccessTimes::Times(1), 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    share.next(|policy| policy.permission.access_times = AccessTimes::Times(9));
    rig.show(&share).await.unwrap();
    rig.granted(&access, &consumer, 7).await;
    rig.record(&share.set().0);
    rig.replayed().await;
    rig.granted(&access, &consumer, 7).await;
    rig.granted(&rig.access(&share, &consumer), &consumer, 7).await;
}

#[tokio::test]
async fn management_may_change_its_token_key() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    rig.granted(&access, &consumer, 7).await;
    tokio::time::sleep(std::time::Duration::from_millis(5100)).await;
    rig.management.token_keys.lock().unwrap().insert(0, token_key());
    rig.granted(&access, &consumer, 7).await;
}

#[tokio::test]
async fn a_recipient_that_is_no_key_is_refused() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumer = rig.fixture.consumer("Consumer");
    let access = rig.access(&share, &consumer);
    let asked = rig.ask(&access, &consumer);
    // The point of order 1: everybody would know the shared secret.
    let body = KeyRequest { recipient: Digest([0; 32]), ..asked.key_request.body().clone() };
    let asked = ReleaseKey { key_request: consumer.signer.sign(KEYS, rig.now(), body), ..asked };
    let answer = rig.as_user(&consumer).releases().release(&access.token.key, &asked).await;
    check_refused(answer, Kind::Malformed, "not a usable X25519 public key");
}

#[tokio::test]
async fn cosignatures_are_handed_in_again_until_they_are_taken() {
    let rig = Rig::new().await;
    let share = rig.share(AccessTimes::Unlimited, 7).await;
    rig.replayed().await;
    rig.management.reachable.store(false, Ordering::SeqCst);
    rig.record(&share.request(&rig.fixture.consumer("Consumer")).0);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    rig.management.reachable.store(true, Ordering::SeqCst);
    rig.cosigned(&rig.log.checkpoint()).await;
    // After a restart the newest is handed in again: it may not have arrived.
    rig.management.cosigned.lock().unwrap().clear();
    let _reopened = rig.reopen(&config(rig.dir.path())).await.unwrap();
    rig.cosigned(&rig.log.checkpoint()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_revocation_was_confirmed_no_storm_gets_a_key() {
    let rig = Arc::new(Rig::new().await);
    let mut share = rig.share(AccessTimes::Unlimited, 7).await;
    let consumers: Vec<_> =
        (0..16).map(|i| rig.fixture.consumer(&format!("Consumer {i}"))).collect();
    let accesses: Vec<_> = consumers.iter().map(|consumer| rig.access(&share, consumer)).collect();
    rig.replayed().await;
    let storm: Vec<_> = consumers
        .into_iter()
        .zip(accesses)
        .map(|(consumer, access)| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move {
                let (mut granted, mut refused) = (0_u64, 0);
                while refused < 5 && granted < RELEASES_MAX {
                    match rig.release(&access, &consumer).await {
                        Ok(_) => granted += 1,
                        Err(problem) if problem.kind == Kind::Refused => refused += 1,
                        Err(problem) => panic!("{problem}"),
                    }
                }
                granted
            })
        })
        .collect();
    let provider = rig.as_user(&share.provider);
    while count(&provider, &share.id()).await < 48 {
        tokio::task::yield_now().await;
    }
    share.next(|policy| policy.state = ShareState::Revoked);
    provider.policies().withhold(&Withhold { policy: share.policy.clone() }).await.unwrap();
    let at_success = count(&provider, &share.id()).await;
    let mut granted = 0;
    for task in storm {
        granted += task.await.unwrap();
    }
    let at_end = count(&provider, &share.id()).await;
    assert_eq!(at_end, at_success, "a key was released after the revocation was confirmed");
    assert_eq!(granted, at_end, "the answers are those on record");
    assert!(granted > 0 && granted < 16 * RELEASES_MAX, "{granted}: the storm was not one");
}

/// How many releases are on record, page by page.
async fn count(provider: &As, share: &ShareId) -> u64 {
    let (mut count, mut after) = (0, None);
    loop {
        let page = provider.releases().releases(share, Page { after }).await.unwrap();
        let Some(last) = page.last() else { return count };
        after = Some(last.key_request.id());
        count += page.len() as u64;
    }
}
