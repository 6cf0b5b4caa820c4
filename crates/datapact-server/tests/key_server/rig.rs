//! A key server with everything around it in this process: a provider, consumers, and a management
//! that does whatever a test wants.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datapact_api::endpoint::Endpoint;
use datapact_api::gate::Caller;
use datapact_api::key_server::{
    Keys, ReleaseKey, ReleasedKey, Releases, ShownPolicies, ShownPolicy, StoreKey,
};
use datapact_api::peer::AuthenticatedPeer;
use datapact_api::problem::{Kind, Result};
use datapact_api::user::Users;
use datapact_core::contract::{Call, Documents, SetPolicy};
use datapact_core::document::{AccessRequest, KeyRequest};
use datapact_core::id::*;
use datapact_core::identity::Identity;
use datapact_core::jws::{Signed, Signer};
use datapact_core::permission::{AccessTimes, KeyReference};
use datapact_core::release::Recipient;
use datapact_core::token::{AccessToken, Confirmation, TokenKey};
use datapact_core::trust::Trust;
use datapact_local::testing::{Fixture, MemoryLog, TestShare, TestUser, signing_key};
use datapact_log::clock::Clock;
use datapact_log::entry::Entry;
use datapact_log::note::{KeyKind, SigningKey};
use datapact_log::source::LogSource;
use datapact_server::config::{Access, Common, KeyServerConfig, Limits, OwnManagement, TlsFiles};
use datapact_server::key::{KeyServer, OpenError};

pub use crate::management::TestManagement;

pub const LEDGER: &str = "management.example/ledger";
pub const MANAGEMENT: &str = "management.example";
/// Who may have users erased.
pub const ADMINISTRATOR: &str = "lab.example:CN=Admin";
pub const KEYS: &str = "keys.example";
pub const NOW: u64 = 1_800_000_000;
/// How often something is looked for that has to happen in the end: for a minute.
const PATIENCE_POLLS: u32 = 6_000;

pub fn log_key() -> SigningKey {
    signing_key(1, LEDGER, KeyKind::Log)
}

/// The key server and all around it. Management's log is in memory, so that it can record anything.
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub fixture: Fixture,
    pub time: Arc<AtomicU64>,
    pub management: Arc<TestManagement>,
    pub log: Arc<MemoryLog>,
    pub service: Arc<KeyServer>,
    pub server_trust: Trust,
    signer: Arc<Signer>,
}

/// One recorded access, and what its consumer would ask the key server.
pub struct TestAccess {
    pub request: Signed<AccessRequest>,
    pub token: AccessToken,
    pub recipient: Recipient,
    pub call: Call,
}

pub fn clock(time: &Arc<AtomicU64>) -> Clock {
    let time = Arc::clone(time);
    Arc::new(move || time.load(Ordering::SeqCst))
}

pub fn caller(signer: &Signer) -> Caller {
    let chain = signer.chain().to_vec();
    let certificate = Digest::of(&chain[0]);
    let peer = AuthenticatedPeer { identity: signer.identity().clone(), chain, certificate };
    Caller { peer, statement: None, idempotency_key: None, if_match: None }
}

pub fn server(name: &str) -> Caller {
    let peer = AuthenticatedPeer {
        identity: Identity::server(name),
        chain: Vec::new(),
        certificate: Digest::of(name.as_bytes()),
    };
    Caller { peer, statement: None, idempotency_key: None, if_match: None }
}

pub fn token_key() -> TokenKey {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    TokenKey::new(&key.serialize_der()).unwrap()
}

/// A server's TLS key with a certificate of its own CA.
fn server_signer(name: &str) -> (Signer, Trust) {
    let key = || rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(ca, key()).unwrap();
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let own = key();
    let certificate = params.signed_by(&own, &ca).unwrap();
    let mut trust = Trust::default();
    trust.add("server", vec![ca.der().clone()], Vec::new()).unwrap();
    let chain = vec![certificate.der().clone()];
    (Signer::new(&own.serialize_der(), chain, Identity::server(name)).unwrap(), trust)
}

pub fn config(dir: &std::path::Path) -> KeyServerConfig {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let endpoint = |url: &str| Endpoint { url: url.to_owned(), connect: None };
    KeyServerConfig {
        server: Common {
            database: None,
            url: format!("https://{KEYS}:9443"),
            listen: any,
            public_listen: any,
            limits: Limits::default(),
            operator: Default::default(),
            tls: TlsFiles {
                certificate: dir.join("unused"),
                private_key: dir.join("unused"),
                trust: dir.join("unused"),
            },
            data: dir.join("data"),
            access: Access { allow: Vec::new(), deny: Vec::new() },
        },
        management: OwnManagement {
            url: "https://management.example:9443".to_owned(),
            connect: None,
            administrators: vec![ADMINISTRATOR.to_owned()],
        },
        management_public: endpoint("https://management.example:9080"),
        ledger: LEDGER.to_owned(),
        log_key: log_key().public().to_string(),
        chain: None,
        kek: dir.join("kek"),
        current_seconds: 1,
        key_retention_days: 90,
        registration_hours: 24,
    }
}

impl Rig {
    pub async fn new() -> Self {
        let time = Arc::new(AtomicU64::new(NOW));
        let log = Arc::new(MemoryLog::new(log_key()));
        let source: Arc<dyn LogSource> = log.clone();
        let management = Arc::new(TestManagement {
            log: Mutex::new(source),
            reachable: AtomicBool::new(true),
            token_keys: Mutex::new(vec![token_key()]),
            cosigned: Mutex::default(),
        });
        let dir = tempfile::tempdir().unwrap();
        let fixture = Fixture::with_clock(LEDGER, clock(&time));
        let (signer, server_trust) = server_signer(KEYS);
        let signer = Arc::new(signer);
        let service =
            open(&config(dir.path()), &fixture, &signer, &management, &time).await.unwrap();
        Self { dir, fixture, time, management, log, service, server_trust, signer }
    }

    /// Opens a key server again on the same data.
    pub async fn reopen(
        &self,
        config: &KeyServerConfig,
    ) -> std::result::Result<Arc<KeyServer>, OpenError> {
        open(config, &self.fixture, &self.signer, &self.management, &self.time).await
    }

    pub fn now(&self) -> u64 {
        self.time.load(Ordering::SeqCst)
    }

    pub fn advance(&self, seconds: u64) {
        self.time.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn called(&self, caller: Caller) -> As {
        As { service: Arc::clone(&self.service), caller }
    }

    pub fn as_user(&self, user: &TestUser) -> As {
        self.called(caller(&user.signer))
    }

    pub fn as_management(&self) -> As {
        self.called(server(MANAGEMENT))
    }

    /// Management appends `call` to its log, whatever the contract would say.
    pub fn record(&self, call: &Call) -> u64 {
        self.record_at(call, self.now())
    }

    pub fn record_at(&self, call: &Call, time: u64) -> u64 {
        let bytes = Entry::new(call.clone(), time).to_bytes().unwrap();
        let mut position = 0;
        self.log.edit(|entries| {
            position = entries.len() as u64;
            entries.push(bytes);
        });
        position
    }

    /// A share whose key (all bytes `fill`) is stored, and whose version 1 was not shown yet.
    pub async fn draft(&self, times: AccessTimes, fill: u8) -> TestShare {
        let mut share = self.fixture.share(times, |_| {});
        let key = self.store_key(&share, fill).await;
        let mut body = share.policy.body().clone();
        body.information.key = key;
        share.policy = share.provider.signer.sign(LEDGER, self.now(), body);
        share
    }

    pub async fn store_key(&self, share: &TestShare, fill: u8) -> KeyReference {
        let provider = self.as_user(&share.provider);
        let key = provider.keys().register_key().await.unwrap();
        let package = share.policy.body().information.package.digest;
        let text = hex::encode([fill; 32]).into();
        provider
            .keys()
            .store_key(&key.id, &StoreKey { key: text, share: share.id(), package })
            .await
            .unwrap();
        key
    }

    /// A published share.
    pub async fn share(&self, times: AccessTimes, fill: u8) -> TestShare {
        let share = self.draft(times, fill).await;
        self.show(&share).await.unwrap();
        self.record(&share.set().0);
        share
    }

    /// Management shows the newest version.
    pub async fn show(&self, share: &TestShare) -> Result<()> {
        self.as_management().policies().show_policy(&shown(share)).await
    }

    /// Management records an access of `consumer` and vouches for it.
    pub fn access(&self, share: &TestShare, consumer: &TestUser) -> TestAccess {
        let (call, documents) = share.request(consumer);
        let Documents::Access { request, .. } = documents else { panic!() };
        let position = self.record(&call);
        let token = self.token(share, consumer, &request, position);
        TestAccess { request, token, recipient: Recipient::generate(), call }
    }

    pub fn token(
        &self,
        share: &TestShare,
        consumer: &TestUser,
        request: &Signed<AccessRequest>,
        position: u64,
    ) -> AccessToken {
        let information = &share.policy.body().information;
        let account = AccountId::random();
        AccessToken {
            iss: MANAGEMENT.to_owned(),
            sub: account,
            aud: KEYS.to_owned(),
            client_id: account,
            iat: self.now(),
            exp: self.now() + 300,
            jti: Digest(random()),
            cnf: Confirmation::of(&consumer.signer.chain()[0]),
            share: share.id(),
            key: information.key.id,
            package: information.package.id,
            contract: format!("datapact:{LEDGER}/{}", share.id()),
            request: request.id(),
            position,
            salt: consumer.opening().salt,
        }
    }

    /// What the consumer sends: the token as management signs it, the request, and a key request.
    pub fn ask(&self, access: &TestAccess, consumer: &TestUser) -> ReleaseKey {
        let token = self.management.token_keys.lock().unwrap()[0].sign(&access.token);
        let body = KeyRequest {
            token: Digest::of(token.as_bytes()),
            request: access.request.id(),
            key: access.token.key,
            recipient: access.recipient.public(),
        };
        let key_request = consumer.signer.sign(KEYS, self.now(), body);
        ReleaseKey { token, request: access.request.clone(), key_request }
    }

    pub async fn release(&self, access: &TestAccess, consumer: &TestUser) -> Result<ReleasedKey> {
        let asked = self.ask(access, consumer);
        self.as_user(consumer).releases().release(&access.token.key, &asked).await
    }

    /// Waits until the key server has replayed the whole log.
    pub async fn replayed(&self) {
        let size = self.management.size().await.unwrap();
        for _ in 0..PATIENCE_POLLS {
            if self.service.ledger_size() == size {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the key server does not follow");
    }

    /// The log's `checkpoint` with the key server's cosignature, once it is handed in.
    pub async fn cosigned(&self, checkpoint: &str) -> String {
        for _ in 0..PATIENCE_POLLS {
            let notes = self.management.cosigned.lock().unwrap().clone();
            if let Some(note) = notes.into_iter().find(|note| note.starts_with(checkpoint)) {
                return note;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no cosignature was handed in");
    }

    /// Checks that the key comes, and is the one stored.
    pub async fn granted(&self, access: &TestAccess, consumer: &TestUser, fill: u8) {
        let asked = self.ask(access, consumer);
        let released =
            self.as_user(consumer).releases().release(&access.token.key, &asked).await.unwrap();
        let key = access.recipient.open(&asked.key_request.id(), &released.sealed).unwrap();
        assert_eq!(*key, [fill; 32]);
    }

    /// Checks that the key does not come, and that the answer says so.
    pub async fn refused(&self, access: &TestAccess, consumer: &TestUser, kind: Kind, says: &str) {
        check_refused(self.release(access, consumer).await, kind, says);
    }
}

/// A key server as one caller sees it.
pub struct As {
    pub service: Arc<KeyServer>,
    pub caller: Caller,
}

impl As {
    pub fn keys(&self) -> impl Keys + use<> {
        self.service.keys(self.caller.clone())
    }

    pub fn policies(&self) -> impl ShownPolicies + use<> {
        self.service.policies(self.caller.clone())
    }

    pub fn releases(&self) -> impl Releases + use<> {
        self.service.releases(self.caller.clone())
    }

    pub fn users(&self) -> impl Users + use<> {
        self.service.users(self.caller.clone())
    }
}

async fn open(
    config: &KeyServerConfig,
    fixture: &Fixture,
    signer: &Arc<Signer>,
    management: &Arc<TestManagement>,
    time: &Arc<AtomicU64>,
) -> std::result::Result<Arc<KeyServer>, OpenError> {
    let trust = fixture.trust();
    let trust = Arc::new(move || Arc::clone(&trust));
    let (signer, public) = (Arc::clone(signer), management.clone());
    let (log, directory) = (management.clone(), management.clone());
    KeyServer::open(config, trust, signer, public, log, directory, clock(time)).await
}

pub fn shown(share: &TestShare) -> ShownPolicy {
    ShownPolicy { policy: share.policy.clone(), owner: share.provider.opening(), users: Vec::new() }
}

pub fn check_refused<T>(result: Result<T>, kind: Kind, says: &str) {
    let Err(problem) = result else { panic!("it was granted; expected `{says}`") };
    assert!(problem.detail.contains(says), "`{}` does not say `{says}`", problem.detail);
    assert_eq!(problem.kind, kind, "{}", problem.detail);
}

/// What the ledger must say of the newest version.
pub fn call_of(share: &TestShare) -> SetPolicy {
    let Call::SetPolicy(set) = share.set().0 else { panic!() };
    set
}
