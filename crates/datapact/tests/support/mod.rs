//! A site of three real server processes for tests: made by `datapact quickstart`, each process
//! started, killed (SIGKILL) and restarted by itself, and ended with the test. Users are in-process
//! clients of the SDK, or processes of the command line.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test programs, none of which uses all of it"
)]

pub mod operator;
pub mod proxy;
pub mod stores;
pub mod watch;

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use datapact_api::client::Http;
use datapact_api::key_server::KeyServer;
use datapact_api::management::{NewInvitation, Role};
use datapact_api::problem::Kind;
use datapact_api::storage_server::StorageServer;
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_client::ca::{Ca, Kind as CertificateKind};
use datapact_client::key_file::PrivateKey;
use datapact_client::open::{OpenOptions, Opened, Output, Target};
use datapact_client::provider::{CreateShare, SetShare};
use datapact_client::{
    ClientError, Consumer, Home, Profile, ProgressSink, Provider, Session, join, no_progress,
};
use datapact_core::contract::Attributes;
use datapact_core::document::AccessRequest;
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::jws::Signed;
use datapact_core::permission::{AccessPermission, AccessTimes};
use datapact_core::terms::Terms;
use datapact_local::ports::PortBlock;
use datapact_log::clock::system_clock;
use datapact_store::{Db, Location, Reader, StoreError};
use serde_json::Value;
use stores::Stores;
use tempfile::TempDir;

pub const ROLES: [&str; 3] = ["management", "key", "storage"];
/// How long something may take that has to happen in the end.
pub const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the long forms run: the seconds in `DATAPACT_STORM`, or `short`.
pub fn storm(short: u64) -> Duration {
    let seconds = std::env::var("DATAPACT_STORM")
        .ok()
        .map(|text| text.parse().expect("DATAPACT_STORM=SECONDS"));
    Duration::from_secs(seconds.unwrap_or(short))
}

pub fn now() -> Timestamp {
    system_clock()()
}

/// A folder with everything, and the servers that run in it.
pub struct Site {
    folder: TempDir,
    servers: Mutex<BTreeMap<&'static str, Server>>,
    /// Nobody else gets the servers' ports, also while none of them listens.
    _ports: PortBlock,
    /// Where the servers keep what they keep, if not in files.
    pub stores: Option<Stores>,
    /// What servers that are started from now on find in their environment.
    pub environment: Mutex<Vec<(&'static str, String)>>,
}

struct Server {
    child: Child,
    /// What it said when it began to listen.
    ready: Value,
}

impl Server {
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Site {
    /// Makes a site and starts its servers. It has the profiles `admin`, `clinic` (a provider),
    /// `lab` (a consumer in DE) and `lab-overseas` (one in US), and one share, which `lab` has
    /// opened.
    pub fn start() -> Self {
        Self::start_on(stores::remote())
    }

    /// The same, on PostgreSQL and S3, or on files.
    pub fn start_on(remote: bool) -> Self {
        Self::start_with(remote.then(|| Stores::start(&ROLES)))
    }

    /// A site whose servers have not been started yet, with this kind of ledger.
    fn new(stores: Option<Stores>, ledger: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().to_str().unwrap();
        let made = folder.path().join("ports.json");
        let ports = loop {
            let prepare = ["quickstart", "--ledger", ledger, "--prepare", "--data", data];
            let output =
                Command::new(env!("CARGO_BIN_EXE_datapact")).args(prepare).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let ports: Value = serde_json::from_slice(&std::fs::read(&made).unwrap()).unwrap();
            let first = ports["management"].as_u64().unwrap();
            if let Some(ports) = PortBlock::again(u16::try_from(first).unwrap()) {
                break ports;
            }
            // Somebody was quicker; without this file the site is made anew.
            std::fs::remove_file(&made).unwrap();
        };
        Self {
            folder,
            servers: Mutex::default(),
            _ports: ports,
            stores,
            environment: Mutex::default(),
        }
    }

    /// The same, on these stores; on files without any.
    pub fn start_with(stores: Option<Stores>) -> Self {
        let site = Self::new(stores, "embedded");
        let data = site.path().to_str().unwrap().to_owned();
        if let Some(stores) = &site.stores {
            for role in ROLES {
                stores.configure(role, &site.config(role));
            }
        }
        site.ran(&["quickstart", "--exit", "--json", "--data", &data]);
        for role in ROLES {
            site.restart(role);
        }
        site
    }

    /// The same, with the ledger on a network of this kind in the folder `network`, which runs
    /// until `ledger down`.
    pub fn start_on_chain(kind: &str) -> Self {
        let site = Self::new(None, kind);
        let data = site.path().to_str().unwrap().to_owned();
        site.ran(&["quickstart", "--ledger", kind, "--exit", "--json", "--data", &data]);
        site.ran(&["ledger", "up", kind, "--dir", "network"]);
        for role in ROLES {
            site.restart(role);
        }
        site
    }

    /// The same on a Fabric network, whose orderer waits so many milliseconds for more
    /// transactions.
    pub fn start_on_fabric(batch_timeout: u64) -> Self {
        let site = Self::new(None, "fabric");
        let data = site.path().to_str().unwrap().to_owned();
        let network = site.network();
        let network = network.to_str().unwrap();
        let batch_timeout = batch_timeout.to_string();
        let up = [
            "ledger",
            "up",
            "fabric",
            "--ledger-id",
            "management.quickstart.test/ledger",
            "--dir",
            network,
        ];
        site.ran(&[&up[..], &["--batch-timeout", &batch_timeout]].concat());
        site.ran(&["quickstart", "--ledger", "fabric", "--exit", "--json", "--data", &data]);
        site.ran(&up);
        for role in ROLES {
            site.restart(role);
        }
        site
    }

    /// Runs a command and expects success.
    pub fn ran(&self, arguments: &[&str]) {
        let output = self.run(None, arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Where a chain's network is kept, if there is one.
    fn network(&self) -> PathBuf {
        self.file("network")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Kills the server (SIGKILL); nothing is left of the process when this returns.
    pub fn kill(&self, role: &'static str) {
        let server = self.servers.lock().unwrap().remove(role);
        server.unwrap_or_else(|| panic!("{role} does not run")).kill();
    }

    /// Asks the server to end (SIGTERM) and waits until it has; how long that took.
    pub fn stop(&self, role: &'static str) -> Duration {
        let mut server = self.servers.lock().unwrap().remove(role).unwrap();
        let (pid, since) = (server.child.id().to_string(), Instant::now());
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        since.elapsed()
    }

    /// Starts the server, killed before if it runs, and waits until it listens.
    pub fn restart(&self, role: &'static str) {
        drop(self.servers.lock().unwrap().remove(role));
        // A client's outgoing connection may hold the port for a moment.
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(server) = self.spawn(role) {
                self.servers.lock().unwrap().insert(role, server);
                return;
            }
            assert!(Instant::now() < until, "{role} does not start:\n{}", self.log(role));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn spawn(&self, role: &str) -> Option<Server> {
        let log = File::options().create(true).append(true).open(self.log_path(role)).unwrap();
        let config = self.config(role);
        let mut child = Command::new(env!("CARGO_BIN_EXE_datapact"))
            .args(["serve", role, "--json", "--until-eof", "--config"])
            .arg(config)
            .envs(self.environment.lock().unwrap().iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        if matches!(read, Ok(length) if length > 0) {
            return Some(Server { child, ready: serde_json::from_str(&line).unwrap() });
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }

    /// What the server said when it began to listen.
    pub fn ready(&self, role: &str) -> Value {
        self.servers.lock().unwrap()[role].ready.clone()
    }

    /// A server's configuration file.
    pub fn config(&self, role: &str) -> PathBuf {
        self.file(&format!("servers/{role}/{role}.toml"))
    }

    fn log_path(&self, role: &str) -> PathBuf {
        self.file(&format!("logs/{role}.log"))
    }

    pub fn log(&self, role: &str) -> String {
        std::fs::read_to_string(self.log_path(role)).unwrap_or_default()
    }

    /// Whether the server's process still runs.
    pub fn runs(&self, role: &str) -> bool {
        let mut servers = self.servers.lock().unwrap();
        servers.get_mut(role).is_some_and(|server| matches!(server.child.try_wait(), Ok(None)))
    }

    /// A command of this program, as the user of `profile`.
    pub fn command(&self, profile: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("DATAPACT_HOME", self.file("home"));
        // A ledger's programs are found by these.
        for name in ["PATH", "FABRIC_BIN", "HOME", "XDG_CACHE_HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        if let Some(profile) = profile {
            command.env("DATAPACT_PROFILE", profile);
        }
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, profile: Option<&str>, arguments: &[&str]) -> std::process::Output {
        self.command(profile, arguments).output().unwrap()
    }

    /// Runs with `--json`, expects success, and returns the objects printed.
    pub fn ok(&self, profile: &str, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(Some(profile), &[arguments, &["--json"]].concat());
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let stdout = String::from_utf8(output.stdout).unwrap();
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn home(&self) -> Home {
        Home::locate(Some(self.file("home"))).unwrap()
    }

    pub fn ca(&self, realm: &str) -> Ca {
        Ca::open(&self.file(&format!("ca/{realm}")), None).unwrap()
    }

    /// The profile of a user who has joined.
    pub fn profile(&self, name: &str) -> Profile {
        Profile::load(&self.home(), name, None).unwrap()
    }

    pub fn user(&self, name: &str) -> User {
        User::connect(self.profile(name))
    }

    /// Certifies a new user by the realm's CA, and lets it join.
    pub async fn enrol(&self, admin: &Session, name: &str, realm: &str, role: Role) -> User {
        let attributes = Attributes {
            organisation: Some(realm.parse().unwrap()),
            industry: Some("isic4:72".parse().unwrap()),
            country: Some("DE".parse().unwrap()),
        };
        let invitation = NewInvitation { realm: realm.to_owned(), role, attributes, seconds: 3600 };
        let invitation = admin.management().invite(&invitation).await.unwrap();
        let home = self.home();
        let subject = format!("CN={name}").parse().unwrap();
        let prepared = join::prepare(&home, name, &invitation, &subject, None).unwrap();
        let certificate =
            self.ca(realm).issue(&prepared.request_pem, &CertificateKind::User, 30 * DAY).unwrap();
        join::join(&home, name, certificate.as_bytes(), None).await.unwrap();
        self.user(name)
    }

    /// Rows that `sql` selects in a server's database, as their first column.
    pub async fn select(&self, role: &str, sql: &str) -> Vec<String> {
        let location = match &self.stores {
            Some(stores) => stores.location(role),
            None => Location::Sqlite(self.file(&format!("servers/{role}/data/{role}.sqlite"))),
        };
        let (reader, sql) = (Reader::open(&location).await.unwrap(), sql.to_owned());
        let first = move |db: &Db| db.rows(sql, [])?.iter().map(|row| row.text(0)).collect();
        reader.read::<_, StoreError>(first).await.unwrap()
    }

    /// The keys that the key server holds, by the shares they belong to.
    pub async fn stored_keys(&self) -> Vec<String> {
        self.select("key", "SELECT share FROM key_entry WHERE sealed IS NOT NULL ORDER BY share")
            .await
    }

    /// The identifiers of the packages that the storage server holds.
    pub async fn stored_packages(&self) -> Vec<String> {
        self.select("storage", "SELECT id FROM package WHERE object IS NOT NULL ORDER BY id").await
    }

    /// The package files there are.
    pub fn package_files(&self) -> Vec<String> {
        let folder = match &self.stores {
            Some(stores) => stores.s3.bucket(),
            None => self.file("servers/storage/data/packages"),
        };
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// What runs of the profile have left undone.
    pub fn work_left(&self, profile: &str) -> usize {
        let folder = self.file(&format!("home/profiles/{profile}/state/work"));
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for role in ROLES {
                let log = self.log(role);
                let lines: Vec<_> = log.lines().rev().take(15).collect();
                eprintln!("--- end of the log of {role}");
                lines.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
        self.servers.lock().unwrap().clear();
        if self.network().exists() {
            let down =
                self.run(None, &["ledger", "down", "--dir", self.network().to_str().unwrap()]);
            assert!(down.status.success() || std::thread::panicking(), "the network does not end");
        }
    }
}

/// A user, with its own connections to each server.
#[derive(Clone)]
pub struct User {
    pub session: Session,
    pub key_server: Arc<dyn KeyServer>,
    pub storage_server: Arc<dyn StorageServer>,
}

impl User {
    pub fn connect(profile: Profile) -> Self {
        let tls = tls(&profile);
        let http = |endpoint| {
            Http::new(endpoint, tls.clone(), Some(profile.signer().clone()), system_clock())
        };
        let enrolment = profile.enrolment();
        let key_server = Arc::new(http(&enrolment.key_servers[0]).unwrap());
        let storage_server = Arc::new(http(&enrolment.storage_servers[0]).unwrap());
        Self { key_server, storage_server, session: Session::connect(profile).unwrap() }
    }

    pub fn provider(&self) -> Provider {
        Provider::new(self.session.clone())
    }

    pub fn consumer(&self) -> Consumer {
        Consumer::new(self.session.clone())
    }

    /// A new, signed access request.
    pub fn request(&self, share: ShareId, policy: Digest) -> Signed<AccessRequest> {
        let profile = self.session.profile();
        let body = AccessRequest { share, policy, purpose: None };
        profile.signer().sign(&profile.enrolment().ledger, now(), body)
    }

    /// Opens a share; what came out, and what shows that it was rightly so.
    pub async fn open(&self, share: ShareId) -> Result<(Vec<u8>, Opened), ClientError> {
        let sink = Sink::default();
        let output = Output::Stream(Box::new(sink.clone()));
        let (target, options) = (Target::Share(share), OpenOptions::default());
        let opened =
            self.consumer().open(&target, &options, &|_| Ok(()), output, no_progress()).await?;
        let bytes = std::mem::take(&mut *sink.0.lock().unwrap());
        Ok((bytes, opened))
    }

    /// Shares `data` with everybody, `times` times each.
    pub async fn share(
        &self,
        title: &str,
        data: &[u8],
        times: AccessTimes,
    ) -> Result<SetShare, ClientError> {
        self.share_telling(title, data, times, no_progress()).await
    }

    /// The same, telling of its progress.
    pub async fn share_telling(
        &self,
        title: &str,
        data: &[u8],
        times: AccessTimes,
        progress: ProgressSink,
    ) -> Result<SetShare, ClientError> {
        let create = CreateShare {
            title: title.to_owned(),
            media_type: "application/octet-stream".to_owned(),
            categories: Vec::new(),
            introduction: String::new(),
            usage: String::new(),
            price: None,
            terms: Terms { anyone: true, ..Terms::default() },
            permission: AccessPermission {
                access_times: times,
                not_before: now() - 60,
                expires: now() + 30 * DAY.as_secs(),
                read_only: true,
            },
            key_server: None,
            storage_server: None,
            desensitization: None,
        };
        let input = Box::new(std::io::Cursor::new(data.to_vec()));
        self.provider().create_share(input, create, progress).await
    }
}

/// TLS as the user of `profile` speaks it.
pub fn tls(profile: &Profile) -> rustls::ClientConfig {
    let key = PrivateKey::load(&profile.folder().join("key.pem"), None).unwrap();
    let trust =
        ReloadableTrust::load(&profile.folder().join("../../../servers/trust.toml")).unwrap();
    client_config(trust, Some((profile.signer().chain().to_vec(), key.for_tls()))).unwrap()
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Does something again as long as it fails only for the moment; anything else is a failure of the
/// test.
pub async fn until_done<T, F>(what: &str, mut act: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ClientError>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match act().await {
            Ok(value) => return value,
            Err(error) => {
                let temporary = matches!(error.kind(), Kind::Unavailable | Kind::Busy);
                assert!(temporary, "{what}: {:?}: {error}", error.kind());
                assert!(Instant::now() < until, "{what} never succeeds: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Bytes that differ from test to test, of any length.
pub fn data(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Reads what a process has written until it ends or is killed, from a thread of its own.
pub fn collect(child: &mut Child) -> std::thread::JoinHandle<Vec<u8>> {
    let mut stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        bytes
    })
}
