//! The SDK against the real servers: both procedures of X.1410 (7.3.1 and 7.3.2) over mutually
//! authenticated TLS.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

mod world;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use datapact_api::management::{AccountUpdate, CatalogFilter, CatalogQuery};
use datapact_api::problem::Kind;
use datapact_client::custody::Replacement;
use datapact_client::open::{OpenOptions, Opened, Output, Target};
use datapact_client::provider::{ChangeShare, CreateShare, SetShare};
use datapact_client::{ClientError, Consumer, Provider, no_progress};
use datapact_core::contract::Refusal;
use datapact_core::document::UsageAction;
use datapact_core::permission::{AccessPermission, AccessTimes};
use datapact_core::policy::ShareState;
use datapact_core::terms::Terms;
use futures_util::StreamExt as _;
use world::World;

/// Plaintext as it comes out.
#[derive(Clone, Default)]
struct Plain(Arc<Mutex<Vec<u8>>>);

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn terms(countries: &[&str]) -> Terms {
    let countries: BTreeSet<_> = countries.iter().map(|country| country.parse().unwrap()).collect();
    Terms { anyone: countries.is_empty(), countries, ..Terms::default() }
}

fn create(terms: Terms, times: AccessTimes, read_only: bool) -> CreateShare {
    let now = datapact_log::clock::system_clock()();
    CreateShare {
        title: "Admissions 2026".to_owned(),
        media_type: "text/csv".to_owned(),
        categories: vec!["health".parse().unwrap()],
        introduction: "Admissions by week".to_owned(),
        usage: String::new(),
        price: None,
        terms,
        permission: AccessPermission {
            access_times: times,
            not_before: 0,
            expires: now + 3600,
            read_only,
        },
        key_server: None,
        storage_server: None,
        desensitization: None,
    }
}

async fn share(provider: &Provider, data: &[u8], create: CreateShare) -> SetShare {
    let input = Box::new(io::Cursor::new(data.to_vec()));
    provider.create_share(input, create, no_progress()).await.unwrap()
}

async fn open(consumer: &Consumer, target: &Target) -> Result<(Opened, Vec<u8>), ClientError> {
    let plain = Plain::default();
    let output = Output::Stream(Box::new(plain.clone()));
    let opened =
        consumer.open(target, &OpenOptions::default(), &|_| Ok(()), output, no_progress()).await?;
    let bytes = plain.0.lock().unwrap().clone();
    Ok((opened, bytes))
}

fn rule(error: &ClientError) -> Option<&'static str> {
    error.to_problem().refusal.as_ref().map(Refusal::rule)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sh_3_to_ax_18_a_file_goes_the_whole_way() {
    let world = World::start().await;
    let ann = Provider::new(world.user("clinic", "Ann", "SE").await);
    let bob = Consumer::new(world.user("lab", "Bob", "SE").await);
    let eve = Consumer::new(world.user("lab", "Eve", "US").await);
    let mut published = bob.watch(Some(0)).unwrap();

    let data = b"week,admissions\n1,17\n2,23\n".repeat(1000);
    let shared =
        share(&ann, &data, create(terms(&["SE", "DE"]), AccessTimes::Times(2), true)).await;
    assert!(shared.proof.size >= 1, "the ledger's proof, cosigned by the key server");
    let view = ann.show(&shared.share).await.unwrap();
    assert_eq!((view.id, view.policy.version, view.accesses), (shared.policy, 1, 0));

    // DC-1, MG-14, MG-15.
    let announced = published.next().await.unwrap().unwrap();
    assert_eq!(announced.share, shared.share);
    let found = bob
        .search(&CatalogFilter { text: Some("week".to_owned()), ..CatalogFilter::default() }.into())
        .await;
    assert_eq!(found.unwrap().len(), 1);
    let offer = bob.show(&shared.share, None).await.unwrap();
    assert!(offer.admitted && offer.signed.is_some());

    let target = Target::Share(shared.share);
    for access in 1..=2 {
        let (opened, plain) = open(&bob, &target).await.unwrap();
        assert_eq!(plain, data);
        assert_eq!((opened.permission.access, opened.repeated), (access, false));
        assert!(opened.usage_reported);
        assert_eq!(
            opened.proof.position,
            bob.accesses(None).await.unwrap().last().unwrap().position
        );
    }
    assert_eq!(rule(&open(&bob, &target).await.unwrap_err()), Some("access-times"));
    let offer = eve.show(&shared.share, None).await.unwrap();
    assert_eq!(offer.refusal, Some(Refusal::Country));
    let refused = open(&eve, &target).await.unwrap_err();
    assert_eq!((refused.kind(), rule(&refused)), (Kind::Refused, Some("country")));

    // UR-2, PR-2.
    let report = ann.audit(&shared.share).await.unwrap();
    assert!(report.good, "{:?}", report.findings);
    assert!(report.releases_compared);
    assert_eq!(report.accesses.len(), 2);
    for access in &report.accesses {
        assert_eq!(access.consumer.as_ref().unwrap().subject, "CN=Bob");
        assert!(access.released.is_some());
        let actions: Vec<_> = access.usages.iter().filter_map(|usage| usage.action).collect();
        assert_eq!(actions, [UsageAction::Opened, UsageAction::Closed]);
    }
    // The second audit goes on where the first one stopped.
    let again = ann.audit(&shared.share).await.unwrap();
    assert_eq!(again.log.followed_from, report.log.size);
    assert!(!ann.session().notifications(false).await.unwrap().is_empty());
    for session in [ann.session(), bob.session()] {
        let work = session.profile().folder().join("state/work");
        assert_eq!(std::fs::read_dir(work).unwrap().count(), 0, "nothing is left unfinished");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dp_10_a_share_is_updated_suspended_resumed_and_revoked() {
    let world = World::start().await;
    let ann = Provider::new(world.user("clinic", "Ann", "SE").await);
    let bob = Consumer::new(world.user("lab", "Bob", "SE").await);
    // Larger than what is fetched whole, so that ranges are read.
    let data: Vec<u8> =
        (0..9_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let shared = share(&ann, &data, create(terms(&["US"]), AccessTimes::Unlimited, false)).await;
    let target = Target::Share(shared.share);
    assert_eq!(rule(&open(&bob, &target).await.unwrap_err()), Some("country"));

    let change = ChangeShare { terms: Some(terms(&[])), ..ChangeShare::default() };
    assert_eq!(ann.update(&shared.share, change).await.unwrap().version, 2);
    let (exported, kept) = (world.file("data.csv"), world.file("kept.pkg"));
    let options = OpenOptions { keep_package: Some(kept.clone()), ..OpenOptions::default() };
    let output = Output::Export(exported.clone());
    let opened = bob.open(&target, &options, &|_| Ok(()), output, no_progress()).await.unwrap();
    assert_eq!(opened.exported.as_ref(), Some(&exported));
    assert!(std::fs::read(&exported).unwrap() == data);
    let (_, plain) = open(&bob, &target).await.unwrap();
    assert!(plain == data);
    // PR-9: a forwarded copy is read by permission as well.
    let (opened, plain) = open(&bob, &Target::Package(kept.clone())).await.unwrap();
    assert!(plain == data);
    assert_eq!(opened.permission.access, 3);

    assert_eq!(ann.suspend(&shared.share).await.unwrap().state, ShareState::Suspended);
    assert_eq!(rule(&open(&bob, &target).await.unwrap_err()), Some("suspended"));
    ann.resume(&shared.share).await.unwrap();
    open(&bob, &target).await.unwrap();
    ann.revoke(&shared.share).await.unwrap();
    assert_eq!(rule(&open(&bob, &Target::Package(kept)).await.unwrap_err()), Some("revoked"));
    assert_eq!(rule(&ann.resume(&shared.share).await.unwrap_err()), Some("revoked"));
    let report = ann.audit(&shared.share).await.unwrap();
    assert!(report.good, "{:?}", report.findings);
    assert_eq!((report.policies.len(), report.accesses.len()), (5, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mg_1_pr_1_a_user_who_leaves_is_refused_everywhere_and_erased() {
    let world = World::start().await;
    let ann = Provider::new(world.user("clinic", "Ann", "SE").await);
    let bob = Consumer::new(world.user("lab", "Bob", "SE").await);
    let leaver = Provider::new(world.user("lab", "Leaver", "SE").await);
    let shared = share(&ann, b"data", create(terms(&["SE"]), AccessTimes::Times(1), true)).await;
    let left = share(&leaver, b"left", create(terms(&["SE"]), AccessTimes::Times(1), true)).await;
    let consumer = Consumer::new(leaver.session().clone());
    open(&bob, &Target::Share(shared.share)).await.unwrap();
    open(&consumer, &Target::Share(shared.share)).await.unwrap();

    let account = leaver.session().account().await.unwrap();
    let id = account.id;
    let disable = AccountUpdate { active: Some(false), ..AccountUpdate::default() };
    world.admin.update(&id, &disable).await.unwrap();
    let (_, key_server) = leaver.session().key_server_of(&left.key.address).unwrap();
    let (_, storage) = leaver.session().storage_server_of(&left.package.address).unwrap();
    for refused in [
        key_server.register_key().await.map(drop),
        key_server.key_status(&left.key.id).await.map(drop),
        storage.register_package().await.map(drop),
        storage.download(&left.package.id, None).await.map(drop),
        leaver.session().management().catalog(&CatalogQuery::default()).await.map(drop),
    ] {
        let problem = refused.unwrap_err();
        assert_eq!(
            (problem.kind, problem.detail.as_str()),
            (Kind::Forbidden, "your account is disabled")
        );
    }
    let (_, others) = bob.session().storage_server_of(&left.package.address).unwrap();
    others.download(&left.package.id, None).await.unwrap();

    world.admin.delete(&account, true).await.unwrap();
    assert_eq!(
        others.download(&left.package.id, None).await.map(drop).unwrap_err().kind,
        Kind::NotFound
    );
    let refused = open(&bob, &Target::Share(left.share)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
    // The audit tells what was erased from what is hidden.
    let report = ann.audit(&shared.share).await.unwrap();
    assert!(report.good, "{:?}", report.findings);
    let seen: Vec<_> =
        report.accesses.iter().map(|a| (a.consumer.is_some(), a.erased.is_some())).collect();
    assert_eq!(seen, [(true, false), (false, true)]);
    let erased = &report.accesses[1];
    assert!(erased.released.is_some() && erased.usages[0].action.is_none());
    assert_eq!(erased.erased_by.as_ref().unwrap().to_string(), "clinic:CN=Admin");
    assert_eq!(world.admin.history().await.unwrap().len(), 11);
}

fn replacement(data: &[u8], destroy_before: bool) -> Replacement {
    let input = Box::new(io::Cursor::new(data.to_vec()));
    Replacement {
        input,
        desensitization: None,
        media_type: None,
        change: ChangeShare::default(),
        destroy_before,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dp_10_ks_6_ds_3_data_are_replaced_listed_and_destroyed() {
    let world = World::start().await;
    let ann = Provider::new(world.user("clinic", "Ann", "SE").await);
    let bob = Consumer::new(world.user("lab", "Bob", "SE").await);
    let first = share(&ann, b"first", create(terms(&["SE"]), AccessTimes::Unlimited, true)).await;
    let target = Target::Share(first.share);
    assert_eq!(open(&bob, &target).await.unwrap().1, b"first");
    // Only what no current policy names can be destroyed.
    assert_eq!(ann.delete_key(&first.key.id).await.unwrap_err().kind(), Kind::Conflict);

    let second =
        ann.replace(&first.share, replacement(b"second", false), no_progress()).await.unwrap();
    assert_eq!((second.version, &second.contract), (2, &first.contract));
    assert_eq!(open(&bob, &target).await.unwrap().1, b"second");
    let keys = |all: Vec<datapact_api::key_server::KeyStatus>| -> BTreeSet<_> {
        all.into_iter().map(|status| status.key.id).collect()
    };
    assert_eq!(keys(ann.keys().await.unwrap()), BTreeSet::from([first.key.id, second.key.id]));
    assert_eq!(ann.packages().await.unwrap().len(), 2);
    assert!(Provider::new(bob.session().clone()).keys().await.unwrap().is_empty());
    ann.delete_key(&first.key.id).await.unwrap();
    ann.delete_package(&first.package.id).await.unwrap();

    let third =
        ann.replace(&first.share, replacement(b"third", true), no_progress()).await.unwrap();
    assert_eq!(keys(ann.keys().await.unwrap()), BTreeSet::from([third.key.id]));
    assert_eq!(ann.packages().await.unwrap().len(), 1);
    assert_eq!(open(&bob, &target).await.unwrap().1, b"third");
    // The releases of all three keys fit the audit.
    let report = ann.audit(&first.share).await.unwrap();
    assert!(report.good, "{:?}", report.findings);
    assert!(report.accesses.iter().all(|access| access.released.is_some()));

    // What an earlier version has left goes as well, and nothing of another share.
    ann.replace(&first.share, replacement(b"fourth", false), no_progress()).await.unwrap();
    let other = share(&ann, b"other", create(terms(&["SE"]), AccessTimes::Unlimited, true)).await;
    assert_eq!((ann.keys().await.unwrap().len(), ann.packages().await.unwrap().len()), (3, 3));
    let erased = ann.revoke_and_erase(&first.share).await.unwrap();
    assert_eq!(keys(ann.keys().await.unwrap()), BTreeSet::from([other.key.id]));
    assert_eq!(ann.packages().await.unwrap().len(), 1);
    ann.revoke_and_erase(&other.share).await.unwrap();
    assert!(erased.revoked.is_some());
    assert_eq!(erased.opened.len(), 1);
    assert_eq!(
        (erased.opened[0].consumer.subject.as_str(), erased.opened[0].accesses),
        ("CN=Bob", 3)
    );
    assert!(ann.keys().await.unwrap().is_empty() && ann.packages().await.unwrap().is_empty());
    // A share that was not opened is audited without its key, too.
    let unopened =
        share(&ann, b"unopened", create(terms(&["SE"]), AccessTimes::Unlimited, true)).await;
    ann.revoke_and_erase(&unopened.share).await.unwrap();
    assert!(ann.audit(&unopened.share).await.unwrap().good);
    let again = ann.revoke_and_erase(&first.share).await.unwrap();
    assert!(again.revoked.is_none() && again.opened == erased.opened);
    assert_eq!(rule(&open(&bob, &target).await.unwrap_err()), Some("revoked"));
    let told = ann.session().notifications(false).await.unwrap();
    ann.session().acknowledge(told.last().unwrap().sequence).await.unwrap();
    assert!(ann.session().notifications(false).await.unwrap().is_empty());
    assert_eq!(ann.session().notifications(true).await.unwrap(), told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_opening_costs_no_second_access() {
    let world = World::start().await;
    let ann = Provider::new(world.user("clinic", "Ann", "SE").await);
    let bob = Consumer::new(world.user("lab", "Bob", "SE").await);
    let shared = share(&ann, b"once", create(terms(&["SE"]), AccessTimes::Times(1), true)).await;
    let target = Target::Share(shared.share);
    // Killed while the plaintext was about to go out: the future is dropped.
    let run = bob.clone();
    let (stall, stalled) = std::sync::mpsc::channel();
    let killed = tokio::spawn(async move {
        let stalled = Output::Stream(Box::new(Stalled(stalled)));
        let options = OpenOptions::default();
        run.open(&Target::Share(shared.share), &options, &|_| Ok(()), stalled, no_progress())
            .await
            .map(drop)
    });
    while bob.accesses(None).await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    killed.abort();
    drop(stall);
    assert!(killed.await.unwrap_err().is_cancelled());
    let (opened, plain) = open(&bob, &target).await.unwrap();
    assert_eq!(
        (plain.as_slice(), opened.repeated, opened.permission.access),
        (&b"once"[..], true, 1)
    );
    assert_eq!(rule(&open(&bob, &target).await.unwrap_err()), Some("access-times"));
    assert_eq!(bob.accesses(None).await.unwrap().len(), 1);
    // What the killed run could not report is reported by the next one.
    let provider = Provider::new(bob.session().clone());
    provider.finish_pending().await.unwrap();
    let work = bob.session().profile().folder().join("state/work");
    assert_eq!(std::fs::read_dir(work).unwrap().count(), 0);
}

/// An output that takes nothing until its other end is gone.
struct Stalled(std::sync::mpsc::Receiver<()>);

impl Write for Stalled {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pr_6_what_cannot_be_shared_leaves_nothing() {
    let world = World::start().await;
    let ann = Provider::new(world.user("clinic", "Ann", "SE").await);
    let mut wrong = create(terms(&["SE"]), AccessTimes::Times(1), true);
    wrong.title = String::new();
    let input = Box::new(io::Cursor::new(b"data".to_vec()));
    let error = ann.create_share(input, wrong, no_progress()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    let mut elsewhere = create(terms(&["SE"]), AccessTimes::Times(1), true);
    elsewhere.key_server = Some("other.example".to_owned());
    let input = Box::new(io::Cursor::new(b"data".to_vec()));
    assert_eq!(
        ann.create_share(input, elsewhere, no_progress()).await.unwrap_err().kind(),
        Kind::NotFound
    );
    // A source that breaks.
    let broken = Box::new(Broken);
    let error = ann
        .create_share(broken, create(terms(&["SE"]), AccessTimes::Times(1), true), no_progress())
        .await;
    assert!(matches!(error.unwrap_err(), ClientError::Package(_)));
    ann.finish_pending().await.unwrap();
    assert!(ann.shares().await.unwrap().is_empty());
    let work = ann.session().profile().folder().join("state/work");
    assert_eq!(std::fs::read_dir(work).unwrap().count(), 0);
}

struct Broken;

impl io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}
