//! What becomes of a site when its stores fail: the answer is a clear error, nothing is lost, and
//! it goes on by itself when the store does (full and read-only disk, database and object store
//! away); several management processes on one database; backups.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod disk;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use datapact_api::problem::Kind;
use datapact_client::ClientError;
use datapact_core::permission::AccessTimes;
use datapact_local::testing::postgres;
use futures_util::future::join_all;
use serde_json::Value;
use support::proxy::{Mode, Proxy};
use support::stores::{Stores, rclone};
use support::{ROLES, Site, data, until_done};

const PLAIN: &[u8] = b"what is shared";

fn assert_unavailable(what: &str, result: Result<impl Sized, ClientError>) {
    let error = result.err().unwrap_or_else(|| panic!("{what}: it must fail"));
    assert_eq!(error.kind(), Kind::Unavailable, "{what}: {error}");
}

/// Whether PostgreSQL and an S3 server can be started; otherwise the test is skipped.
fn installed() -> bool {
    postgres::shared().is_some() && rclone().is_some()
}

/// The database is killed in the middle of work, and comes back: calls are answered `unavailable`
/// meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_and_comes_back_loses_nothing() {
    if !installed() {
        return;
    }
    let Some(server) = postgres::Server::start() else { return };
    let site = Site::start_with(Some(Stores::start_on(&server, &ROLES)));
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let share = clinic.share("before", PLAIN, AccessTimes::Times(3)).await.unwrap().share;
    lab.open(share).await.unwrap();

    server.stop();
    assert_unavailable("sharing", clinic.share("meanwhile", PLAIN, AccessTimes::Unlimited).await);
    assert_unavailable("opening", lab.open(share).await);
    assert!(ROLES.iter().all(|role| site.runs(role)));
    server.resume();

    for _ in 0..2 {
        let (plain, _) = until_done("opening", || async { lab.open(share).await }).await;
        assert_eq!(plain, PLAIN);
    }
    let error = lab.open(share).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "three accesses are three: {error}");
    let after = until_done("sharing", || async {
        clinic.share("after", PLAIN, AccessTimes::Unlimited).await
    })
    .await;
    assert_eq!(lab.open(after.share).await.unwrap().0, PLAIN);
    assert!(clinic.provider().audit(&share).await.unwrap().good);
}

/// The object store ends all connections, or lets them hang; then it is there again.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_is_gone_or_slow_is_used_again() {
    if !installed() {
        return;
    }
    let mut stores = Stores::start(&ROLES);
    let behind: SocketAddr = stores.s3.endpoint.strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), vec![behind]);
    stores.s3.endpoint = format!("http://{}", proxy.address);
    let site = Site::start_with(Some(stores));
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let plain = data(1, 6_000_000);
    let share = clinic.share("before", &plain, AccessTimes::Unlimited).await.unwrap().share;

    let shares = clinic.provider().shares().await.unwrap();
    let own = shares.iter().find(|own| own.policy.share == share).unwrap();
    let package = own.policy.information.package.id;
    for mode in [Mode::Gone, Mode::Hang] {
        proxy.set(mode);
        // One call, since the SDK's several tries would each wait for a storage that hangs.
        let download = lab.storage_server.download(&package, None).await;
        assert_eq!(download.err().unwrap().kind, Kind::Unavailable, "{mode:?}");
        if mode == Mode::Gone {
            assert_unavailable(
                "sharing",
                clinic.share("meanwhile", &plain, AccessTimes::Unlimited).await,
            );
        }
        assert!(site.runs("storage"));
        proxy.set(Mode::Pass);
        let (opened, _) = until_done("opening", || async { lab.open(share).await }).await;
        assert!(opened == plain);
    }
    let after = clinic.share("after", &plain, AccessTimes::Unlimited).await.unwrap();
    assert!(lab.open(after.share).await.unwrap().0 == plain);
}

/// A management process beside the one that the site runs.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts management by `config`, on free ports, and returns where it listens: for clients, and
/// publicly.
fn serve_beside(site: &Site, config: &Path) -> (Other, [SocketAddr; 2]) {
    let log = std::fs::File::options().append(true).open(site.file("logs/management.log")).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_datapact"))
        .args(["serve", "management", "--json", "--until-eof", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value =
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}", site.log("management")));
    let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
    (Other(child), [address("listen"), address("public_listen")])
}

/// MG-10: two management processes on one database, behind one address, with one killed and started
/// again in between: each consumer gets as many accesses as it may, and the log is one.
#[tokio::test(flavor = "multi_thread")]
async fn mg_10_several_management_processes_are_one() {
    if !installed() {
        return;
    }
    let site = Site::start_on(true);
    let admin = site.user("admin").session;
    site.kill("management");
    let config = site.config("management");
    let text = std::fs::read_to_string(&config).unwrap();
    // The address that others know becomes the proxy's.
    let configured = |key: &str| -> SocketAddr {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        line.split('"').nth(1).unwrap().parse().unwrap()
    };
    let (listen, public) = (configured("listen"), configured("public_listen"));
    let free = text.replace(&format!("listen = \"{listen}\""), "listen = \"127.0.0.1:0\"");
    let free = free.replace(&format!("listen = \"{public}\""), "listen = \"127.0.0.1:0\"");
    let other = config.with_file_name("beside.toml");
    std::fs::write(&other, free).unwrap();
    let (_first, first) = serve_beside(&site, &other);
    let (second, behind) = serve_beside(&site, &other);
    let _gated = Proxy::start(listen, vec![first[0], behind[0]]);
    let _public = Proxy::start(public, vec![first[1], behind[1]]);

    let clinic = site.user("clinic");
    let share = until_done("sharing", || async {
        clinic.share("shared", PLAIN, AccessTimes::Times(3)).await
    })
    .await
    .share;
    let mut consumers = Vec::new();
    for number in 0..6 {
        let role = datapact_api::management::Role::Consumer;
        consumers.push(site.enrol(&admin, &format!("consumer{number}"), "lab", role).await);
    }
    // Each consumer at once by connections of its own, which go to one process or the other.
    let open = |at: usize| {
        let name = format!("consumer{}", at % consumers.len());
        let user = site.user(&name);
        async move { until_done("opening", || async { user.open(share).await.map(drop) }).await }
    };
    join_all((0..consumers.len()).map(&open)).await;
    drop(second);
    join_all((0..consumers.len()).map(&open)).await;
    let (_third, _) = serve_beside(&site, &other);
    join_all((0..consumers.len()).map(&open)).await;
    for consumer in &consumers {
        let error = consumer.open(share).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{error}");
    }
    let audit = clinic.provider().audit(&share).await.unwrap();
    assert!(audit.good && audit.releases_compared, "{:?}", audit.findings);
    assert_eq!(audit.accesses.len(), 3 * consumers.len());
    assert_eq!(clinic.provider().shares().await.unwrap().len(), 2);
}

/// A database is one server's: another that is pointed at it does not start, and changes nothing.
#[test]
fn a_server_refuses_the_database_of_another() {
    if !installed() {
        return;
    }
    let site = Site::start_on(true);
    site.kill("storage");
    let text = std::fs::read_to_string(site.config("storage")).unwrap();
    let stores = site.stores.as_ref().unwrap();
    let [own, others] = ["storage", "management"]
        .map(|role| format!("name = \"{}\"", stores.database(role).database));
    std::fs::write(site.config("storage"), text.replace(&own, &others)).unwrap();
    let config = site.config("storage");
    let output = site.run(None, &["serve", "storage", "--config", config.to_str().unwrap()]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("the database belongs to `management of management.quickstart.test/ledger`"),
        "{said}"
    );
}

/// A management restored from an old backup fetches what its log lacks from the key server before
/// it signs anything: keys are released again, and what is lost is listed.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_backup_is_restored_and_keys_are_released_again() {
    let site = Site::start_on(false);
    let (clinic, lab) = (site.user("clinic"), site.user("lab"));
    let kept = clinic.share("kept", PLAIN, AccessTimes::Unlimited).await.unwrap().share;
    lab.open(kept).await.unwrap();
    let run = |arguments: &[&str]| -> Value {
        let output = site.run(None, &[arguments, &["--json"]].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let config = |role| site.config(role).to_str().unwrap().to_owned();
    // While they run.
    for role in ROLES {
        let (folder, secrets) = (format!("backup-{role}"), format!("secrets-{role}"));
        run(&["backup", role, "--config", &config(role), "-o", &folder, "--secrets", &secrets]);
    }
    let lost = clinic.share("lost", PLAIN, AccessTimes::Unlimited).await.unwrap().share;
    lab.open(kept).await.unwrap();
    lab.open(lost).await.unwrap();

    // The disks of management and of the storage server are gone; the key server has seen all.
    for role in ["management", "storage"] {
        site.kill(role);
        std::fs::remove_dir_all(site.file(&format!("servers/{role}/data"))).unwrap();
    }
    let key = std::fs::read_to_string(site.config("key")).unwrap();
    let line = key.lines().find(|line| line.starts_with("public_listen")).unwrap();
    let address: SocketAddr = line.split('"').nth(1).unwrap().parse().unwrap();
    let follower = format!("https://key.quickstart.test:{}={address}", address.port());
    let secrets = ["--secrets", "secrets-management"];
    let from = [&["--from", "backup-management", "--follower", &follower], &secrets[..]].concat();
    let restored =
        run(&[&["restore", "management", "--config", &config("management")], &from[..]].concat());
    let ledger = &restored["ledger"];
    let documents: Vec<_> =
        ledger["lost"].as_array().unwrap().iter().map(|lost| &lost["document"]).collect();
    let fetched = ledger["size"].as_u64().unwrap() - ledger["backed_up"].as_u64().unwrap();
    assert_eq!(fetched, documents.len() as u64, "{restored}");
    assert_eq!(documents[0], "policy");
    assert_eq!(documents.iter().filter(|document| **document == "access").count(), 2, "{restored}");
    let storage = ["restore", "storage", "--config", &config("storage")];
    run(&[&storage[..], &["--from", "backup-storage", "--secrets", "secrets-storage"]].concat());
    // It is not restored over what is there.
    let again = site.run(
        None,
        &[&["restore", "management", "--config", &config("management")], &from[..]].concat(),
    );
    assert!(!again.status.success());
    for role in ["management", "storage"] {
        site.restart(role);
    }

    let (opened, _) = until_done("opening", || async { lab.open(kept).await }).await;
    assert_eq!(opened, PLAIN);
    let error = lab.open(lost).await.unwrap_err();
    assert!(error.kind() != Kind::Internal, "{error}");
    let new = clinic.share("new", PLAIN, AccessTimes::Unlimited).await.unwrap().share;
    assert_eq!(lab.open(new).await.unwrap().0, PLAIN);
    let followed = site.ok("clinic", &["ledger", "verify"]);
    assert!(followed[0]["size"].as_u64().unwrap() > ledger["size"].as_u64().unwrap());
}
