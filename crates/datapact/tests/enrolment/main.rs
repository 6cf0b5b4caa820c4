//! The enrolment between real processes: what users trust is what administrators signed, and
//! management, with all of its true keys, can neither change it nor hide a change (US-4, PR-10).
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod attack;
mod growth;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use datapact_client::ca::Kind as CertificateKind;
use datapact_log::note::{KeyKind, SigningKey};
use serde_json::Value;
use support::{PATIENCE, Site};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SHARE: [&str; 5] = ["--allow-anyone", "--times", "3", "--expires", "30d"];

/// Replaces each text in a file, all of which must be there.
fn edit(site: &Site, file: &str, changes: &[(&str, &str)]) {
    let path = site.file(file);
    let mut text = fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "`{from}` is not in {text}");
        text = text.replace(from, to);
    }
    fs::write(path, text).unwrap();
}

/// The port in `KEY = "127.0.0.1:PORT"` of a server's configuration.
fn port(site: &Site, role: &str, key: &str) -> u16 {
    let text = fs::read_to_string(site.config(role)).unwrap();
    let (_, rest) = text.split_once(&format!("\n{key} = \"127.0.0.1:")).unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

/// Lets the next command of the profile look for a newer enrolment, as after ten minutes.
fn make_due(site: &Site, profile: &str) {
    let _ = fs::remove_file(site.file(&format!("home/profiles/{profile}/state/enrolment-fetched")));
}

/// Runs with `--json`, expects the exit code, and returns the problem.
fn refused(site: &Site, profile: Option<&str>, arguments: &[&str], code: i32) -> Value {
    let output = site.run(profile, &[arguments, &["--json"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    serde_json::from_str(stderr.lines().last().unwrap()).unwrap()
}

/// An invitation by the administrator `profile` into a new file.
fn invite(site: &Site, profile: &str, realm: &str, role: &str, file: &str) {
    let invite = ["account", "invite", "--realm", realm, "--role", role, "-o", file];
    site.ok(profile, &[&invite[..], &["--organisation", realm, "--country", "SE"]].concat());
}

/// Joins as a user does; the certificate is from the CA in the folder `ca`.
fn join(site: &Site, name: &str, organisation: &str, ca: &str, invitation: &str) -> Value {
    let subject = format!("CN={name},O={organisation}");
    let prepared = site.ok(name, &["join", invitation, "--subject", &subject]).remove(0);
    let ca = datapact_client::ca::Ca::open(&site.file(&format!("ca/{ca}")), None).unwrap();
    let request = prepared["request_pem"].as_str().unwrap();
    let certificate = ca.issue(request, &CertificateKind::User, 30 * DAY).unwrap();
    let file = site.file(&format!("{name}.pem"));
    fs::write(&file, certificate).unwrap();
    site.ok(name, &["join", "--certificate", file.to_str().unwrap()]);
    prepared
}

/// Opens a share.
fn opens(site: &Site, user: &str, share: &str) {
    let output = site.run(Some(user), &["open", share]);
    assert!(output.status.success(), "{user}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
}

/// The newest version that the profile has verified.
fn newest(site: &Site, profile: &str) -> Value {
    site.ok(profile, &["enrolment", "show"]).pop().unwrap()
}

/// A server beside those of the site, ended with the test.
struct Extra(Child);

impl Extra {
    fn start(site: &Site, role: &str, config: &str) -> Self {
        let log =
            fs::File::create(site.file(&format!("{}.log", config.replace('/', "-")))).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_datapact"))
            .args(["serve", role, "--json", "--until-eof", "--config"])
            .arg(site.file(config))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        assert!(line.contains("\"role\""), "the server at `{config}` does not start");
        Self(child)
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A version is published once as many administrators have signed it as its predecessor demands,
/// and by none of them twice.
#[tokio::test(flavor = "multi_thread")]
async fn us_4_two_of_three_administrators_sign_a_version() {
    let site = Site::start();
    edit(
        &site,
        "servers/management/management.toml",
        &[(
            "administrators = [\"clinic:CN=admin,O=Clinic\"]",
            "administrators = { identities = [\"clinic:CN=admin,O=Clinic\", \
             \"clinic:CN=second,O=Clinic\", \"lab:CN=third,O=Lab\"], approvals = 2 }",
        )],
    );
    site.restart("management");
    let file = site.file("servers/management/data/administrators.json");
    let file = file.to_str().unwrap();
    join(&site, "second", "Clinic", "clinic", file);
    join(&site, "third", "Lab", "lab", file);

    // Version 1 names one administrator: only that one may sign version 2.
    let problem = refused(&site, Some("second"), &["enrolment", "sign", "--yes"], 4);
    assert!(problem["detail"].as_str().unwrap().contains("not among its administrators"));
    let second = site.ok("admin", &["enrolment", "sign", "--yes"]).remove(0);
    assert_eq!((&second["version"], &second["published"]), (&2.into(), &true.into()));
    let problem = refused(&site, Some("admin"), &["enrolment", "sign", "--yes"], 6);
    assert!(problem["hint"].as_str().unwrap().contains("nothing to sign"), "{problem}");

    // From then on two of three sign. What another says is compared by its fingerprint.
    edit(&site, "servers/management/management.toml", &[("approvals = 2", "approvals = 3")]);
    site.restart("management");
    let zeros = "0".repeat(64);
    let pinned = ["enrolment", "sign", "--yes", "--fingerprint", &zeros];
    refused(&site, Some("second"), &pinned, 8);
    for _ in 0..2 {
        let signed = site.ok("second", &["enrolment", "sign", "--yes"]).remove(0);
        assert_eq!((&signed["signed"], &signed["published"]), (&1.into(), &false.into()));
    }
    assert_eq!(site.ok("admin", &["identity", "refresh"])[0]["version"], 2);
    let fingerprint = site.ok("second", &["enrolment", "sign", "--yes"])[0]["fingerprint"].clone();
    let pinned = ["enrolment", "sign", "--yes", "--fingerprint", fingerprint.as_str().unwrap()];
    let signed = site.ok("third", &pinned).remove(0);
    assert_eq!((&signed["signed"], &signed["published"]), (&2.into(), &true.into()));
    let refreshed = site.ok("admin", &["identity", "refresh"]).remove(0);
    assert_eq!((&refreshed["version"], &refreshed["fingerprint"]), (&3.into(), &fingerprint));
    let shown = newest(&site, "admin");
    assert_eq!(shown["signatures"].as_array().unwrap().len(), 2, "{shown}");
}

/// A share whose record is not proven is not reported as made, and is finished by the next run.
#[tokio::test(flavor = "multi_thread")]
async fn sh_9_a_share_without_a_proof_is_unfinished() {
    let site = Site::start();
    fs::write(site.file("data.csv"), "a,b\n1,2\n").unwrap();
    // A witness that is nowhere: management waits for its cosignature in vain.
    let absent = SigningKey::generate("absent.example", KeyKind::Witness).unwrap();
    let absent = SigningKey::parse(&absent).unwrap().public().to_string();
    let config = fs::read_to_string(site.config("management")).unwrap();
    let demanding = config.replace("witnesses = [", &format!("witnesses = [\"{absent}\", "));
    assert_ne!(demanding, config);
    fs::write(site.config("management"), demanding).unwrap();
    site.restart("management");

    let create = [&["share", "create", "data.csv"][..], &SHARE[..]].concat();
    let problem = refused(&site, Some("clinic"), &create, 7);
    assert!(problem["detail"].as_str().unwrap().contains("proof"), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("next `datapact share`"), "{problem}");
    assert_eq!(site.work_left("clinic"), 1);
    // So is an update of it, and of what was there before.
    let share = site.ok("clinic", &["catalog", "search"]).pop().unwrap()["share"].clone();
    let update = ["share", "update", share.as_str().unwrap(), "--times", "9"];
    refused(&site, Some("clinic"), &update, 7);

    fs::write(site.config("management"), config).unwrap();
    site.restart("management");
    let output = site.run(Some("clinic"), &["share", "list"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("finished: create"), "{told}");
    assert_eq!(site.work_left("clinic"), 0);
    let until = std::time::Instant::now() + PATIENCE;
    while site.ok("clinic", &["share", "list"]).len() < 2 {
        assert!(std::time::Instant::now() < until);
    }
}
