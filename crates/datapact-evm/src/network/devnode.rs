//! A development node (anvil), without consensus.

use std::fs;
use std::path::Path;
use std::process::Command;

use datapact_local::{NetworkError, Result};

use super::{Network, Node};

impl Network {
    pub(super) fn devnode_command(
        &self,
        program: &Path,
        node: &Node,
        at: usize,
    ) -> Result<Command> {
        let dir = self.node_dir(at);
        fs::create_dir_all(&dir).map_err(|e| NetworkError::file(&dir, e))?;
        let mut command = Command::new(program);
        command
            .args(["--host", "127.0.0.1", "--port", &node.port.to_string()])
            .args([
                "--chain-id",
                &self.record.chain_id.to_string(),
                "--hardfork",
                "berlin",
                "--gas-price",
                "0",
            ])
            .args([
                "--gas-limit",
                "700000000",
                "--block-time",
                "0.25",
                "--accounts",
                "1",
                "--no-cors",
            ])
            .args(["--state-interval", "10", "--state"])
            .arg(dir.join("state.json"))
            .arg("--cache-path")
            .arg(dir.join("cache"));
        Ok(command)
    }
}
