//! Each way in which management or the key server can differ from the ledger is found.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use datapact_core::commitment::Opening;
use datapact_core::contract::Attributes;
use datapact_core::document::{
    AccessRequest, KeyRelease, KeyRequest, ReleaseErasure, Statement, UsageAction, UsageReport,
};
use datapact_core::id::Salt;
use datapact_core::jws::{Signed, Signer};
use datapact_core::permission::KeyReference;
use datapact_core::terms::Terms;
use datapact_log::entry::Entry;

use super::*;
use crate::Session;
use crate::tests::fakes::{World, now};

/// What each of the three shows of one access by Bob, released and used; all agree.
struct Scene {
    world: Arc<World>,
    session: Session,
    bob: Arc<Signer>,
    key: KeyReference,
    policy: Call,
    ledger: OnLedger,
    accesses: Vec<AccessEntry>,
    usages: Vec<UsageEntry>,
    releases: Vec<ReleaseEntry>,
    erased_releases: Vec<ErasedRelease>,
    erased: BTreeMap<u64, Timestamp>,
}

fn opening(signer: &Signer, salt: u8) -> Opening {
    Opening { identity: signer.identity().clone(), salt: Salt([salt; 32]) }
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let session = world.session();
        let bob = Arc::clone(session.profile().signer());
        let policy = world.policy.lock().unwrap().clone();
        let key = policy.body().information.key.clone();
        let set = Call::of_policy(&policy, &opening(&world.ann, 9), &[]).unwrap();
        let mut ledger = OnLedger::new(policy.body().share);
        ledger.add(0, &Entry::new(set.clone(), now()));
        let (accesses, usages, releases) = (Vec::new(), Vec::new(), Vec::new());
        let erased = BTreeMap::new();
        let mut scene = Self {
            world,
            session,
            bob,
            key,
            policy: set,
            ledger,
            accesses,
            usages,
            releases,
            erased_releases: Vec::new(),
            erased,
        };
        let request = scene.access(&Arc::clone(&scene.bob), 7);
        scene.release(&request, &Arc::clone(&scene.bob));
        scene.usage(&request);
        scene
    }

    fn next(&self) -> u64 {
        (self.ledger.policies.len() + self.ledger.accesses.len() + self.ledger.usages.len()) as u64
    }

    fn access(&mut self, signer: &Signer, salt: u8) -> Signed<AccessRequest> {
        let policy = self.world.policy.lock().unwrap().id();
        let body = AccessRequest { share: self.world.share, policy, purpose: None };
        let request = signer.sign(self.session.ledger(), now(), body);
        let consumer = opening(signer, salt);
        let terms = Terms { anyone: true, ..Terms::default() };
        let call = Call::of_request(&request, &consumer, &Attributes::default(), &terms).unwrap();
        let position = self.next();
        self.ledger.add(position, &Entry::new(call, now()));
        let record = self.ledger.accesses.last().unwrap().1.clone();
        self.accesses.push(AccessEntry { position, record, request: request.clone(), consumer });
        request
    }

    fn release(&mut self, request: &Signed<AccessRequest>, signer: &Signer) {
        let body = KeyRequest {
            token: Digest([1; 32]),
            request: request.id(),
            key: self.key.id,
            recipient: Digest([2; 32]),
        };
        let key_request = signer.sign("keys.example", now(), body);
        let release = self.world.state(KeyRelease {
            share: self.world.share,
            key: self.key.id,
            request: request.id(),
            key_request: key_request.id(),
            sealed: Digest([3; 32]),
        });
        self.releases.push(ReleaseEntry { release, key_request });
    }

    fn usage(&mut self, request: &Signed<AccessRequest>) {
        let action = UsageAction::Opened;
        let body = UsageReport { share: self.world.share, request: request.id(), action };
        let report = self.bob.sign(self.session.ledger(), now(), body);
        let call = Call::of_report(&report, &opening(&self.bob, 7)).unwrap();
        let position = self.next();
        self.ledger.add(position, &Entry::new(call, now()));
        let record = self.ledger.usages.last().unwrap().1.clone();
        self.usages.push(UsageEntry { position, record, report });
    }

    fn begin<'a>(&'a self, trust: &'a Trust, known: u64) -> Audit<'a> {
        let (share, ledger_id) = (self.world.share, self.session.ledger());
        Audit { trust, ledger_id, share, known, erased: self.erased.clone(), findings: Vec::new() }
    }

    fn audit(&self) -> (Vec<FindingKind>, Vec<AuditedAccess>) {
        let trust = self.session.profile().trust();
        let mut audit = self.begin(&trust, self.next());
        let id = self.ledger.policies[0].2.policy;
        audit.policies(id, Some(&self.policy), &self.ledger);
        let shown = audit.shown(&self.ledger, self.accesses.clone(), self.usages.clone());
        let mut released = audit.releases("keys.example", &self.releases, &shown, &self.ledger);
        let erased = &self.erased_releases;
        audit.erased_releases("keys.example", erased, &self.ledger, &mut released);
        let accesses = audit.accesses(&self.ledger, &shown, &released);
        (audit.findings.iter().map(|finding| finding.finding).collect(), accesses)
    }
}

#[test]
fn pr_1_what_was_erased_is_told_from_what_is_hidden() {
    let mut scene = Scene::new();
    (scene.accesses, scene.usages, scene.releases) = (Vec::new(), Vec::new(), Vec::new());
    assert_eq!(scene.audit().0, [FindingKind::HiddenAccess, FindingKind::HiddenUsage]);
    scene.erased = BTreeMap::from([(1, 50)]);
    assert_eq!(scene.audit().0, [FindingKind::HiddenUsage]);
    scene.erased.insert(2, 50);
    let (findings, accesses) = scene.audit();
    assert_eq!(findings, []);
    assert_eq!((accesses[0].erased, &accesses[0].consumer), (Some(50), &None));
}

/// Management says that the consumer was erased: it hides nothing unless the key server has seen
/// who asked for it.
#[test]
fn pr_1_an_erasure_without_a_statement_is_found() {
    let mut scene = Scene::new();
    let request = scene.accesses[0].request.id();
    let release = scene.releases[0].release.clone();
    (scene.accesses, scene.usages) = (Vec::new(), Vec::new());
    scene.erased = BTreeMap::from([(1, 50), (2, 50)]);
    assert_eq!(scene.audit().0, [FindingKind::UnauthorisedErasure]);

    let asked = Statement { method: "POST".into(), target: "/".into(), content: None };
    let asked = scene.world.ann.sign("management.example", now(), asked);
    let erasure = |request, statement| ReleaseErasure {
        share: scene.world.share,
        request,
        key_request: release.body().key_request,
        released: now(),
        statement,
    };
    let sign = |body| scene.world.state::<ReleaseErasure>(body);
    let left = ErasedRelease {
        erasure: sign(erasure(request, asked.id())),
        statement: Some(asked.clone()),
    };
    let another =
        ErasedRelease { erasure: sign(erasure(request, Digest([9; 32]))), ..left.clone() };
    let invented =
        ErasedRelease { erasure: sign(erasure(Digest([8; 32]), asked.id())), ..left.clone() };
    let forged = scene.world.eve.sign(scene.session.ledger(), now(), left.erasure.body().clone());
    let forged = ErasedRelease { erasure: forged, statement: None };
    scene.releases = Vec::new();
    for (entry, found) in [
        (another, FindingKind::UnauthorisedErasure),
        (forged, FindingKind::UnauthorisedErasure),
        (invented, FindingKind::ReleaseWithoutRecord),
    ] {
        scene.erased_releases = vec![entry];
        assert_eq!(scene.audit().0, [found]);
    }
    scene.erased_releases = vec![left];
    let (findings, accesses) = scene.audit();
    assert_eq!(findings, []);
    assert_eq!(accesses[0].erased_by.as_ref(), Some(scene.world.ann.identity()));
    assert_eq!(accesses[0].released, Some(now()));
}

#[test]
fn ur_2_what_agrees_gives_no_finding() {
    let (findings, accesses) = Scene::new().audit();
    assert_eq!(findings, []);
    assert_eq!(accesses.len(), 1);
    let access = &accesses[0];
    assert!(access.good && access.released.is_some());
    assert_eq!(access.consumer.as_ref().unwrap().to_string(), "lab:CN=Bob");
    assert_eq!(access.usages[0].action, Some(UsageAction::Opened));
}

#[test]
fn an_access_that_happened_meanwhile_is_no_finding() {
    let mut scene = Scene::new();
    let known = scene.next();
    scene.access(&Arc::clone(&scene.bob), 7);
    scene.accesses.pop();
    let trust = scene.session.profile().trust();
    let mut audit = scene.begin(&trust, known);
    let shown = audit.shown(&scene.ledger, scene.accesses.clone(), scene.usages.clone());
    audit.accesses(&scene.ledger, &shown, &BTreeMap::new());
    assert_eq!(audit.findings, []);
}

macro_rules! findings {
    ($($name:ident, $finding:ident, $change:expr;)*) => {
        $(#[test]
        fn $name() {
            let mut scene = Scene::new();
            let change: fn(&mut Scene) = $change;
            change(&mut scene);
            let (findings, accesses) = scene.audit();
            assert_eq!(findings, [FindingKind::$finding]);
            let of_access = !matches!(
                FindingKind::$finding,
                FindingKind::Policy
                    | FindingKind::InventedAccess
                    | FindingKind::ReleaseWithoutRecord
            );
            assert_eq!(accesses.iter().all(|access| access.good), !of_access);
        })*
    };
}

findings! {
    ur_2_a_hidden_access_is_found, HiddenAccess, |s| {
        s.access(&Arc::clone(&s.bob), 7);
        s.accesses.pop();
    };
    ur_2_an_invented_access_is_found, InventedAccess, |s| {
        s.access(&Arc::clone(&s.bob), 7);
        s.ledger.accesses.pop();
    };
    ur_2_another_counter_is_found, WrongAccess, |s| s.accesses[0].record.access = 2;
    ur_2_another_position_is_found, WrongAccess, |s| s.accesses[0].position = 9;
    ur_2_an_opening_of_somebody_else_is_found, WrongAccess, |s| {
        s.usages.pop();
        s.ledger.usages.pop();
        s.accesses[0].consumer.salt = Salt([8; 32]);
    };
    ur_2_one_user_counted_twice_is_found, DoubledCommitment, |s| {
        s.access(&Arc::clone(&s.bob), 8);
    };
    ur_2_a_hidden_usage_report_is_found, HiddenUsage, |s| {
        s.usages.pop();
    };
    ur_2_an_invented_usage_report_is_found, InventedUsage, |s| {
        s.ledger.usages.pop();
    };
    ur_2_another_usage_record_is_found, WrongUsage, |s| s.usages[0].record.time += 1;
    ks_4_a_release_without_a_record_is_found, ReleaseWithoutRecord, |s| {
        let request = s.access(&Arc::clone(&s.bob), 7);
        s.ledger.accesses.pop();
        s.accesses.pop();
        s.release(&request, &Arc::clone(&s.bob));
    };
    ks_4_a_release_to_somebody_else_is_found, WrongRelease, |s| {
        let (request, eve) = (s.accesses[0].request.clone(), Arc::clone(&s.world.eve));
        s.release(&request, &eve);
    };
    ks_4_a_release_that_the_key_server_did_not_state_is_found, WrongRelease, |s| {
        let body = s.releases[0].release.body().clone();
        s.releases[0].release = s.world.eve.sign(s.session.ledger(), now(), body);
    };
    ks_4_a_release_before_the_record_is_found, WrongRelease, |s| {
        s.ledger.accesses[0].1.time += 100;
        s.accesses[0].record.time += 100;
    };
    dp_10_another_policy_on_the_ledger_is_found, Policy, |s| {
        let Call::SetPolicy(mut policy) = s.policy.clone() else { panic!("a policy") };
        policy.version = 2;
        policy.previous = Some(policy.policy);
        policy.policy = Digest([5; 32]);
        s.ledger.policies.push((0, now(), policy));
    };
    dp_10_another_owner_on_the_ledger_is_found, Policy, |s| {
        let mut before = s.ledger.policies[0].clone();
        before.2.owner = Commitment([5; 32]);
        s.ledger.policies.insert(0, before);
    };
}
