//! Transcripts of what operators do before any server runs: CAs, trust configurations, server
//! configurations.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
    command.args(arguments).current_dir(dir).env_clear().env("DATAPACT_HOME", dir.join("home"));
    command.stdin(Stdio::null()).output().unwrap()
}

fn expect(dir: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(dir, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    if code == 0 { String::from_utf8(output.stdout).unwrap() } else { stderr }
}

fn secret(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn us_2_a_ca_key_is_private_and_can_have_a_passphrase() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    secret(&dir.join("pass"), "correct horse\nignored\n");
    secret(&dir.join("wrong"), "battery staple\n");
    expect(dir, &["ca", "init", "ca", "--name", "CA", "--encrypt"], 2);
    assert!(!dir.join("ca").exists());
    expect(dir, &["ca", "init", "ca", "--name", "CA", "--encrypt", "--passphrase-file", "pass"], 0);
    for entry in fs::read_dir(dir.join("ca")).unwrap() {
        let entry = entry.unwrap();
        let content = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
        if content.contains("PRIVATE KEY") {
            assert!(content.contains("ENCRYPTED PRIVATE KEY"));
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    expect(dir, &["ca", "crl", "--ca", "ca", "-o", "crl"], 2);
    expect(dir, &["ca", "crl", "--ca", "ca", "-o", "crl", "--passphrase-file", "wrong"], 2);
    assert!(!dir.join("crl").exists());
    fs::set_permissions(dir.join("pass"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(
        expect(dir, &["ca", "crl", "--ca", "ca", "-o", "crl", "--passphrase-file", "pass"], 9)
            .contains("chmod 600")
    );
    fs::set_permissions(dir.join("pass"), fs::Permissions::from_mode(0o600)).unwrap();
    expect(dir, &["ca", "crl", "--ca", "ca", "-o", "crl", "--passphrase-file", "pass"], 0);
    assert!(fs::read_to_string(dir.join("crl")).unwrap().contains("BEGIN X509 CRL"));
    expect(dir, &["ca", "init", "ca", "--name", "CA"], 9);
}

#[test]
fn certificates_are_issued_and_revoked() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    expect(dir, &["ca", "init", "ca", "--name", "CA"], 0);
    expect(dir, &["ca", "init", "other", "--name", "Other"], 0);
    expect(dir, &["config", "init", "storage", "--name", "s.example", "-o", "s/storage.toml"], 0);
    let issue = ["ca", "issue", "--ca", "ca", "s/server.csr", "--server", "s.example", "-o"];
    let pem = expect(dir, &[&issue[..], &["-"]].concat(), 0);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    expect(dir, &[&issue[..], &["s/server.pem"]].concat(), 0);
    // The former certificate is not replaced unasked.
    expect(dir, &[&issue[..], &["s/server.pem"]].concat(), 10);
    fs::write(dir.join("junk"), "junk").unwrap();
    expect(dir, &["ca", "issue", "--ca", "ca", "junk", "-o", "x.pem"], 2);
    assert!(!dir.join("x.pem").exists());

    let trust = ["ca", "trust", "s/trust.toml", "--realm"];
    expect(dir, &[&trust[..], &["server", "--ca", "ca/ca.pem"]].concat(), 0);
    expect(dir, &["config", "check", "storage", "--config", "s/storage.toml"], 0);
    // One CA speaks for one realm only, and a file that would say otherwise is not written.
    let before = fs::read_to_string(dir.join("s/trust.toml")).unwrap();
    expect(dir, &[&trust[..], &["clinic", "--ca", "ca/ca.pem"]].concat(), 2);
    expect(dir, &[&trust[..], &["clinic", "--ca", "junk"]].concat(), 2);
    expect(dir, &[&trust[..], &["Not A Realm", "--ca", "other/ca.pem"]].concat(), 2);
    assert_eq!(fs::read_to_string(dir.join("s/trust.toml")).unwrap(), before);

    expect(dir, &["ca", "revoke", "--ca", "ca", "s/server.pem"], 10);
    expect(dir, &["ca", "revoke", "--ca", "other", "s/server.pem", "--yes"], 5);
    expect(dir, &["ca", "revoke", "--ca", "ca", "--serial", "00ff", "--yes"], 5);
    expect(dir, &["ca", "revoke", "--ca", "ca", "s/server.pem", "--yes"], 0);
    expect(dir, &["ca", "crl", "--ca", "ca", "-o", "ca.crl"], 0);
    fs::remove_file(dir.join("s/trust.toml")).unwrap();
    expect(dir, &[&trust[..], &["server", "--ca", "ca/ca.pem", "--crl", "ca.crl"]].concat(), 0);
    let refused = expect(dir, &["config", "check", "storage", "--config", "s/storage.toml"], 2);
    assert!(refused.contains("revoked"), "{refused}");
}

#[test]
fn configurations_are_checked() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    for role in ["management", "key", "storage"] {
        let (name, config) = (format!("{role}.example"), format!("{role}/{role}.toml"));
        let printed = expect(dir, &["config", "init", role, "--name", &name, "-o", &config], 0);
        assert_eq!(printed.contains("+"), role != "storage", "{printed}");
        let mode = |file: &str| {
            fs::metadata(dir.join(role).join(file)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("server.key"), mode(".")), (0o600, 0o700));
    }
    expect(dir, &["config", "init", "key", "--name", "Not A Name", "-o", "x/key.toml"], 2);
    expect(dir, &["config", "check", "storage", "--config", "missing.toml"], 9);
    // A second time, keys stay what they are.
    let key = fs::read(dir.join("key/data/witness.key")).unwrap();
    expect(dir, &["config", "init", "key", "--name", "key.example", "-o", "key/key.toml"], 10);
    expect(
        dir,
        &["config", "init", "key", "--name", "key.example", "-o", "key/key.toml", "--yes"],
        0,
    );
    assert_eq!(fs::read(dir.join("key/data/witness.key")).unwrap(), key);
    // The placeholder of the log's key is not a key, and an unknown key of the file is an error.
    assert!(
        expect(dir, &["config", "check", "key", "--config", "key/key.toml"], 2)
            .contains("not a verifier key")
    );
    let path = dir.join("storage/storage.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("no_such_key = 1\n{text}")).unwrap();
    let refused =
        expect(dir, &["config", "check", "storage", "--config", "storage/storage.toml"], 2);
    assert!(refused.contains("no_such_key"), "{refused}");
    expect(dir, &["serve", "storage", "--config", "storage/storage.toml"], 2);
}

#[test]
fn without_a_profile_commands_say_how_to_get_one() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    for arguments in [
        &["catalog", "search"][..],
        &["share", "list"],
        &["identity", "show"],
        &["account", "list"],
    ] {
        let refused = expect(dir, arguments, 5);
        assert!(refused.contains("datapact join"), "{refused}");
    }
    assert_eq!(expect(dir, &["profile", "list", "--json"], 0), "");
    expect(dir, &["profile", "use", "nobody"], 5);
    expect(dir, &["profile", "use", "../etc"], 2);
    expect(dir, &["join", "missing.invite", "--subject", "CN=x"], 5);
    expect(dir, &["join"], 2);
}
