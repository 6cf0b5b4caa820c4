//! Ctrl-C at any moment while a chain starts: the command ends soon, nothing that it has started is
//! left, and the next run goes on with what is there.
#![cfg(any(feature = "evm", feature = "fabric"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::explicit_write, reason = "tests")]

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a command may take to end; nodes have 30 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the tests run in the background of a shell, Ctrl-C is ignored until a program answers it,
/// and comes to nothing before.
fn datapact(arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_datapact")]);
    command.args(arguments).env_remove("DATAPACT_HOME").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The command lines of the processes that name the folder.
fn processes(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    // A process may have ended since it was listed; one that has ended but is not yet waited for
    // has no command line.
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder))
        .collect()
}

/// Interrupts the command after each of the moments, in milliseconds, and lets it come to its end
/// then.
fn interrupted(arguments: &[&str], folder: &Path, moments: &[u64]) {
    let mut early = 0;
    for moment in moments {
        let mut child = datapact(arguments).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(*moment));
        let asked = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let since = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if since.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("{arguments:?}, interrupted after {moment} ms, does not end");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let left = processes(folder);
        if status.code() == Some(130) {
            early += 1;
            assert_eq!(left, [""; 0], "left by {arguments:?}, interrupted after {moment} ms");
        } else {
            // Before it listens to signals, or when it was done: a network that is up stays.
            let (code, signal) = (status.code(), status.signal());
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(
                code == Some(0) || signal == Some(2) || !asked.success(),
                "{moment} ms: {status}: {said}"
            );
        }
    }
    assert!(early > 0, "the moments miss the work");
}

fn ok(arguments: &[&str]) {
    let output = datapact(arguments).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn of_quickstart(ledger: &str, moments: &[u64]) {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let data = data.to_str().unwrap();
    interrupted(&["quickstart", "--ledger", ledger, "--data", data], folder.path(), moments);
    ok(&["quickstart", "--ledger", ledger, "--exit", "--data", data]);
    assert_eq!(processes(folder.path()), [""; 0]);
}

fn of_up(network: &str, moments: &[u64]) {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("network");
    let dir = dir.to_str().unwrap();
    let up = ["ledger", "up", network, "--dir", dir];
    interrupted(&up, folder.path(), moments);
    ok(&up);
    assert_ne!(processes(folder.path()), [""; 0]);
    ok(&["ledger", "down", "--dir", dir]);
    assert_eq!(processes(folder.path()), [""; 0]);
}

#[cfg(feature = "evm")]
#[test]
fn nothing_is_left_of_a_development_node_after_ctrl_c() {
    of_quickstart("devnode", &[30, 150, 400, 800, 1500]);
    of_up("devnode", &[30, 100, 300]);
}

#[cfg(feature = "fabric")]
#[tokio::test]
async fn nothing_is_left_of_a_fabric_network_after_ctrl_c() {
    let chaincode = Path::new(env!("CARGO_BIN_EXE_datapact")).with_file_name("datapact-chaincode");
    if let Err(error) = datapact_fabric::network::Programs::find(None, Some(&chaincode)).await {
        return datapact_test_tools::skip_everywhere(&error.to_string());
    }
    of_quickstart("fabric", &[50, 300, 900, 2000, 3500, 5000, 8000]);
    of_up("fabric", &[50, 400, 1200, 2500, 4500]);
}
