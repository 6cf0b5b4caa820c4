//! The whole path by the command line alone: three server processes, two organisations with a CA
//! each, a share made, found, opened, refused, suspended, audited, and its log exported and
//! verified.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]
#[path = "support/stores.rs"]
mod stores;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use datapact_local::ports::PortBlock;
use serde_json::Value;
use tempfile::TempDir;

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
    command.args(arguments).current_dir(dir).env_clear().env("DATAPACT_HOME", dir.join("home"));
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs, expects success, and returns standard output.
fn ok(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = run(dir, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    output.stdout
}

/// The same with `--json`, as one object a line.
fn lines(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let stdout = ok(dir, &[arguments, &["--json"]].concat());
    text(&stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn one(dir: &Path, arguments: &[&str]) -> Value {
    let mut lines = lines(dir, arguments);
    assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
    lines.remove(0)
}

/// Runs with `--json`, expects the exit code, and returns the problem.
fn refused(dir: &Path, arguments: &[&str], code: i32) -> Value {
    let output = run(dir, &[arguments, &["--json"]].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert_eq!(text(&output.stdout), "");
    let problem: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(problem["exit"], code);
    problem
}

/// A server process; ended by SIGTERM.
struct Server {
    child: Child,
}

impl Server {
    fn start(dir: &Path, role: &str) -> Self {
        let config = format!("{role}/{role}.toml");
        let log = fs::File::create(dir.join(format!("{role}.log"))).unwrap();
        let mut child = command(dir, &["serve", role, "--config", &config, "--json"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || fs::read_to_string(dir.join(format!("{role}.log"))).unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{role} is not ready: {}", log()));
        assert_eq!(ready["role"], role);
        assert!(ready["listen"].as_str().unwrap().starts_with("127.0.0.1:"));
        Self { child }
    }

    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let since = Instant::now();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        // Less than connections are given that do not end: who waits for the log's next entry does.
        assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn edit(path: &Path, changes: &[(&str, String)]) {
    let mut text = fs::read_to_string(path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "`{from}` is not in {text}");
        text = text.replace(from, to);
    }
    fs::write(path, text).unwrap();
}

fn endpoint(role: &str, port: u16) -> String {
    format!("url = \"https://{role}.test:{port}\"\nconnect = \"127.0.0.1:{port}\"")
}

/// Makes CAs, certificates and configurations, as an operator would.
fn configure(dir: &Path, ports: &PortBlock) {
    for ca in ["server", "clinic", "lab"] {
        ok(dir, &["ca", "init", &format!("{ca}-ca"), "--name", ca]);
    }
    // The servers' addresses stand in each other's configuration.
    let ports: Vec<u16> = ports.ports().collect();
    let [management, management_public, key, _, storage, ..] = ports[..] else { panic!() };
    let mut keys = Vec::new();
    for (i, role) in ["management", "key", "storage"].into_iter().enumerate() {
        let name = format!("{role}.test");
        let config = format!("{role}/{role}.toml");
        let (port, public) = (ports[2 * i].to_string(), ports[2 * i + 1].to_string());
        let init = [
            "config",
            "init",
            role,
            "--name",
            &name,
            "--port",
            &port,
            "--operator-port",
            "0",
            "--public-port",
            &public,
            "-o",
            &config,
        ];
        keys.push(one(dir, &init)["verifier_key"].clone());
        let (request, certificate) = (format!("{role}/server.csr"), format!("{role}/server.pem"));
        ok(
            dir,
            &["ca", "issue", "--ca", "server-ca", &request, "--server", &name, "-o", &certificate],
        );
        let trust = format!("{role}/trust.toml");
        for realm in ["server", "clinic", "lab"] {
            ok(
                dir,
                &["ca", "trust", &trust, "--realm", realm, "--ca", &format!("{realm}-ca/ca.pem")],
            );
        }
        edit(
            &dir.join(&config),
            &[("[\"server\"]", "[\"server\", \"clinic\", \"lab\"]".to_owned())],
        );
    }
    let public = format!("127.0.0.1:{management_public}");
    edit(
        &dir.join("management/management.toml"),
        &[
            ("administrators = []", "administrators = [\"clinic:CN=admin\"]".to_owned()),
            ("witnesses = []", format!("witnesses = [{}]", keys[1])),
            (&format!("# connect = \"{public}\""), format!("connect = \"{public}\"")),
            ("url = \"https://keys.example:8443\"", endpoint("key", key)),
            ("url = \"https://storage.example:8443\"", endpoint("storage", storage)),
            ("\"keys.pem\"", "\"../key/server.pem\"".to_owned()),
            ("\"storage.pem\"", "\"../storage/server.pem\"".to_owned()),
        ],
    );
    edit(
        &dir.join("key/key.toml"),
        &[
            ("\"management.example/ledger\"", "\"management.test/ledger\"".to_owned()),
            ("\"management.example/ledger+00000000+REPLACE\"", keys[0].to_string()),
            ("url = \"https://management.example:8443\"", endpoint("management", management)),
            (
                "url = \"https://management.example:8080\"",
                endpoint("management", management_public),
            ),
        ],
    );
    edit(
        &dir.join("storage/storage.toml"),
        &[("url = \"https://management.example:8443\"", endpoint("management", management))],
    );
    for role in ["management", "key", "storage"] {
        ok(dir, &["config", "check", role, "--config", &format!("{role}/{role}.toml")]);
    }
}

/// Enrols a user: key and request, the CA's certificate, join.
fn join(dir: &Path, profile: &str, realm: &str, invitation: &str, passphrase: Option<&str>) {
    let (request, certificate) = (format!("{profile}.csr"), format!("{profile}.pem"));
    let subject = format!("CN={profile}");
    let mut prepare =
        vec!["join", invitation, "--subject", &subject, "--profile", profile, "-o", &request];
    let mut finish = vec!["join", "--certificate", &certificate, "--profile", profile];
    if let Some(file) = passphrase {
        prepare.extend(["--encrypt", "--passphrase-file", file]);
        finish.extend(["--passphrase-file", file]);
    }
    ok(dir, &prepare);
    ok(dir, &["ca", "issue", "--ca", &format!("{realm}-ca"), &request, "-o", &certificate]);
    ok(dir, &finish);
}

/// A terms file, an export where the provider allows it, another country for a user, lists read
/// again, and an end of access that a key server which is away does not prevent for good.
fn what_else_users_and_operators_do(dir: &Path, key: &Server) {
    let info = one(dir, &["ledger", "info", "--profile", "bob"]);
    assert_eq!(
        (info["ledger_kind"].as_str(), info["name"].as_str()),
        (Some("embedded"), Some("management.test"))
    );

    let terms = "title = \"Notes\"\ntimes = \"unlimited\"\nexpires = \"1d\"\nallow_edit = true\n[allow]\ncountries = [\"FI\"]\n";
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
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !so() {
        assert!(std::time::Instant::now() < end, "it never was so");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// What is done to a bundle.
type Change<'a> = &'a dyn Fn(&mut Value);

/// The bundle verifies without a profile; whatever is changed or left out is found.
fn bundle_is_evidence(dir: &Path, share: &str) {
    fn verify<'a>(rest: &[&'a str]) -> Vec<&'a str> {
        [&["verify"], rest, &["--home", "nobody"]].concat()
    }
    let verified = one(dir, &verify(&["evidence.json"]));
    assert_eq!((&verified["good"], verified["share"].as_str()), (&Value::Bool(true), Some(share)));
    assert_eq!(verified["accesses"].as_array().unwrap().len(), 4);
    let not_proven = |report: &Value| report["not_proven"].as_array().unwrap().len();
    let anchored =
        ["--log", "copy", "--log-policy", "copy/log-policy", "--trust", "key/trust.toml"];
    let whole = one(dir, &verify(&[&["evidence.json"], &anchored[..]].concat()));
    assert_eq!(not_proven(&verified), not_proven(&whole) + 3);

    let bundle: Value =
        serde_json::from_slice(&fs::read(dir.join("evidence.json")).unwrap()).unwrap();
    let changed = |change: Change<'_>| {
        let mut changed = bundle.clone();
        change(&mut changed);
        fs::write(dir.join("changed.json"), serde_json::to_vec(&changed).unwrap()).unwrap();
        run(dir, &[&verify(&["changed.json"])[..], &["--json"]].concat())
    };
    // What management did not show is a finding, and stands in the report.
    let output = changed(&|b| drop(b["shown"]["usages"].as_array_mut().unwrap().pop()));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(8));
    assert_eq!(report["findings"][0]["finding"], "hidden-usage");
    // Another entry, another order, somebody else's openings, another log, another ledger: nothing
    // of it is believed.
    let first_usage = bundle["entries"].as_array().unwrap().len() - 2;
    let refusals: [(Change<'_>, &str); 6] = [
        (
            &|b| b["entries"][1]["entry"] = b["entries"][2]["entry"].clone(),
            "does not hold this entry",
        ),
        (&|b| b["entries"].as_array_mut().unwrap()[first_usage..].reverse(), "out of order"),
        (&|b| b["entries"] = Value::Array(Vec::new()), "holds no entry"),
        (&|b| drop(b["entries"].as_array_mut().unwrap().remove(0)), "entry "),
        (
            &|b| b["shown"]["receipt"]["owner"]["salt"] = "00".repeat(32).into(),
            "2 things are wrong",
        ),
        (&|b| b["anchors"]["ledger"] = "other.test/ledger".into(), "another ledger"),
    ];
    for (change, reason) in refusals {
        let output = changed(change);
        assert_eq!(output.status.code(), Some(8), "{reason}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains(reason), "{reason}: {}", text(&output.stderr));
    }
    // A bundle that leaves out the newest entry altogether shows it only beside the log.
    let output = changed(&|b| {
        b["entries"].as_array_mut().unwrap().pop();
        b["shown"]["usages"].as_array_mut().unwrap().pop();
    });
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let problem = refused(dir, &verify(&[&["changed.json"], &anchored[..]].concat()), 8);
    assert!(problem["detail"].as_str().unwrap().contains("not complete"), "{problem}");
    fs::write(dir.join("changed.json"), "{}").unwrap();
    refused(dir, &verify(&["changed.json"]), 2);
}

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
    // Who joined first stays the current one, whoever joins after.
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

    // Suspended, nobody gets access; resumed with more access times, Bob does.
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

    // A disabled account does nothing any more; who is no administrator cannot disable one.
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
