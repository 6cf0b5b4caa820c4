//! Networks on one machine, of Fabric's own programs, for tests and for trying out: two
//! organisations, management's and the key server's, with a peer and a chaincode process each, and
//! one orderer (Raft) or four (BFT). A network's folder holds all of it; what runs in it ends with
//! [`Network::down`], not with this process.

mod channel;
mod describe;
mod files;
mod program;
mod settings;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use datapact_local::ports::{self, PortBlock};
use datapact_local::{Folder, NetworkError, Result, process, replace};
use serde::{Deserialize, Serialize};

use crate::contract::SetUp;
use crate::package::{Connection, Package};

pub use program::{FABRIC_BIN, Programs};

/// The file that describes the network as management's ledger.
pub const LEDGER_FILE: &str = "ledger.toml";
/// The file that describes the network as the key server's ledger: by its own organisation's peer.
pub const KEY_LEDGER_FILE: &str = "ledger-key.toml";
/// The channel's name.
pub const CHANNEL: &str = "datapact";
/// The chaincode's name on the channel.
pub const CHAINCODE: &str = "datapact";

/// How long the orderers of a network for trying out wait for more transactions.
pub const BATCH_TIMEOUT: Duration = Duration::from_millis(50);

const ORDERER_MSP: &str = "OrdererMSP";
const ORDERER_DOMAIN: &str = "orderers.localhost";
/// How long nodes may take to answer, and to agree on a block.
const READY_TIMEOUT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(100);
/// How often other ports are tried when one was taken meanwhile.
const TRIES: usize = 3;

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

/// What a new network is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the orderers agree.
    pub orderers: Orderers,
    /// How long an orderer waits for more transactions before it makes a block: 1 ms to 60 s. The
    /// largest part of the time until a transaction is committed when few are submitted.
    pub batch_timeout: Duration,
    /// The ledger's id, as in management's configuration: both organisations' chaincode is started
    /// with it.
    pub ledger: String,
}

/// An organisation with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Organisation {
    Management,
    Key,
}

impl Organisation {
    const ALL: [Self; 2] = [Self::Management, Self::Key];

    fn name(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Key => "key",
        }
    }

    fn domain(self) -> String {
        format!("{}.localhost", self.name())
    }

    fn msp(self) -> &'static str {
        match self {
            Self::Management => "ManagementMSP",
            Self::Key => "KeyMSP",
        }
    }
}

/// What runs as a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    /// From 1.
    Orderer(u16),
    Peer(Organisation),
    Chaincode(Organisation),
}

impl Node {
    fn name(self) -> String {
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

/// A network's folder, held by this process while it is changed.
#[derive(Debug)]
pub struct Network {
    folder: Folder,
    record: Record,
    _ports: Option<PortBlock>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    kind: Kind,
    orderers: Orderers,
    batch_timeout_ms: u64,
    ledger: String,
    /// The lowest of the ports, 0 before they are chosen.
    first_port: u16,
    /// Whether all have joined the channel; its configuration names the ports, so they are for good
    /// then.
    made: bool,
    /// Those that are thought to run.
    processes: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "fabric")]
    Fabric,
}

/// A node as it runs.
#[derive(Debug, Clone, Serialize)]
pub struct Running {
    /// `orderer-1` to `orderer-4`, `peer-management`, `peer-key`, `chaincode-management`,
    /// `chaincode-key`.
    pub node: String,
    /// Where it listens: `grpcs://HOST:PORT`, or `grpc://HOST:PORT` for chaincode, to which its
    /// peer alone connects.
    pub url: String,
    /// The same without the scheme: `HOST:PORT`.
    #[serde(skip)]
    pub address: String,
    /// Its process.
    pub process: u32,
}

impl Network {
    /// The network in `dir`, or a new one as `options` say.
    ///
    /// # Errors
    /// When there is another kind of network, or one with other orderers or another ledger id, or
    /// something else, or somebody else works on it.
    pub fn open(dir: &Path, options: &Options) -> Result<Self> {
        agreed(&options.ledger)
            .validate()
            .map_err(|e| NetworkError::new(e, "choose another id"))?;
        let folder = Folder::open(dir)?;
        if let Some(record) = folder.record()? {
            let network = Self::with(folder, record);
            let other = if network.record.orderers != options.orderers {
                Some("other orderers")
            } else if network.record.ledger != options.ledger {
                Some("another ledger id")
            } else {
                None
            };
            if let Some(other) = other {
                let detail = format!("the network in `{}` has {other}", network.dir().display());
                return Err(NetworkError::new(
                    detail,
                    "that cannot change; choose another folder with `--dir DIR`",
                ));
            }
            return Ok(network);
        }
        let batch_timeout_ms = options.batch_timeout.as_millis().clamp(1, 60_000) as u64;
        let record = Record {
            kind: Kind::Fabric,
            orderers: options.orderers,
            batch_timeout_ms,
            ledger: options.ledger.clone(),
            first_port: 0,
            made: false,
            processes: BTreeMap::new(),
        };
        let network = Self { folder, record, _ports: None };
        network.save()?;
        Ok(network)
    }

    /// The network in `dir`.
    ///
    /// # Errors
    /// When there is none.
    pub fn existing(dir: &Path) -> Result<Self> {
        let folder = Folder::existing(dir)?;
        let record = folder.record()?.ok_or_else(|| NetworkError::no_network(dir))?;
        Ok(Self::with(folder, record))
    }

    fn with(folder: Folder, record: Record) -> Self {
        let ports = PortBlock::again(record.first_port);
        Self { folder, record, _ports: ports }
    }

    /// Where everything is.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The file that describes the network as management's ledger.
    pub fn ledger_file(&self) -> PathBuf {
        self.dir().join(LEDGER_FILE)
    }

    /// The file that describes the network as the key server's ledger.
    pub fn key_ledger_file(&self) -> PathBuf {
        self.dir().join(KEY_LEDGER_FILE)
    }

    /// The nodes that run now.
    pub fn running(&self) -> Vec<Running> {
        let running = |node: Node| {
            let process = self.process(node)?;
            Some(Running {
                node: node.name(),
                url: self.url(node),
                address: self.address(node),
                process,
            })
        };
        self.nodes().into_iter().filter_map(running).collect()
    }

    /// Starts what does not run, makes channel and chaincode the first time, and waits until both
    /// organisations' peers endorse.
    ///
    /// # Errors
    /// When something does not come up, with what it said last. What this call has started is ended
    /// again.
    pub async fn up(&mut self, programs: &Programs) -> Result<Vec<Running>> {
        let before = self.running();
        self.start_channel(programs).await?;
        if let Err(error) = self.with_chaincode(programs).await {
            self.end_all_but(&before).await?;
            return Err(error);
        }
        Ok(self.running())
    }

    async fn with_chaincode(&mut self, programs: &Programs) -> Result<()> {
        self.deploy(programs).await?;
        self.describe()?;
        self.set_up().await
    }

    /// Starts orderers and peers and makes the channel, without the chaincode.
    ///
    /// # Errors
    /// As [`Network::up`].
    pub async fn start_channel(&mut self, programs: &Programs) -> Result<Vec<Running>> {
        if let (Orderers::Bft, Some(version @ (..=2, _))) = (self.record.orderers, programs.version)
        {
            let detail = format!(
                "Fabric {}.{} has no BFT orderers: these came with 3.0",
                version.0, version.1
            );
            return Err(NetworkError::new(detail, "use Fabric 3.1, or `--orderers raft`"));
        }
        let before = self.running();
        let mut tried = 0;
        loop {
            tried += 1;
            self.choose_ports()?;
            let Err(error) = self.make_channel(programs).await else { return Ok(self.running()) };
            self.end_all_but(&before).await?;
            // Another program may have taken a port between its choice and its use.
            if self.record.made || tried == TRIES || self.taken_port().is_none() {
                return Err(error);
            }
        }
    }

    /// Ends all nodes; their state stays.
    ///
    /// # Errors
    /// When a process does not end.
    pub async fn down(&mut self) -> Result<()> {
        self.end_all_but(&[]).await
    }

    /// Ends one node, by its name; at once, as a crash would, if `kill`.
    ///
    /// # Errors
    /// When there is none of this name, or its process does not end.
    pub async fn stop_node(&mut self, name: &str, kill: bool) -> Result<()> {
        let node = self.named(name)?;
        if let Some(process) = self.process(node) {
            process::end(process, self.dir(), kill).await?;
        }
        self.record.processes.remove(name);
        self.save()
    }

    /// Starts one node, by its name, where it was before, and waits until it listens.
    ///
    /// # Errors
    /// When there is none of this name, or it does not come up.
    pub async fn start_node(&mut self, programs: &Programs, name: &str) -> Result<()> {
        let node = self.named(name)?;
        self.spawn(programs, node)?;
        self.listening(node).await
    }

    fn named(&self, name: &str) -> Result<Node> {
        let nodes = self.nodes();
        nodes.iter().copied().find(|node| node.name() == name).ok_or_else(|| {
            let names: Vec<String> = nodes.iter().map(|node| node.name()).collect();
            NetworkError::new(
                format!("there is no node `{name}`"),
                format!("name one of {}", names.join(", ")),
            )
        })
    }

    /// Ends all nodes but these.
    ///
    /// # Errors
    /// When a process does not end.
    pub async fn end_all_but(&mut self, others: &[Running]) -> Result<()> {
        // The chaincode first: a peer that ends waits for it.
        for node in self.nodes().into_iter().rev() {
            if !others.iter().any(|other| other.node == node.name()) {
                self.stop_node(&node.name(), false).await?;
            }
        }
        Ok(())
    }

    /// In the order in which they are started.
    fn nodes(&self) -> Vec<Node> {
        let orderers = (1..=self.record.orderers.number()).map(Node::Orderer);
        let peers = Organisation::ALL.into_iter().map(Node::Peer);
        orderers.chain(peers).chain(Organisation::ALL.into_iter().map(Node::Chaincode)).collect()
    }

    fn process(&self, node: Node) -> Option<u32> {
        let process = self.record.processes.get(&node.name()).copied();
        process.filter(|id| process::is_alive(*id, self.dir()))
    }

    fn port(&self, node: Node) -> u16 {
        self.record.first_port + node.port_at()
    }

    fn address(&self, node: Node) -> String {
        format!("127.0.0.1:{}", self.port(node))
    }

    fn url(&self, node: Node) -> String {
        let scheme = if matches!(node, Node::Chaincode(_)) { "grpc" } else { "grpcs" };
        format!("{scheme}://{}", self.address(node))
    }

    /// Where an orderer is administered.
    fn admin_address(&self, orderer: u16) -> String {
        format!("127.0.0.1:{}", self.port(Node::Orderer(orderer)) + 1)
    }

    fn node_dir(&self, node: Node) -> PathBuf {
        self.dir().join(node.name())
    }

    fn node_log(&self, node: Node) -> PathBuf {
        self.dir().join(format!("{}.log", node.name()))
    }

    fn save(&self) -> Result<()> {
        self.folder.save(&self.record)
    }

    /// Ports for all: the former ones, or, while no channel has them for good and they are taken,
    /// others.
    fn choose_ports(&mut self) -> Result<()> {
        let taken = self.taken_port();
        match taken {
            None if self.record.first_port != 0 => return Ok(()),
            Some((node, port)) if self.record.made || !self.running().is_empty() => {
                let detail = format!(
                    "port {port}, which the channel knows {} by, is taken by another program",
                    node.name()
                );
                return Err(NetworkError::new(detail, "end that program"));
            }
            _ => {}
        }
        let block = PortBlock::reserve()
            .map_err(|e| NetworkError::new(e, "end other programs and try again"))?;
        // What stands for the former ports is nothing to the new ones.
        files::remove(&self.block())?;
        for node in self.nodes() {
            files::remove(&self.node_dir(node))?;
        }
        self.record.first_port = block.ports().start;
        self._ports = Some(block);
        self.save()
    }

    /// A port of a node that does not run, on which somebody else listens.
    fn taken_port(&self) -> Option<(Node, u16)> {
        let ports = |node: Node| {
            let port = self.port(node);
            [Some(port), matches!(node, Node::Orderer(_)).then_some(port + 1)]
                .map(|port| (node, port))
        };
        let down = self.nodes().into_iter().filter(|node| self.process(*node).is_none());
        down.flat_map(ports)
            .find_map(|(node, port)| Some((node, port.filter(|port| !ports::is_free(*port))?)))
    }

    fn spawn(&mut self, programs: &Programs, node: Node) -> Result<()> {
        if self.process(node).is_some() {
            return Ok(());
        }
        let dir = self.node_dir(node);
        fs::create_dir_all(&dir).map_err(|e| NetworkError::file(&dir, e))?;
        let program = match node {
            Node::Orderer(_) => &programs.orderer,
            Node::Peer(_) => &programs.peer,
            Node::Chaincode(_) => &programs.chaincode,
        };
        let mut command = program::command(program);
        command.current_dir(&dir).env("FABRIC_CFG_PATH", &dir);
        // Blocks and calls are logged at `info`; what this leaves out is how often, not what is
        // wrong.
        command.env(
            "FABRIC_LOGGING_SPEC",
            std::env::var_os(LOGGING).unwrap_or_else(|| "warning".into()),
        );
        command.env("FABRIC_LOGGING_FORMAT", LOG_FORMAT);
        match node {
            Node::Orderer(_) => {}
            Node::Peer(_) => {
                command.args(["node", "start"]);
            }
            Node::Chaincode(organisation) => self.chaincode_command(&mut command, organisation)?,
        }
        // Called by a path below the network's folder, by which the process is known again.
        command.arg0(dir.join(program.file_name().unwrap_or_default()));
        let process = process::start(command, &self.node_log(node), self.dir())?;
        self.record.processes.insert(node.name(), process);
        self.save()
    }

    fn chaincode_command(&self, command: &mut Command, organisation: Organisation) -> Result<()> {
        let SetUp { administrators, chaincode, ledger, submitter } = agreed(&self.record.ledger);
        command
            .env("CHAINCODE_SERVER_ADDRESS", self.address(Node::Chaincode(organisation)))
            .env("CHAINCODE_ID", self.package(organisation)?.id)
            .args(["--ledger", &ledger, "--chaincode", &chaincode, "--submitter", &submitter])
            .args(
                administrators.iter().flat_map(|administrator| ["--administrator", administrator]),
            );
        Ok(())
    }

    /// The chaincode's package of an organisation: it says where that organisation's process
    /// listens.
    fn package(&self, organisation: Organisation) -> Result<Package> {
        let connection =
            Connection { address: self.address(Node::Chaincode(organisation)), tls: None };
        Package::new(&format!("{CHAINCODE}_1"), &connection)
    }

    /// Waits until a node takes connections.
    async fn listening(&self, node: Node) -> Result<()> {
        let end = Instant::now() + READY_TIMEOUT;
        while tokio::net::TcpStream::connect(self.address(node)).await.is_err() {
            self.still_up(node, end)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// What is wrong with a node that does not answer, if it has ended or it is past `end`.
    fn still_up(&self, node: Node, end: Instant) -> Result<()> {
        if self.process(node).is_some() && Instant::now() < end {
            return Ok(());
        }
        Err(process::no_answer(&node.name(), &self.node_log(node)))
    }
}

/// How much Fabric's programs log; the one of their settings that this process hands on.
const LOGGING: &str = "FABRIC_LOGGING_SPEC";
/// Fabric's own, without colours.
const LOG_FORMAT: &str =
    "%{time:2006-01-02 15:04:05.000 MST} %{level:.4s} [%{module}] %{shortfunc}: %{message}";

/// What both organisations agree to: management submits, and the key server's administrators say
/// whose signatures count, so that management alone cannot vouch for a certification authority.
fn agreed(ledger: &str) -> SetUp {
    SetUp {
        administrators: [Organisation::Key.msp().to_owned()].into(),
        chaincode: CHAINCODE.to_owned(),
        ledger: ledger.to_owned(),
        submitter: Organisation::Management.msp().to_owned(),
    }
}
