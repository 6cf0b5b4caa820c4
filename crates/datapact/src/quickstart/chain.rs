//! The chain that the quickstart's ledger is, when it is not the embedded log.

use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Result;

/// Which ledger decides and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LedgerKind {
    /// The embedded log
    Embedded,
    /// One Ethereum development node without consensus (anvil)
    Devnode,
    /// Four GoQuorum validators that agree by QBFT
    Quorum,
}

impl LedgerKind {
    /// As it is written in the site's folder.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Devnode => "devnode",
            Self::Quorum => "quorum",
        }
    }

    /// The `ledger.toml` of management, and that of the key server's own node, in the network's folder.
    pub(super) fn files(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Embedded => None,
            Self::Devnode => Some(["ledger.toml", "ledger-node-1.toml"]),
            // Not the node that management asks first.
            Self::Quorum => Some(["ledger.toml", "ledger-node-4.toml"]),
        }
    }
}

/// A node, as it is shown.
#[derive(Serialize)]
pub(super) struct Node {
    pub(super) url: String,
    pub(super) process: u32,
}

#[cfg(not(feature = "evm"))]
pub(super) struct Chain;

#[cfg(not(feature = "evm"))]
impl Chain {
    /// Starts the network, where there is to be one.
    pub(super) async fn start(kind: LedgerKind, _: &Path) -> Result<Self> {
        match kind {
            LedgerKind::Embedded => Ok(Self),
            _ => Err(crate::command::ledger::network::missing()),
        }
    }

    pub(super) fn nodes(&self) -> Vec<Node> {
        Vec::new()
    }

    pub(super) async fn stop(self) -> Result<()> {
        Ok(())
    }
}

#[cfg(feature = "evm")]
pub(super) struct Chain(Option<datapact_evm::network::Network>);

#[cfg(feature = "evm")]
impl Chain {
    /// Starts the network, where there is to be one.
    pub(super) async fn start(kind: LedgerKind, folder: &Path) -> Result<Self> {
        use crate::command::ledger::network::failed;
        use datapact_evm::network::{self, Kind, Network};
        let (program, kind, nodes) = match kind {
            LedgerKind::Embedded => return Ok(Self(None)),
            LedgerKind::Devnode => (network::anvil(None), Kind::Devnode, 1),
            LedgerKind::Quorum => (network::geth(None), Kind::Quorum, 4),
        };
        let program = program.map_err(failed)?;
        let mut network = Network::open(folder, kind, nodes).map_err(failed)?;
        match network.up(&program).await {
            Ok(_) => Ok(Self(Some(network))),
            Err(error) => {
                // The first error says more than what ending the nodes may say.
                let _ = network.down().await;
                Err(failed(error))
            }
        }
    }

    /// The nodes that run.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let running = self.0.iter().flat_map(datapact_evm::network::Network::running);
        running.map(|node| Node { url: node.url, process: node.process }).collect()
    }

    /// Ends the network; its state stays.
    pub(super) async fn stop(self) -> Result<()> {
        match self.0 {
            Some(mut network) => network.down().await.map_err(crate::command::ledger::network::failed),
            None => Ok(()),
        }
    }
}
