//! What else users and operators do while the servers run.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::{lines, ok, one, refused, run};
use crate::site::{Server, edit};

/// A terms file, an export where the provider allows it, another country for a user, lists read
/// again, and a suspension that a key server refuses at first.
pub(crate) fn what_else_users_and_operators_do(dir: &Path, key: &Server) {
    let info = one(dir, &["ledger", "info", "--profile", "bob"]);
    assert_eq!(
        (info["ledger_kind"].as_str(), info["name"].as_str()),
        (Some("embedded"), Some("management.test"))
    );

    let terms = "title = \"Notes\"\ntimes = \"unlimited\"\nexpires = \"1d\"\nallow_edit = true\n\
                 [allow]\ncountries = [\"FI\"]\n";
    fs::write(dir.join("terms.toml"), terms).unwrap();
    fs::write(dir.join("notes.txt"), "notes\n").unwrap();
    let create = ["share", "create", "notes.txt", "--terms", "terms.toml", "--profile", "alice"];
    let create = [&create[..], &["--passphrase-file", "passphrase"]].concat();
    let created = one(dir, &create);
    let notes = created["share"].as_str().unwrap();
    let export = ["open", notes, "--export", "-o", "exported.txt", "--profile", "bob"];
    assert_eq!(refused(dir, &export, 3)["refusal"]["rule"], "country");
    assert!(!dir.join("exported.txt").exists());

    // An administrator corrects where Bob is: he asks again and gets access.
    let accounts = lines(dir, &["account", "list"]);
    let bob = accounts.iter().find(|account| account["identity"]["subject"] == "CN=bob").unwrap();
    let id = bob["id"].as_str().unwrap();
    refused(dir, &["account", "update", id, "--country", "FI", "--profile", "bob"], 4);
    ok(dir, &["account", "update", id, "--country", "FI"]);
    ok(dir, &export);
    assert_eq!(fs::read_to_string(dir.join("exported.txt")).unwrap(), "notes\n");
    refused(dir, &export, 2);
    let was = bob["attributes"]["country"].as_str().unwrap();
    ok(dir, &["account", "update", id, "--country", was]);
    assert_eq!(refused(dir, &["open", notes, "--profile", "bob"], 3)["refusal"]["rule"], "country");

    // The key server's list is read again on SIGHUP.
    let all = "[\"server\", \"clinic\", \"lab\"]";
    let hang_up = |from: &str, to: &str| {
        edit(&dir.join("key/key.toml"), &[(from, to.to_owned())]);
        let pid = key.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    };
    let suspend =
        ["share", "suspend", notes, "--profile", "alice", "--passphrase-file", "passphrase"];
    hang_up(all, "[\"server\", \"lab\"]");
    let audit = ["share", "audit", notes, "--profile", "alice", "--passphrase-file", "passphrase"];
    until(|| run(dir, &audit).status.code() == Some(4));
    // Refused by the key server, the share stays as it was everywhere.
    refused(dir, &suspend, 4);
    let show = ["share", "show", notes, "--profile", "alice", "--passphrase-file", "passphrase"];
    assert_eq!(one(dir, &show)["state"], "active");
    hang_up("[\"server\", \"lab\"]", all);
    until(|| run(dir, &audit).status.code() == Some(0));
    ok(dir, &suspend);
    assert_eq!(one(dir, &show)["state"], "suspended");
}

/// Waits until it is so: a list is in force a moment after the signal.
fn until(so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "it never was so");
        std::thread::sleep(Duration::from_millis(100));
    }
}
