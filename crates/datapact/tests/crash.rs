//! Killing any process at any step loses nothing (SH-7, AX-4): servers and clients are ended by
//! SIGKILL while data are shared and accessed; a retry completes everything, no access is spent
//! twice, and no key is left without its package or the other way round.
//!
//! The long form, a thousand random kills: `DATAPACT_KILLS=1000 cargo test -p datapact --test crash
//! random`; or as many as ten minutes have room for: `DATAPACT_STORM=600`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datapact_api::problem::Kind;
use datapact_client::ClientError;
use datapact_core::contract::Refusal;
use datapact_core::id::ShareId;
use datapact_core::permission::AccessTimes;
use serde_json::Value;
use support::watch::Watch;
use support::{PATIENCE, ROLES, Site, User, collect, data, storm, until_done};

const PACKAGE_BYTES: usize = 300_000;
/// Into how many steps the time that a command takes is cut, to kill it after each.
const STEPS: u32 = 16;
/// On a busy machine it takes longer than it took at first.
const STEPS_MAX: u32 = 64;

/// Makes a share as a user would who meets with failures: what is pending is finished, what is
/// undone is done again.
async fn share_in_the_end(user: &User, title: &str, data: &[u8], times: AccessTimes) -> ShareId {
    let until = Instant::now() + PATIENCE;
    let mut made = user.share(title, data, times).await.map(|set| set.share);
    loop {
        assert!(Instant::now() < until, "`{title}` is never shared: {made:?}");
        match made {
            Ok(share) => return share,
            Err(error) => assert_temporary(title, &error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        finish_pending(user).await;
        let shares =
            until_done("listing shares", || async { user.provider().shares().await }).await;
        let found = shares.iter().find(|share| share.policy.information.title == title);
        made = match found {
            Some(share) => Ok(share.policy.share),
            None => user.share(title, data, times).await.map(|set| set.share),
        };
    }
}

fn assert_temporary(what: &str, error: &ClientError) {
    let temporary = matches!(error.kind(), Kind::Unavailable | Kind::Busy);
    assert!(temporary, "{what}: {:?}: {error}", error.kind());
}

async fn finish_pending(user: &User) {
    let until = Instant::now() + PATIENCE;
    loop {
        let finished = user.provider().finish_pending().await.unwrap();
        if finished.iter().all(|work| work.done) {
            return;
        }
        assert!(Instant::now() < until, "what is pending is never finished: {finished:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One more access is refused, because exactly `times` were granted.
async fn used_up(user: &User, share: ShareId, times: u32) {
    let error = user.open(share).await.expect_err("the access times are used up");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert_eq!(error.to_problem().refusal, Some(Refusal::AccessTimes { access_times: times }));
}

/// What must hold when all is done: each share is there once, with its key and its package and no
/// others, and the audits of `opened` find exactly so many accesses and nothing wrong.
async fn nothing_is_lost(site: &Site, titles: &[String], opened: &[(ShareId, usize)]) {
    let clinic = site.user("clinic");
    finish_pending(&clinic).await;
    assert_eq!(site.work_left("clinic"), 0);
    let shares = clinic.provider().shares().await.unwrap();
    for title in titles {
        let with_title =
            shares.iter().filter(|share| share.policy.information.title == *title).count();
        assert_eq!(with_title, 1, "`{title}`");
    }
    // What a killed upload leaves on the disk goes at the next start.
    site.restart("storage");
    let mut keys: Vec<String> = shares.iter().map(|share| share.policy.share.to_string()).collect();
    keys.sort();
    assert_eq!(site.stored_keys().await, keys);
    let mut packages: Vec<String> =
        shares.iter().map(|share| share.policy.information.package.id.to_string()).collect();
    packages.sort();
    assert_eq!(site.stored_packages().await, packages);
    let mut files: Vec<String> = site.package_files();
    files.iter_mut().for_each(|file| *file = file.split('-').next().unwrap().to_owned());
    files.sort();
    if site.stores.is_some() {
        // In a bucket, what a killed upload leaves goes only after a day: another server may be
        // writing it.
        files.retain(|file| packages.contains(file));
        files.dedup();
    }
    assert_eq!(files, packages);
    for (share, accesses) in opened {
        let audit = until_done("auditing", || async { clinic.provider().audit(share).await }).await;
        assert!(audit.good && audit.releases_compared, "{:?}", audit.findings);
        assert_eq!(audit.accesses.len(), *accesses, "accesses of {share}");
        let mut requests: Vec<_> = audit.accesses.iter().map(|access| access.request).collect();
        requests.sort();
        requests.dedup();
        assert_eq!(requests.len(), *accesses, "each access has a request of its own");
    }
    for role in ROLES {
        assert!(site.runs(role));
    }
}

/// SH-7, AX-4, AX-14: each server is killed at each of these moments after a share is begun to be
/// made and another begun to be opened, and restarted.
#[tokio::test(flavor = "multi_thread")]
async fn sh_7_ax_4_a_server_killed_at_any_step_loses_nothing() {
    let site = Site::start();
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    // Milliseconds; with everything up, sharing takes some 200, opening as well.
    let moments: &[u64] = &[0, 10, 25, 45, 70, 100, 140, 190];
    let rounds = (ROLES.len() * moments.len()) as u32;
    let plain = data(1, PACKAGE_BYTES);
    let opened = clinic.share("opened", &plain, AccessTimes::Times(rounds)).await.unwrap().share;

    let mut titles = vec!["opened".to_owned()];
    for role in ROLES {
        for moment in moments {
            let title = format!("made while {role} is killed after {moment} ms");
            let making = share_in_the_end(&clinic, &title, &plain, AccessTimes::Unlimited);
            let opening = until_done("opening", || async { lab.open(opened).await });
            let killing = async {
                tokio::time::sleep(Duration::from_millis(*moment)).await;
                site.kill(role);
                tokio::time::sleep(Duration::from_millis(50)).await;
                site.restart(role);
            };
            let (_, (bytes, _), ()) = tokio::join!(making, opening, killing);
            assert_eq!(bytes, plain);
            titles.push(title);
        }
    }
    used_up(&lab, opened, rounds).await;
    nothing_is_lost(&site, &titles, &[(opened, rounds as usize)]).await;
}

/// The same at random, all at once: two consumers and a provider at work, and one server after the
/// other killed, while an observer watches the log.
#[tokio::test(flavor = "multi_thread")]
async fn sh_7_ax_4_random_kills_under_load_lose_nothing() {
    let site = Site::start();
    let clinic = site.user("clinic");
    let plain = data(2, PACKAGE_BYTES);
    let share = clinic.share("shared", &plain, AccessTimes::Unlimited).await.unwrap().share;
    let (ended, kills) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
    let seed = datapact_core::id::random::<8>();
    eprintln!("seed {seed:?}");
    let mut numbers = data(u64::from_le_bytes(seed), 1 << 20).into_iter();

    let consumer = |profile| {
        let (user, plain, ended) = (site.user(profile), plain.clone(), Arc::clone(&ended));
        async move {
            let mut opened = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                let (bytes, proof) =
                    until_done("opening", || async { user.open(share).await }).await;
                assert_eq!(bytes, plain);
                opened += 1;
                assert_eq!(
                    proof.permission.access, opened,
                    "the contract has counted another access"
                );
            }
            opened as usize
        }
    };
    let making = async {
        let mut titles = vec!["shared".to_owned()];
        while !ended.load(Ordering::Relaxed) {
            let title = format!("share {}", titles.len());
            share_in_the_end(&clinic, &title, &plain[..1000], AccessTimes::Times(1)).await;
            titles.push(title);
        }
        titles
    };
    let watch = Watch::start(site.profile("lab")).await;
    let watching = async {
        while !ended.load(Ordering::Relaxed) {
            watch.look().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let wanted: Option<u64> = std::env::var("DATAPACT_KILLS")
        .ok()
        .map(|text| text.parse().expect("DATAPACT_KILLS=NUMBER"));
    let killing = async {
        let until = Instant::now() + storm(8);
        while wanted.map_or(Instant::now() < until, |wanted| kills.load(Ordering::Relaxed) < wanted)
        {
            let [role, wait, down] = [0; 3].map(|_: u8| numbers.next().unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(100 + 3 * u64::from(wait))).await;
            let role = ROLES[usize::from(role) % ROLES.len()];
            site.kill(role);
            tokio::time::sleep(Duration::from_millis(u64::from(down))).await;
            site.restart(role);
            kills.fetch_add(1, Ordering::Relaxed);
        }
        ended.store(true, Ordering::Relaxed);
    };
    let (lab, overseas, titles, (), ()) =
        tokio::join!(consumer("lab"), consumer("lab-overseas"), making, killing, watching);
    eprintln!("{} kills, {} openings, {} shares", kills.into_inner(), lab + overseas, titles.len());
    assert!(lab > 0 && overseas > 0 && titles.len() > 1, "nothing was done");
    nothing_is_lost(&site, &titles, &[(share, lab + overseas)]).await;
    let (entries, checkpoints) = watch.all_agree(&site).await;
    eprintln!("{checkpoints} checkpoints of one log of {entries} entries");
}

/// SH-7: `share create` is killed after each of many short steps; the next command finishes or
/// undoes it.
#[tokio::test(flavor = "multi_thread")]
async fn sh_7_a_killed_share_create_is_finished_or_undone_by_the_next_command() {
    let site = Site::start();
    std::fs::write(site.file("data.bin"), data(3, 2_000_000)).unwrap();
    let arguments =
        ["share", "create", "data.bin", "--allow-anyone", "--times", "1", "--expires", "30d"];
    let started = Instant::now();
    site.ok("clinic", &arguments);
    let step = started.elapsed() / STEPS;
    let before = site.ok("clinic", &["share", "list"]).len();
    let (mut finished, mut undone) = (0, 0);
    for round in 1..=STEPS_MAX {
        if round > STEPS + 2 && finished > 0 && undone > 0 {
            break;
        }
        let title = format!("killed after step {round}");
        let mut command =
            site.command(Some("clinic"), &[&arguments[..], &["--title", &title]].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(step * round).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let shares = site.ok("clinic", &["share", "list"]);
        match shares.iter().filter(|share| title_of(share) == title).count() {
            0 => undone += 1,
            1 => finished += 1,
            more => panic!("`{title}` was made {more} times"),
        }
        assert_eq!(site.work_left("clinic"), 0, "`{title}` is neither finished nor undone");
        assert_eq!(shares.len(), before + finished);
        assert_eq!(site.stored_keys().await.len(), shares.len(), "keys after `{title}`");
        assert_eq!(site.stored_packages().await.len(), shares.len(), "packages after `{title}`");
    }
    eprintln!("{finished} finished, {undone} undone");
    assert!(
        finished > 0 && undone > 0,
        "{finished} finished, {undone} undone: the moments miss the work"
    );
    nothing_is_lost(&site, &[], &[]).await;
}

fn title_of(share: &Value) -> &str {
    share["information"]["title"].as_str().unwrap_or_default()
}

/// AX-4, DC-4: `open` is killed after each of many short steps and run again. An opening that did
/// not give out everything costs no second access.
#[tokio::test(flavor = "multi_thread")]
async fn ax_4_a_killed_open_costs_no_second_access() {
    let site = Site::start();
    let plain = data(4, 2_000_000);
    let share =
        site.user("clinic").share("opened", &plain, AccessTimes::Unlimited).await.unwrap().share;
    let id = share.to_string();
    let accesses = || site.ok("lab", &["record", "list", "--share", &id]).len();
    let open = || {
        let mut command = site.command(Some("lab"), &["open", &id, "--json", "--yes"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let started = Instant::now();
    assert!(open().output().unwrap().status.success());
    let step = started.elapsed() / STEPS;
    let (mut early, mut repeated) = (0, 0);
    for round in 1..=STEPS_MAX {
        if round > STEPS && early > 0 && repeated > 0 {
            break;
        }
        let before = accesses();
        let mut child = open().spawn().unwrap();
        let stdout = collect(&mut child);
        tokio::time::sleep(step * round).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let given_out = stdout.join().unwrap();
        assert!(
            plain.starts_with(&given_out),
            "what comes out before a kill is a part of the data"
        );
        let killed = accesses() - before;
        assert!(killed <= 1);

        let output = open().output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == plain);
        let opened = String::from_utf8(output.stderr).unwrap();
        let opened: Value = serde_json::from_str(opened.lines().last().unwrap()).unwrap();
        let spent = accesses() - before;
        if given_out.len() < plain.len() {
            early += 1;
            assert_eq!(spent, 1, "killed after step {round}, {} bytes out", given_out.len());
            // Whatever the ledger had recorded before the kill was repeated.
            if killed == 1 {
                assert_eq!(opened["repeated"], true);
                repeated += 1;
            }
        } else {
            assert!(spent <= 2);
        }
    }
    eprintln!("{early} killed before the end, {repeated} repeated a recorded request");
    assert!(early > 0 && repeated > 0, "the moments miss the work");
    // The whole history is good, and every access was used.
    let total = accesses();
    let audit = site.user("clinic").provider().audit(&share).await.unwrap();
    assert!(audit.good, "{:?}", audit.findings);
    assert_eq!(audit.accesses.len(), total);
    assert!(audit.accesses.iter().all(|access| access.released.is_some()));
}
