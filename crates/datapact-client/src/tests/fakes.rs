//! A world in memory: honest answers, made from real documents, and a hook for each to turn it into
//! a lie.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::*;
use datapact_api::management::*;
use datapact_api::operation::Page;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::public::{Health, Public};
use datapact_api::storage_server::*;
use datapact_api::user::{UserNotice, Users};
use datapact_core::commitment::Opening;
use datapact_core::contract::{AccessRecord, Attributes, Call, RequestedPermission, UsageRecord};
use datapact_core::document::{AccessRequest, KeyRelease, UsageReport};
use datapact_core::id::*;
use datapact_core::identity::Identity;
use datapact_core::jws::{Signed, Signer};
use datapact_core::package::{DataKey, SealSpec, Sealed, seal};
use datapact_core::permission::*;
use datapact_core::policy::*;
use datapact_core::release;
use datapact_core::terms::Terms;
use datapact_log::clock::system_clock;
use datapact_log::entry::Entry;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{Checkpoint, KeyKind, SigningKey};
use datapact_log::tree::leaf_hash;
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::ca::{self, Ca};
use crate::key_file::PrivateKey;
use crate::profile::Profile;
use crate::session::Session;
use crate::subject::Subject;

pub(crate) const LEDGER: &str = "management.example/ledger";
const DAY: Duration = Duration::from_secs(86_400);

/// What each answer is turned into before it goes out; nothing, if nobody lies.
pub(crate) type Lie<T> = Mutex<Option<Box<dyn Fn(&mut T) + Send + Sync>>>;

#[derive(Default)]
pub(crate) struct Lies {
    pub(crate) detail: Lie<CatalogDetail>,
    pub(crate) grant: Lie<AccessGrant>,
    pub(crate) proof: Lie<LedgerProof>,
    pub(crate) released: Lie<ReleasedKey>,
    pub(crate) policy_receipt: Lie<PolicyReceipt>,
    pub(crate) key: Lie<KeyReference>,
    pub(crate) package: Lie<PackageStatus>,
    pub(crate) usage: Lie<UsageReceipt>,
}

fn turn<T>(lie: &Lie<T>, mut answer: T) -> T {
    if let Some(lie) = &*lie.lock().unwrap() {
        lie(&mut answer);
    }
    answer
}

impl Lies {
    pub(crate) fn tell<T>(lie: &Lie<T>, how: impl Fn(&mut T) + Send + Sync + 'static) {
        *lie.lock().unwrap() = Some(Box::new(how));
    }
}

/// Who there is, and what is shared.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ann: Arc<Signer>,
    pub(crate) eve: Arc<Signer>,
    pub(crate) storage_chain: String,
    /// The servers' CA, and what is served as its revocation list.
    pub(crate) servers: Ca,
    pub(crate) crl: Mutex<Option<String>>,
    pub(crate) lies: Lies,
    pub(crate) share: ShareId,
    pub(crate) key: DataKey,
    pub(crate) policy: Mutex<Signed<SharingPolicy>>,
    pub(crate) package: Mutex<Vec<u8>>,
    /// How many accesses were asked for, keys released, packages fetched, things deleted.
    pub(crate) asked: AtomicU32,
    pub(crate) released: AtomicU32,
    pub(crate) fetched: AtomicU32,
    pub(crate) deleted: AtomicU32,
    /// Downloads break after so many bytes.
    pub(crate) breaks_after: Mutex<Option<usize>>,
    pub(crate) key_chain: String,
    key_signer: Signer,
    log: SigningKey,
    witness: SigningKey,
    /// Entries by position.
    entries: Mutex<Vec<Vec<u8>>>,
    enrolment: Enrolment,
    profile: (Arc<Signer>, PrivateKey),
}

pub(crate) const DATA: &[u8] = b"week,admissions\n1,17\n2,23\n";

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let ca = |name: &str| Ca::init(&folder.path().join(name), name, 10 * DAY, None).unwrap();
        let (servers, clinic, lab) = (ca("servers"), ca("clinic"), ca("lab"));
        let user = |ca: &Ca, realm: &str, name: &str| {
            let key = PrivateKey::generate().unwrap();
            let request = key.request(&Subject::new(name, None).unwrap()).unwrap();
            let pem = ca.issue(&request, &ca::Kind::User, DAY).unwrap();
            let chain = crate::profile::chain_of(pem.as_bytes()).unwrap();
            let identity = Identity { realm: realm.to_owned(), subject: format!("CN={name}") };
            (Arc::new(Signer::new(key.pkcs8(), chain, identity).unwrap()), key)
        };
        let server = |name: &str| {
            let key = PrivateKey::generate().unwrap();
            let request = key.request(&Subject::new(name, None).unwrap()).unwrap();
            let kind = ca::Kind::Server { dns_names: vec![name.to_owned()] };
            let pem = servers.issue(&request, &kind, DAY).unwrap();
            let chain = crate::profile::chain_of(pem.as_bytes()).unwrap();
            (pem, Signer::new(key.pkcs8(), chain, Identity::server(name)).unwrap())
        };
        let log = SigningKey::parse(&SigningKey::generate(LEDGER, KeyKind::Log).unwrap()).unwrap();
        let witness =
            SigningKey::parse(&SigningKey::generate("keys.example", KeyKind::Witness).unwrap())
                .unwrap();
        let policy = LogPolicy::new(log.public(), &[witness.public().clone()]).unwrap();
        let at = |name: &str| Endpoint { url: format!("https://{name}:1"), connect: None };
        let realms = [("server", &servers), ("clinic", &clinic), ("lab", &lab)];
        let enrolment = Enrolment {
            management: at("management.example"),
            public: at("management.example"),
            key_servers: vec![at("keys.example")],
            storage_servers: vec![at("storage.example")],
            ledger: LEDGER.to_owned(),
            log_policy: policy.to_string(),
            realms: realms.map(|(realm, ca)| (realm.to_owned(), ca.certificate_pem())).into(),
        };
        let ((ann, _), (eve, _), bob) =
            (user(&clinic, "clinic", "Ann"), user(&lab, "lab", "Eve"), user(&lab, "lab", "Bob"));
        let ((key_chain, key_signer), (storage_chain, _)) =
            (server("keys.example"), server("storage.example"));
        let (share, key) = (ShareId::random(), DataKey::random());
        let (package, policy) = sealed_share(&ann, &ann, share, &key, DATA);
        Arc::new(Self {
            folder,
            ann,
            eve,
            storage_chain,
            servers,
            crl: Mutex::default(),
            lies: Lies::default(),
            share,
            key,
            policy: Mutex::new(policy),
            package: Mutex::new(package),
            asked: AtomicU32::new(0),
            released: AtomicU32::new(0),
            fetched: AtomicU32::new(0),
            deleted: AtomicU32::new(0),
            breaks_after: Mutex::new(None),
            key_chain,
            key_signer,
            log,
            witness,
            entries: Mutex::default(),
            enrolment,
            profile: bob,
        })
    }

    /// Bob's session.
    pub(crate) fn session(self: &Arc<Self>) -> Session {
        let folder = self.folder.path().join("profile");
        let (signer, key) = &self.profile;
        if !folder.exists() {
            crate::home::make_folder(&folder).unwrap();
            key.save(&folder.join("key.pem"), None).unwrap();
            let chain: String = signer.chain().iter().map(|der| pem(der)).collect();
            std::fs::write(folder.join("certificate.pem"), chain).unwrap();
            crate::home::write_json(&folder.join("enrolment.json"), &self.enrolment).unwrap();
        }
        let account = Account {
            id: AccountId::random(),
            identity: signer.identity().clone(),
            role: Role::User,
            attributes: Attributes::default(),
            active: true,
            created: 0,
            erase_at: None,
        };
        let profile = Profile::assemble("bob", folder, account, None).unwrap();
        let fake = Arc::new(Fake(Arc::clone(self)));
        Session::with(profile, fake.clone(), fake.clone(), fake.clone(), fake)
    }

    /// What was left unfinished.
    pub(crate) fn unfinished(&self) -> usize {
        count(&self.folder.path().join("profile/state/work"))
    }

    /// Puts the share's policy anew, as its provider may.
    pub(crate) fn set_policy(
        &self,
        signer: &Signer,
        audience: &str,
        change: impl FnOnce(&mut SharingPolicy),
    ) {
        let mut policy = self.policy.lock().unwrap();
        let mut body = policy.body().clone();
        change(&mut body);
        *policy = signer.sign(audience, now(), body);
    }

    /// A proof of the only entry of a log of one.
    fn prove(&self, entry: &[u8], cosigned: bool) -> LedgerProof {
        let note = self.log.checkpoint(1, &leaf_hash(entry));
        let mut checkpoint = Checkpoint::open(note.as_bytes(), self.log.public(), &[]).unwrap();
        if cosigned {
            let line = self.witness.cosign(&checkpoint, now());
            checkpoint.add(self.witness.public(), &line).unwrap();
        }
        let entry = String::from_utf8(entry.to_vec()).unwrap();
        LedgerProof { entry, proof: format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{checkpoint}") }
    }

    pub(crate) fn proof_without_cosignature(&self) -> LedgerProof {
        self.prove(&self.entries.lock().unwrap()[0], false)
    }

    pub(crate) fn proof_of(&self, call: Call, time: Timestamp) -> LedgerProof {
        self.prove(&Entry::new(call, time).to_bytes().unwrap(), true)
    }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

pub(crate) fn now() -> Timestamp {
    system_clock()()
}

/// A package of `data` by `sealer`, and the policy by `ann` that names it.
pub(crate) fn sealed_share(
    ann: &Signer,
    sealer: &Signer,
    share: ShareId,
    key: &DataKey,
    data: &[u8],
) -> (Vec<u8>, Signed<SharingPolicy>) {
    let (package, key_id) = (PackageId([1; 16]), KeyId([2; 16]));
    let (bytes, sealed) = sealed(sealer, share, key, data);
    let policy = SharingPolicy {
        share,
        version: 1,
        previous: None,
        state: ShareState::Active,
        information: SharingInformation {
            package: PackageReference {
                id: package,
                address: format!("https://storage.example:1/v1/packages/{package}"),
                digest: sealed.metadata.id(),
                size: sealed.size,
            },
            key: KeyReference {
                id: key_id,
                address: format!("https://keys.example:1/v1/keys/{key_id}"),
            },
            title: "Admissions".to_owned(),
            media_type: "text/csv".to_owned(),
            categories: Vec::new(),
            introduction: String::new(),
            usage: String::new(),
            price: None,
            desensitization: None,
        },
        terms: Terms { anyone: true, ..Terms::default() },
        permission: AccessPermission {
            access_times: AccessTimes::Times(2),
            not_before: 0,
            expires: now() + 1000,
            read_only: true,
        },
    };
    (bytes, ann.sign(LEDGER, now(), policy))
}

pub(crate) fn sealed(
    signer: &Signer,
    share: ShareId,
    key: &DataKey,
    mut data: &[u8],
) -> (Vec<u8>, Sealed) {
    let spec = SealSpec {
        package: PackageId([1; 16]),
        key: KeyId([2; 16]),
        management: "https://management.example:1".to_owned(),
        share: Some(share),
        media_type: "text/csv".to_owned(),
    };
    let mut bytes = Vec::new();
    let sealed = seal(&mut data, &mut bytes, key, &spec, signer, now(), &mut |_| ()).unwrap();
    (bytes, sealed)
}

/// All servers at once, as Bob sees them.
struct Fake(Arc<World>);

fn not_here<T>() -> Result<T> {
    Err(Problem::new(Kind::Internal, "not in this test"))
}

fn opening(identity: &Identity) -> Opening {
    Opening { identity: identity.clone(), salt: Salt([7; 32]) }
}

#[async_trait]
impl Accounts for Fake {
    async fn join(&self, _: &Join) -> Result<Account> {
        not_here()
    }
    async fn account(&self) -> Result<Account> {
        not_here()
    }
    async fn invite(&self, _: &NewInvitation) -> Result<Invitation> {
        not_here()
    }
    async fn accounts(&self, _: Page<AccountId>) -> Result<Vec<Account>> {
        not_here()
    }
    async fn account_of(&self, _: &AccountId) -> Result<Account> {
        not_here()
    }
    async fn update_account(&self, _: &AccountId, _: &AccountUpdate) -> Result<Account> {
        not_here()
    }
    async fn delete_account(&self, _: &AccountId, _: &Deletion) -> Result<Account> {
        not_here()
    }
    async fn actions(&self, _: Page<u64>) -> Result<Vec<Action>> {
        not_here()
    }
}

#[async_trait]
impl Policies for Fake {
    async fn set_policy(&self, policy: &Signed<SharingPolicy>) -> Result<PolicyReceipt> {
        let owner = opening(policy.signer());
        let call = Call::of_policy(policy, &owner, &[]).unwrap();
        *self.0.entries.lock().unwrap() = vec![Entry::new(call, now()).to_bytes().unwrap()];
        let receipt = PolicyReceipt {
            share: policy.body().share,
            version: policy.body().version,
            policy: policy.id(),
            contract: "contract".to_owned(),
            position: 0,
            owner,
            users: Vec::new(),
        };
        Ok(turn(&self.0.lies.policy_receipt, receipt))
    }
    async fn shares(&self, _: Page<u64>) -> Result<Vec<OwnShare>> {
        Ok(Vec::new())
    }
    async fn share(&self, id: &ShareId) -> Result<OwnShare> {
        Err(Problem::not_found(format!("you have no share `{id}`")))
    }
}

#[async_trait]
impl Catalog for Fake {
    async fn catalog(&self, _: &CatalogQuery) -> Result<Vec<CatalogEntry>> {
        not_here()
    }
    async fn catalog_entry(&self, share: &ShareId, _: &Purpose) -> Result<CatalogDetail> {
        let policy = self.0.policy.lock().unwrap().clone();
        let body = policy.body();
        let entry = CatalogEntry {
            event: 1,
            share: *share,
            version: body.version,
            policy: policy.id(),
            contract: "contract".to_owned(),
            state: body.state,
            provider: policy.signer().clone(),
            information: body.information.clone(),
            expires: body.permission.expires,
        };
        let detail = CatalogDetail { entry, policy: Some(policy), granted: 0, refusal: None };
        Ok(turn(&self.0.lies.detail, detail))
    }
    async fn publications(&self, _: Option<u64>) -> Result<Publications> {
        not_here()
    }
}

#[async_trait]
impl Subscriptions for Fake {
    async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        not_here()
    }
    async fn subscription(&self, _: &SubscriptionId) -> Result<Subscription> {
        not_here()
    }
    async fn set_subscription(
        &self,
        _: &SubscriptionId,
        _: &NewSubscription,
    ) -> Result<Subscription> {
        not_here()
    }
    async fn delete_subscription(&self, _: &SubscriptionId) -> Result<()> {
        not_here()
    }
    async fn follow_subscription(
        &self,
        _: &SubscriptionId,
        _: Option<u64>,
    ) -> Result<Publications> {
        not_here()
    }
    async fn dead_letters(&self, _: &SubscriptionId, _: Page<u64>) -> Result<Vec<DeadLetter>> {
        not_here()
    }
    async fn redeliver(&self, _: &SubscriptionId, _: &Redelivery) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Accesses for Fake {
    async fn request_access(&self, request: &Signed<AccessRequest>) -> Result<AccessGrant> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let policy = self.0.policy.lock().unwrap().clone();
        let consumer = opening(request.signer());
        let terms = Terms { anyone: true, ..Terms::default() };
        let call = Call::of_request(request, &consumer, &Attributes::default(), &terms).unwrap();
        let time = now();
        *self.0.entries.lock().unwrap() = vec![Entry::new(call.clone(), time).to_bytes().unwrap()];
        let Call::RequestAccess(asked) = call else { return not_here() };
        let record = AccessRecord { request: asked, access: 1, time };
        let grant = AccessGrant {
            token: "token".to_owned(),
            permission: RequestedPermission::of(policy.body(), policy.id(), &record).unwrap(),
            policy,
            contract: "contract".to_owned(),
            position: 0,
            record,
            consumer,
            key_server_certificate: self.0.key_chain.clone(),
            storage_server_certificate: self.0.storage_chain.clone(),
        };
        Ok(turn(&self.0.lies.grant, grant))
    }
    async fn accesses(&self, _: &RecordQuery) -> Result<Vec<AccessEntry>> {
        not_here()
    }
    async fn report_usage(&self, report: &Signed<UsageReport>) -> Result<UsageReceipt> {
        let Call::RecordUsage(usage) = Call::of_report(report, &opening(report.signer())).unwrap()
        else {
            return not_here();
        };
        let receipt = UsageReceipt { position: 1, record: UsageRecord { usage, time: now() } };
        Ok(turn(&self.0.lies.usage, receipt))
    }
    async fn usages(&self, _: &RecordQuery) -> Result<Vec<UsageEntry>> {
        not_here()
    }
    async fn erasures(&self, _: &RecordQuery) -> Result<Vec<Erasure>> {
        not_here()
    }
}

#[async_trait]
impl Notifications for Fake {
    async fn notifications(&self, _: &NotificationQuery) -> Result<Vec<Notification>> {
        not_here()
    }
    async fn acknowledge(&self, _: &Acknowledged) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Log for Fake {
    async fn info(&self) -> Result<ManagementInfo> {
        not_here()
    }
    async fn proof(&self, _: u64) -> Result<LedgerProof> {
        let proof = self.0.prove(&self.0.entries.lock().unwrap()[0], true);
        Ok(turn(&self.0.lies.proof, proof))
    }
    async fn add_cosignature(&self, _: &str) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Tokens for Fake {
    async fn introspect(&self, _: &TokenForm) -> Result<Introspection> {
        not_here()
    }
    async fn token(&self, _: &Digest) -> Result<Introspection> {
        not_here()
    }
    async fn revoke_token(&self, _: &Digest) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Keys for Fake {
    async fn register_key(&self) -> Result<KeyReference> {
        let id = KeyId([2; 16]);
        let key = KeyReference { id, address: format!("https://keys.example:1/v1/keys/{id}") };
        Ok(turn(&self.0.lies.key, key))
    }
    async fn store_key(&self, id: &KeyId, key: &StoreKey) -> Result<KeyStatus> {
        Ok(KeyStatus {
            key: KeyReference { id: *id, address: format!("https://keys.example:1/v1/keys/{id}") },
            stored: true,
            share: Some(key.share),
            package: Some(key.package),
        })
    }
    async fn key_status(&self, _: &KeyId) -> Result<KeyStatus> {
        not_here()
    }
    async fn keys(&self, _: Page<KeyId>) -> Result<Vec<KeyStatus>> {
        not_here()
    }
    async fn delete_key(&self, _: &KeyId) -> Result<()> {
        self.0.deleted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl ShownPolicies for Fake {
    async fn show_policy(&self, _: &ShownPolicy) -> Result<()> {
        not_here()
    }
    async fn withhold(&self, _: &Withhold) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Releases for Fake {
    async fn release(&self, id: &KeyId, asked: &ReleaseKey) -> Result<ReleasedKey> {
        self.0.released.fetch_add(1, Ordering::SeqCst);
        let key_request = asked.key_request.id();
        let recipient = asked.key_request.body().recipient;
        let sealed = release::seal(self.0.key.as_bytes(), &recipient, &key_request).unwrap();
        let body = KeyRelease {
            share: asked.request.body().share,
            key: *id,
            request: asked.request.id(),
            key_request,
            sealed: sealed.digest(),
        };
        let released = ReleasedKey { sealed, release: self.0.key_signer.sign(LEDGER, now(), body) };
        Ok(turn(&self.0.lies.released, released))
    }
    async fn releases(&self, _: &ShareId, _: Page<Digest>) -> Result<Vec<ReleaseEntry>> {
        not_here()
    }
    async fn revoke_token(&self, _: &TokenRevocation) -> Result<()> {
        not_here()
    }
}

#[async_trait]
impl Users for Fake {
    async fn set_user(&self, _: &UserNotice) -> Result<()> {
        not_here()
    }
}

impl World {
    /// A release by the key server of another content.
    pub(crate) fn state(&self, release: KeyRelease) -> Signed<KeyRelease> {
        self.key_signer.sign(LEDGER, now(), release)
    }
}

#[async_trait]
impl Packages for Fake {
    async fn register_package(&self) -> Result<PackageAddress> {
        let id = PackageId([1; 16]);
        Ok(PackageAddress { id, address: format!("https://storage.example:1/v1/packages/{id}") })
    }
    async fn package_status(&self, _: &PackageId) -> Result<PackageStatus> {
        not_here()
    }
    async fn download(&self, _: &PackageId, range: Option<ByteRange>) -> Result<Download> {
        self.0.fetched.fetch_add(1, Ordering::SeqCst);
        let package = self.0.package.lock().unwrap();
        let first = range.map_or(0, |range| range.first);
        let size = package.len() as u64;
        let end = range.and_then(|range| range.last).map_or(size, |last| (last + 1).min(size));
        let bytes = package[first as usize..end as usize].to_vec();
        let mut parts: Vec<std::io::Result<Bytes>> =
            bytes.chunks(1000).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        if let Some(after) = *self.0.breaks_after.lock().unwrap() {
            let whole = after.div_ceil(1000);
            if parts.len() > whole {
                parts.truncate(whole);
                parts.push(Err(std::io::ErrorKind::ConnectionReset.into()));
            }
        }
        Ok(Download { size, first, length: end - first, bytes: stream::iter(parts).boxed() })
    }
    async fn packages(&self, _: Page<PackageId>) -> Result<Vec<PackageStatus>> {
        not_here()
    }
    async fn delete_package(&self, _: &PackageId) -> Result<()> {
        self.0.deleted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl Uploads for Fake {
    async fn upload(
        &self,
        id: &PackageId,
        size: u64,
        mut bytes: ByteStream,
    ) -> Result<PackageStatus> {
        let mut package = Vec::new();
        while let Some(chunk) = bytes.next().await {
            package.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(package.len() as u64, size);
        let reader = datapact_core::package::PackageReader::open(package.as_slice()).unwrap();
        let status = PackageStatus {
            package: PackageAddress {
                id: *id,
                address: format!("https://storage.example:1/v1/packages/{id}"),
            },
            provider: reader.metadata().signer().clone(),
            stored: true,
            digest: Some(reader.metadata().id()),
            size: Some(size),
        };
        Ok(turn(&self.0.lies.package, status))
    }
    async fn upload_offset(&self, _: &PackageId) -> Result<UploadOffset> {
        not_here()
    }
    async fn append(&self, _: &PackageId, _: &Part, _: ByteStream) -> Result<PackageStatus> {
        not_here()
    }
}

#[async_trait]
impl Public for Fake {
    async fn health(&self) -> Result<Health> {
        not_here()
    }
    async fn crl(&self, realm: &str) -> Result<String> {
        let crl = self.0.crl.lock().unwrap().clone().filter(|_| realm == "server");
        crl.ok_or_else(|| Problem::not_found("no list"))
    }
}
