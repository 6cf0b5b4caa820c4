//! Networks on one machine, for tests and for trying out: a development node (anvil), or validators
//! of GoQuorum that agree by QBFT. A network's folder holds all of it; what runs in it ends with
//! [`Network::down`], not with this process.

mod describe;
mod devnode;
mod program;
mod quorum;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use datapact_core::id::random;
use datapact_local::ports::{self, PortBlock};
use datapact_local::{Folder, NetworkError, Result, process};
use serde::{Deserialize, Serialize};

use crate::rpc::Rpc;

pub use program::{anvil, geth};

/// The file that describes the network as a ledger, with the key of who submits: management's.
pub const LEDGER_FILE: &str = "ledger.toml";
/// How long nodes may take to answer, and validators to make the first block.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
/// How often other ports are tried when one was taken meanwhile.
const TRIES: usize = 3;

/// What kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One Ethereum development node without consensus (anvil).
    Devnode,
    /// GoQuorum validators that agree by QBFT.
    Quorum,
}

/// A network's folder, held by this process while it is changed.
#[derive(Debug)]
pub struct Network {
    folder: Folder,
    record: Record,
    /// Held by the process that chose the ports, so that no other one gets them before the nodes
    /// listen.
    ports: Vec<PortBlock>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    kind: Kind,
    chain_id: u64,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    /// JSON-RPC.
    port: u16,
    /// Between validators.
    peer_port: u16,
    /// The process, while it is thought to run.
    process: Option<u32>,
}

/// A node as it runs.
#[derive(Debug, Clone, Serialize)]
pub struct Running {
    /// From 1.
    pub node: usize,
    /// Where it answers JSON-RPC.
    pub url: String,
    /// Its process.
    pub process: u32,
    /// Describes the network as a ledger by this node alone, without a signer: for a key server.
    pub ledger: PathBuf,
}

impl Network {
    /// The network in `dir`, or a new one: of `nodes` nodes, of which a development network has
    /// one.
    ///
    /// # Errors
    /// When there is another kind of network, or something else, or another program works on it.
    pub fn open(dir: &Path, kind: Kind, nodes: usize) -> Result<Self> {
        let folder = Folder::open(dir)?;
        if let Some(record) = folder.record()? {
            let network = Self { folder, record, ports: Vec::new() };
            if network.record.kind != kind {
                let detail = format!("`{}` holds another kind of network", network.dir().display());
                return Err(NetworkError::new(detail, "choose another folder with `--dir DIR`"));
            }
            if network.record.nodes.len() != nodes {
                let detail = format!(
                    "the network in `{}` has {} nodes",
                    network.dir().display(),
                    network.record.nodes.len()
                );
                return Err(NetworkError::new(
                    detail,
                    "their number cannot change; choose another folder with `--dir DIR`",
                ));
            }
            return Ok(network);
        }
        // No two networks share an id, so that a transaction for one is nothing to the other.
        let chain_id = 1_000_000 + u64::from(u32::from_le_bytes(random()) >> 2);
        let node = || Node { port: 0, peer_port: 0, process: None };
        let record =
            Record { kind, chain_id, nodes: std::iter::repeat_with(node).take(nodes).collect() };
        let network = Self { folder, record, ports: Vec::new() };
        if kind == Kind::Quorum {
            network.make_validators()?;
        }
        network.save()?;
        Ok(network)
    }

    /// The network in `dir`, of whatever kind.
    ///
    /// # Errors
    /// When there is none.
    pub fn existing(dir: &Path) -> Result<Self> {
        let folder = Folder::existing(dir)?;
        let record = folder.record()?.ok_or_else(|| NetworkError::no_network(dir))?;
        Ok(Self { folder, record, ports: Vec::new() })
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.record.kind
    }

    /// Where everything is.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The file that describes the network as a ledger.
    pub fn ledger_file(&self) -> PathBuf {
        self.dir().join(LEDGER_FILE)
    }

    /// The nodes that run now.
    pub fn running(&self) -> Vec<Running> {
        let node = |(at, node): (usize, &Node)| {
            let process = node.process.filter(|id| process::is_alive(*id, self.dir()))?;
            Some(Running { node: at + 1, url: node.url(), process, ledger: self.node_file(at) })
        };
        self.record.nodes.iter().enumerate().filter_map(node).collect()
    }

    /// Starts what does not run, waits until the network makes blocks, and deploys the contract the
    /// first time. `program` is anvil or geth.
    ///
    /// # Errors
    /// When a node does not come up, with what it said last.
    pub async fn up(&mut self, program: &Path) -> Result<Vec<Running>> {
        let mut tried = 0;
        loop {
            tried += 1;
            self.choose_ports()?;
            let started = self.start(program).await;
            match started {
                Ok(()) => break,
                // Another program may have taken a port between its choice and its use.
                Err(_) if tried < TRIES && self.running().is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        self.describe().await?;
        Ok(self.running())
    }

    /// Ends all nodes; their state stays.
    ///
    /// # Errors
    /// When a process does not end.
    pub async fn down(&mut self) -> Result<()> {
        self.end_all_but(&[]).await
    }

    /// Ends all nodes but these.
    ///
    /// # Errors
    /// When a process does not end.
    pub async fn end_all_but(&mut self, others: &[Running]) -> Result<()> {
        for at in 0..self.record.nodes.len() {
            if !others.iter().any(|other| other.node == at + 1) {
                self.stop_node(at, false).await?;
            }
        }
        Ok(())
    }

    /// Ends one node, from 0; at once, as a crash would, if `kill`.
    ///
    /// # Errors
    /// When the process does not end.
    pub async fn stop_node(&mut self, at: usize, kill: bool) -> Result<()> {
        let dir = self.dir().to_owned();
        let Some(node) = self.record.nodes.get_mut(at) else { return Ok(()) };
        if let Some(process) = node.process.take().filter(|id| process::is_alive(*id, &dir)) {
            process::end(process, &dir, kill).await?;
        }
        self.save()
    }

    /// Starts one node, from 0, where it was before.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_node(&mut self, program: &Path, at: usize) -> Result<()> {
        self.spawn(program, at)?;
        self.answering(at).await
    }

    fn node_dir(&self, at: usize) -> PathBuf {
        self.dir().join(format!("node-{}", at + 1))
    }

    fn node_file(&self, at: usize) -> PathBuf {
        self.dir().join(format!("ledger-node-{}.toml", at + 1))
    }

    fn save(&self) -> Result<()> {
        self.folder.save(&self.record)
    }

    /// Free ports for all, unless some node runs or the former ones are still free.
    fn choose_ports(&mut self) -> Result<()> {
        let both = |node: &Node| [node.port, node.peer_port];
        if !self.running().is_empty()
            || self.record.nodes.iter().flat_map(both).all(|port| port != 0 && ports::is_free(port))
        {
            return Ok(());
        }
        let blocks = (self.record.nodes.len() * 2).div_ceil(PortBlock::LENGTH);
        let reserved = (0..blocks).map(|_| PortBlock::reserve()).collect::<io::Result<_>>();
        self.ports =
            reserved.map_err(|e| NetworkError::new(e, "end other programs and try again"))?;
        let mut chosen = self.ports.iter().flat_map(PortBlock::ports);
        for node in &mut self.record.nodes {
            node.port = chosen.next().unwrap_or_default();
            node.peer_port = chosen.next().unwrap_or_default();
        }
        self.save()
    }

    async fn start(&mut self, program: &Path) -> Result<()> {
        if self.record.kind == Kind::Quorum {
            self.init_validators(program).await?;
        }
        for at in 0..self.record.nodes.len() {
            self.spawn(program, at)?;
        }
        for at in 0..self.record.nodes.len() {
            if let Err(error) = self.answering(at).await {
                self.down().await?;
                return Err(error);
            }
        }
        Ok(())
    }

    fn spawn(&mut self, program: &Path, at: usize) -> Result<()> {
        let Some(node) = self.record.nodes.get(at).cloned() else { return Ok(()) };
        if node.process.is_some_and(|id| process::is_alive(id, self.dir())) {
            return Ok(());
        }
        let command = match self.record.kind {
            Kind::Devnode => self.devnode_command(program, &node, at)?,
            Kind::Quorum => self.validator_command(program, &node, at),
        };
        let process = process::start(command, &self.node_log(at), self.dir())?;
        if let Some(node) = self.record.nodes.get_mut(at) {
            node.process = Some(process);
        }
        self.save()
    }

    fn node_log(&self, at: usize) -> PathBuf {
        self.dir().join(format!("node-{}.log", at + 1))
    }

    /// Waits until a node answers.
    async fn answering(&self, at: usize) -> Result<()> {
        let Some(node) = self.record.nodes.get(at) else { return Ok(()) };
        let rpc = Rpc::new(&[node.url()], self.record.chain_id).map_err(NetworkError::see_logs)?;
        let end = Instant::now() + READY_TIMEOUT;
        loop {
            if rpc.latest().await.is_ok() {
                return Ok(());
            }
            let alive = node.process.is_some_and(|id| process::is_alive(id, self.dir()));
            if !alive || Instant::now() > end {
                let log = self.node_log(at);
                return Err(process::no_answer(&format!("node {}", at + 1), &log));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Node {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
