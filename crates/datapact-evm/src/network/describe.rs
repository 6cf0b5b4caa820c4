//! The files that describe a network as a ledger, and the contract that they name.

use std::fs;
use std::path::Path;
use std::time::Instant;

use datapact_local::{NetworkError, Result, replace};

use super::{Network, Node, POLL, READY_TIMEOUT};
use crate::config::EvmConfig;
use crate::deploy::{Deployment, deploy};
use crate::rpc::Rpc;
use crate::signer;

impl Network {
    /// Writes the files that describe the network as a ledger, deploying the contract when there is
    /// none yet.
    pub(super) async fn describe(&self) -> Result<()> {
        let endpoints: Vec<String> = self.record.nodes.iter().map(Node::url).collect();
        let path = self.ledger_file();
        let config = if path.exists() {
            EvmConfig { endpoints, ..EvmConfig::load(&path).map_err(NetworkError::see_logs)? }
        } else {
            // What an interrupted deployment has left: no contract takes calls from that key.
            for file in ["signer.json", "signer.passphrase"] {
                let file = self.dir().join(file);
                if file.exists() {
                    fs::remove_file(&file).map_err(|e| NetworkError::file(&file, e))?;
                }
            }
            self.growing(&endpoints).await?;
            let (signer, _) = signer::make(self.dir()).map_err(NetworkError::see_logs)?;
            let deployment = Deployment {
                endpoints,
                chain_id: self.record.chain_id,
                gas_price: 0,
                confirmations: 0,
                block_seconds: 1,
                signer,
                owner: None,
            };
            deploy(deployment).await.map_err(NetworkError::see_logs)?
        };
        for (at, node) in self.record.nodes.iter().enumerate() {
            let own = EvmConfig { endpoints: vec![node.url()], signer: None, ..config.clone() };
            self.write(&self.node_file(at), &own)?;
        }
        self.write(&path, &config)
    }

    /// Waits until blocks are made.
    async fn growing(&self, endpoints: &[String]) -> Result<()> {
        let rpc = Rpc::new(endpoints, self.record.chain_id).map_err(NetworkError::see_logs)?;
        let end = Instant::now() + READY_TIMEOUT;
        loop {
            match rpc.latest().await {
                Ok(block) if block.number > 0 => return Ok(()),
                _ if Instant::now() > end => {
                    let hint = format!("the nodes' logs are in `{}`", self.dir().display());
                    return Err(NetworkError::new("the network makes no blocks", hint));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    fn write(&self, path: &Path, config: &EvmConfig) -> Result<()> {
        let mut config = config.clone();
        if let Some(signer) = &mut config.signer {
            for file in [&mut signer.key_file, &mut signer.passphrase_file] {
                if let Ok(relative) = file.strip_prefix(self.dir()) {
                    *file = relative.to_owned();
                }
            }
        }
        replace(path, config.to_text().as_bytes())
    }
}
