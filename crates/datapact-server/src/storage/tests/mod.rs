//! What the tests of the nouns share: a storage server on real files and a real database.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
pub(super) use datapact_api::gate::Caller;
use datapact_api::management::Directory;
pub(super) use datapact_api::operation::Page;
pub(super) use datapact_api::peer::AuthenticatedPeer;
pub(super) use datapact_api::problem::Kind;
pub(super) use datapact_api::storage_server::{
    ByteRange, ByteStream, Download, Packages as _, Part, UploadOffset, Uploads as _,
};
use datapact_api::user::{UserNotice, UserStatus};
pub(super) use datapact_core::id::{Digest, KeyId, PackageId, random};
pub(super) use datapact_core::identity::Identity;
pub(super) use datapact_core::jws::Signer;
pub(super) use datapact_core::package::{DataKey, SealSpec, seal};
pub(super) use datapact_local::testing::{TestRealm, trust};
pub(super) use futures_util::{StreamExt as _, TryStreamExt as _, stream};
pub(super) use tempfile::TempDir;

pub(super) use super::package::PackageService;
pub(super) use super::server::StorageServer;
pub(super) use super::upload::UploadService;
pub(super) use crate::called::{Called, called};
pub(super) use crate::config::StorageServerConfig;

/// A storage server in a fresh folder, two realms, and a clock that the test moves.
pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) clinic: TestRealm,
    pub(super) lab: TestRealm,
    pub(super) now: Arc<AtomicU64>,
    pub(super) service: Arc<StorageServer>,
}

pub(super) fn system_now() -> u64 {
    datapact_log::clock::system_clock()()
}

/// Management, as far as a storage server asks it.
struct AllHaveAccounts;

#[async_trait]
impl Directory for AllHaveAccounts {
    async fn user(&self, of: &Identity) -> datapact_api::problem::Result<UserNotice> {
        Ok(UserNotice {
            identity: of.clone(),
            status: UserStatus::Active,
            sequence: 0,
            authorisation: None,
        })
    }
}

pub(super) async fn open(
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
        data = "data"
        tls = { certificate = "c.pem", private_key = "k.pem", trust = "trust.toml" }
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
        Arc::new(AllHaveAccounts),
        Arc::new(move || clock.load(Ordering::Relaxed)),
    )
    .await
    .unwrap()
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (clinic, lab) = (TestRealm::new("clinic"), TestRealm::new("lab"));
        let now = Arc::new(AtomicU64::new(system_now()));
        let service = open(&folder, [&clinic, &lab], &now).await;
        Self { folder, clinic, lab, now, service }
    }

    pub(super) async fn reopen(&mut self) {
        self.service = open(&self.folder, [&self.clinic, &self.lab], &self.now).await;
    }

    pub(super) fn as_user(&self, identity: &Identity) -> As {
        self.called(identity, None)
    }

    pub(super) fn called(&self, identity: &Identity, key: Option<&str>) -> As {
        let peer = AuthenticatedPeer {
            identity: identity.clone(),
            chain: Vec::new(),
            certificate: Digest([0; 32]),
        };
        let idempotency_key = key.map(Arc::from);
        let caller = Caller { peer, statement: None, idempotency_key, if_match: None };
        As { server: Arc::clone(&self.service), caller }
    }

    pub(super) fn management(&self) -> As {
        self.as_user(&Identity::server("management.test"))
    }

    pub(super) fn objects(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("data/packages")).unwrap().count()
    }
}

/// The storage server as one caller sees it.
pub(super) struct As {
    pub(super) server: Arc<StorageServer>,
    pub(super) caller: Caller,
}

impl As {
    pub(super) fn packages(&self) -> Called<PackageService> {
        called(&self.server.services.packages)(self.caller.clone())
    }

    pub(super) fn uploads(&self) -> Called<UploadService> {
        called(&self.server.services.uploads)(self.caller.clone())
    }
}

/// A package of `size` plaintext bytes for `id`, sealed by `signer`.
pub(super) fn package(signer: &Signer, id: PackageId, size: usize) -> Vec<u8> {
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

pub(super) fn pieces(bytes: &[u8]) -> ByteStream {
    let pieces: Vec<_> =
        bytes.chunks(10_000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

pub(super) async fn all(download: Download) -> Vec<u8> {
    let pieces: Vec<bytes::Bytes> = download.bytes.try_collect().await.unwrap();
    pieces.concat()
}
