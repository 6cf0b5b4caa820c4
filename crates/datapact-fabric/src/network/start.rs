//! Starting nodes: free ports, processes, and waiting until they answer.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Instant;

use datapact_local::ports::{self, PortBlock};
use datapact_local::{NetworkError, Result, process};

use super::nodes::{Node, Organisation};
use super::{CHAINCODE, Network, POLL, Programs, READY_TIMEOUT, agreed, files, program};
use crate::package::{Connection, Package};
use datapact_chaincode::contract::SetUp;

/// How much Fabric's programs log; the one of their settings that this process hands on.
const LOGGING: &str = "FABRIC_LOGGING_SPEC";
/// Fabric's own, without colours.
const LOG_FORMAT: &str =
    "%{time:2006-01-02 15:04:05.000 MST} %{level:.4s} [%{module}] %{shortfunc}: %{message}";

impl Network {
    /// Ports for all: the former ones, or, while no channel has them for good and they are taken,
    /// others.
    pub(super) fn choose_ports(&mut self) -> Result<()> {
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
        // The channel's first block and what the nodes made of it name the former ports.
        files::remove(&self.block())?;
        for node in self.nodes() {
            files::remove(&self.node_dir(node))?;
        }
        self.record.first_port = block.ports().start;
        self._ports = Some(block);
        self.save()
    }

    /// A port of a node that does not run, on which another program listens.
    pub(super) fn taken_port(&self) -> Option<(Node, u16)> {
        let ports = |node: Node| {
            let port = self.port(node);
            [Some(port), matches!(node, Node::Orderer(_)).then_some(port + 1)]
                .map(|port| (node, port))
        };
        let down = self.nodes().into_iter().filter(|node| self.process(*node).is_none());
        down.flat_map(ports)
            .find_map(|(node, port)| Some((node, port.filter(|port| !ports::is_free(*port))?)))
    }

    pub(super) fn spawn(&mut self, programs: &Programs, node: Node) -> Result<()> {
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

    pub(super) fn chaincode_command(
        &self,
        command: &mut Command,
        organisation: Organisation,
    ) -> Result<()> {
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
    pub(super) fn package(&self, organisation: Organisation) -> Result<Package> {
        let connection =
            Connection { address: self.address(Node::Chaincode(organisation)), tls: None };
        Package::new(&format!("{CHAINCODE}_1"), &connection)
    }

    /// Waits until a node takes connections.
    pub(super) async fn listening(&self, node: Node) -> Result<()> {
        let end = Instant::now() + READY_TIMEOUT;
        while tokio::net::TcpStream::connect(self.address(node)).await.is_err() {
            self.still_up(node, end)?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// What is wrong with a node that does not answer, if it has ended or it is past `end`.
    pub(super) fn still_up(&self, node: Node, end: Instant) -> Result<()> {
        if self.process(node).is_some() && Instant::now() < end {
            return Ok(());
        }
        Err(process::no_answer(&node.name(), &self.node_log(node)))
    }
}
