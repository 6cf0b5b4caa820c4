//! What a network is made of: its organisations, its nodes, and where each of them is.

use std::path::PathBuf;

use datapact_local::ports::PortBlock;
use datapact_local::{NetworkError, Result, process};
use serde::{Deserialize, Serialize};

use super::Network;

/// How the orderers agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orderers {
    /// One orderer (etcdraft).
    Raft,
    /// Four orderers, of which one may fail in whatever way (SmartBFT); Fabric 3.
    Bft,
}

impl Orderers {
    /// How many there are.
    pub fn number(self) -> u16 {
        match self {
            Self::Raft => 1,
            Self::Bft => 4,
        }
    }
}

/// An organisation with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Organisation {
    Management,
    Key,
}

impl Organisation {
    pub(super) const ALL: [Self; 2] = [Self::Management, Self::Key];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Key => "key",
        }
    }

    pub(super) fn domain(self) -> String {
        format!("{}.localhost", self.name())
    }

    pub(super) fn msp(self) -> &'static str {
        match self {
            Self::Management => "ManagementMSP",
            Self::Key => "KeyMSP",
        }
    }
}

/// What runs as a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// From 1.
    Orderer(u16),
    Peer(Organisation),
    Chaincode(Organisation),
}

impl Node {
    pub(super) fn name(self) -> String {
        match self {
            Self::Orderer(at) => format!("orderer-{at}"),
            Self::Peer(organisation) => format!("peer-{}", organisation.name()),
            Self::Chaincode(organisation) => format!("chaincode-{}", organisation.name()),
        }
    }

    /// Which port of the network's it listens on: two for each of up to four orderers, then the
    /// others'.
    fn port_at(self) -> u16 {
        match self {
            Self::Orderer(at) => (at - 1) * 2,
            Self::Peer(organisation) => 8 + organisation as u16,
            Self::Chaincode(organisation) => 10 + organisation as u16,
        }
    }
}

const _: () = assert!(PortBlock::LENGTH >= 12);

impl Network {
    pub(super) fn named(&self, name: &str) -> Result<Node> {
        let nodes = self.nodes();
        nodes.iter().copied().find(|node| node.name() == name).ok_or_else(|| {
            let names: Vec<String> = nodes.iter().map(|node| node.name()).collect();
            NetworkError::new(
                format!("there is no node `{name}`"),
                format!("name one of {}", names.join(", ")),
            )
        })
    }

    /// In the order in which they are started.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let orderers = (1..=self.record.orderers.number()).map(Node::Orderer);
        let peers = Organisation::ALL.into_iter().map(Node::Peer);
        orderers.chain(peers).chain(Organisation::ALL.into_iter().map(Node::Chaincode)).collect()
    }

    pub(super) fn process(&self, node: Node) -> Option<u32> {
        let process = self.record.processes.get(&node.name()).copied();
        process.filter(|id| process::is_alive(*id, self.dir()))
    }

    pub(super) fn port(&self, node: Node) -> u16 {
        self.record.first_port + node.port_at()
    }

    pub(super) fn address(&self, node: Node) -> String {
        format!("127.0.0.1:{}", self.port(node))
    }

    pub(super) fn url(&self, node: Node) -> String {
        let scheme = if matches!(node, Node::Chaincode(_)) { "grpc" } else { "grpcs" };
        format!("{scheme}://{}", self.address(node))
    }

    /// Where an orderer is administered.
    pub(super) fn admin_address(&self, orderer: u16) -> String {
        format!("127.0.0.1:{}", self.port(Node::Orderer(orderer)) + 1)
    }

    pub(super) fn node_dir(&self, node: Node) -> PathBuf {
        self.dir().join(node.name())
    }

    pub(super) fn node_log(&self, node: Node) -> PathBuf {
        self.dir().join(format!("{}.log", node.name()))
    }
}
