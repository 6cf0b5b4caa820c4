//! The whole path by the command line alone: three server processes, two organisations with a CA
//! each, a share made, found, opened, refused, suspended, audited, and its log exported and
//! verified.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod cli;
mod evidence;
mod other_work;
mod site;
#[allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]
#[path = "../support/stores.rs"]
mod stores;

use std::fs;
use std::process::Command;

use datapact_local::ports::PortBlock;
use serde_json::Value;
use tempfile::TempDir;

use cli::{command, lines, ok, one, refused, run, text};
use evidence::bundle_is_evidence;
use other_work::what_else_users_and_operators_do;
use site::{Server, configure, join};

#[test]
fn a_share_from_creation_to_audit() {
    let temporary = TempDir::new().unwrap();
    let dir = temporary.path();
    let ports = PortBlock::reserve().unwrap();
    configure(dir, &ports);
    let roles = ["management", "key", "storage"];
    let stores = stores::remote().then(|| stores::Stores::start(&roles));
    for (stores, role) in stores.iter().flat_map(|stores| roles.map(|role| (stores, role))) {
        stores.configure(role, &dir.join(format!("{role}/{role}.toml")));
    }
    let management = Server::start(dir, "management");
    let key = Server::start(dir, "key");
    let storage = Server::start(dir, "storage");

    join(dir, "admin", "clinic", "management/data/administrators.json", None);
    // No one is invited to what no administrator has signed.
    let invite = ["account", "invite", "--realm", "lab", "-o", "early.invite"];
    let problem = refused(dir, &invite, 6);
    assert!(problem["hint"].as_str().unwrap().contains("datapact enrolment sign"), "{problem}");
    assert!(!dir.join("early.invite").exists());
    refused(dir, &["enrolment", "sign"], 10);
    assert_eq!(one(dir, &["enrolment", "sign", "--yes"])["published"], true);
    fs::write(dir.join("passphrase"), "correct horse battery staple\n").unwrap();
    assert!(
        Command::new("chmod").arg("600").arg(dir.join("passphrase")).status().unwrap().success()
    );
    for (user, realm, role, country) in [
        ("alice", "clinic", "provider", "SE"),
        ("bob", "lab", "consumer", "SE"),
        ("carol", "lab", "consumer", "NO"),
    ] {
        let invitation = format!("{user}.invite");
        let invite = [
            "account",
            "invite",
            "--realm",
            realm,
            "--role",
            role,
            "--organisation",
            realm,
            "--industry",
            "isic4:8610",
            "--country",
            country,
            "-o",
            &invitation,
        ];
        ok(dir, &invite);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(dir.join(&invitation)).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        join(dir, user, realm, &invitation, (user == "alice").then_some("passphrase"));
    }
    assert_eq!(lines(dir, &["account", "list"]).len(), 4);
    let profiles = lines(dir, &["profile", "list"]);
    assert_eq!(profiles.len(), 4);
    assert_eq!(profiles[0]["name"], "admin");
    // The first profile stays the current one when others join.
    assert_eq!(profiles[0]["current"], true);
    ok(dir, &["profile", "use", "admin"]);

    let alice = |arguments: &[&str]| {
        [arguments, &["--profile", "alice", "--passphrase-file", "passphrase"]]
            .concat()
            .join("\u{1f}")
    };
    let as_alice =
        |arguments: &[&str]| one(dir, &alice(arguments).split('\u{1f}').collect::<Vec<_>>());
    let plaintext = "patient,pulse\n1,72\n2,64\n".repeat(20_000);
    fs::write(dir.join("vitals.csv"), &plaintext).unwrap();

    // Terms are demanded before anything is done.
    for (missing, arguments) in [
        ("who may access", &["--times", "2", "--expires", "30d"][..]),
        ("access times", &["--allow-country", "SE", "--expires", "30d"]),
        ("when access ends", &["--allow-country", "SE", "--times", "2"]),
    ] {
        let problem = refused(
            dir,
            &[&["share", "create", "vitals.csv", "--profile", "alice"], arguments].concat(),
            2,
        );
        assert!(problem["detail"].as_str().unwrap().contains(missing), "{problem}");
    }
    let created = as_alice(&[
        "share",
        "create",
        "vitals.csv",
        "--allow-country",
        "SE,DE",
        "--allow-industry",
        "isic4:86",
        "--purpose",
        "research",
        "--times",
        "2",
        "--expires",
        "30d",
        "--category",
        "vitals",
        "--price",
        "10.00EUR",
        "--title",
        "Vitals",
    ]);
    let share = created["share"].as_str().unwrap();
    assert_eq!(created["version"], 1);
    assert!(created["proof"]["size"].as_u64().unwrap() >= 1);

    let found =
        lines(dir, &["catalog", "search", "vitals", "--category", "vitals", "--profile", "bob"]);
    assert_eq!(found[0]["share"], share);
    let offer = one(dir, &["catalog", "show", share, "--purpose", "research", "--profile", "bob"]);
    assert_eq!((&offer["admitted"], &offer["granted"]), (&Value::from(true), &Value::from(0)));
    let offer =
        one(dir, &["catalog", "show", share, "--purpose", "research", "--profile", "carol"]);
    assert_eq!(offer["admitted"], false);
    let watched =
        one(dir, &["catalog", "watch", "--count", "1", "--after", "0", "--profile", "bob"]);
    assert_eq!(watched["share"], share);

    // Opening streams the data to the pipe, and the result beside it.
    let open = ["open", share, "--purpose", "research", "--profile", "bob"];
    let output = run(dir, &[&open[..], &["--json", "--keep", "kept.pkg"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), plaintext);
    let opened: Value = serde_json::from_str(text(&output.stderr).trim()).unwrap();
    assert_eq!(opened["permission"]["access"], 1);
    assert_eq!(one(dir, &["inspect", "kept.pkg"])["share"], share);

    // Read-only data does not get into a file, by whichever way.
    refused(dir, &[&open[..], &["-o", "out.csv"]].concat(), 2);
    refused(dir, &[&open[..], &["-o", "out.csv", "--export"]].concat(), 3);
    let redirected = command(dir, &open)
        .stdout(fs::File::create(dir.join("redirected")).unwrap())
        .output()
        .unwrap();
    assert_eq!(redirected.status.code(), Some(2));
    assert!(!dir.join("out.csv").exists() && fs::read(dir.join("redirected")).unwrap().is_empty());

    // The contract refuses by country, purpose and count, and says so.
    let rule = |arguments: &[&str]| refused(dir, arguments, 3)["refusal"].clone();
    let carol = rule(&["open", share, "--purpose", "research", "--profile", "carol"]);
    assert!(carol.to_string().contains("country"), "{carol}");
    rule(&["open", share, "--purpose", "marketing", "--profile", "bob"]);
    assert_eq!(
        text(&ok(dir, &["open", "kept.pkg", "--purpose", "research", "--profile", "bob"])),
        plaintext
    );
    let third = rule(&open);
    assert!(third.to_string().contains("times"), "{third}");

    // Suspended, the share gives no access; resumed with more access times, Bob does.
    assert_eq!(as_alice(&["share", "suspend", share])["state"], "suspended");
    rule(&open);
    assert_eq!(as_alice(&["share", "resume", share])["state"], "active");
    let updated =
        as_alice(&["share", "update", share, "--times", "3", "--allow-country", "SE,DE,NO"]);
    assert_eq!(updated["version"], 4);
    assert_eq!(
        text(&ok(dir, &["open", share, "--purpose", "research", "--profile", "carol"])),
        plaintext
    );
    assert_eq!(text(&ok(dir, &open)), plaintext);
    let nothing = alice(&["share", "update", share, "--json"]);
    assert_eq!(run(dir, &nothing.split('\u{1f}').collect::<Vec<_>>()).status.code(), Some(2));

    let shown = as_alice(&["share", "show", share]);
    assert_eq!(shown["accesses"], 4);
    assert_eq!(lines(dir, &["record", "list", "--profile", "bob"]).len(), 3);
    // Each access was opened, and closed.
    assert_eq!(lines(dir, &["record", "list", "--usage", "--profile", "bob"]).len(), 6);
    assert!(!lines(dir, &["notification", "list", "--profile", "bob"]).is_empty());

    let audit = as_alice(&["share", "audit", share]);
    assert_eq!(audit["good"], true, "{audit}");
    assert_eq!(audit["accesses"].as_array().unwrap().len(), 4);

    what_else_users_and_operators_do(dir, &key);

    let exported = as_alice(&["share", "audit", share, "--export", "evidence.json"]);
    assert_eq!(exported["good"], true, "{exported}");
    ok(dir, &["ledger", "export", "copy", "--profile", "bob"]);
    bundle_is_evidence(dir, share);

    // Revoking asks first.
    let revoke = alice(&["share", "revoke", share]);
    let revoke: Vec<&str> = revoke.split('\u{1f}').collect();
    refused(dir, &revoke, 10);
    assert_eq!(one(dir, &[&revoke[..], &["--yes"]].concat())["state"], "revoked");
    rule(&["open", share, "--purpose", "research", "--profile", "carol"]);

    // The log, by itself, with its policy from the enrolment; and one flipped byte.
    ok(dir, &["ledger", "export", "log", "--profile", "bob"]);
    let report = one(dir, &["ledger", "verify", "log", "--profile", "bob"]);
    assert_eq!(report["fault"], Value::Null);
    assert!(report["size"].as_u64().unwrap() >= 8);
    assert_eq!(one(dir, &["ledger", "verify", "--profile", "bob"])["fault"], Value::Null);
    let bundle =
        fs::read_dir(dir.join("log/tile/entries")).unwrap().next().unwrap().unwrap().path();
    let bundle = if bundle.is_dir() {
        fs::read_dir(bundle).unwrap().next().unwrap().unwrap().path()
    } else {
        bundle
    };
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let problem = refused(dir, &["ledger", "verify", "log", "--profile", "bob"], 8);
    assert!(problem["detail"].as_str().unwrap().contains("entry "), "{problem}");

    // A renewed certificate is the same identity.
    ok(dir, &["identity", "renew", "-o", "bob2.csr", "--profile", "bob"]);
    ok(dir, &["ca", "issue", "--ca", "lab-ca", "bob2.csr", "-o", "bob2.pem"]);
    refused(dir, &["identity", "renew", "--certificate", "carol.pem", "--profile", "bob"], 2);
    ok(dir, &["identity", "renew", "--certificate", "bob2.pem", "--profile", "bob"]);
    assert_eq!(one(dir, &["account", "show", "--profile", "bob"])["identity"]["subject"], "CN=bob");

    // A disabled account does nothing any more; only an administrator can disable one.
    let bob = one(dir, &["account", "show", "--profile", "bob"])["id"].clone();
    let bob = bob.as_str().unwrap();
    refused(dir, &["account", "disable", bob, "--yes", "--profile", "carol"], 4);
    assert_eq!(one(dir, &["account", "disable", bob, "--yes"])["active"], false);
    refused(dir, &["catalog", "search", "--profile", "bob"], 4);

    // The key server waits for news of the log; ended first, it keeps management from ending at
    // once no more.
    key.end();
    storage.end();
    management.end();
    let problem = refused(dir, &["catalog", "search", "--profile", "carol"], 7);
    assert_eq!(problem["type"], "urn:datapact:problem:unavailable");
}
