//! Many at once, between real processes: access times are counted exactly (MG-8, MG-10, AX-4), and
//! no key leaves once `share suspend` or `share revoke` has reported success (MG-7, KS-4).
//!
//! The long form, each storm for ten minutes in all:
//! `DATAPACT_STORM=600 cargo test -p datapact --test concurrency`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datapact_api::key_server::{ReleaseKey, ReleasedKey};
use datapact_api::management::{Purpose, Role};
use datapact_api::problem::{Kind, Problem};
use datapact_core::contract::Refusal;
use datapact_core::document::{AccessRequest, KeyRequest};
use datapact_core::id::{Digest, KeyId, ShareId};
use datapact_core::jws::Signed;
use datapact_core::permission::AccessTimes;
use datapact_core::release::Recipient;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use support::{PATIENCE, Site, User, data, now, storm};

const CONSUMERS: usize = 200;
const ACCESS_TIMES: u32 = 10;
const REQUESTS: usize = 12;

async fn enrol(site: &Site, consumers: usize) -> Vec<User> {
    let admin = site.user("admin").session;
    let (site, admin) = (&site, &admin);
    let joining = (0..consumers).map(|number| async move {
        site.enrol(admin, &format!("consumer-{number}"), "lab", Role::Consumer).await
    });
    stream::iter(joining).buffered(8).collect().await
}

/// The answer to one request, which is repeated while no server has time for it.
async fn ask(user: &User, request: &Signed<AccessRequest>) -> Result<u32, Problem> {
    let until = Instant::now() + PATIENCE;
    loop {
        match user.session.management().request_access(request).await {
            Ok(grant) => return Ok(grant.record.access),
            Err(problem) if matches!(problem.kind, Kind::Unavailable | Kind::Busy) => {
                assert!(Instant::now() < until, "{problem}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(problem) => return Err(problem),
        }
    }
}

/// MG-8, MG-10, AX-4: two hundred consumers, certified and joined each, ask twelve times each for a
/// share with access times ten, all at once: each gets its ten, and none an eleventh.
#[tokio::test(flavor = "multi_thread")]
async fn mg_10_two_hundred_concurrent_consumers_get_ten_accesses_each() {
    let site = Site::start();
    let clinic = site.user("clinic");
    let set =
        clinic.share("counted", &data(5, 1000), AccessTimes::Times(ACCESS_TIMES)).await.unwrap();
    let started = Instant::now();
    let consumers = enrol(&site, CONSUMERS).await;
    eprintln!("{CONSUMERS} consumers joined in {:?}", started.elapsed());

    let started = Instant::now();
    let asking = consumers.iter().enumerate().map(|(number, user)| {
        let requests: Vec<_> = (0..REQUESTS).map(|_| user.request(set.share, set.policy)).collect();
        // Some send all at once, the others two at a time, so that no machine runs out of
        // connections.
        let at_once = if number < 10 { REQUESTS } else { 2 };
        async move {
            stream::iter(&requests)
                .map(|request| ask(user, request))
                .buffer_unordered(at_once)
                .collect()
                .await
        }
    });
    let answers: Vec<Vec<Result<u32, Problem>>> = join_all(asking).await;
    eprintln!("{} requests answered in {:?}", CONSUMERS * REQUESTS, started.elapsed());

    for answers in &answers {
        let mut granted: Vec<u32> =
            answers.iter().filter_map(|answer| answer.as_ref().ok()).copied().collect();
        granted.sort_unstable();
        assert_eq!(granted, (1..=ACCESS_TIMES).collect::<Vec<_>>());
        let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert_eq!(refused.len(), REQUESTS - ACCESS_TIMES as usize);
        for problem in refused {
            assert_eq!(problem.kind, Kind::Refused);
            assert_eq!(problem.refusal, Some(Refusal::AccessTimes { access_times: ACCESS_TIMES }));
            assert_eq!(problem.detail, format!("the access times ({ACCESS_TIMES}) are used up"));
        }
    }
    let audit = clinic.provider().audit(&set.share).await.unwrap();
    assert!(audit.good, "{:?}", audit.findings);
    assert_eq!(audit.accesses.len(), CONSUMERS * ACCESS_TIMES as usize);
    let mut by_consumer = BTreeMap::<_, u32>::new();
    for access in &audit.accesses {
        *by_consumer.entry(access.consumer.as_ref().unwrap().to_string()).or_default() += 1;
    }
    assert_eq!(by_consumer.len(), CONSUMERS);
    assert!(by_consumer.values().all(|accesses| *accesses == ACCESS_TIMES));
    assert_eq!(
        clinic.provider().show(&set.share).await.unwrap().accesses,
        audit.accesses.len() as u64
    );
}

/// AX-4: a repeat of the same request by many at once is one access: everybody gets the first
/// receipt.
#[tokio::test(flavor = "multi_thread")]
async fn ax_4_a_request_sent_many_times_at_once_is_one_access() {
    let site = Site::start();
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let set = clinic.share("repeated", &data(6, 1000), AccessTimes::Times(2)).await.unwrap();
    let request = lab.request(set.share, set.policy);
    let answers = join_all((0..32).map(|_| ask(&lab, &request))).await;
    assert!(answers.iter().all(|answer| answer == &Ok(1)), "{answers:?}");
    assert_eq!(clinic.provider().show(&set.share).await.unwrap().accesses, 1);
    // No other user can use it.
    let problem = ask(&site.user("lab-overseas"), &request).await.unwrap_err();
    assert_eq!(
        (problem.kind, problem.detail.as_str()),
        (Kind::Forbidden, "another user has signed the document")
    );
}

/// Of each key release: when it was asked for, and the problem if there was one.
type ReleaseAnswers = Arc<Mutex<Vec<(Instant, Option<Problem>)>>>;

/// A consumer that asks for the key again and again.
struct Releases {
    user: User,
    share: ShareId,
    policy: Digest,
    key: KeyId,
}

impl Releases {
    async fn release(
        &self,
        request: &Signed<AccessRequest>,
        token: &str,
    ) -> Result<ReleasedKey, Problem> {
        let profile = self.user.session.profile();
        let body = KeyRequest {
            token: Digest::of(token.as_bytes()),
            request: request.id(),
            key: self.key,
            recipient: Recipient::generate().public(),
        };
        let key_request = profile.signer().sign("key.quickstart.test", now(), body);
        let release = ReleaseKey { token: token.to_owned(), request: request.clone(), key_request };
        self.user.key_server.release(&self.key, &release).await
    }

    /// Asks for accesses and keys until told to end. Adds to `answers`, for each key release, when
    /// it was asked for, and what the answer was.
    async fn storm(self, ended: Arc<AtomicBool>, answers: ReleaseAnswers) {
        let mut policy = self.policy;
        // Enough keys for one access that it never runs out of releases, and accesses go on beside
        // them.
        let mut access = None;
        let mut left = 0;
        while !ended.load(Ordering::Relaxed) {
            if left == 0 {
                let request = self.user.request(self.share, policy);
                match self.user.session.management().request_access(&request).await {
                    Ok(grant) => access = Some((request, grant.token)),
                    // A new version was set: its terms are the ones to accept now.
                    Err(problem) => {
                        let detail = self
                            .user
                            .session
                            .management()
                            .catalog_entry(&self.share, &Purpose::default())
                            .await;
                        policy = detail.map_or(policy, |detail| detail.entry.policy);
                        assert!(
                            problem.refusal.is_some() || problem.kind == Kind::Unavailable,
                            "{problem:?}"
                        );
                    }
                }
                left = 24;
            }
            left -= 1;
            let Some((request, token)) = &access else { continue };
            let asked = Instant::now();
            let outcome = self.release(request, token).await;
            answers.lock().unwrap().push((asked, outcome.err()));
        }
    }
}

/// MG-7, KS-4: under a storm of releases, not one that is asked for after `share suspend` or `share
/// revoke` has reported success is answered with the key; resumed, keys are released again.
#[tokio::test(flavor = "multi_thread")]
async fn mg_7_no_key_is_released_after_suspend_or_revoke_reported_success() {
    let site = Site::start();
    let clinic = site.user("clinic");
    let consumers = enrol(&site, 12).await;
    let rounds = AtomicU64::new(0);
    let until = Instant::now() + storm(8);
    loop {
        let set = clinic.share("stormed", &data(7, 1000), AccessTimes::Unlimited).await.unwrap();
        let share = set.share.to_string();
        let (ended, answers) = (Arc::new(AtomicBool::new(false)), ReleaseAnswers::default());
        let storms: Vec<_> = consumers
            .iter()
            .map(|user| {
                let (user, share, policy, key) = (user.clone(), set.share, set.policy, set.key.id);
                let releases = Releases { user, share, policy, key };
                tokio::spawn(releases.storm(Arc::clone(&ended), Arc::clone(&answers)))
            })
            .collect();
        // Until so many were answered that were asked for later than `from`, with or without the
        // key.
        let answered = async |from: Instant, with_key: bool| {
            let until = Instant::now() + PATIENCE;
            let enough = |answers: &ReleaseAnswers| {
                let answers = answers.lock().unwrap();
                answers
                    .iter()
                    .filter(|(asked, problem)| *asked > from && problem.is_none() == with_key)
                    .count()
                    >= 10
            };
            while !enough(&answers) {
                assert!(Instant::now() < until, "nothing was asked for");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let start = Instant::now();
        // Each command is a process of its own. When it has ended, it has reported success.
        let command = |arguments: &[&str]| {
            let set = site.ok("clinic", &[&["share"], arguments].concat());
            (Instant::now(), set[0]["state"].as_str().unwrap().to_owned())
        };
        answered(start, true).await;
        let (suspended, state) = tokio::task::block_in_place(|| command(&["suspend", &share]));
        assert_eq!(state, "suspended");
        answered(suspended, false).await;
        let resuming = Instant::now();
        let (resumed, state) = tokio::task::block_in_place(|| command(&["resume", &share]));
        assert_eq!(state, "active");
        answered(resumed, true).await;
        let (revoked, state) =
            tokio::task::block_in_place(|| command(&["revoke", &share, "--yes"]));
        assert_eq!(state, "revoked");
        answered(revoked, false).await;
        ended.store(true, Ordering::Relaxed);
        for storm in storms {
            storm.await.unwrap();
        }

        let answers = std::mem::take(&mut *answers.lock().unwrap());
        let between = |from: Instant, to: Option<Instant>| {
            answers
                .iter()
                .filter(move |(asked, _)| *asked > from && to.is_none_or(|to| *asked < to))
        };
        let check = |from, to, expected: Refusal| {
            let mut refused = 0;
            for (_, problem) in between(from, to) {
                let problem =
                    problem.as_ref().unwrap_or_else(|| panic!("a key was released: {expected}"));
                match &problem.refusal {
                    Some(refusal) => assert_eq!(*refusal, expected),
                    None => assert_eq!(problem.kind, Kind::Unavailable, "{problem:?}"),
                }
                refused += u32::from(problem.refusal.is_some());
            }
            assert!(refused > 0, "nothing was asked for");
            refused
        };
        let released =
            |from, to| between(from, to).filter(|(_, problem)| problem.is_none()).count();
        let (before, while_suspended) = (
            released(start, Some(suspended)),
            check(suspended, Some(resuming), Refusal::Suspended),
        );
        let (after, while_revoked) =
            (released(resumed, Some(revoked)), check(revoked, None, Refusal::Revoked));
        assert!(before > 0 && after > 0, "{before} keys released before, {after} after");
        eprintln!(
            "{before} released, {while_suspended} refused while suspended, {after} released, \
             {while_revoked} refused when revoked"
        );
        let audit = clinic.provider().audit(&set.share).await.unwrap();
        assert!(audit.good && audit.releases_compared, "{:?}", audit.findings);
        rounds.fetch_add(1, Ordering::Relaxed);
        if Instant::now() >= until {
            break;
        }
    }
    eprintln!("{} rounds", rounds.into_inner());
}

/// More than the servers tell at once, which is 200: a provider lists, suspends, resumes, audits
/// and revokes all the same (MG-7, MG-13, DP-10).
#[tokio::test(flavor = "multi_thread")]
async fn dp_10_a_provider_manages_more_shares_and_releases_than_one_page_holds() {
    const MANY: usize = 210;
    let site = Site::start();
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let oldest = clinic.share("oldest", &data(1, 100), AccessTimes::Unlimited).await.unwrap().share;
    let more = (0..MANY).map(|number| {
        let clinic = &clinic;
        async move {
            clinic.share(&format!("share {number}"), &data(2, 100), AccessTimes::Times(1)).await
        }
    });
    let more: Vec<_> = stream::iter(more).buffer_unordered(8).collect().await;
    assert!(more.iter().all(Result::is_ok));
    for opened in stream::iter((0..MANY).map(|_| lab.open(oldest)))
        .buffer_unordered(8)
        .collect::<Vec<_>>()
        .await
    {
        assert_eq!(opened.unwrap().0, data(1, 100));
    }

    let provider = clinic.provider();
    let mut listed = provider.shares().await.unwrap();
    // The one of the quickstart, the oldest of these, and the others; the last change comes
    // first.
    assert_eq!(listed.len(), MANY + 2);
    assert_eq!(listed[MANY].policy.share, oldest);
    assert!(listed.is_sorted_by_key(|share| std::cmp::Reverse(share.position)));
    listed.sort_by_key(|share| share.policy.share);
    listed.dedup_by_key(|share| share.policy.share);
    assert_eq!(listed.len(), MANY + 2);

    let report = provider.audit(&oldest).await.unwrap();
    assert!(report.good && report.releases_compared, "{:?}", report.findings);
    let released = report.accesses.iter().filter(|access| access.released.is_some()).count();
    assert_eq!((report.accesses.len(), released), (MANY, MANY));
    provider.suspend(&oldest).await.unwrap();
    assert_eq!(provider.shares().await.unwrap()[0].policy.share, oldest);
    provider.resume(&oldest).await.unwrap();
    provider.revoke(&oldest).await.unwrap();
    assert_eq!(provider.show(&oldest).await.unwrap().accesses, MANY as u64);
    // Another provider's share is not shown.
    let stranger = lab.session.management().share(&oldest).await.unwrap_err();
    assert_eq!(stranger.kind, Kind::NotFound);
}
