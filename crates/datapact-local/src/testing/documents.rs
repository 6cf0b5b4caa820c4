//! Users, shares, and the documents that they sign, with the calls that record these.

use std::sync::Arc;

use datapact_core::commitment::Opening;
use datapact_core::contract::{Attributes, Call, Documents};
use datapact_core::document::{AccessRequest, UsageAction, UsageReport};
use datapact_core::id::{Digest, KeyId, PackageId, Salt, ShareId, Timestamp, random};
use datapact_core::jws::{Signed, Signer};
use datapact_core::permission::{AccessPermission, AccessTimes, KeyReference, PackageReference};
use datapact_core::policy::{ShareState, SharingInformation, SharingPolicy};
use datapact_core::terms::Terms;
use datapact_core::trust::Trust;
use datapact_log::clock::{Clock, system_clock};

use super::realm::{TestRealm, trust};

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
