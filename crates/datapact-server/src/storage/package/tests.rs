//! Packages, registered, sent and deleted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use crate::storage::tests::*;

#[tokio::test]
async fn ds_1_a_package_is_stored_and_its_provider_notified() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let at = as_alice.packages().register_package().await.unwrap();
    assert_eq!(at.address, format!("https://storage.test:9443/v1/packages/{}", at.id));
    assert!(!as_alice.packages().package_status(&at.id).await.unwrap().stored);
    let bytes = package(&alice, at.id, 100_000);
    let status =
        as_alice.uploads().upload(&at.id, bytes.len() as u64, pieces(&bytes)).await.unwrap();
    assert!(status.stored);
    assert_eq!(status.size, Some(bytes.len() as u64));
    assert_eq!(bench.management().packages().package_status(&at.id).await.unwrap(), status);
}

#[tokio::test]
async fn ds_2_a_package_is_sent_whole_and_by_range() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let id = as_alice.packages().register_package().await.unwrap().id;
    let bytes = package(&alice, id, 50_000);
    as_alice.uploads().upload(&id, bytes.len() as u64, pieces(&bytes)).await.unwrap();
    let bob = bench.as_user(bench.lab.signer("bob").identity());
    assert_eq!(all(bob.packages().download(&id, None).await.unwrap()).await, bytes);
    let part = bob
        .packages()
        .download(&id, Some(ByteRange { first: 100, last: Some(199) }))
        .await
        .unwrap();
    assert_eq!((part.first, part.length, part.size), (100, 100, bytes.len() as u64));
    assert_eq!(all(part).await, bytes[100..200]);
    let rest =
        bob.packages().download(&id, Some(ByteRange { first: 50_000, last: None })).await.unwrap();
    assert_eq!(all(rest).await, bytes[50_000..]);
    let beyond = bob
        .packages()
        .download(&id, Some(ByteRange { first: 1 << 40, last: None }))
        .await
        .err()
        .unwrap();
    assert_eq!(beyond.kind, Kind::Malformed);
}

#[tokio::test]
async fn ds_1_a_package_that_nobody_publishes_is_forgotten_and_a_published_one_kept() {
    let mut bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = as_alice.packages().register_package().await.unwrap().id;
        let bytes = package(&alice, id, 1_000);
        as_alice.uploads().upload(&id, bytes.len() as u64, pieces(&bytes)).await.unwrap();
        ids.push(id);
    }
    bench.management().packages().package_status(&ids[1]).await.unwrap();
    std::fs::write(bench.folder.path().join("data/packages/left-by-a-kill"), b"x").unwrap();
    bench.reopen().await;
    assert_eq!(bench.objects(), 2, "what a killed upload left is deleted at the start");
    bench.now.fetch_add(24 * 60 * 60 + 1, Ordering::Relaxed);
    bench.service.services.users.tidying.tidy().await.unwrap();
    assert_eq!(bench.objects(), 1);
    let as_alice = bench.as_user(alice.identity());
    assert_eq!(as_alice.packages().package_status(&ids[0]).await.unwrap_err().kind, Kind::NotFound);
    assert!(as_alice.packages().package_status(&ids[1]).await.unwrap().stored);
}

#[tokio::test]
async fn ds_2_servers_do_not_fetch_packages() {
    let bench = Bench::new().await;
    let refused =
        bench.management().packages().download(&PackageId::random(), None).await.err().unwrap();
    assert_eq!(refused.kind, Kind::Forbidden);
    assert_eq!(
        bench.management().packages().register_package().await.unwrap_err().kind,
        Kind::Forbidden
    );
}

#[tokio::test]
async fn a_package_registered_again_with_its_idempotency_key_is_the_same() {
    let bench = Bench::new().await;
    let (alice, bob) = (bench.clinic.signer("alice"), bench.lab.signer("bob"));
    let register = async |user: &Signer, key: Option<&str>| {
        bench.called(user.identity(), key).packages().register_package().await.unwrap()
    };
    let first = register(&alice, Some("a")).await;
    assert_eq!(register(&alice, Some("a")).await, first);
    let others = [
        register(&alice, Some("b")).await,
        register(&bob, Some("a")).await,
        register(&alice, None).await,
    ];
    assert!(others.iter().all(|package| package.id != first.id));
    assert_eq!(
        bench.as_user(alice.identity()).packages().packages(Page::first()).await.unwrap().len(),
        3
    );
}
