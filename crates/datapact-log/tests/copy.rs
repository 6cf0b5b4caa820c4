//! A copy of a log in files goes on where it was, and finds out a log that does not continue it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;

use datapact_core::permission::AccessTimes;
use datapact_local::testing::{Fixture, MemoryLog, signing_key};
use datapact_log::audit;
use datapact_log::copy::{CopyError, LogCopy};
use datapact_log::entry::Entry;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{KeyKind, SigningKey};
use datapact_log::source::Directory;
use tempfile::TempDir;

const ID: &str = "ledger.example";
const NOW: u64 = 1_800_000_000;

fn key() -> SigningKey {
    signing_key(1, ID, KeyKind::Log)
}

/// The entries of one share and many accesses to it.
fn entries(accesses: usize) -> Vec<Vec<u8>> {
    let fixture = Fixture::with_clock(ID, Arc::new(|| NOW));
    let share = fixture.share(AccessTimes::Unlimited, |_| {});
    let consumer = fixture.consumer("Consumer");
    let mut calls = vec![share.set().0];
    calls.extend((0..accesses).map(|_| share.request(&consumer).0));
    calls.into_iter().map(|call| Entry::new(call, NOW).to_bytes().unwrap()).collect()
}

/// A log of the first `size` of `all` entries.
fn log(all: &[Vec<u8>], size: usize) -> MemoryLog {
    let log = MemoryLog::new(key());
    log.edit(|entries| entries.extend_from_slice(&all[..size]));
    log
}

async fn open(path: &Path) -> Result<(LogCopy, u64), CopyError> {
    let mut seen = 0;
    let copy = LogCopy::open(path, key().public().clone(), &mut |_, _| seen += 1).await?;
    Ok((copy, seen))
}

/// Opens the copy and follows `log`: how many entries it held, and how many were new.
async fn follow(path: &Path, log: &MemoryLog) -> Result<(u64, u64), CopyError> {
    let (mut copy, held) = open(path).await?;
    let mut new = 0;
    copy.advance(log, &mut |_, _| new += 1).await?;
    Ok((held, new))
}

fn wrong(result: Result<(u64, u64), CopyError>) -> (Option<u64>, String) {
    match result {
        Err(CopyError::Wrong { position, reason }) => (position, reason),
        other => panic!("the log was taken: {other:?}"),
    }
}

fn files(path: &Path) -> usize {
    let inside = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    inside.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn a_copy_goes_on_where_it_was_and_is_a_log_that_others_audit() {
    let (dir, all) = (TempDir::new().unwrap(), entries(600));
    let policy = LogPolicy::new(key().public(), &[]).unwrap();
    let mut held = 0;
    for size in [0, 1, 200, 200, 256, 300, 512, 601] {
        let found = follow(dir.path(), &log(&all, size)).await.unwrap();
        assert_eq!(found, (held, size as u64 - held), "{size}");
        held = size as u64;
        let report = audit::verify(&Directory::new(dir.path()), &policy).await.unwrap();
        assert_eq!((report.fault, report.size), (None, held));
        // Two checkpoints, a file for each bundle and tile, and no partial one that was replaced.
        let bundles = size.div_ceil(256);
        let above = usize::from(size >= 256);
        assert_eq!(files(dir.path()), 2 + 2 * bundles + above, "{size}");
    }
    let (copy, _) = open(dir.path()).await.unwrap();
    for position in [0, 255, 256, 600] {
        let entry = copy.entry(position).await.unwrap().unwrap();
        assert_eq!(Some(&entry), all.get(position as usize));
        let proof = copy.proof(position, 601, &log(&all, 601).checkpoint()).unwrap();
        proof.verify(&policy, &entry).unwrap();
        let earlier = copy.proof(position, 300, &log(&all, 300).checkpoint());
        assert_eq!(earlier.is_some_and(|p| p.verify(&policy, &entry).is_ok()), position < 300);
    }
    assert!(copy.entry(601).await.unwrap().is_none() && copy.proof(601, 601, "").is_none());
}

#[tokio::test]
async fn a_log_that_went_back_forked_or_broke_the_rules_is_refused_and_the_copy_stays() {
    let (dir, all) = (TempDir::new().unwrap(), entries(300));
    follow(dir.path(), &log(&all, 280)).await.unwrap();
    let other = entries(300);
    let mut forked = all.clone();
    forked[270..].clone_from_slice(&other[270..]);
    for (shown, size, at, why) in [
        (&all, 279, Some(279), "rolled back"),
        (&forked, 280, Some(270), "two trees"),
        (&forked, 301, Some(270), "does not continue"),
    ] {
        let (position, reason) = wrong(follow(dir.path(), &log(shown, size)).await);
        assert_eq!(position, at, "{reason}");
        assert!(reason.contains(why), "`{reason}` does not say `{why}`");
    }
    // An entry that is not the one in the tree.
    let altered = log(&all, 301);
    let bundle = datapact_log::entry::bundle(&forked[256..301]);
    altered.alter("tile/entries/001.p/45", Some(bundle));
    let (_, reason) = wrong(follow(dir.path(), &altered).await);
    assert!(reason.contains("not the one in the tree"), "{reason}");
    // An entry that the copy has had, altered in a bundle that has grown.
    let mut old = all[256..301].to_vec();
    old[2] = other[258].clone();
    altered.alter("tile/entries/001.p/45", Some(datapact_log::entry::bundle(&old)));
    let (position, reason) = wrong(follow(dir.path(), &altered).await);
    assert_eq!(position, Some(258), "{reason}");
    assert_eq!(std::fs::read_to_string(dir.path().join("evidence")).unwrap(), altered.checkpoint());
    assert_eq!(follow(dir.path(), &log(&all, 301)).await.unwrap(), (280, 21));
    // An entry that the contract refuses: once signed, no other log of this size is believed.
    let mut repeated = all.clone();
    repeated.push(all[3].clone());
    let (position, reason) = wrong(follow(dir.path(), &log(&repeated, 302)).await);
    assert!(position == Some(301) && reason.contains("repeats"), "{reason}");
    let (_, reason) = wrong(follow(dir.path(), &log(&all, 301)).await);
    assert!(reason.contains("rolled back: it had 302"), "{reason}");
}

#[tokio::test]
async fn a_log_does_not_go_back_behind_a_checkpoint_whose_entries_it_held_back() {
    let (dir, all) = (TempDir::new().unwrap(), entries(600));
    follow(dir.path(), &log(&all, 100)).await.unwrap();
    let cut = log(&all, 601);
    cut.alter("tile/entries/001", None);
    let (mut copy, _) = open(dir.path()).await.unwrap();
    let Err(CopyError::Unavailable(_)) = copy.advance(&cut, &mut |_, _| ()).await else {
        panic!("the log was taken without its entries");
    };
    let (_, reason) = wrong(follow(dir.path(), &log(&all, 600)).await);
    assert!(reason.contains("rolled back: it had 601"), "{reason}");
    let mut forked = all.clone();
    forked[550..].clone_from_slice(&entries(600)[550..]);
    let (_, reason) = wrong(follow(dir.path(), &log(&forked, 601)).await);
    assert!(reason.contains("two trees of 601"), "{reason}");
    // The same copy goes on when the log answers again.
    cut.restore();
    let mut new = 0;
    assert_eq!(copy.advance(&cut, &mut |_, _| new += 1).await.unwrap(), 601);
    assert_eq!(open(dir.path()).await.unwrap().1, 601);
}

#[tokio::test]
async fn a_crash_before_the_checkpoint_leaves_the_state_before_and_damage_is_found() {
    let (dir, all) = (TempDir::new().unwrap(), entries(300));
    follow(dir.path(), &log(&all, 100)).await.unwrap();
    let before = TempDir::new().unwrap();
    for file in ["checkpoint", "tile/entries/000.p/100"] {
        std::fs::create_dir_all(before.path().join(file).parent().unwrap()).unwrap();
        std::fs::copy(dir.path().join(file), before.path().join(file)).unwrap();
    }
    follow(dir.path(), &log(&all, 301)).await.unwrap();
    // As if the process had been killed before the new checkpoint was in its place.
    for file in ["checkpoint", "tile/entries/000.p/100"] {
        std::fs::create_dir_all(dir.path().join(file).parent().unwrap()).unwrap();
        std::fs::copy(before.path().join(file), dir.path().join(file)).unwrap();
    }
    assert_eq!(follow(dir.path(), &log(&all, 301)).await.unwrap(), (100, 201));

    let path = dir.path().join("tile/entries/000");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.pop();
    std::fs::write(&path, bytes).unwrap();
    let Err(CopyError::Damaged { .. }) = open(dir.path()).await else {
        panic!("the damaged copy was opened");
    };
}
