//! Fabric's own `peer` command as a client, so that what is shown does not rest on this project's
//! client.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use datapact_chaincode::contract::Failure;
use datapact_core::contract::{Call, Documents};
use datapact_fabric::network::{CHAINCODE, CHANNEL};
use datapact_fabric::package::Package;
use serde_json::{Value, json};

use super::TestNetwork;

/// The organisations' names, in folders and in nodes' names.
pub const ORGANISATIONS: [&str; 2] = ["management", "key"];

impl TestNetwork {
    /// What `peer version` says.
    pub fn version(&self) -> String {
        let said = Command::new(&self.programs.peer).arg("version").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.lines()
            .find_map(|line| line.trim().strip_prefix("Version:"))
            .unwrap()
            .trim()
            .to_owned()
    }

    fn address(&self, node: &str) -> String {
        let running = self.network.running();
        running.into_iter().find(|running| running.node == node).expect("the node runs").address
    }

    fn crypto(&self, organisation: &str) -> std::path::PathBuf {
        self.network.dir().join(format!("crypto/peerOrganizations/{organisation}.localhost"))
    }

    fn peer(&self, organisation: &str, user: &str, args: &[&str]) -> Command {
        let msp =
            self.crypto(organisation).join(format!("users/{user}@{organisation}.localhost/msp"));
        let mut command = Command::new(&self.programs.peer);
        command
            .env("FABRIC_CFG_PATH", self.network.dir().join(format!("peer-{organisation}")))
            .env("FABRIC_LOGGING_SPEC", "warning")
            .env("CORE_PEER_MSPCONFIGPATH", msp)
            .args(args);
        command
    }

    fn on_channel(&self, organisation: &str, user: &str, args: &[&str]) -> Command {
        let mut command = self.peer(organisation, user, args);
        command.args(["--channelID", CHANNEL, "--name", CHAINCODE]);
        command
    }

    fn orderer(&self, command: &mut Command) {
        let ca = "crypto/ordererOrganizations/orderers.localhost/tlsca/tlsca.orderers.localhost-cert.pem";
        command.args(["--tls", "--orderer", &self.address("orderer-1"), "--cafile"]);
        command.arg(self.network.dir().join(ca));
    }

    fn both_peers(&self, command: &mut Command) {
        for organisation in ORGANISATIONS {
            let ca = format!("tlsca/tlsca.{organisation}.localhost-cert.pem");
            command
                .args(["--peerAddresses", &self.address(&format!("peer-{organisation}"))])
                .arg("--tlsRootCertFiles")
                .arg(self.crypto(organisation).join(ca));
        }
    }

    /// Installs each organisation's package of the next version, approves it and commits its
    /// definition.
    pub fn upgrade(&self, packages: [&Package; 2], sequence: &str) {
        let policy = "AND('ManagementMSP.peer', 'KeyMSP.peer')";
        let definition =
            ["--version", sequence, "--sequence", sequence, "--signature-policy", policy];
        for (organisation, package) in ORGANISATIONS.into_iter().zip(packages) {
            let file = self.dir.path().join(format!("{organisation}.tgz"));
            std::fs::write(&file, &package.bytes).unwrap();
            let mut install =
                self.peer(organisation, "Admin", &["lifecycle", "chaincode", "install"]);
            done(install.arg(file)).unwrap();
            let approve =
                ["lifecycle", "chaincode", "approveformyorg", "--package-id", &package.id];
            let mut approve = self.on_channel(organisation, "Admin", &approve);
            self.orderer(&mut approve);
            done(approve.args(definition)).unwrap();
        }
        let mut commit =
            self.on_channel("management", "Admin", &["lifecycle", "chaincode", "commit"]);
        self.orderer(&mut commit);
        self.both_peers(&mut commit);
        done(commit.args(definition)).unwrap();
    }

    /// What the chaincode on an organisation's peer answers.
    pub fn query(&self, organisation: &str, arguments: &[&str]) -> Result<Value, String> {
        let mut command = self.on_channel(organisation, "User1", &["chaincode", "query"]);
        command.args(["--ctor", &json!({ "Args": arguments }).to_string()]);
        done(&mut command).map(|said| serde_json::from_str(&said).unwrap())
    }

    /// Has both peers endorse, and waits until both have committed.
    pub fn invoke(
        &self,
        organisation: &str,
        user: &str,
        arguments: &[&str],
        documents: Option<&Documents>,
    ) -> Result<(), String> {
        let mut command =
            self.on_channel(organisation, user, &["chaincode", "invoke", "--waitForEvent"]);
        command.args(["--ctor", &json!({ "Args": arguments }).to_string()]);
        self.orderer(&mut command);
        self.both_peers(&mut command);
        if let Some(documents) = documents {
            let text = BASE64.encode(serde_json::to_vec(documents).unwrap());
            command.args(["--transient", &json!({ "documents": text }).to_string()]);
        }
        done(&mut command).map(drop)
    }

    /// Management's call with its documents.
    pub fn execute(&self, (call, documents): &(Call, Documents)) -> Result<(), Failure> {
        let call = serde_json::to_string(call).unwrap();
        let done = self.invoke("management", "User1", &["execute", &call], Some(documents));
        done.map_err(|error| Failure::find(&error).unwrap_or_else(|| panic!("{error}")))
    }
}

/// What a command says, or, with the quotes of a Go string made plain, why it fails.
fn done(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap());
    }
    Err(String::from_utf8_lossy(&output.stderr).replace("\\\"", "\""))
}
