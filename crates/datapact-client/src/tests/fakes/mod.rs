//! A world in memory: honest answers, made from real documents, and a hook for each to turn it into
//! a lie.

mod management;
mod servers;

use std::collections::BTreeMap;
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
use datapact_api::user::Deletion;
use datapact_api::user::{UserNotice, Users};
use datapact_core::commitment::Opening;
use datapact_core::contract::{AccessRecord, Attributes, Call, RequestedPermission, UsageRecord};
use datapact_core::document::{AccessRequest, Body, KeyRelease, UsageReport};
use datapact_core::enrolment::{Administrators, Enrolment, LedgerTrust, Version};
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

/// What each answer is turned into before it goes out; nothing, if the server is honest.
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
    /// The servers' CA, and what is served as each realm's revocation list.
    pub(crate) servers: Ca,
    pub(crate) crl: Mutex<BTreeMap<String, String>>,
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
            let chain = crate::enrolment::chain_of(pem.as_bytes()).unwrap();
            let identity = Identity { realm: realm.to_owned(), subject: format!("CN={name}") };
            (Arc::new(Signer::new(key.pkcs8(), chain, identity).unwrap()), key)
        };
        let server = |name: &str| {
            let key = PrivateKey::generate().unwrap();
            let request = key.request(&Subject::new(name, None).unwrap()).unwrap();
            let kind = ca::Kind::Server { dns_names: vec![name.to_owned()] };
            let pem = servers.issue(&request, &kind, DAY).unwrap();
            let chain = crate::enrolment::chain_of(pem.as_bytes()).unwrap();
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
            version: 1,
            previous: None,
            administrators: Administrators {
                identities: vec![Identity {
                    realm: "clinic".to_owned(),
                    subject: "CN=Ann".to_owned(),
                }],
                threshold: 1,
            },
            management: at("management.example"),
            public: at("management.example"),
            key_servers: vec![at("keys.example")],
            storage_servers: vec![at("storage.example")],
            ledger: LedgerTrust {
                id: LEDGER.to_owned(),
                log_policy: policy.to_string(),
                chain: None,
            },
            realms: realms.map(|(realm, ca)| (realm.to_owned(), ca.certificate_pem())).into(),
        };
        let crls = realms.map(|(realm, ca)| (realm.to_owned(), ca.crl().unwrap())).into();
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
            crl: Mutex::new(crls),
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
            let known = crate::enrolment::KnownEnrolment::Draft(Box::new(self.enrolment.clone()));
            known.write(&folder.join("enrolment.json")).unwrap();
        }
        let identity = signer.identity().clone();
        let profile = Profile::assemble("bob", folder, identity, None).unwrap();
        let fake = Arc::new(Fake(Arc::clone(self)));
        Session::with(profile, fake.clone(), fake.clone(), fake.clone(), fake)
    }

    /// What was left unfinished.
    pub(crate) fn unfinished(&self) -> usize {
        count(&self.folder.path().join("profile/state/work"))
    }

    /// Replaces the share's policy, as its provider may.
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

    /// A release by the key server of another content.
    pub(crate) fn state<B: Body>(&self, body: B) -> Signed<B> {
        self.key_signer.sign(LEDGER, now(), body)
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
