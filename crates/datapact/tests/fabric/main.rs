//! The whole path on Hyperledger Fabric: real peers, orderers and chaincode, real servers, the
//! command line.
#![cfg(feature = "fabric")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::explicit_write,
    reason = "tests"
)]

mod faults;
mod guide;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use datapact_fabric::network::Programs;
use datapact_local::NetworkError;
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

/// What the quickstart's last step found.
fn audit(steps: &[Value]) -> Value {
    steps.last().unwrap()["detail"].clone()
}

/// Fabric's programs, and our chaincode beside our program.
async fn programs() -> Result<Programs, NetworkError> {
    let chaincode = Path::new(env!("CARGO_BIN_EXE_datapact")).with_file_name("datapact-chaincode");
    Programs::find(None, Some(&chaincode)).await
}

/// Whether all programs are found; otherwise the test is skipped.
async fn can_run() -> bool {
    let missing = programs().await.err();
    if let Some(error) = &missing {
        datapact_test_tools::skip_everywhere(&error.to_string());
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
    let run = || {
        steps(&ok(datapact(&[
            "quickstart",
            "--ledger",
            "fabric",
            "--exit",
            "--json",
            "--data",
            data,
        ])))
    };
    let (first, second) = (run(), run());
    assert_eq!((first.len(), second.len()), (10, 10));
    assert_eq!(audit(&first)["good"], true);
    assert!(audit(&first)["contract"].as_str().unwrap().starts_with("fabric:datapact/datapact/"));
    // The second run's entries follow the first one's.
    assert_eq!(audit(&second)["good"], true);
    assert!(audit(&second)["log"]["size"].as_u64() > audit(&first)["log"]["size"].as_u64());

    let network = folder.path().join("site/network");
    pr_1_peers_and_orderers_keep_nothing_that_identifies_a_person(&network);

    // Fabric's own client reads the share, as the guide says.
    let dir = network.to_str().unwrap();
    let id = "management.quickstart.test/ledger";
    let _down = Down(dir);
    ok(datapact(&["ledger", "up", "fabric", "--ledger-id", id, "--dir", dir]));
    let share = audit(&second)["share"].as_str().unwrap().to_owned();
    let commands: Vec<String> = guide::commands("## A network on this machine")
        .into_iter()
        .filter(|command| {
            ["cd ", "export ", "peer "].iter().any(|first| command.starts_with(first))
        })
        .map(|command| command.replace("my-channel", dir).replace("SHARE", &share))
        .collect();
    assert_eq!(commands.len(), 5);
    let said = ok(fabric_shell(&commands.join(" && ")));
    let said = String::from_utf8(said.stdout).unwrap();
    let stored: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&stored["record"]["value"], &stored["record"]["policy"]["share"]),
        (&"share".into(), &share.into())
    );
    assert_eq!(stored["record"]["policy"]["state"], "active");

    // And ours shows the transaction that wrote it, and the channel's height.
    let (ledger, transaction) =
        (format!("{dir}/ledger.toml"), stored["transaction"].as_str().unwrap());
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_slice(
            &ok(datapact(&[arguments, &["--json", "--chain", &ledger]].concat())).stdout,
        )
        .unwrap()
    };
    let info = json(&["ledger", "info"]);
    assert_eq!((&info["ledger"], &info["submitter"]), (&id.into(), &"ManagementMSP".into()));
    assert_eq!(info["height"].as_u64(), info["newest_block"].as_u64().map(|newest| newest + 1));
    let verified = json(&["ledger", "verify", "--transaction", transaction]);
    assert_eq!(
        (&verified["code"], &verified["transaction"]),
        (&"VALID".into(), &transaction.into())
    );
    assert_eq!(verified["endorsements"].as_array().unwrap().len(), 2);
    let other =
        datapact(&["ledger", "verify", "--chain", &ledger, "--transaction", &"0".repeat(64)])
            .output()
            .unwrap();
    assert_eq!(other.status.code(), Some(8), "{}", String::from_utf8_lossy(&other.stderr));
}

/// A shell that finds Fabric's programs.
fn fabric_shell(script: &str) -> Command {
    let bin = std::env::var_os("FABRIC_BIN").map(PathBuf::from);
    let bin = bin.iter().flat_map(|bin| [bin.clone(), bin.join("bin")]);
    let path = std::env::var_os("PATH").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env("FABRIC_LOGGING_SPEC", "error");
    shell.env("PATH", std::env::join_paths(bin.chain(std::env::split_paths(&path))).unwrap());
    shell
}

/// A network that is ended when the test is, however it ends.
struct Down<'a>(&'a str);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let _ = datapact(&["ledger", "down", "--dir", self.0]).output();
    }
}

/// Everything that the nodes keep, searched for whatever of the quickstart's people and of their
/// documents was used: names as text and certificates have them, the beginnings of signed
/// documents, titles.
fn pr_1_peers_and_orderers_keep_nothing_that_identifies_a_person(network: &Path) {
    let mut data: Vec<Vec<u8>> =
        ["CN=Ada", "CN=Ben", "CN=Cleo", "Outpatient", "observations"].map(Into::into).into();
    // UTF8String of DER.
    data.extend(
        ["Ada", "Ben", "Cleo"].map(|name| [&[0x0c, name.len() as u8], name.as_bytes()].concat()),
    );
    // Signed documents begin with the base64url of `{"alg":"ES256"` and of `{"typ":`.
    data.extend(["eyJhbGciOiJFUzI1NiIs", "eyJ0eXAiOi"].map(Into::into));
    let (mut kept, mut searched) = (false, 0);
    let mut folders = vec![network.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let has = |datum: &[u8]| bytes.windows(datum.len()).any(|window| window == datum);
            for datum in &data {
                assert!(!has(datum), "`{}` in {}", String::from_utf8_lossy(datum), path.display());
            }
            kept |= has(b"request-access");
            searched += 1;
        }
    }
    assert!(kept && searched > 50, "{searched} files, and none has a call");
}

#[tokio::test]
async fn sh_8_the_quickstart_runs_on_bft_orderers() {
    if !can_run().await {
        return;
    }
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let data = data.to_str().unwrap();
    let run = steps(&ok(datapact(&[
        "quickstart",
        "--ledger",
        "fabric-bft",
        "--exit",
        "--json",
        "--data",
        data,
    ])));
    assert_eq!(run.first().unwrap()["detail"]["nodes"].as_array().unwrap().len(), 8);
    assert_eq!(audit(&run)["good"], true);
}
