//! Fabric's own `peer` command as a client, so that what is shown does not rest on this project's client.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use datapact_core::contract::{Call, Documents};
use datapact_fabric::contract::Failure;
use datapact_fabric::network::{CHAINCODE, CHANNEL};
use serde_json::{Value, json};

use super::TestNetwork;

/// The organisations' names, in folders and in nodes' names.
pub const ORGANISATIONS: [&str; 2] = ["management", "key"];

impl TestNetwork {
    fn address(&self, node: &str) -> String {
        let running = self.network.running();
        running.into_iter().find(|running| running.node == node).expect("the node runs").address
    }

    fn crypto(&self, organisation: &str) -> std::path::PathBuf {
        self.network.dir().join(format!("crypto/peerOrganizations/{organisation}.localhost"))
    }

    fn peer(&self, organisation: &str, user: &str, args: &[&str]) -> Command {
        let msp = self.crypto(organisation).join(format!("users/{user}@{organisation}.localhost/msp"));
        let mut command = Command::new(&self.programs.peer);
        command
            .env("FABRIC_CFG_PATH", self.network.dir().join(format!("peer-{organisation}")))
            .env("FABRIC_LOGGING_SPEC", "warning")
            .env("CORE_PEER_MSPCONFIGPATH", msp)
            .args(args)
            .args(["--channelID", CHANNEL, "--name", CHAINCODE]);
        command
    }

    /// What the chaincode on an organisation's peer answers.
    pub fn query(&self, organisation: &str, arguments: &[&str]) -> Result<Value, String> {
        let mut command = self.peer(organisation, "User1", &["chaincode", "query"]);
        command.args(["--ctor", &json!({ "Args": arguments }).to_string()]);
        let output = command.output().unwrap();
        if !output.status.success() {
            return Err(unescaped(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Has both peers endorse, and waits until both have committed.
    pub fn invoke(
        &self,
        organisation: &str,
        user: &str,
        arguments: &[&str],
        documents: Option<&Documents>,
    ) -> Result<(), String> {
        let mut command = self.peer(organisation, user, &["chaincode", "invoke", "--waitForEvent", "--tls"]);
        let ca = "crypto/ordererOrganizations/orderers.localhost/tlsca/tlsca.orderers.localhost-cert.pem";
        command
            .args(["--ctor", &json!({ "Args": arguments }).to_string()])
            .args(["--orderer", &self.address("orderer-1"), "--cafile"])
            .arg(self.network.dir().join(ca));
        for organisation in ORGANISATIONS {
            let ca = format!("tlsca/tlsca.{organisation}.localhost-cert.pem");
            command
                .args(["--peerAddresses", &self.address(&format!("peer-{organisation}"))])
                .arg("--tlsRootCertFiles")
                .arg(self.crypto(organisation).join(ca));
        }
        if let Some(documents) = documents {
            let text = BASE64.encode(serde_json::to_vec(documents).unwrap());
            command.args(["--transient", &json!({ "documents": text }).to_string()]);
        }
        let output = command.output().unwrap();
        if output.status.success() { Ok(()) } else { Err(unescaped(&output.stderr)) }
    }

    /// Management's call with its documents.
    pub fn execute(&self, (call, documents): &(Call, Documents)) -> Result<(), Failure> {
        let call = serde_json::to_string(call).unwrap();
        let done = self.invoke("management", "User1", &["execute", &call], Some(documents));
        done.map_err(|error| Failure::find(&error).unwrap_or_else(|| panic!("{error}")))
    }
}

/// Text that the command shows as a Go string.
fn unescaped(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\\\"", "\"")
}
