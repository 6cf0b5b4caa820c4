//! Signers, trust and signed documents for tests, of this crate and of others (feature `testing`).

#[cfg(feature = "postgres")]
pub mod postgres;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use datapact_core::commitment::Opening;
use datapact_core::contract::{Attributes, Call, Documents};
use datapact_core::document::{AccessRequest, UsageAction, UsageReport};
use datapact_core::id::{Digest, KeyId, PackageId, Salt, ShareId, Timestamp, random};
use datapact_core::identity::Identity;
use datapact_core::jws::{Signed, Signer};
use datapact_core::permission::{AccessPermission, AccessTimes, KeyReference, PackageReference};
use datapact_core::policy::{SharingInformation, SharingPolicy};
use datapact_core::terms::Terms;
use datapact_core::trust::{Trust, subject};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use datapact_log::clock::Clock;
use datapact_log::clock::system_clock;
use datapact_log::note::{KeyKind, SigningKey};
use datapact_log::path::Resource;
use datapact_log::source::{LogSource, SourceError};
use datapact_log::tree::{Edge, TILE_WIDTH, leaf_hash};

pub use datapact_core::policy::ShareState;

/// A CA and the realm that it speaks for.
pub struct TestRealm {
    name: String,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl TestRealm {
    /// A realm with a fresh CA.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{name} CA"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, key()).expect("the parameters are valid");
        Self { name: name.to_owned(), ca }
    }

    /// A user that this realm's CA certifies.
    pub fn signer(&self, name: &str) -> Signer {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = key();
        let certificate = params.signed_by(&key, &self.ca).expect("the parameters are valid");
        let subject = subject(certificate.der()).expect("the subject is plain");
        let identity = Identity { realm: self.name.clone(), subject };
        Signer::new(&key.serialize_der(), vec![certificate.der().clone()], identity)
            .expect("the key is its own")
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("the system makes keys")
}

/// The trust configuration that knows `realms`.
pub fn trust(realms: &[&TestRealm]) -> Arc<Trust> {
    let mut trust = Trust::default();
    for realm in realms {
        trust
            .add(&realm.name, vec![realm.ca.der().clone()], Vec::new())
            .expect("each CA has one realm");
    }
    Arc::new(trust)
}

/// A user with a signing key and, on each share, one salt.
pub struct TestUser {
    /// Signs for the user.
    pub signer: Signer,
    salt: Salt,
}

impl TestUser {
    /// What opens the user's commitments.
    pub fn opening(&self) -> Opening {
        Opening { identity: self.signer.identity().clone(), salt: self.salt }
    }
}

/// Two organisations and what they sign for one ledger.
pub struct Fixture {
    /// The provider's organisation.
    pub clinic: TestRealm,
    /// The consumers' organisation.
    pub lab: TestRealm,
    audience: String,
    clock: Clock,
}

impl Fixture {
    /// Documents for the ledger `audience`, signed by the system's clock.
    pub fn new(audience: &str) -> Self {
        Self::with_clock(audience, system_clock())
    }

    /// Documents for the ledger `audience`, signed by `clock`.
    pub fn with_clock(audience: &str, clock: Clock) -> Self {
        let (clinic, lab) = (TestRealm::new("clinic.example"), TestRealm::new("lab.example"));
        Self { clinic, lab, audience: audience.to_owned(), clock }
    }

    /// The trust configuration that knows both organisations.
    pub fn trust(&self) -> Arc<Trust> {
        trust(&[&self.clinic, &self.lab])
    }

    /// A user of the lab.
    pub fn consumer(&self, name: &str) -> TestUser {
        TestUser { signer: self.lab.signer(name), salt: Salt::random() }
    }

    /// A new share of a provider of the clinic: open to anyone, read-only, for an hour, unless
    /// `edit` says otherwise.
    pub fn share(
        &self,
        access_times: AccessTimes,
        edit: impl FnOnce(&mut SharingPolicy),
    ) -> TestShare {
        let provider =
            TestUser { signer: self.clinic.signer("Dr. Provider"), salt: Salt::random() };
        let now = (self.clock)();
        let (package, key) = (PackageId::random(), KeyId::random());
        let mut policy = SharingPolicy {
            share: ShareId::random(),
            version: 1,
            previous: None,
            state: ShareState::Active,
            information: SharingInformation {
                package: PackageReference {
                    id: package,
                    address: format!("https://storage.example/v1/packages/{package}"),
                    digest: Digest(random()),
                    size: 1000,
                },
                key: KeyReference {
                    id: key,
                    address: format!("https://keys.example/v1/keys/{key}"),
                },
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
                access_times,
                not_before: now.saturating_sub(3600),
                expires: now + 3600,
                read_only: true,
            },
        };
        edit(&mut policy);
        let policy = provider.signer.sign(&self.audience, now, policy);
        TestShare {
            audience: self.audience.clone(),
            clock: Arc::clone(&self.clock),
            provider,
            policy,
        }
    }
}

/// A share with its provider and newest policy.
pub struct TestShare {
    audience: String,
    clock: Clock,
    /// Who shares.
    pub provider: TestUser,
    /// The newest version made.
    pub policy: Signed<SharingPolicy>,
}

impl TestShare {
    /// The share's id.
    pub fn id(&self) -> ShareId {
        self.policy.body().share
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The call that sets the newest policy made.
    pub fn set(&self) -> (Call, Documents) {
        let owner = self.provider.opening();
        let call =
            Call::of_policy(&self.policy, &owner, &[]).expect("the policy is the provider's");
        (call, Documents::Policy { policy: self.policy.clone(), owner, users: Vec::new() })
    }

    /// Makes the next version, and the call that sets it.
    pub fn next(&mut self, edit: impl FnOnce(&mut SharingPolicy)) -> (Call, Documents) {
        let mut body = self.policy.body().clone();
        body.version += 1;
        body.previous = Some(self.policy.id());
        edit(&mut body);
        self.policy = self.provider.signer.sign(&self.audience, self.now(), body);
        self.set()
    }

    /// A new request of `consumer` under the newest policy made.
    pub fn request(&self, consumer: &TestUser) -> (Call, Documents) {
        self.request_with(consumer, Attributes::default())
    }

    /// A new request of `consumer`, for whom management vouches `attributes`.
    pub fn request_with(&self, consumer: &TestUser, attributes: Attributes) -> (Call, Documents) {
        let body = AccessRequest { share: self.id(), policy: self.policy.id(), purpose: None };
        let request = consumer.signer.sign(&self.audience, self.now(), body);
        let opening = consumer.opening();
        let terms = match self.set().0 {
            Call::SetPolicy(set) => set.terms,
            _ => unreachable!("a policy sets a policy"),
        };
        let call = Call::of_request(&request, &opening, &attributes, &terms)
            .expect("the request is the consumer's");
        (call, Documents::Access { request, consumer: opening, attributes })
    }

    /// A report of `consumer` on the access that `access` requested.
    pub fn report(
        &self,
        consumer: &TestUser,
        access: &Call,
        action: UsageAction,
    ) -> (Call, Documents) {
        let Call::RequestAccess(access) = access else {
            unreachable!("only an access is reported on")
        };
        let body = UsageReport { share: self.id(), request: access.request, action };
        let report = consumer.signer.sign(&self.audience, self.now(), body);
        let opening = consumer.opening();
        let call = Call::of_report(&report, &opening).expect("the report is the consumer's");
        (call, Documents::Usage { report, consumer: opening })
    }
}

/// A key from a seed byte, for a log or a witness.
pub fn signing_key(seed: u8, name: &str, kind: KeyKind) -> SigningKey {
    let text = SigningKey::text(&[seed; 32], name, kind).expect("the name is plain");
    SigningKey::parse(&text).expect("the text is a key")
}

/// A log that holds and signs whatever a test wants: what a corrupt management could show.
pub struct MemoryLog {
    key: SigningKey,
    state: Mutex<MemoryState>,
}

#[derive(Default)]
struct MemoryState {
    entries: Vec<Vec<u8>>,
    altered: BTreeMap<String, Option<Vec<u8>>>,
}

impl MemoryLog {
    /// An empty log that `key` signs.
    pub fn new(key: SigningKey) -> Self {
        Self { key, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the entries as a log may not.
    pub fn edit(&self, edit: impl FnOnce(&mut Vec<Vec<u8>>)) {
        edit(&mut self.state().entries);
    }

    /// Serves `bytes`, or nothing, at `path` instead of what belongs there.
    pub fn alter(&self, path: &str, bytes: Option<Vec<u8>>) {
        self.state().altered.insert(path.to_owned(), bytes);
    }

    /// Serves what belongs there again.
    pub fn restore(&self) {
        self.state().altered.clear();
    }

    /// The checkpoint of the present entries.
    pub fn checkpoint(&self) -> String {
        let mut edge = Edge::default();
        self.state().entries.iter().for_each(|entry| edge.push(leaf_hash(entry), |_, _| {}));
        self.key.checkpoint(edge.size(), &edge.root())
    }

    fn resource(&self, path: &str) -> Option<Vec<u8>> {
        let resource = Resource::parse(path)?;
        if resource == Resource::Checkpoint {
            return Some(self.checkpoint().into_bytes());
        }
        let state = self.state();
        match resource {
            Resource::Entries(index, width) => {
                let first = index as usize * TILE_WIDTH;
                Some(crate::tables::bundle(state.entries.get(first..first + width)?))
            }
            Resource::Tile(id, width) => {
                let mut edge = Edge::default();
                let mut tiles = BTreeMap::new();
                for entry in &state.entries {
                    edge.push(leaf_hash(entry), |id, hashes| {
                        tiles.insert(id, hashes);
                    });
                }
                tiles.extend(edge.partial().map(|(id, hashes)| (id, hashes.to_vec())));
                Some(tiles.get(&id)?.get(..width)?.concat())
            }
            Resource::Checkpoint | Resource::Cosigned => None,
        }
    }
}

#[async_trait]
impl LogSource for MemoryLog {
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let altered = self.state().altered.get(path).cloned();
        Ok(altered.unwrap_or_else(|| self.resource(path)))
    }

    async fn wait_newer(&self, _size: u64, _timeout: Duration) -> Result<(), SourceError> {
        Ok(())
    }
}
