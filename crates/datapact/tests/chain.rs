//! The whole path on Ethereum-family networks that run for it: real nodes, real servers, the
//! command line.
#![cfg(feature = "evm")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn datapact(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
    command.args(arguments).env_remove("DATAPACT_HOME");
    command
}

fn ok(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn steps(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn sh_8_the_quickstart_runs_on_a_development_node_and_goes_on_with_its_state() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let data = data.to_str().unwrap();
    let run = || {
        steps(&ok(datapact(&[
            "quickstart",
            "--ledger",
            "devnode",
            "--exit",
            "--json",
            "--data",
            data,
        ])))
    };
    let (first, second) = (run(), run());
    assert_eq!((first.len(), second.len()), (10, 10));
    let audit = |steps: &[Value]| steps.last().unwrap()["detail"].clone();
    assert_eq!(audit(&first)["good"], true);
    assert!(audit(&first)["contract"].as_str().unwrap().starts_with("eip155:"));
    // The second run's entries follow the first one's.
    assert_eq!(audit(&second)["good"], true);
    assert!(audit(&second)["log"]["size"].as_u64() > audit(&first)["log"]["size"].as_u64());
    let other = datapact(&["quickstart", "--exit", "--data", data]).output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("has the ledger `devnode`"));
}

#[test]
fn ks_5_the_key_server_releases_nothing_that_its_own_validator_has_not_seen() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let home = data.join("home");
    let home = home.to_str().unwrap();
    let mut running = Running::start(&data, &["--ledger", "quorum"]);
    let file = folder.path().join("mine.csv");
    std::fs::write(&file, "a,b\n1,2\n").unwrap();
    let file = file.to_str().unwrap();
    let create =
        ["share", "create", file, "--allow-country", "DE", "--times", "2", "--expires", "1d"];
    let created = ok(datapact(
        &[&["--json", "--home", home, "--profile", "clinic"], create.as_slice()].concat(),
    ));
    let share = serde_json::from_slice::<Value>(&created.stdout).unwrap()["share"]
        .as_str()
        .unwrap()
        .to_owned();
    let lab = ["--home", home, "--profile", "lab", "open", &share];
    assert_eq!(ok(datapact(&lab)).stdout, b"a,b\n1,2\n");

    // The key server's own validator is stopped; the other three go on, and management grants.
    let network: Value =
        serde_json::from_slice(&std::fs::read(data.join("network/network.json")).unwrap()).unwrap();
    let validator = network["nodes"][3]["process"].as_u64().unwrap().to_string();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &validator]).status().unwrap().success())
    };
    signal("-STOP");
    let refused = datapact(&lab).output().unwrap();
    signal("-CONT");
    assert_eq!(refused.status.code(), Some(7), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(refused.stdout.is_empty());

    // It has caught up: the access that was granted is completed, and costs no other.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let opened = loop {
        let opened = datapact(&lab).output().unwrap();
        if opened.status.success() {
            break opened;
        }
        assert_eq!(opened.status.code(), Some(7), "{}", String::from_utf8_lossy(&opened.stderr));
        assert!(std::time::Instant::now() < end, "{}", String::from_utf8_lossy(&opened.stderr));
    };
    assert_eq!(opened.stdout, b"a,b\n1,2\n");
    let audit =
        ok(datapact(&["--json", "--home", home, "--profile", "clinic", "share", "audit", &share]));
    let audit = serde_json::from_slice::<Value>(&audit.stdout).unwrap();
    assert_eq!(
        (&audit["good"], audit["accesses"].as_array().unwrap().len()),
        (&Value::Bool(true), 2)
    );
    let info = ok(datapact(&["--json", "--home", home, "--profile", "lab", "ledger", "info"]));
    let info = serde_json::from_slice::<Value>(&info.stdout).unwrap();
    assert_eq!(info["ledger_kind"], "ethereum");
    assert!(info["ledger_contract"].as_str().unwrap().starts_with("eip155:"));
    ok(datapact(&["--home", home, "--profile", "lab", "ledger", "verify"]));
    running.stop();
}

#[test]
fn what_was_asked_while_the_node_stood_still_is_recorded_once_it_goes_on() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let home = data.join("home");
    let home = home.to_str().unwrap();
    let mut running = Running::start(&data, &["--ledger", "devnode"]);
    let lab = |arguments: &[&str]| {
        datapact(&[&["--json", "--home", home, "--profile", "lab"], arguments].concat())
            .output()
            .unwrap()
    };
    let records = || String::from_utf8(lab(&["record", "list"]).stdout).unwrap().lines().count();
    let file = folder.path().join("mine.csv");
    std::fs::write(&file, "a,b\n1,2\n").unwrap();
    let create = [
        "share",
        "create",
        file.to_str().unwrap(),
        "--allow-anyone",
        "--times",
        "2",
        "--expires",
        "1d",
    ];
    let created = ok(datapact(
        &[&["--json", "--home", home, "--profile", "clinic"], create.as_slice()].concat(),
    ));
    let share = serde_json::from_slice::<Value>(&created.stdout).unwrap();
    let before = records();
    let network: Value =
        serde_json::from_slice(&std::fs::read(data.join("network/network.json")).unwrap()).unwrap();
    let node = network["nodes"][0]["process"].as_u64().unwrap().to_string();
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &node]).status().unwrap().success());

    signal("-STOP");
    let refused = lab(&["open", share["share"].as_str().unwrap()]);
    let (code, meanwhile) = (refused.status.code(), records());
    signal("-CONT");
    assert_eq!(code, Some(7), "{}", String::from_utf8_lossy(&refused.stderr));
    assert_eq!(meanwhile, before);
    // No client asks again.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(90);
    while records() == before {
        assert!(std::time::Instant::now() < end, "the access is not recorded");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    assert_eq!(records(), before + 1);
    running.stop();
}

#[test]
fn two_networks_run_side_by_side_and_a_restart_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let dir = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (one, other) = (dir("one"), dir("other"));
    let _ended = [Ended(one.clone()), Ended(other.clone())];
    let up = |dir: &str| -> Value {
        serde_json::from_slice(
            &ok(datapact(&["--json", "ledger", "up", "devnode", "--dir", dir])).stdout,
        )
        .unwrap()
    };
    let ledger = |dir: &str| std::fs::read_to_string(Path::new(dir).join("ledger.toml")).unwrap();
    let (first, second) = (up(&one), up(&other));
    assert_ne!(first["nodes"][0]["url"], second["nodes"][0]["url"]);
    let contract =
        |text: &str| text.lines().find(|line| line.starts_with("contract")).unwrap().to_owned();
    let before = ledger(&one);
    ok(datapact(&["ledger", "down", "--dir", &one]));
    let again = up(&one);
    assert_ne!(again["nodes"][0]["process"], first["nodes"][0]["process"]);
    assert_eq!(contract(&ledger(&one)), contract(&before));
    // Another contract on the chain that was kept, for an account of its own.
    let url = again["nodes"][0]["url"].as_str().unwrap();
    let chain_id = before.lines().find_map(|line| line.strip_prefix("chain_id = ")).unwrap();
    let output = dir("ledger.toml");
    let deploy = [
        "--json",
        "ledger",
        "contract",
        "deploy",
        "--endpoint",
        url,
        "--chain-id",
        chain_id,
        "-o",
        &output,
    ];
    let deployed: Value = serde_json::from_slice(&ok(datapact(&deploy)).stdout).unwrap();
    assert!(deployed["contract"].as_str().unwrap().starts_with(&format!("eip155:{chain_id}:0x")));
    assert_ne!(contract(&std::fs::read_to_string(&output).unwrap()), contract(&before));
    for dir in [&one, &other] {
        ok(datapact(&["ledger", "down", "--dir", dir]));
    }
}

/// A network's folder, in which nothing runs any more when the test is over, however it ends.
struct Ended(String);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = datapact(&["ledger", "down", "--dir", &self.0]).output();
    }
}

/// A quickstart that is left running.
struct Running(Child);

impl Running {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut command = datapact(&["quickstart"]);
        command.args(arguments).arg("--data").arg(data);
        let mut running =
            Self(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let mut said = String::new();
        for line in BufReader::new(running.0.stderr.take().unwrap()).lines().map_while(Result::ok) {
            if line.contains("DATAPACT_HOME") {
                return running;
            }
            said.push_str(&line);
        }
        panic!("it does not run: {said}");
    }

    /// As Ctrl-C does; servers and network end with it.
    fn stop(&mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked to, it ends its network too.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
            let _ = self.0.wait();
        }
    }
}
