//! The channel and the chaincode on it: each step is asked for first and done only if it is not
//! done yet, so that what was interrupted goes on.

use std::process::Command;
use std::time::Instant;

use datapact_local::{NetworkError, Result, replace};
use datapact_log::clock::system_clock;
use serde_json::Value;

use super::nodes::{Node, Organisation};
use super::program::{command, run};
use super::{CHAINCODE, CHANNEL, Network, POLL, Programs, READY_TIMEOUT};
use crate::gateway::{FabricConfig, Gateway, admin};

/// The definition that both organisations approve the first time; later ones are the operators' to
/// commit.
const VERSION: &str = "1";
const SEQUENCE: &str = "1";

impl Network {
    /// Orderers, then peers: started, answering, and on the channel.
    pub(super) async fn make_channel(&mut self, programs: &Programs) -> Result<()> {
        let nodes: Vec<Node> =
            self.nodes().into_iter().filter(|node| !matches!(node, Node::Chaincode(_))).collect();
        if !self.record.made {
            // A peer that was ended while it made its databases does not start on what it left of
            // them.
            for node in nodes.iter().filter(|node| self.process(**node).is_none()) {
                super::files::remove(&self.node_dir(*node))?;
            }
        }
        self.write_files(programs).await?;
        for node in &nodes {
            self.spawn(programs, *node)?;
        }
        for node in nodes {
            self.listening(node).await?;
            match node {
                Node::Orderer(at) => self.join_orderer(programs, at).await?,
                Node::Peer(organisation) => self.join_peer(programs, organisation).await?,
                Node::Chaincode(_) => {}
            }
        }
        self.record.made = true;
        self.save()
    }

    async fn join_orderer(&self, programs: &Programs, at: u16) -> Result<()> {
        let node = Node::Orderer(at);
        let list = self
            .until(node, async || {
                run(self.admin(programs, at, &["channel", "list"])).await.and_then(parse)
            })
            .await?;
        let channels = list.get("channels").and_then(Value::as_array);
        if channels.is_some_and(|channels| {
            channels.iter().any(|channel| channel.get("name").is_some_and(|name| name == CHANNEL))
        }) {
            return Ok(());
        }
        let mut join = self.admin(
            programs,
            at,
            &["channel", "join", "--channelID", CHANNEL, "--config-block"],
        );
        join.arg(self.block());
        let joined = parse(run(join).await?)?;
        match joined.get("error") {
            None => Ok(()),
            Some(error) => Err(self.failed(node, error)),
        }
    }

    async fn join_peer(&self, programs: &Programs, organisation: Organisation) -> Result<()> {
        let node = Node::Peer(organisation);
        let list = self
            .until(node, async || {
                run(self.peer(programs, organisation, &["channel", "list"])).await
            })
            .await?;
        if list.lines().any(|line| line.trim() == CHANNEL) {
            return Ok(());
        }
        let mut join = self.peer(programs, organisation, &["channel", "join", "--blockpath"]);
        join.arg(self.block());
        run(join).await.map(drop)
    }

    /// Has the chaincode on both peers, as both organisations' administrators would, and its
    /// processes running.
    ///
    /// # Errors
    /// When a step fails.
    pub(super) async fn deploy(&mut self, programs: &Programs) -> Result<()> {
        for organisation in Organisation::ALL {
            self.install(programs, organisation).await?;
            self.spawn(programs, Node::Chaincode(organisation))?;
        }
        for organisation in Organisation::ALL {
            self.listening(Node::Chaincode(organisation)).await?;
        }
        if !self.is_committed(programs, Organisation::Management).await {
            for organisation in Organisation::ALL {
                // The orderers may still be electing a leader.
                self.until(Node::Peer(organisation), async || {
                    self.approve(programs, organisation).await
                })
                .await?;
            }
            self.until(Node::Peer(Organisation::Management), async || self.commit(programs).await)
                .await?;
        }
        Ok(())
    }

    /// Has the chaincode set up, in the name of the key server's administrator, through each
    /// organisation's gateway. What is set up already is endorsed again, which shows that this peer
    /// finds both: after a start that takes until the peers have heard of each other, and the
    /// orderers have elected a leader.
    pub(super) async fn set_up(&self) -> Result<()> {
        let administrator = FabricConfig::load(&self.key_ledger_file())
            .map_err(NetworkError::see_logs)?
            .administrator;
        let who = administrator.as_ref().ok_or_else(|| {
            NetworkError::new(
                "the ledger file names no administrator",
                "this is a defect; please report it",
            )
        })?;
        let agreed = super::agreed(&self.record.ledger);
        for (organisation, file) in
            Organisation::ALL.into_iter().zip([self.ledger_file(), self.key_ledger_file()])
        {
            let gateway = FabricConfig::load(&file).map_err(NetworkError::see_logs)?;
            let gateway = Gateway::new(gateway, system_clock());
            let set_up = async || {
                admin::set_up(&gateway, who, &agreed).await.map_err(NetworkError::see_logs)
            };
            self.until(Node::Peer(organisation), set_up).await?;
            // Orderers that have no leader yet say nothing.
            self.until(Node::Orderer(1), async || {
                gateway.newest().await.map_err(NetworkError::see_logs)
            })
            .await?;
        }
        Ok(())
    }

    async fn install(&self, programs: &Programs, organisation: Organisation) -> Result<()> {
        let package = self.package(organisation)?;
        let query = ["lifecycle", "chaincode", "queryinstalled", "--output", "json"];
        let installed = parse(run(self.peer(programs, organisation, &query)).await?)?;
        let installed = installed.get("installed_chaincodes").and_then(Value::as_array);
        if installed.is_some_and(|all| {
            all.iter().any(|one| one.get("package_id").is_some_and(|id| *id == package.id))
        }) {
            return Ok(());
        }
        let path = self.dir().join(format!("chaincode-{}.tgz", organisation.name()));
        replace(&path, &package.bytes)?;
        let mut install = self.peer(programs, organisation, &["lifecycle", "chaincode", "install"]);
        install.arg(path);
        run(install).await.map(drop)
    }

    async fn approve(&self, programs: &Programs, organisation: Organisation) -> Result<()> {
        let mut query =
            self.peer(programs, organisation, &["lifecycle", "chaincode", "queryapproved"]);
        query.args(["--channelID", CHANNEL, "--name", CHAINCODE, "--sequence", SEQUENCE]);
        if run(query).await.is_ok() {
            return Ok(());
        }
        let mut approve =
            self.peer(programs, organisation, &["lifecycle", "chaincode", "approveformyorg"]);
        self.define(&mut approve);
        approve.args(["--package-id", &self.package(organisation)?.id]);
        run(approve).await.map(drop)
    }

    async fn commit(&self, programs: &Programs) -> Result<()> {
        if self.is_committed(programs, Organisation::Management).await {
            return Ok(());
        }
        let mut commit =
            self.peer(programs, Organisation::Management, &["lifecycle", "chaincode", "commit"]);
        self.define(&mut commit);
        self.at_both_peers(&mut commit);
        run(commit).await.map(drop)
    }

    async fn is_committed(&self, programs: &Programs, organisation: Organisation) -> bool {
        let mut query =
            self.peer(programs, organisation, &["lifecycle", "chaincode", "querycommitted"]);
        query.args(["--channelID", CHANNEL, "--name", CHAINCODE]);
        run(query).await.is_ok()
    }

    /// What all approve: both organisations' peers must endorse.
    fn define(&self, command: &mut Command) {
        let peers = Organisation::ALL.map(|organisation| format!("'{}.peer'", organisation.msp()));
        self.on_channel(command);
        command
            .args(["--version", VERSION, "--sequence", SEQUENCE])
            .args(["--signature-policy", &format!("AND({})", peers.join(", "))]);
    }

    fn on_channel(&self, command: &mut Command) {
        command
            .args(["--orderer", &self.address(Node::Orderer(1)), "--tls", "--cafile"])
            .arg(self.orderer_tls_ca())
            .args(["--channelID", CHANNEL, "--name", CHAINCODE]);
    }

    /// Whom to ask to endorse, in the order in which the certificates are given.
    fn at_both_peers(&self, command: &mut Command) {
        for organisation in Organisation::ALL {
            command.args([
                "--peerAddresses",
                &self.address(Node::Peer(organisation)),
                "--tlsRootCertFiles",
            ]);
            command.arg(self.peer_tls_ca(organisation));
        }
    }

    /// `peer`, as the organisation's administrator to its peer.
    fn peer(&self, programs: &Programs, organisation: Organisation, args: &[&str]) -> Command {
        let mut command = command(&programs.peer);
        command
            .env("FABRIC_CFG_PATH", self.node_dir(Node::Peer(organisation)))
            .env("FABRIC_LOGGING_SPEC", "error")
            .env("CORE_PEER_MSPCONFIGPATH", self.user_crypto(organisation, "Admin").join("msp"))
            .args(args);
        command
    }

    /// `osnadmin`, as the orderers' administrator.
    fn admin(&self, programs: &Programs, orderer: u16, args: &[&str]) -> Command {
        let tls = self.orderers_dir().join(format!("users/Admin@{}/tls", super::ORDERER_DOMAIN));
        let mut command = command(&programs.osnadmin);
        command
            .args(["--orderer-address", &self.admin_address(orderer), "--ca-file"])
            .arg(self.orderer_tls_ca())
            .arg("--client-cert")
            .arg(tls.join("client.crt"))
            .arg("--client-key")
            .arg(tls.join("client.key"))
            .args(args);
        command
    }

    /// Tries until it is done, while the node runs.
    async fn until<T>(&self, node: Node, step: impl AsyncFn() -> Result<T>) -> Result<T> {
        let end = Instant::now() + READY_TIMEOUT;
        loop {
            match step().await {
                Ok(done) => return Ok(done),
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => self.still_up(node, end)?,
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn failed(&self, node: Node, error: impl std::fmt::Display) -> NetworkError {
        let hint = format!("its log is `{}`", self.node_log(node).display());
        NetworkError::new(format!("{} does not join the channel: {error}", node.name()), hint)
    }
}

/// The JSON that a command said, behind a line that `osnadmin` begins with.
fn parse(said: String) -> Result<Value> {
    let text = said.trim();
    let text = if text.starts_with("Status:") {
        text.split_once('\n').map_or("", |(_, rest)| rest)
    } else {
        text
    };
    serde_json::from_str(text).map_err(|_| {
        let detail = format!("Fabric's program said `{}`", said.lines().next().unwrap_or_default());
        NetworkError::new(detail, "see the nodes' logs in the network's folder")
    })
}
