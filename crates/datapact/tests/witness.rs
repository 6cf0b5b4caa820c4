//! Attacks on the audit, played with the true keys of management: an old view of the log, a hidden
//! release, a fork; and witnesses that are away or late.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use datapact_api::client::Http;
use datapact_api::endpoint::Endpoint;
use datapact_api::problem::Kind;
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_api::user::{Authorisation, Deletion, UserNotice, UserStatus, Users as _};
use datapact_api::witness::{Added, WitnessClient};
use datapact_core::document::Statement;
use datapact_core::id::{AccountId, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::permission::AccessTimes;
use datapact_local::ports::PortBlock;
use datapact_log::clock::system_clock;
use datapact_log::note::{Checkpoint, SigningKey};
use datapact_log::witness::{AddCheckpoint, Refusal};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use support::{Site, WITNESS, data};

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &target),
            false => assert!(fs::copy(&path, &target).is_ok()),
        }
    }
}

/// Serves the copy of management in `servers/old`, at the addresses that users know.
fn serve_old(site: &Site) -> Process {
    let mut child = Command::new(env!("CARGO_BIN_EXE_datapact"))
        .args(["serve", "management", "--json", "--until-eof", "--config"])
        .arg(site.file("servers/old/management.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(site.file("logs/old.log")).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("127.0.0.1"), "{line}");
    Process(child)
}

/// Moves management from one address to another; only the key server is told.
fn move_management(site: &Site, from: &str, to: &str) {
    let ports: Value = serde_json::from_slice(&fs::read(site.file("ports.json")).unwrap()).unwrap();
    site.stop("management");
    for (role, what) in [("management", "listen = "), ("key", "connect = ")] {
        let mut text = fs::read_to_string(site.config(role)).unwrap();
        for port in ["management", "management_public"] {
            let at = |address: &str| format!("{what}\"{address}:{}\"", ports[port]);
            text = text.replace(&at(from), &at(to));
        }
        fs::write(site.config(role), text).unwrap();
    }
    site.restart("management");
    site.restart("key");
}

fn findings(report: &Value) -> Vec<&str> {
    let found = report["findings"].as_array().unwrap();
    found.iter().map(|finding| finding["finding"].as_str().unwrap()).collect()
}

/// Runs with `--json` and expects this exit code; the object printed.
fn exits(site: &Site, arguments: &[&str], code: i32) -> Value {
    let output = site.run(Some("clinic"), &[arguments, &["--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}{error}");
    serde_json::from_str(text.lines().next().unwrap_or_else(|| panic!("{error}"))).unwrap()
}

fn audit(site: &Site, share: &ShareId, more: &[&str], code: i32) -> Value {
    exits(site, &[&["share", "audit", &share.to_string()], more].concat(), code)
}

/// The certificate, key and trust configuration of a server.
fn server_files(site: &Site, role: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let folder = site.file("servers").join(role);
    let chain = CertificateDer::pem_file_iter(folder.join("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("private_key.pem")).unwrap();
    (chain.map(Result::unwrap).collect(), key)
}

/// UR-2: management shows the provider the log as it was before an access, and tells the key server
/// that the consumer was erased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ur_2_an_old_view_and_a_forged_erasure_hide_no_access() {
    let site = Site::start();
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let set = clinic.share("Vitals", &data(1, 100), AccessTimes::Unlimited).await.unwrap();
    lab.open(set.share).await.unwrap();
    audit(&site, &set.share, &["--export", "before.json"], 0);
    site.stop("management");
    copy(&site.file("servers/management"), &site.file("servers/old"));
    site.restart("management");
    lab.open(set.share).await.unwrap();
    let releases = async || {
        let page = datapact_api::operation::Page::first();
        clinic.key_server.releases(&set.share, page).await.unwrap().len()
    };
    assert_eq!(releases().await, 2);

    // With management's certificate and key, but without an administrator's statement.
    let ports: Value = serde_json::from_slice(&fs::read(site.file("ports.json")).unwrap()).unwrap();
    let trust = ReloadableTrust::load(&site.file("servers/trust.toml")).unwrap();
    let (chain, key) = server_files(&site, "management");
    let signer = Signer::new(
        key.secret_der(),
        chain.clone(),
        Identity::server("management.quickstart.test"),
    )
    .unwrap();
    let tls = client_config(trust, Some((chain, key))).unwrap();
    let key_server = Endpoint {
        url: format!("https://key.quickstart.test:{}", ports["key"]),
        connect: format!("127.0.0.1:{}", ports["key"]).parse().ok(),
    };
    let management = Http::new(&key_server, tls, None, system_clock()).unwrap();
    let identity = lab.session.profile().signer().identity().clone();
    let deletion = Deletion::of(identity.clone(), true);
    let (method, target) = ("POST".to_owned(), Deletion::target(&AccountId::random()));
    let statement = Statement { method, target, content: Some(deletion.digest()) };
    let own = signer.sign("management.quickstart.test", support::now(), statement);
    for authorisation in [None, Some(Authorisation { deletion, statement: own })] {
        let (status, sequence) = (UserStatus::Erased, 1 << 60);
        let notice = UserNotice { identity: identity.clone(), status, sequence, authorisation };
        let refused = management.set_user(&notice).await.unwrap_err();
        assert_eq!(refused.kind, Kind::Forbidden, "{refused}");
    }
    assert_eq!(releases().await, 2);

    // The old view, by the real program with the true log key. The key server sees the new one.
    move_management(&site, "127.0.0.1", "127.0.0.2");
    let old = serve_old(&site);
    let report = audit(&site, &set.share, &["--export", "after.json"], 8);
    let found = findings(&report);
    assert_eq!(found.iter().filter(|kind| **kind == "old-view").count(), 2, "{report}");
    assert!(found.contains(&"release-without-record"), "{report}");
    assert_eq!(report["witnesses"].as_array().unwrap().len(), 2);
    // The bundle says the same to one who verifies it, offline; the one before stays good.
    let verified = exits(&site, &["verify", "after.json"], 8);
    assert_eq!(findings(&verified).iter().filter(|kind| **kind == "old-view").count(), 2);
    exits(&site, &["verify", "before.json"], 0);
    // A bundle without what the witnesses showed, or with another's, is no better.
    let bundle: Value =
        serde_json::from_slice(&fs::read(site.file("after.json")).unwrap()).unwrap();
    let earlier: Value =
        serde_json::from_slice(&fs::read(site.file("before.json")).unwrap()).unwrap();
    let mut changed = bundle.clone();
    changed["witnesses"] = Value::Array(Vec::new());
    fs::write(site.file("changed.json"), changed.to_string()).unwrap();
    let verified = exits(&site, &["verify", "changed.json"], 8);
    assert_eq!(findings(&verified).iter().filter(|kind| **kind == "witness-missing").count(), 2);
    changed["witnesses"] = earlier["witnesses"].clone();
    changed["made"] = (bundle["made"].as_u64().unwrap() + 301).into();
    fs::write(site.file("changed.json"), changed.to_string()).unwrap();
    let verified = exits(&site, &["verify", "changed.json"], 8);
    assert!(findings(&verified).contains(&"witness-stale"), "{verified}");

    // Nothing is wrong with what management shows everybody else.
    drop(old);
    move_management(&site, "127.0.0.2", "127.0.0.1");
    let report = audit(&site, &set.share, &[], 0);
    assert_eq!(report["accesses"].as_array().unwrap().len(), 2);
}

/// A witness that is away or late is named, and one that is shown a fork cosigns the honest log
/// only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ur_2_witnesses_are_asked_and_cosign_no_fork() {
    let site = Site::start();
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let set = clinic.share("Vitals", &data(1, 100), AccessTimes::Unlimited).await.unwrap();
    lab.open(set.share).await.unwrap();
    let report = audit(&site, &set.share, &[], 0);
    assert_eq!(report["witnesses"].as_array().unwrap().len(), 2, "{report}");

    // With the true log key: another tree of the same size, and one that does not continue it.
    let policy = clinic.session.profile().log_policy().clone();
    let (key, url) = policy.monitored().find(|(key, _)| key.name().starts_with("witness")).unwrap();
    let client = WitnessClient::new(url.parse().unwrap()).unwrap();
    let log = fs::read_to_string(site.file("servers/management/data/log.key")).unwrap();
    let log = SigningKey::parse(&log).unwrap();
    let newest = async || {
        let note = client.newest(log.public().name()).await.unwrap().unwrap();
        Checkpoint::open(&note, log.public(), std::slice::from_ref(key)).unwrap()
    };
    let honest = newest().await;
    let ask = async |old, size, root| {
        let request = AddCheckpoint { old, proof: Vec::new(), note: log.checkpoint(size, &root) };
        client.add_checkpoint(&request).await.unwrap()
    };
    let has = honest.size();
    assert_eq!(ask(has, has, [7; 32]).await, Added::Refused(Refusal::Inconsistent));
    assert_eq!(ask(has, has + 5, [7; 32]).await, Added::Refused(Refusal::Inconsistent));
    assert_eq!(ask(0, has, *honest.root()).await, Added::Refused(Refusal::Conflict(has)));
    assert_eq!(ask(has + 9, has, [7; 32]).await, Added::Refused(Refusal::Malformed));
    assert!(site.log(WITNESS).contains("does not continue"), "{}", site.log(WITNESS));
    // It halts nothing: the next opening needs its cosignature.
    lab.open(set.share).await.unwrap();
    assert!(newest().await.size() > has);

    tokio::time::sleep(Duration::from_secs(2)).await;
    let report = audit(&site, &set.share, &["--witness-age", "0s"], 8);
    assert!(findings(&report).contains(&"witness-stale"), "{report}");
    site.kill(WITNESS);
    let report = audit(&site, &set.share, &[], 8);
    assert_eq!(findings(&report), ["witness-missing"], "{report}");
    site.restart(WITNESS);
    lab.open(set.share).await.unwrap();
    audit(&site, &set.share, &[], 0);
}

/// Another program that speaks C2SP tlog-witness cosigns our log, and refuses its fork.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_that_we_did_not_write_cosigns_the_log() {
    let source = "pip install --ignore-requires-python -r testdata/witness/requirements.txt";
    let Some(program) = datapact_test_tools::program("aics-witness", source) else { return };
    let site = Site::start();
    let ports = PortBlock::reserve().unwrap();
    let at = format!("127.0.0.1:{}", ports.ports().start);
    let folder = site.file("aics");
    fs::create_dir(&folder).unwrap();
    let config = folder.join("witness.json");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(&arguments[..1]).arg("--config").arg(&config).args(&arguments[1..]);
        command
    };
    let log = fs::read_to_string(site.file("servers/management/data/log.key")).unwrap();
    let log = SigningKey::parse(&log).unwrap();
    let (origin, vkey) = (log.public().name(), log.public().to_string());
    let made = run(&["init", "--name", "aics.example", "--listen", &at]).output().unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let key = made.split_whitespace().find(|word| word.starts_with("aics.example+")).unwrap();
    let added = run(&["add-log", "--origin", origin, "--vkey", &vkey]).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let log_file = fs::File::create(site.file("logs/aics.log")).unwrap();
    let _serving = Process(run(&["serve"]).stderr(log_file).spawn().unwrap());
    let path = site.config("management");
    let text = fs::read_to_string(&path).unwrap();
    let entry = format!(
        "{text}\n[[ledger.independent_witnesses]]\nkey = \"{key}\"\nurl = \"http://{at}\"\n"
    );
    fs::write(&path, entry).unwrap();
    site.restart("management");

    let key = key.parse().unwrap();
    let client = WitnessClient::new(format!("http://{at}").parse().unwrap()).unwrap();
    let newest = async || {
        let note = client.newest(origin).await.ok().flatten()?;
        Checkpoint::open(&note, log.public(), std::slice::from_ref(&key)).ok()
    };
    let until = std::time::Instant::now() + support::PATIENCE;
    let cosigned = loop {
        match newest().await {
            Some(checkpoint) if checkpoint.size() > 0 => break checkpoint,
            _ => assert!(std::time::Instant::now() < until, "{}", site.log("management")),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(cosigned.cosigned_at(&key).is_some());
    let (old, proof) = (cosigned.size(), Vec::new());
    let request = AddCheckpoint { old, proof, note: log.checkpoint(old, &[7; 32]) };
    let answer = client.add_checkpoint(&request).await.unwrap();
    assert_eq!(answer, Added::Refused(Refusal::Inconsistent));
}
