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
    /// A Hyperledger Fabric network: management's organisation and the key server's, one orderer
    Fabric,
    /// The same with four orderers that agree by BFT
    FabricBft,
}

impl LedgerKind {
    /// As it is written in the site's folder.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Devnode => "devnode",
            Self::Quorum => "quorum",
            Self::Fabric => "fabric",
            Self::FabricBft => "fabric-bft",
        }
    }

    /// The `ledger.toml` of management, and that of the key server's own node, in the network's
    /// folder.
    pub(super) fn files(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Embedded => None,
            Self::Devnode => Some(["ledger.toml", "ledger-node-1.toml"]),
            // Not the node that management asks first.
            Self::Quorum => Some(["ledger.toml", "ledger-node-4.toml"]),
            // The key server's own organisation's peer.
            Self::Fabric | Self::FabricBft => Some(["ledger.toml", "ledger-key.toml"]),
        }
    }
}

/// A node, as it is shown.
#[derive(Serialize)]
pub(super) struct Node {
    /// What it is, where there are nodes of several kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    pub(super) url: String,
    pub(super) process: u32,
}

/// The network of the site, where there is to be one.
pub(super) enum Chain {
    Embedded,
    #[cfg(feature = "evm")]
    Evm(datapact_evm::network::Network),
    #[cfg(feature = "fabric")]
    Fabric(datapact_fabric::network::Network),
}

impl Chain {
    /// The network in `folder`, where there is to be one, as the ledger `id`. Nothing is started
    /// yet.
    pub(super) fn open(kind: LedgerKind, folder: &Path, id: &str) -> Result<Self> {
        match kind {
            LedgerKind::Embedded => Ok(Self::Embedded),
            LedgerKind::Devnode | LedgerKind::Quorum => Self::open_evm(kind, folder),
            LedgerKind::Fabric | LedgerKind::FabricBft => Self::open_fabric(kind, folder, id),
        }
    }

    #[cfg(not(feature = "evm"))]
    fn open_evm(_: LedgerKind, _: &Path) -> Result<Self> {
        Err(crate::command::ledger::network::missing())
    }

    #[cfg(feature = "evm")]
    fn open_evm(kind: LedgerKind, folder: &Path) -> Result<Self> {
        use datapact_evm::network::{Kind, Network};
        let (kind, nodes) =
            if kind == LedgerKind::Devnode { (Kind::Devnode, 1) } else { (Kind::Quorum, 4) };
        Network::open(folder, kind, nodes).map(Self::Evm).map_err(Into::into)
    }

    #[cfg(not(feature = "fabric"))]
    fn open_fabric(_: LedgerKind, _: &Path, _: &str) -> Result<Self> {
        Err(crate::command::ledger::fabric::missing())
    }

    #[cfg(feature = "fabric")]
    fn open_fabric(kind: LedgerKind, folder: &Path, id: &str) -> Result<Self> {
        use datapact_fabric::network::{BATCH_TIMEOUT, Network, Options, Orderers};
        let orderers = if kind == LedgerKind::FabricBft { Orderers::Bft } else { Orderers::Raft };
        let options = Options { orderers, batch_timeout: BATCH_TIMEOUT, ledger: id.to_owned() };
        Network::open(folder, &options).map(Self::Fabric).map_err(Into::into)
    }

    /// Starts what does not run. A caller that does not wait for the end of it, or gets an error,
    /// ends what was started.
    pub(super) async fn up(&mut self) -> Result<()> {
        match self {
            Self::Embedded => Ok(()),
            #[cfg(feature = "evm")]
            Self::Evm(network) => {
                use datapact_evm::network::{Kind, anvil, geth};
                let started = async {
                    let program = match network.kind() {
                        Kind::Devnode => anvil(None).await?,
                        Kind::Quorum => geth(None).await?,
                    };
                    network.up(&program).await
                };
                started.await.map(drop).map_err(Into::into)
            }
            #[cfg(feature = "fabric")]
            Self::Fabric(network) => {
                let started = async {
                    let programs = datapact_fabric::network::Programs::find(None, None).await?;
                    network.up(&programs).await
                };
                started.await.map(drop).map_err(Into::into)
            }
        }
    }

    /// The nodes that run.
    pub(super) fn nodes(&self) -> Vec<Node> {
        match self {
            Self::Embedded => Vec::new(),
            #[cfg(feature = "evm")]
            Self::Evm(network) => {
                let node = |node: datapact_evm::network::Running| Node {
                    node: None,
                    url: node.url,
                    process: node.process,
                };
                network.running().into_iter().map(node).collect()
            }
            #[cfg(feature = "fabric")]
            Self::Fabric(network) => {
                let node = |node: datapact_fabric::network::Running| Node {
                    node: Some(node.node),
                    url: node.url,
                    process: node.process,
                };
                network.running().into_iter().map(node).collect()
            }
        }
    }

    /// Ends the network; its state stays.
    pub(super) async fn down(self) -> Result<()> {
        match self {
            Self::Embedded => Ok(()),
            #[cfg(feature = "evm")]
            Self::Evm(mut network) => network.down().await.map_err(Into::into),
            #[cfg(feature = "fabric")]
            Self::Fabric(mut network) => network.down().await.map_err(Into::into),
        }
    }
}
