//! The storage server against real files and a real database.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datapact_api::gate::Caller;
use datapact_api::operation::Page;
use datapact_api::peer::AuthenticatedPeer;
use datapact_api::problem::Kind;
use datapact_api::storage_server::{
    ByteRange, ByteStream, Download, Packages as _, Part, UploadOffset, Uploads as _,
};
use datapact_core::id::{Digest, KeyId, PackageId, random};
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::package::{DataKey, SealSpec, seal};
use datapact_local::testing::{TestRealm, trust};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tempfile::TempDir;

use super::*;
use crate::called::Called;

/// A storage server in a fresh folder, two realms, and a clock that the test moves.
struct Bench {
    folder: TempDir,
    clinic: TestRealm,
    lab: TestRealm,
    now: Arc<AtomicU64>,
    service: Arc<StorageServer>,
}

fn system_now() -> u64 {
    datapact_log::clock::system_clock()()
}

async fn open(
    folder: &TempDir,
    realms: [&TestRealm; 2],
    now: &Arc<AtomicU64>,
) -> Arc<StorageServer> {
    let path = folder.path().join("storage.toml");
    let text = r#"
        package_bytes_max = 400000
        provider_bytes_max = 600000
        [server]
        url = "https://storage.test:9443"
        listen = "127.0.0.1:0"
        public_listen = "127.0.0.1:0"
        certificate = "c.pem"
        private_key = "k.pem"
        trust = "trust.toml"
        data = "data"
        access = { allow = ["clinic", "lab"] }
        [management]
        url = "https://management.test:9443"
    "#;
    std::fs::write(&path, text).unwrap();
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    let config: StorageServerConfig = crate::config::load(&path).unwrap();
    let trust = trust(&realms);
    let clock = now.clone();
    StorageServer::open(
        &config,
        Arc::new(move || trust.clone()),
        Arc::new(move || clock.load(Ordering::Relaxed)),
    )
    .await
    .unwrap()
}

impl Bench {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (clinic, lab) = (TestRealm::new("clinic"), TestRealm::new("lab"));
        let now = Arc::new(AtomicU64::new(system_now()));
        let service = open(&folder, [&clinic, &lab], &now).await;
        Self { folder, clinic, lab, now, service }
    }

    async fn reopen(&mut self) {
        self.service = open(&self.folder, [&self.clinic, &self.lab], &self.now).await;
    }

    fn as_user(&self, identity: &Identity) -> As {
        self.called(identity, None)
    }

    fn called(&self, identity: &Identity, key: Option<&str>) -> As {
        let peer = AuthenticatedPeer {
            identity: identity.clone(),
            chain: Vec::new(),
            certificate: Digest([0; 32]),
        };
        let idempotency_key = key.map(Arc::from);
        let caller = Caller { peer, statement: None, idempotency_key, if_match: None };
        As { server: Arc::clone(&self.service), caller }
    }

    fn management(&self) -> As {
        self.as_user(&Identity::server("management.test"))
    }

    fn objects(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("data/packages")).unwrap().count()
    }
}

/// The storage server as one caller sees it.
struct As {
    server: Arc<StorageServer>,
    caller: Caller,
}

impl As {
    fn packages(&self) -> Called<PackageService> {
        called(&self.server.services.packages)(self.caller.clone())
    }

    fn uploads(&self) -> Called<UploadService> {
        called(&self.server.services.uploads)(self.caller.clone())
    }
}

/// A package of `size` plaintext bytes for `id`, sealed by `signer`.
fn package(signer: &Signer, id: PackageId, size: usize) -> Vec<u8> {
    let spec = SealSpec {
        package: id,
        key: KeyId::random(),
        management: String::new(),
        share: None,
        media_type: "text/plain".to_owned(),
    };
    let mut bytes = Vec::new();
    let plaintext = vec![7; size];
    seal(
        &mut plaintext.as_slice(),
        &mut bytes,
        &DataKey::from_bytes(random()),
        &spec,
        signer,
        system_now(),
        &mut |_| {},
    )
    .unwrap();
    bytes
}

fn pieces(bytes: &[u8]) -> ByteStream {
    let pieces: Vec<_> =
        bytes.chunks(10_000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

async fn all(download: Download) -> Vec<u8> {
    let pieces: Vec<bytes::Bytes> = download.bytes.try_collect().await.unwrap();
    pieces.concat()
}

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
