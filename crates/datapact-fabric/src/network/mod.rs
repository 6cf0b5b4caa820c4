//! Networks on one machine, of Fabric's own programs, for tests and for trying out: two
//! organisations, management's and the key server's, with a peer and a chaincode process each, and
//! one orderer (Raft) or four (BFT). A network's folder holds all of it; what runs in it ends with
//! [`Network::down`], not with this process.

mod channel;
mod describe;
mod files;
mod nodes;
mod program;
mod settings;
mod start;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datapact_chaincode::contract::SetUp;
use datapact_local::ports::PortBlock;
use datapact_local::{Folder, NetworkError, Result, process};
use serde::{Deserialize, Serialize};

use nodes::{Node, Organisation};

pub use nodes::Orderers;
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
    /// something else, or another program works on it.
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

    fn save(&self) -> Result<()> {
        self.folder.save(&self.record)
    }
}

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
