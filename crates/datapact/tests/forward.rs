//! PR-9: what one consumer forwards is ciphertext, and who receives it is a consumer like any
//! other: management is asked, the ledger records the receiver's own access, and the receiver opens
//! it only if the policy admits the receiver.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use support::Site;

const PLAIN: &str = "blood pressure 120/80, measured at noon\n";

/// A share that `countries` may access once each, opened by `lab`, who keeps the ciphertext and
/// forwards it.
fn forwarded(site: &Site, countries: &str) -> (String, String) {
    std::fs::write(site.file("notes.txt"), PLAIN).unwrap();
    let terms = ["--allow-country", countries, "--times", "1", "--expires", "30d"];
    let set = site.ok("clinic", &[&["share", "create", "notes.txt"], &terms[..]].concat());
    let share = set[0]["share"].as_str().unwrap().to_owned();
    let kept = format!("kept-{share}.pkg");
    let opened = site.run(Some("lab"), &["open", &share, "--keep", &kept]);
    assert_eq!(String::from_utf8(opened.stdout).unwrap(), PLAIN);
    // What is sent is a file, and nothing of the data can be read in it.
    std::fs::create_dir_all(site.file("received")).unwrap();
    let received = format!("received/{share}.pkg");
    std::fs::copy(site.file(&kept), site.file(&received)).unwrap();
    let bytes = std::fs::read(site.file(&received)).unwrap();
    assert!(!bytes.windows(8).any(|window| window == &PLAIN.as_bytes()[..8]));
    (share, received)
}

/// The consumers whose accesses to `share` the ledger holds, as `profile` sees it.
fn accesses(site: &Site, profile: &str, share: &str) -> Vec<String> {
    let records = site.ok(profile, &["record", "list", "--share", share]);
    records
        .iter()
        .map(|record| record["consumer"]["identity"]["subject"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn pr_9_who_receives_a_forwarded_copy_asks_management_and_is_recorded_or_refused() {
    let site = Site::start();
    let subject = |profile: &str| site.profile(profile).identity().subject.clone();
    let (lab, overseas) = (subject("lab"), subject("lab-overseas"));
    assert_ne!(lab, overseas);

    let (share, received) = forwarded(&site, "DE,US");
    assert_eq!(accesses(&site, "clinic", &share), std::slice::from_ref(&lab));
    // The copy is all that the receiver has of the package: its storage server is not there.
    site.kill("storage");
    let opened = site.run(Some("lab-overseas"), &["open", &received]);
    assert_eq!(
        String::from_utf8_lossy(&opened.stdout),
        PLAIN,
        "{}",
        String::from_utf8_lossy(&opened.stderr)
    );
    assert_eq!(accesses(&site, "clinic", &share), [lab.clone(), overseas.clone()]);
    assert_eq!(accesses(&site, "lab-overseas", &share), std::slice::from_ref(&overseas));
    // The receiver's access is counted like any other.
    let again = site.run(Some("lab-overseas"), &["open", &received, "--json"]);
    assert_eq!(again.status.code(), Some(3));
    let refused: Value = serde_json::from_slice(&again.stderr).unwrap();
    assert_eq!(refused["refusal"]["rule"], "access-times", "{refused}");
    site.restart("storage");

    // A user whom the policy does not admit cannot open a copy, even from one whom it admits.
    let (share, received) = forwarded(&site, "DE");
    let refused = site.run(Some("lab-overseas"), &["open", &received, "--json"]);
    assert!(refused.stdout.is_empty());
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    let refused: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(refused["refusal"]["rule"], "country", "{refused}");
    assert_eq!(accesses(&site, "clinic", &share), [lab]);
}
