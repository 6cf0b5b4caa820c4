//! The whole path on Hyperledger Fabric: real peers, orderers and chaincode, real servers, the command line.
#![cfg(feature = "fabric")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::explicit_write, reason = "tests")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Once;

use datapact_fabric::network::Programs;
use serde_json::Value;
use tempfile::TempDir;

static SAID: Once = Once::new();

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

/// What the quickstart's last step found.
fn audit(steps: &[Value]) -> Value {
    steps.last().unwrap()["detail"].clone()
}

/// Whether Fabric's programs are found, and our chaincode beside our program; one line says what is missing.
async fn can_run() -> bool {
    let chaincode = Path::new(env!("CARGO_BIN_EXE_datapact")).with_file_name("datapact-chaincode");
    let missing = Programs::find(None, Some(&chaincode)).await.err();
    if let Some(error) = &missing {
        // Not by `eprintln!`, which the tests' harness keeps to itself.
        SAID.call_once(|| writeln!(std::io::stderr(), "!!!! not run on Fabric: {error}").unwrap());
    }
    missing.is_none()
}

#[tokio::test]
async fn sh_8_the_quickstart_runs_on_fabric_and_goes_on_with_its_state() {
    if !can_run().await {
        return;
    }
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let data = data.to_str().unwrap();
    let run =
        || steps(&ok(datapact(&["quickstart", "--ledger", "fabric", "--exit", "--json", "--data", data])));
    let (first, second) = (run(), run());
    assert_eq!((first.len(), second.len()), (10, 10));
    assert_eq!(audit(&first)["good"], true);
    assert!(audit(&first)["contract"].as_str().unwrap().starts_with("fabric:datapact/datapact/"));
    // The second run's entries stand behind the first one's.
    assert_eq!(audit(&second)["good"], true);
    assert!(audit(&second)["log"]["size"].as_u64() > audit(&first)["log"]["size"].as_u64());
}

#[tokio::test]
async fn sh_8_the_quickstart_runs_on_bft_orderers() {
    if !can_run().await {
        return;
    }
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let data = data.to_str().unwrap();
    let run =
        steps(&ok(datapact(&["quickstart", "--ledger", "fabric-bft", "--exit", "--json", "--data", data])));
    assert_eq!(run.first().unwrap()["detail"]["nodes"].as_array().unwrap().len(), 8);
    assert_eq!(audit(&run)["good"], true);
}
