//! Uploads in parts.

use super::*;

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
