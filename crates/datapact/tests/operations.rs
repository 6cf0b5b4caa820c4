//! What an operator of the servers meets: health, readiness and figures.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use datapact_api::client::Http;
use datapact_api::problem::Kind;
use datapact_api::public::Public as _;
use datapact_core::permission::AccessTimes;
use datapact_log::clock::system_clock;
use datapact_log::note::{KeyKind, SigningKey};
use futures_util::StreamExt as _;
use serde_json::Value;
use support::operator::{self, check};
use support::{PATIENCE, ROLES, Site, data};

/// Gives each server an operator's listener.
fn with_operator(site: &Site) {
    for role in ROLES {
        operator::configure(site, role);
        site.restart(role);
    }
}

/// Status and body of `GET path` at the server's operator's listener.
fn get(site: &Site, role: &str, path: &str) -> (u16, String) {
    operator::get(&site.ready(role), path)
}

/// A client that follows publications neither holds up a server that is asked to end, nor misses
/// anything for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_subscribers() {
    let site = Site::start();
    with_operator(&site);
    let (clinic, lab) = (site.user("clinic"), site.user("lab-overseas"));
    let mut connected = lab.session.management().publications(None).await.unwrap();
    // A reader who has heard nothing yet.
    let mut watched = lab.consumer().watch(None).unwrap();
    let heard =
        tokio::spawn(async move { watched.next().await.unwrap().unwrap().information.title });
    let until = Instant::now() + PATIENCE;
    while figure(&get(&site, "management", "/metrics").1, "datapact_subscribers") != Some(2.0) {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = site.stop("management");
    // Less than requests under way are given.
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(connected.next().await.is_none());
    site.restart("management");
    clinic.share("after the stop", b"data", AccessTimes::Unlimited).await.unwrap();
    assert_eq!(heard.await.unwrap(), "after the stop");
}

fn wait_ready(site: &Site, role: &str, status: u16) -> Value {
    operator::wait_ready(&site.ready(role), status)
}

/// The value of a figure, by its name and labels as in the text.
fn figure(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_the_truth_and_figures_name_nobody() {
    let site = Site::start();
    with_operator(&site);
    for role in ROLES {
        let readiness = wait_ready(&site, role, 200);
        assert_eq!(readiness["role"], role);
        for name in ["database", "clock", "certificate"] {
            assert_eq!(check(&readiness, name)["ok"], true);
        }
        assert_eq!(get(&site, role, "/healthz").0, 200);
        assert_eq!(get(&site, role, "/elsewhere").0, 404);
    }

    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let set = clinic.share("figures", &data(1, 10_000), AccessTimes::Times(1)).await.unwrap();
    let share = set.share;
    lab.open(share).await.unwrap();
    let second = lab.request(share, set.policy);
    lab.session.management().request_access(&second).await.expect_err("the one access is used up");
    let [management, key, storage] = ROLES.map(|role| get(&site, role, "/metrics").1);
    assert_eq!(
        figure(&management, "datapact_accesses_total{outcome=\"granted\"}"),
        Some(1.0),
        "{management}"
    );
    assert_eq!(
        figure(&management, "datapact_accesses_total{outcome=\"access-times\"}"),
        Some(1.0),
        "{management}"
    );
    assert_eq!(
        figure(&key, "datapact_token_redemptions_total{outcome=\"released\"}"),
        Some(1.0),
        "{key}"
    );
    let upload = "datapact_http_requests_total{listener=\"main\",method=\"PUT\",route=\"/v1/packages/{id}\",status=\"200\"}";
    assert_eq!(figure(&storage, upload), Some(1.0), "{storage}");
    assert!(figure(&management, "datapact_ledger_entries").unwrap() >= 2.0);
    assert!(figure(&key, "datapact_keys").unwrap() >= 2.0);
    assert!(figure(&storage, "datapact_package_bytes").unwrap() >= 10_000.0);
    for (role, text) in ROLES.iter().zip([&management, &key, &storage]) {
        for name in
            ["datapact_write_queue", "process_resident_memory_bytes", "datapact_disk_free_bytes"]
        {
            assert!(figure(text, name).is_some(), "{role}: {name}: {text}");
        }
        assert!(text.contains("datapact_expiry_timestamp_seconds{kind=\"server\""), "{text}");
        for name in [share.to_string().as_str(), "CN=", "alice", "lab-overseas"] {
            assert!(!text.contains(name), "{role} names `{name}`:\n{text}");
        }
    }

    // The public listener has none of it.
    let profile = site.profile("clinic");
    let http =
        Http::new(&profile.enrolment().public, support::user::tls(&profile), None, system_clock())
            .unwrap();
    let public = http;
    assert!(public.log("../healthz").await.is_ok(), "the path leads out of the log's folder");
    for path in ["../metrics", "../readyz"] {
        assert_eq!(public.log(path).await.unwrap_err().kind, Kind::NotFound, "{path}");
    }

    // Without management a key server releases nothing, and says so.
    site.kill("management");
    let readiness = wait_ready(&site, "key", 503);
    assert_eq!(check(&readiness, "ledger")["ok"], false);
    assert_eq!(check(&readiness, "database")["ok"], true);
    assert_eq!(get(&site, "key", "/healthz").0, 200);
    site.restart("management");
    wait_ready(&site, "key", 200);
}

/// The operator's listener is plain, so it stays on this machine unless it is said otherwise.
#[test]
fn the_operators_listener_is_refused_beyond_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.toml");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_datapact"));
        command.args(arguments).arg(&path).env_clear().output().unwrap()
    };
    let made = run(&["config", "init", "storage", "--name", "storage.test", "-o"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let config = std::fs::read_to_string(&path).unwrap();
    assert!(config.contains("listen = \"127.0.0.1:9090\""), "{config}");
    std::fs::write(&path, config.replace("127.0.0.1:9090", "0.0.0.0:9090")).unwrap();
    let refused = run(&["config", "check", "storage", "--config"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("beyond_this_machine"), "{said}");
}

/// What `doctor` finds, and whether it is content.
fn doctor(site: &Site, profile: Option<&str>, arguments: &[&str]) -> (Vec<Value>, bool) {
    let output = site.run(profile, &[&["doctor", "--json"], arguments].concat());
    let stdout = String::from_utf8(output.stdout).unwrap();
    let findings: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let errors = findings.iter().filter(|finding| finding["level"] == "error").count();
    assert_eq!(output.status.code(), Some(if errors == 0 { 0 } else { 9 }), "{stdout}");
    // The disk of the machine that runs this may well be full.
    let content =
        findings.iter().all(|finding| finding["level"] != "error" || finding["check"] == "disk");
    (findings, content)
}

fn found<'a>(findings: &'a [Value], check: &str, level: &str) -> Vec<&'a Value> {
    findings
        .iter()
        .filter(|finding| finding["check"] == check && finding["level"] == level)
        .collect()
}

#[test]
fn doctor_finds_what_is_wrong_and_says_what_to_do() {
    let site = Site::start();
    let config = |role| site.config(role).to_str().unwrap().to_owned();
    let (findings, content) = doctor(&site, Some("clinic"), &[]);
    assert!(content, "{findings:?}");
    assert_eq!(found(&findings, "server", "good").len(), 4, "{findings:?}");
    for check in ["file-mode", "expiry", "clock", "ledger", "version", "account"] {
        assert!(!found(&findings, check, "good").is_empty(), "{check}: {findings:?}");
    }
    for role in ROLES {
        let (findings, content) = doctor(&site, None, &[role, "--config", &config(role)]);
        assert!(content, "{role}: {findings:?}");
        for check in ["file-mode", "expiry", "server", "certificate", "database"] {
            assert!(!found(&findings, check, "good").is_empty(), "{role}: {check}: {findings:?}");
        }
    }

    // Another log key than management's.
    let other = SigningKey::generate("management.quickstart.test/ledger", KeyKind::Log).unwrap();
    let other = SigningKey::parse(&other).unwrap().public().to_string();
    let text = std::fs::read_to_string(site.config("key")).unwrap();
    let line = text.lines().find(|line| line.starts_with("log_key")).unwrap();
    let changed = site.config("key").with_file_name("other.toml");
    std::fs::write(&changed, text.replace(line, &format!("log_key = \"{other}\""))).unwrap();
    let (findings, _) = doctor(&site, None, &["key", "--config", changed.to_str().unwrap()]);
    assert_eq!(found(&findings, "ledger", "error").len(), 1, "{findings:?}");

    // An object store that is away.
    let (findings, _) = doctor(&site, None, &["storage", "--config", &config("storage")]);
    assert_eq!(found(&findings, "objects", "good").len(), 1, "{findings:?}");
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = std::fs::read_to_string(site.config("storage")).unwrap();
    let changed = site.config("storage").with_file_name("other.toml");
    let secret = changed.with_file_name("secret");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let objects = format!(
        "\n[objects]\nbucket = \"packages\"\nendpoint = \"http://{away}\"\naccess_key_id = \"id\"\n\
         secret_key_file = \"{}\"\n",
        secret.display()
    );
    std::fs::write(&changed, text + &objects).unwrap();
    let (findings, _) = doctor(&site, None, &["storage", "--config", changed.to_str().unwrap()]);
    let objects = found(&findings, "objects", "error");
    assert!(
        objects.len() == 1 && objects[0]["advice"].as_str().unwrap().contains("[objects]"),
        "{findings:?}"
    );

    // A server that is away, and a key that others may read.
    site.kill("storage");
    let (findings, _) = doctor(&site, Some("clinic"), &[]);
    let away = found(&findings, "server", "error");
    assert!(
        away.len() == 1 && away[0]["subject"].as_str().unwrap().contains("storage"),
        "{findings:?}"
    );
    let key = site.file("home/profiles/clinic/key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (findings, _) = doctor(&site, Some("clinic"), &[]);
    let open = found(&findings, "file-mode", "error");
    assert!(
        open.len() == 1 && open[0]["advice"].as_str().unwrap().contains("chmod 600"),
        "{findings:?}"
    );
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_datapact"));
    assert!(command.arg("man").arg(folder.path()).env_clear().output().unwrap().status.success());
    for page in
        ["datapact.1", "datapact-serve.1", "datapact-share-create.1", "datapact-kek-rotate.1"]
    {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME") && text.contains("datapact"), "{page}: {text}");
    }
}

/// Seconds by which a clock is wrong.
const TWO_HOURS: i64 = 7200;
const MINUS_FOUR_MINUTES: i64 = -240;

/// Compiles the library that shifts a process's clock. A C compiler is there: the build needs one.
fn shifted_clock(folder: &std::path::Path) -> std::path::PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/clock/shifted_clock.c");
    let library = folder.join("shifted_clock.so");
    let mut compiler =
        std::process::Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(source);
    assert!(compiler.status().unwrap().success(), "{compiler:?}");
    library
}

/// The clock of one server jumps while it runs, two hours ahead or four minutes back, and comes
/// right again: calls are refused with what is wrong meanwhile, nothing is granted or counted by a
/// wrong time, and it goes on without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_is_told_and_survived() {
    let site = Site::start();
    let library = shifted_clock(site.path());
    let clock = site.file("clock");
    let set = |offset: &str| {
        let new = site.file("clock.new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, &clock).unwrap();
    };
    set("0");
    *site.environment.lock().unwrap() = vec![
        ("LD_PRELOAD", library.to_str().unwrap().to_owned()),
        ("SHIFTED_CLOCK", clock.to_str().unwrap().to_owned()),
    ];
    with_operator(&site);
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let share = clinic.share("clock", &data(5, 1000), AccessTimes::Times(4)).await.unwrap().share;
    let mut opened = 0;
    for role in ["management", "key"] {
        // The others keep the right time.
        let environment = std::mem::take(&mut *site.environment.lock().unwrap());
        ROLES.iter().filter(|other| **other != role).for_each(|other| site.restart(other));
        *site.environment.lock().unwrap() = environment;
        site.restart(role);
        for offset in [TWO_HOURS, MINUS_FOUR_MINUTES] {
            wait_ready(&site, role, 200);
            set(&offset.to_string());
            let error = lab.open(share).await.unwrap_err();
            let said = format!("{error} {:?}", error.to_problem().hint);
            assert!(said.contains("clock") || said.contains("minute"), "{role} {offset}: {said}");
            if offset == MINUS_FOUR_MINUTES {
                let readiness = wait_ready(&site, role, 503);
                assert_eq!(check(&readiness, "clock")["ok"], false, "{readiness}");
            }
            set("0");
            wait_ready(&site, role, 200);
            support::until_done("opening", || async { lab.open(share).await }).await;
            opened += 1;
        }
    }
    assert_eq!(lab.open(share).await.unwrap_err().kind(), Kind::Refused);
    let report = clinic.provider().audit(&share).await.unwrap();
    assert!(report.good, "{:?}", report.findings);
    assert_eq!(report.accesses.len(), opened);
}
