//! GoQuorum validators that agree by QBFT: genesis, keys, and how the program is started.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use alloy::primitives::B256;
use alloy::signers::local::PrivateKeySigner;
use datapact_core::id::random;
use datapact_local::{NetworkError, Result, process};
use serde_json::json;

use super::{Network, Node};
use crate::signer::write_secret;

/// What Istanbul-like consensus puts into a block's `mixHash`.
const MIX_HASH: &str = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365";
/// How long a node may take to read the genesis.
const INIT_TIMEOUT: Duration = Duration::from_secs(90);
/// Transactions that may wait in a node, from one account as from all.
const WAITING_MAX: &str = "20000";

impl Network {
    /// Keys and genesis, once.
    pub(super) fn make_validators(&self) -> Result<()> {
        let mut addresses = Vec::new();
        for at in 0..self.record.nodes.len() {
            let folder = self.node_dir(at).join("geth");
            fs::create_dir_all(&folder).map_err(|e| NetworkError::file(&folder, e))?;
            let path = folder.join("nodekey");
            let key = PrivateKeySigner::from_bytes(&B256::from(random::<32>()))
                .map_err(|e| NetworkError::file(&path, e))?;
            write_secret(&path, hex::encode(key.to_bytes()).as_bytes())
                .map_err(NetworkError::see_logs)?;
            addresses.push(key.address());
        }
        addresses.sort_unstable();
        let validators: Vec<u8> =
            addresses.iter().flat_map(|address| string(address.as_slice())).collect();
        // QBFT's extra data: vanity, validators, votes, round, seals.
        let extra =
            [string(&[0; 32]), list(&validators), list(&[]), string(&[]), list(&[])].concat();
        let genesis = json!({
            "config": {
                "chainId": self.record.chain_id,
                "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
                "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0,
                "istanbulBlock": 0, "berlinBlock": 0,
                "isQuorum": true,
                "txnSizeLimit": 128,
                "maxCodeSizeConfig": [{ "block": 0, "size": 32 }],
                "qbft": {
                    "epochLength": 30_000, "blockPeriodSeconds": 1, "emptyBlockPeriodSeconds": 1,
                    "requestTimeoutSeconds": 4, "policy": 0, "ceil2Nby3Block": 0,
                    "testQBFTBlock": 0,
                },
            },
            "nonce": "0x0",
            "timestamp": "0x0",
            "extraData": format!("0x{}", hex::encode(list(&extra))),
            "gasLimit": "0x29b92700",
            "difficulty": "0x1",
            "mixHash": MIX_HASH,
            "coinbase": "0x0000000000000000000000000000000000000000",
            "alloc": {},
        });
        let path = self.dir().join("genesis.json");
        fs::write(&path, format!("{genesis:#}\n")).map_err(|e| NetworkError::file(&path, e))
    }

    /// Gives each node the genesis, the first time, and the others' addresses.
    pub(super) async fn init_validators(&self, program: &Path) -> Result<()> {
        let mut peers = Vec::new();
        for (at, node) in self.record.nodes.iter().enumerate() {
            let path = self.node_dir(at).join("geth/nodekey");
            let text = fs::read_to_string(&path).map_err(|e| NetworkError::file(&path, e))?;
            let key: PrivateKeySigner =
                text.trim().parse().map_err(|e| NetworkError::file(&path, e))?;
            let id = hex::encode(key.public_key());
            peers.push(format!("enode://{id}@127.0.0.1:{}?discport=0", node.peer_port));
        }
        for at in 0..self.record.nodes.len() {
            let folder = self.node_dir(at);
            let path = folder.join("geth/static-nodes.json");
            fs::write(&path, json!(peers).to_string()).map_err(|e| NetworkError::file(&path, e))?;
            if folder.join("geth/chaindata").exists() {
                continue;
            }
            let mut command = Command::new(program);
            command.env("PRIVATE_CONFIG", "ignore").arg("--datadir").arg(&folder).arg("init");
            command.arg(self.dir().join("genesis.json"));
            process::run(
                command,
                INIT_TIMEOUT,
                "the program must be GoQuorum's geth, 22.7 or newer",
            )
            .await?;
        }
        Ok(())
    }

    pub(super) fn validator_command(&self, program: &Path, node: &Node, at: usize) -> Command {
        let mut command = Command::new(program);
        command
            .env("PRIVATE_CONFIG", "ignore")
            .arg("--datadir")
            .arg(self.node_dir(at))
            .args([
                "--networkid",
                &self.record.chain_id.to_string(),
                "--nodiscover",
                "--nat",
                "none",
            ])
            .args(["--syncmode", "full", "--gcmode", "archive", "--mine", "--miner.threads", "1"])
            .args(["--miner.gasprice", "0", "--emitcheckpoints", "--ipcdisable", "--cache", "64"])
            .args(["--txpool.accountslots", WAITING_MAX, "--txpool.globalslots", WAITING_MAX])
            .args(["--txpool.accountqueue", WAITING_MAX, "--txpool.globalqueue", WAITING_MAX])
            .args(["--http", "--http.addr", "127.0.0.1", "--http.port", &node.port.to_string()])
            .args(["--http.api", "eth,net,web3,istanbul", "--port", &node.peer_port.to_string()])
            .args(["--verbosity", "3"]);
        command
    }
}

/// RLP: a string.
fn string(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [byte] if *byte < 0x80 => vec![*byte],
        _ => prefixed(0x80, bytes),
    }
}

/// RLP: a list of what is encoded already.
fn list(items: &[u8]) -> Vec<u8> {
    prefixed(0xc0, items)
}

fn prefixed(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = Vec::with_capacity(length + 9);
    match u8::try_from(length) {
        Ok(short @ 0..=55) => bytes.push(kind + short),
        _ => {
            let digits: Vec<u8> =
                length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            bytes.push(kind + 55 + digits.len() as u8);
            bytes.extend(digits);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rlp_is_as_ethereum_specifies_it() {
        // The yellow paper's and go-ethereum's own examples.
        assert_eq!(string(b"dog"), b"\x83dog");
        assert_eq!(string(b""), b"\x80");
        assert_eq!(string(b"\x0f"), b"\x0f");
        assert_eq!(list(&[string(b"cat"), string(b"dog")].concat()), b"\xc8\x83cat\x83dog");
        assert_eq!(list(b""), b"\xc0");
        let long = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit";
        assert_eq!(string(long), [b"\xb8\x38".as_slice(), long].concat());
    }
}
