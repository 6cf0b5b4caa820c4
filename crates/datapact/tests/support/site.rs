//! The site: its folder, its server processes, and commands that run in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use datapact_local::ports::PortBlock;
use serde_json::Value;
use tempfile::TempDir;

use super::stores::{self, Stores};
use super::{PATIENCE, ROLES, WITNESS};

/// A folder with everything, and the servers that run in it.
pub struct Site {
    folder: TempDir,
    servers: Mutex<BTreeMap<&'static str, Server>>,
    /// Reserves the servers' ports, also while none of them listens.
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
            // Another process was quicker; without this file the site is made again.
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
        site.restart_all();
        site
    }

    /// The same, with the ledger on a network of this kind in the folder `network`, which runs
    /// until `ledger down`.
    pub fn start_on_chain(kind: &str) -> Self {
        let site = Self::new(None, kind);
        let data = site.path().to_str().unwrap().to_owned();
        site.ran(&["quickstart", "--ledger", kind, "--exit", "--json", "--data", &data]);
        site.ran(&["ledger", "up", kind, "--dir", "network"]);
        site.restart_all();
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
        site.restart_all();
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

    /// The server's process.
    pub fn pid(&self, role: &'static str) -> u32 {
        let servers = self.servers.lock().unwrap();
        servers.get(role).unwrap_or_else(|| panic!("{role} does not run")).child.id()
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

    /// Starts the servers and the lab's witness.
    fn restart_all(&self) {
        for role in [WITNESS].into_iter().chain(ROLES) {
            self.restart(role);
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
