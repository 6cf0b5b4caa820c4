//! The program: started, spoken to, ended.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::peer::{PACKAGE, Peer, transaction};

/// Ended with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datapact-chaincode"));
    command
        .env("CHAINCODE_ID", PACKAGE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_until_a_signal_ends_it_with_the_peers_stream_open() {
    for ending in ["-TERM", "-INT"] {
        let mut running =
            Running(command().env("CHAINCODE_SERVER_ADDRESS", "127.0.0.1:0").spawn().unwrap());
        let mut line = String::new();
        BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        let mut peer = Peer::ready(address).await;
        let (response, _) = peer.run(transaction("1", &["info"]), &BTreeMap::new()).await;
        assert_eq!(response.status, 200);
        signal(&running.0, ending);
        let status = tokio::task::block_in_place(|| running.0.wait()).unwrap();
        assert_eq!(status.code(), Some(0), "{ending}");
        let _ = peer.end().await;
    }
}

#[test]
fn what_is_configured_wrongly_is_said() {
    let agreed = ["--ledger", "l", "--submitter", "Org1MSP"];
    let missing = "/nonexistent/key.pem";
    let cases: &[(&[&str], &str)] = &[
        (&["--address", "0.0.0.0:0"], "no TLS is configured"),
        (&["--address", "here"], "invalid"),
        (&["--address", "127.0.0.1:0", "--tls-key", missing], "--tls-certificate"),
        (
            &["--address", "127.0.0.1:0", "--tls-key", missing, "--tls-certificate", missing],
            "cannot read",
        ),
        (
            &[
                "--address",
                "127.0.0.1:0",
                "--ledger",
                "a b",
                "--submitter",
                "s",
                "--administrator",
                "a",
            ],
            "visible",
        ),
        (
            &["--address", "127.0.0.1:0", agreed[0], agreed[1], agreed[2], agreed[3]],
            "--administrator",
        ),
    ];
    for (arguments, said) in cases {
        let mut child = command().args(*arguments).spawn().unwrap();
        let mut error = String::new();
        child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "{arguments:?}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
