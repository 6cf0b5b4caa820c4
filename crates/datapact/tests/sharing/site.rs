//! Two organisations and three servers, set up as operators do it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use datapact_local::ports::PortBlock;
use serde_json::Value;

use crate::cli::{command, ok, one};

/// A server process; ended by SIGTERM.
pub(crate) struct Server {
    pub(crate) child: Child,
}

impl Server {
    pub(crate) fn start(dir: &Path, role: &str) -> Self {
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

    pub(crate) fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let since = Instant::now();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        // Less than the time that open connections are given: a call that waits for the log's next
        // entry ends at once.
        assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn edit(path: &Path, changes: &[(&str, String)]) {
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
pub(crate) fn configure(dir: &Path, ports: &PortBlock) {
    for ca in ["server", "clinic", "lab"] {
        let folder = format!("{ca}-ca");
        ok(dir, &["ca", "init", &folder, "--name", ca]);
        ok(dir, &["ca", "crl", "--ca", &folder, "-o", &format!("{folder}/crl.pem")]);
    }
    // The servers' configurations name each other's addresses.
    let ports: Vec<u16> = ports.ports().collect();
    let [management, management_public, key, key_public, storage, ..] = ports[..] else { panic!() };
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
            let (ca, crl) = (format!("{realm}-ca/ca.pem"), format!("{realm}-ca/crl.pem"));
            ok(dir, &["ca", "trust", &trust, "--realm", realm, "--ca", &ca, "--crl", &crl]);
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
            (
                "url = \"https://keys.example:8080\"",
                endpoint("key", key_public).replace('\n', ", "),
            ),
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
pub(crate) fn join(
    dir: &Path,
    profile: &str,
    realm: &str,
    invitation: &str,
    passphrase: Option<&str>,
) {
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
