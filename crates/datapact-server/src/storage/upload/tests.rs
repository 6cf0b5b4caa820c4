//! Uploads, whole and in parts.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::storage::tests::*;

/// What arrives before the connection is cut.
fn cut(bytes: &[u8]) -> ByteStream {
    let end = stream::iter([Err(std::io::ErrorKind::ConnectionReset.into())]);
    pieces(bytes).chain(end).boxed()
}

impl Bench {
    fn uploads(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("data/uploads")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }
}

#[tokio::test]
async fn ds_1_an_upload_goes_on_where_it_was_cut_off() {
    let mut bench = Bench::new().await;
    let (alice, bob) = (bench.clinic.signer("alice"), bench.clinic.signer("bob"));
    let as_alice = bench.as_user(alice.identity());
    let id = as_alice.packages().register_package().await.unwrap().id;
    let bytes = package(&alice, id, 100_000);
    let size = bytes.len() as u64;
    let at = |offset| UploadOffset { offset, stored: false };
    assert_eq!(as_alice.uploads().upload_offset(&id).await.unwrap(), at(0));
    let problem = as_alice
        .uploads()
        .append(&id, &Part { offset: 0, size }, cut(&bytes[..40_000]))
        .await
        .unwrap_err();
    assert_eq!(problem.kind, Kind::Unavailable, "{problem}");
    assert_eq!(as_alice.uploads().upload_offset(&id).await.unwrap(), at(40_000));
    for wrong in [0, 39_999, 40_001] {
        let problem = as_alice
            .uploads()
            .append(&id, &Part { offset: wrong, size }, pieces(&bytes))
            .await
            .unwrap_err();
        assert_eq!(problem.kind, Kind::Conflict, "{problem}");
    }
    let other = bench.as_user(bob.identity());
    assert_eq!(other.uploads().upload_offset(&id).await.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(
        other
            .uploads()
            .append(&id, &Part { offset: 40_000, size }, pieces(&bytes[40_000..]))
            .await
            .unwrap_err()
            .kind,
        Kind::Forbidden
    );
    drop(as_alice);

    // What has arrived outlives the server.
    bench.reopen().await;
    let as_alice = bench.as_user(alice.identity());
    assert_eq!(as_alice.uploads().upload_offset(&id).await.unwrap(), at(40_000));
    let status = as_alice
        .uploads()
        .append(&id, &Part { offset: 40_000, size }, pieces(&bytes[40_000..70_000]))
        .await
        .unwrap();
    assert!(!status.stored);
    let status = as_alice
        .uploads()
        .append(&id, &Part { offset: 70_000, size }, pieces(&bytes[70_000..]))
        .await
        .unwrap();
    assert_eq!((status.stored, status.size), (true, Some(size)));
    assert_eq!(
        as_alice.uploads().upload_offset(&id).await.unwrap(),
        UploadOffset { offset: size, stored: true }
    );
    assert_eq!(
        as_alice
            .uploads()
            .append(&id, &Part { offset: 0, size }, pieces(&bytes))
            .await
            .unwrap_err()
            .kind,
        Kind::Conflict
    );
    assert_eq!(all(as_alice.packages().download(&id, None).await.unwrap()).await, bytes);
    assert_eq!((bench.objects(), bench.uploads().len()), (1, 0));
}

#[tokio::test]
async fn ds_1_every_byte_that_is_stored_is_what_the_provider_signed() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let id = as_alice.packages().register_package().await.unwrap().id;
    let bytes = package(&alice, id, 100_000);
    let size = bytes.len() as u64;
    for offset in [200, 50_000, 100_100] {
        let mut altered = bytes.clone();
        altered[offset] ^= 1;
        let problem = as_alice
            .uploads()
            .append(&id, &Part { offset: 0, size }, pieces(&altered))
            .await
            .unwrap_err();
        assert_eq!(problem.kind, Kind::Malformed, "{offset}: {problem}");
        let problem = as_alice.uploads().upload(&id, size, pieces(&altered)).await.unwrap_err();
        assert_eq!(problem.kind, Kind::Malformed, "{offset}: {problem}");
        assert_eq!((bench.objects(), bench.uploads().len()), (0, 0));
    }
    // More than was announced spoils nothing that came before.
    let problem = as_alice
        .uploads()
        .append(&id, &Part { offset: 0, size: 5_000 }, pieces(&bytes))
        .await
        .unwrap_err();
    assert_eq!(problem.kind, Kind::Malformed, "{problem}");
    assert!(
        as_alice
            .uploads()
            .append(&id, &Part { offset: 0, size }, pieces(&bytes))
            .await
            .unwrap()
            .stored
    );
}

#[tokio::test]
async fn ds_1_uploads_in_parts_are_bounded_and_forgotten() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let (first, second) = (
        as_alice.packages().register_package().await.unwrap().id,
        as_alice.packages().register_package().await.unwrap().id,
    );
    let some = [7; 10_000];
    let refused = as_alice
        .uploads()
        .append(&first, &Part { offset: 0, size: 400_001 }, pieces(&some))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, Kind::TooLarge);
    assert!(
        !as_alice
            .uploads()
            .append(&first, &Part { offset: 0, size: 350_000 }, pieces(&some))
            .await
            .unwrap()
            .stored
    );
    // What is announced counts, though it has not arrived.
    let refused = as_alice
        .uploads()
        .append(&second, &Part { offset: 0, size: 250_001 }, pieces(&some))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, Kind::TooLarge);
    let refused = as_alice.uploads().upload(&second, 250_001, pieces(&some)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::TooLarge);
    assert!(
        !as_alice
            .uploads()
            .append(&second, &Part { offset: 0, size: 250_000 }, pieces(&some))
            .await
            .unwrap()
            .stored
    );
    assert_eq!(bench.uploads().len(), 2);
    as_alice.packages().delete_package(&first).await.unwrap();
    assert_eq!(bench.uploads().len(), 1);
    bench.now.fetch_add(24 * 60 * 60 + 1, Ordering::Relaxed);
    bench.service.services.users.tidying.tidy().await.unwrap();
    assert_eq!(bench.uploads().len(), 0);
    assert_eq!(as_alice.uploads().upload_offset(&second).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn ds_1_uploads_under_way_together_pass_no_bound() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let (go_away, gone) = tokio::sync::watch::channel(());
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let id = as_alice.packages().register_package().await.unwrap().id;
        let mut gone = gone.clone();
        let end = stream::once(async move {
            let _ = gone.changed().await;
            Err(std::io::ErrorKind::ConnectionReset.into())
        });
        let bytes = pieces(&[7; 10_000]).chain(end).boxed();
        let uploads = bench.as_user(alice.identity());
        under_way.spawn(async move {
            uploads.uploads().upload(&id, 200_000, bytes).await.unwrap_err().kind
        });
    }
    // There is room for three of 600,000 bytes in all, though of none much has arrived.
    for _ in 0..5 {
        assert_eq!(under_way.join_next().await.unwrap().unwrap(), Kind::TooLarge);
    }
    assert!(under_way.try_join_next().is_none());
    go_away.send_replace(());
    for _ in 0..3 {
        assert_eq!(under_way.join_next().await.unwrap().unwrap(), Kind::Malformed);
    }
    // What failed has no room any more.
    let id = as_alice.packages().register_package().await.unwrap().id;
    let bytes = package(&alice, id, 350_000);
    let size = bytes.len() as u64;
    assert!(as_alice.uploads().upload(&id, size, pieces(&bytes)).await.unwrap().stored);
}

const SMALLER: Part = Part { offset: 0, size: 1 };

#[tokio::test]
async fn ds_1_what_has_arrived_counts_whatever_is_announced_later() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let first = as_alice.packages().register_package().await.unwrap().id;
    let second = as_alice.packages().register_package().await.unwrap().id;
    let arrived = [7; 300_000];
    let part = Part { offset: 0, size: 400_000 };
    let uploads = as_alice.uploads();
    uploads.append(&first, &part, pieces(&arrived)).await.unwrap();
    let smaller = uploads.append(&first, &SMALLER, pieces(&[7]));
    assert_eq!(smaller.await.unwrap_err().kind, Kind::Conflict);
    let whole = uploads.upload(&first, 1, pieces(&[7]));
    assert_eq!(whole.await.unwrap_err().kind, Kind::Malformed);
    let other = uploads.upload(&second, 300_001, pieces(&arrived));
    assert_eq!(other.await.unwrap_err().kind, Kind::TooLarge);
}

#[tokio::test]
async fn ds_1_who_goes_on_with_an_upload_ends_the_one_that_hangs() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let id = as_alice.packages().register_package().await.unwrap().id;
    let bytes = package(&alice, id, 100_000);
    let size = bytes.len() as u64;
    let hangs = pieces(&bytes[..20_000]).chain(stream::pending()).boxed();
    let goes_on = async {
        while bench
            .uploads()
            .first()
            .is_none_or(|file| std::fs::metadata(file).unwrap().len() < 20_000)
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let as_alice = bench.as_user(alice.identity());
        let at = as_alice.uploads().upload_offset(&id).await.unwrap();
        assert_eq!(at.offset, 20_000);
        as_alice
            .uploads()
            .append(&id, &Part { offset: at.offset, size }, pieces(&bytes[20_000..]))
            .await
            .unwrap()
    };
    let whole = Part { offset: 0, size };
    let uploads = as_alice.uploads();
    let (ended, status) = tokio::join!(uploads.append(&id, &whole, hangs), goes_on);
    assert_eq!(ended.unwrap_err().kind, Kind::Unavailable);
    assert!(status.stored);
}

#[tokio::test]
async fn ds_1_what_is_not_the_providers_whole_package_leaves_nothing() {
    let bench = Bench::new().await;
    let (alice, mallory) = (bench.clinic.signer("alice"), bench.lab.signer("mallory"));
    let as_alice = bench.as_user(alice.identity());
    let id = as_alice.packages().register_package().await.unwrap().id;
    let good = package(&alice, id, 1_000);
    let size = good.len() as u64;
    let mut flipped = good.clone();
    let last = flipped.len() - 40;
    flipped[last] ^= 1;
    let foreign = package(&mallory, id, 1_000);
    let other_id = package(&alice, PackageId::random(), 1_000);
    let cases: [(&str, &[u8], u64, Kind); 7] = [
        ("cut off", &good[..size as usize - 1], size, Kind::Malformed),
        ("longer than said", &good, size - 1, Kind::Malformed),
        ("truncated package", &good[..size as usize - 1], size - 1, Kind::Malformed),
        ("damaged metadata", &flipped, size, Kind::Malformed),
        ("signed by another", &foreign, foreign.len() as u64, Kind::Forbidden),
        ("for another identifier", &other_id, other_id.len() as u64, Kind::Malformed),
        ("no package", b"hello", 5, Kind::Malformed),
    ];
    for (name, bytes, size, kind) in cases {
        let refused = as_alice
            .uploads()
            .upload(&id, size, pieces(bytes))
            .await
            .err()
            .unwrap_or_else(|| panic!("{name}"));
        assert_eq!(refused.kind, kind, "{name}: {refused}");
        assert!(!as_alice.packages().package_status(&id).await.unwrap().stored, "{name}");
        assert_eq!(bench.objects(), 0, "{name}");
    }
    let as_mallory = bench.as_user(mallory.identity());
    let refused =
        as_mallory.uploads().upload(&id, foreign.len() as u64, pieces(&foreign)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden);
    assert_eq!(as_mallory.packages().delete_package(&id).await.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(as_mallory.packages().package_status(&id).await.unwrap_err().kind, Kind::Forbidden);
    as_alice.uploads().upload(&id, size, pieces(&good)).await.unwrap();
}

#[tokio::test]
async fn ds_1_a_repeated_upload_answers_the_same_and_other_bytes_are_refused() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let id = as_alice.packages().register_package().await.unwrap().id;
    let bytes = package(&alice, id, 1_000);
    let first = as_alice.uploads().upload(&id, bytes.len() as u64, pieces(&bytes)).await.unwrap();
    assert_eq!(
        as_alice.uploads().upload(&id, bytes.len() as u64, pieces(&bytes)).await.unwrap(),
        first
    );
    let other = package(&alice, id, 1_000);
    let refused =
        as_alice.uploads().upload(&id, other.len() as u64, pieces(&other)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict);
    assert_eq!(bench.objects(), 1);
    assert_eq!(all(as_alice.packages().download(&id, None).await.unwrap()).await, bytes);
}

#[tokio::test]
async fn ds_1_sizes_are_bounded() {
    let bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(as_alice.packages().register_package().await.unwrap().id);
    }
    let refused = as_alice.uploads().upload(&ids[0], 400_001, pieces(&[])).await.unwrap_err();
    assert_eq!(refused.kind, Kind::TooLarge);
    for id in &ids[..2] {
        let bytes = package(&alice, *id, 250_000);
        as_alice.uploads().upload(id, bytes.len() as u64, pieces(&bytes)).await.unwrap();
    }
    let third = package(&alice, ids[2], 250_000);
    let refused =
        as_alice.uploads().upload(&ids[2], third.len() as u64, pieces(&third)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::TooLarge);
    as_alice.packages().delete_package(&ids[0]).await.unwrap();
    as_alice.uploads().upload(&ids[2], third.len() as u64, pieces(&third)).await.unwrap();
    assert_eq!(bench.objects(), 2);
}

#[tokio::test]
async fn ds_1_a_killed_upload_leaves_nothing_after_the_next_start() {
    let mut bench = Bench::new().await;
    let alice = bench.clinic.signer("alice");
    let as_alice = bench.as_user(alice.identity());
    let id = as_alice.packages().register_package().await.unwrap().id;
    let bytes = package(&alice, id, 1000);
    // Half of an upload, which waits for the rest as long as the process lives.
    let half = stream::iter([Ok(bytes[..500].to_vec().into())]).chain(stream::pending());
    let uploads = as_alice.uploads();
    let mut upload = uploads.upload(&id, bytes.len() as u64, half.boxed());
    let written = async {
        while bench.objects() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = &mut upload => panic!("half an upload is none"),
        () = written => {}
    }
    // Killed: nothing of the process is done any more.
    std::mem::forget(upload);
    bench.reopen().await;
    assert_eq!(bench.objects(), 0);
    let as_alice = bench.as_user(alice.identity());
    as_alice.uploads().upload(&id, bytes.len() as u64, pieces(&bytes)).await.unwrap();
    assert_eq!(bench.objects(), 1);
}
