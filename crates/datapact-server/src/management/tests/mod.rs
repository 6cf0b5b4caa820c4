//! What the tests of the nouns share: management on a real database and ledger, with key and
//! storage servers that only remember.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod caller;
mod fakes;

pub(super) use std::collections::{BTreeMap, BTreeSet, HashMap};
pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{Arc, Mutex};
pub(super) use std::time::Duration;

pub(super) use async_trait::async_trait;
pub(super) use datapact_api::gate::Caller;
pub(super) use datapact_api::key_server::{KeyServer, KeyStatus, ShownPolicy};
pub(super) use datapact_api::management::*;
pub(super) use datapact_api::operation::Page;
pub(super) use datapact_api::problem::{self, Kind, Problem};
pub(super) use datapact_api::storage_server::{PackageAddress, PackageStatus, StorageServer};
pub(super) use datapact_api::user::{Deletion, UserNotice, UserStatus};
pub(super) use datapact_core::contract::Attributes;
pub(super) use datapact_core::document::{AccessRequest, Statement, UsageReport};
pub(super) use datapact_core::id::{
    AccountId, Digest, KeyId, PackageId, ShareId, Timestamp, random,
};
pub(super) use datapact_core::identity::Identity;
pub(super) use datapact_core::jws::{Signed, Signer};
pub(super) use datapact_core::permission::{
    AccessPermission, AccessTimes, KeyReference, PackageReference,
};
pub(super) use datapact_core::policy::{ShareState, SharingInformation, SharingPolicy};
pub(super) use datapact_core::terms::{Name, Terms};
pub(super) use datapact_ledger::Ledger;
pub(super) use datapact_ledger::embedded::EmbeddedLedger;
pub(super) use datapact_local::testing::{TestRealm, trust};
pub(super) use datapact_log::log_policy::LogPolicy;
pub(super) use datapact_log::note::{KeyKind, SigningKey};
pub(super) use datapact_store::{Row, Store, StoreError, text};

pub(super) use caller::{As, User};
pub(super) use fakes::{FakeKeys, FakeStorage};

pub(super) use super::failure::OpenError;
pub(super) use super::keys::{self, Keys, KeysError};
pub(super) use super::server::ManagementServer;
pub(super) use super::submit::Submit;
pub(super) use crate::config::{self, ManagementConfig};

pub(super) const LEDGER: &str = "management.example/ledger";
pub(super) const KEYS: &str = "keys.example";
pub(super) const STORAGE: &str = "storage.example";

/// Two organisations, their administrator, and a management.
pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) clinic: TestRealm,
    pub(super) lab: TestRealm,
    pub(super) servers: TestRealm,
    pub(super) admin: User,
    pub(super) keys: Arc<FakeKeys>,
    pub(super) storage: Arc<FakeStorage>,
    pub(super) time: Arc<AtomicU64>,
    pub(super) management: Option<Arc<ManagementServer>>,
}

/// What kind of ledger a management is opened with.
pub(super) type Wrap = fn(Arc<EmbeddedLedger>) -> Arc<dyn Ledger>;

impl World {
    pub(super) async fn new() -> Self {
        let clinic = TestRealm::new("clinic");
        let admin = User { signer: clinic.signer("Admin") };
        let servers = TestRealm::new("server");
        let dir = tempfile::tempdir().unwrap();
        let pem = keys::to_pem("CERTIFICATE", &servers.signer("server").chain()[0]);
        std::fs::write(dir.path().join("server.pem"), pem).unwrap();
        let witness = witness();
        let config = format!(
            r#"
            token_seconds = 300
            administrators = ["{admin}"]
            [server]
            url = "https://management.example:4430"
            listen = "127.0.0.1:0"
            public_listen = "127.0.0.1:0"
            data = "data"
            [server.tls]
            certificate = "server.pem"
            private_key = "server.key"
            trust = "trust"
            [server.access]
            allow = ["clinic", "lab"]
            [public]
            url = "https://management.example:4431"
            connect = "127.0.0.1:4431"
            [ledger]
            id = "{LEDGER}"
            witnesses = ["{vkey}"]
            quorum = 0
            [[key_servers]]
            url = "https://{KEYS}"
            certificate = "server.pem"
            [[storage_servers]]
            url = "https://{STORAGE}"
            certificate = "server.pem"
            "#,
            admin = admin.identity(),
            vkey = witness.public(),
        );
        std::fs::write(dir.path().join("management.toml"), config).unwrap();
        let now = datapact_log::clock::system_clock()();
        let mut world = Self {
            dir,
            clinic,
            lab: TestRealm::new("lab"),
            servers,
            admin,
            keys: Arc::default(),
            storage: Arc::default(),
            time: Arc::new(AtomicU64::new(now)),
            management: None,
        };
        world.open(|log| log).await;
        world
    }

    pub(super) fn config(&self) -> ManagementConfig {
        config::load(&self.dir.path().join("management.toml")).unwrap()
    }

    /// Stops management as a crash would, at once, and starts it on the same folder.
    pub(super) async fn open(&mut self, wrap: Wrap) {
        self.management = None;
        let trust = trust(&[&self.clinic, &self.lab, &self.servers]);
        let time = Arc::clone(&self.time);
        let keys: Arc<dyn KeyServer> = Arc::clone(&self.keys) as _;
        let storage: Arc<dyn StorageServer> = Arc::clone(&self.storage) as _;
        let config = self.config();
        let (keys, storage) = (
            BTreeMap::from([(KEYS.to_owned(), keys)]),
            BTreeMap::from([(STORAGE.to_owned(), storage)]),
        );
        let opened = ManagementServer::open_with(
            &config,
            Arc::new(move || Arc::clone(&trust)),
            &keys,
            &storage,
            Arc::new(move || time.load(Ordering::Relaxed)),
            wrap,
        );
        self.management = Some(opened.await.unwrap());
    }

    pub(super) fn arc(&self) -> Arc<ManagementServer> {
        Arc::clone(self.management.as_ref().unwrap())
    }

    pub(super) fn management(&self) -> &ManagementServer {
        self.management.as_ref().unwrap()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.time.load(Ordering::Relaxed)
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.time.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(super) fn store(&self) -> &Store {
        &self.management().base.store
    }

    pub(super) fn submit(&self) -> &Submit {
        &self.management().submit
    }

    pub(super) fn as_user(&self, user: &User) -> As {
        self.as_caller(user.caller())
    }

    pub(super) fn as_server(&self, name: &str) -> As {
        let mut caller = User { signer: self.servers.signer(name) }.caller();
        caller.peer.identity = Identity::server(name);
        self.as_caller(caller)
    }

    /// Deletes the account `id`, which is `user`'s, as the administrator, with a statement of it.
    pub(in crate::management) async fn delete(
        &self,
        id: AccountId,
        user: &User,
        now: bool,
    ) -> problem::Result<Account> {
        self.delete_by(self.admin.caller(), id, user, now).await
    }

    /// The same as this caller.
    pub(in crate::management) async fn delete_by(
        &self,
        caller: Caller,
        id: AccountId,
        user: &User,
        now: bool,
    ) -> problem::Result<Account> {
        let deletion = Deletion::of(user.identity(), now);
        let (method, target) = ("POST".to_owned(), Deletion::target(&id));
        let statement = Statement { method, target, content: Some(deletion.digest()) };
        let signed = self.admin.signer.sign("management.example", self.now(), statement);
        let caller = Caller { statement: Some(Arc::from(signed.as_str())), ..caller };
        self.as_caller(caller).accounts().delete_account(&id, &deletion).await
    }

    pub(super) fn as_caller(&self, caller: Caller) -> As {
        As { management: self.arc(), caller }
    }

    /// A user with an account.
    pub(super) async fn joined(
        &self,
        realm: &TestRealm,
        name: &str,
        role: Role,
        attributes: Attributes,
    ) -> User {
        let user = User { signer: realm.signer(name) };
        let invitation =
            NewInvitation { realm: user.identity().realm, role, attributes, seconds: 3600 };
        let invitation = self.as_user(&self.admin).accounts().invite(&invitation).await.unwrap();
        self.as_user(&user).accounts().join(&code(&invitation.code)).await.unwrap();
        user
    }

    pub(super) async fn provider(&self) -> User {
        self.joined(&self.clinic, "Provider", Role::Provider, Attributes::default()).await
    }

    pub(super) async fn consumer(&self, name: &str) -> User {
        self.joined(&self.lab, name, Role::Consumer, Attributes::default()).await
    }

    /// A policy whose key and package `provider` has stored: open to anyone for an hour, unless
    /// `edit` says otherwise.
    pub(super) fn policy(
        &self,
        provider: &User,
        edit: impl FnOnce(&mut SharingPolicy),
    ) -> Signed<SharingPolicy> {
        let (share, package, key) = (ShareId::random(), PackageId::random(), KeyId::random());
        let package = PackageReference {
            id: package,
            address: format!("https://{STORAGE}/v1/packages/{package}"),
            digest: Digest(random()),
            size: 1000,
        };
        let key = KeyReference { id: key, address: format!("https://{KEYS}/v1/keys/{key}") };
        let status = PackageStatus {
            package: PackageAddress { id: package.id, address: package.address.clone() },
            provider: provider.identity(),
            stored: true,
            digest: Some(package.digest),
            size: Some(package.size),
        };
        self.storage.packages.lock().unwrap().insert(package.id, status);
        let status = KeyStatus {
            key: key.clone(),
            stored: true,
            share: Some(share),
            package: Some(package.digest),
        };
        self.keys.keys.lock().unwrap().insert(key.id, (provider.identity(), status));
        let mut policy = SharingPolicy {
            share,
            version: 1,
            previous: None,
            state: ShareState::Active,
            information: SharingInformation {
                package,
                key,
                title: "Admissions 2025".to_owned(),
                media_type: "text/csv".to_owned(),
                categories: Vec::new(),
                introduction: String::new(),
                usage: String::new(),
                price: None,
                desensitization: None,
            },
            terms: Terms { anyone: true, ..Terms::default() },
            permission: AccessPermission {
                access_times: AccessTimes::Times(3),
                not_before: self.now() - 10,
                expires: self.now() + 3600,
                read_only: true,
            },
        };
        edit(&mut policy);
        provider.signer.sign(LEDGER, self.now(), policy)
    }

    pub(super) fn successor(
        &self,
        provider: &User,
        policy: &Signed<SharingPolicy>,
        edit: impl FnOnce(&mut SharingPolicy),
    ) -> Signed<SharingPolicy> {
        let mut body = policy.body().clone();
        body.version += 1;
        body.previous = Some(policy.id());
        edit(&mut body);
        provider.signer.sign(LEDGER, self.now(), body)
    }

    pub(super) fn request(
        &self,
        consumer: &User,
        policy: &Signed<SharingPolicy>,
    ) -> Signed<AccessRequest> {
        let body = AccessRequest { share: policy.body().share, policy: policy.id(), purpose: None };
        consumer.signer.sign(LEDGER, self.now(), body)
    }

    /// Publishes a policy and returns it.
    pub(super) async fn published(
        &self,
        provider: &User,
        edit: impl FnOnce(&mut SharingPolicy),
    ) -> Signed<SharingPolicy> {
        let policy = self.policy(provider, edit);
        self.as_user(provider).policies().set_policy(&policy).await.unwrap();
        policy
    }

    pub(super) async fn size(&self) -> u64 {
        self.submit().info().await.unwrap().size
    }

    pub(super) async fn count(&self, table: &str) -> u64 {
        self.rows(format!("SELECT COUNT(*) FROM {table}")).await[0].number(0).unwrap()
    }

    /// What a query finds in management's database.
    pub(super) async fn rows(&self, sql: String) -> Vec<Row> {
        self.store().read(move |db| db.rows(sql, [])).await.unwrap()
    }

    /// Changes management's database behind its back.
    pub(super) async fn run(&self, sql: &'static str) {
        self.store().write(move |tx| tx.run(sql, [])).await.unwrap();
    }
}

pub(super) fn code(code: &str) -> Join {
    Join { code: code.to_owned() }
}

pub(super) fn token_form(token: &str) -> TokenForm {
    TokenForm { token: token.to_owned() }
}

pub(super) fn witness() -> SigningKey {
    SigningKey::parse(&SigningKey::text(&[2; 32], KEYS, KeyKind::Witness).unwrap()).unwrap()
}

/// The kind of the problem.
#[track_caller]
pub(super) fn refused<T>(result: problem::Result<T>) -> Problem {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(problem) => problem,
    }
}

#[track_caller]
pub(super) fn assert_kind<T>(result: problem::Result<T>, kind: Kind, says: &str) {
    let problem = refused(result);
    assert!(problem.kind == kind && problem.to_string().contains(says), "{problem:?}");
}
