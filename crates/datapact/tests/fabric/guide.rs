//! The operator's guide, as it is written: its commands are run, only their examples' names
//! replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapact_core::permission::AccessTimes;
use datapact_fabric::gateway::{FabricConfig, FabricLedger};
use datapact_fabric::network::{Network, Options, Orderers};
use datapact_ledger::chain::ChainOptions;
use datapact_ledger::port::Event;
use datapact_ledger::{ContractState as _, Ledger as _};
use datapact_local::ports::PortBlock;
use datapact_local::testing::Fixture;
use datapact_log::clock::system_clock;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{can_run, programs};

/// What the guide's examples call the ledger.
const ID: &str = "consortium.example/ledger";
const PATIENCE: Duration = Duration::from_secs(120);

/// The commands of a section of the guide, in order, each in one line.
pub(crate) fn commands(section: &str) -> Vec<String> {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ledgers/fabric.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let mut lines = guide.lines().skip_while(|line| *line != section);
    assert_eq!(lines.next(), Some(section));
    let lines = lines.take_while(|line| !(1..=level(section)).contains(&level(line)));
    let mut commands = Vec::<String>::new();
    let mut continues = false;
    for line in lines.map(str::trim) {
        match (line.strip_prefix("$ "), continues) {
            (Some(command), _) => commands.push(command.to_owned()),
            (None, true) => commands.last_mut().unwrap().push_str(line),
            (None, false) => continue,
        }
        let command = commands.last_mut().unwrap();
        continues = command.ends_with('\\');
        if continues {
            command.pop();
        }
    }
    commands
}

/// The only command that begins so.
fn command(commands: &[String], beginning: &str) -> String {
    let mut found = commands.iter().filter(|command| command.starts_with(beginning));
    let first = found.next().unwrap_or_else(|| panic!("no `{beginning}` in {commands:#?}")).clone();
    assert!(found.next().is_none(), "two of `{beginning}`");
    first
}

/// A network with a channel and nothing on it, and a folder for each organisation's administrator
/// to work in.
struct Consortium {
    network: Option<Network>,
    chaincodes: Vec<Child>,
    folder: TempDir,
    organisations: [Organisation; 2],
    /// Those of the chaincodes, which listen late.
    _ports: PortBlock,
}

struct Organisation {
    name: &'static str,
    folder: PathBuf,
    /// The test's value for each name in the guide.
    names: BTreeMap<String, String>,
}

impl Consortium {
    async fn start() -> Self {
        let programs = programs().await.unwrap();
        let folder = TempDir::new().unwrap();
        let dir = folder.path().join("network");
        let options = Options {
            orderers: Orderers::Raft,
            batch_timeout: Duration::from_millis(50),
            ledger: ID.to_owned(),
        };
        let mut network = Network::open(&dir, &options).unwrap();
        let nodes = network.start_channel(&programs).await.unwrap();
        let address =
            |name: &str| nodes.iter().find(|node| node.node == name).unwrap().address.clone();
        let tls_ca = |kind: &str, domain: &str| {
            dir.join(format!("crypto/{kind}/{domain}/tlsca/tlsca.{domain}-cert.pem"))
        };
        let ports = PortBlock::reserve().unwrap();
        let mut chaincodes = ports.ports().map(|port| format!("127.0.0.1:{port}"));
        let organisations = ["management", "key"].map(|name| {
            let domain = format!("{name}.localhost");
            let own = folder.path().join(name);
            std::fs::create_dir(&own).unwrap();
            let link = |what: PathBuf, as_name: &str| {
                std::os::unix::fs::symlink(what, own.join(as_name)).unwrap();
            };
            link(tls_ca("ordererOrganizations", "orderers.localhost"), "orderer-ca.pem");
            link(tls_ca("peerOrganizations", "management.localhost"), "org1-tls-ca.pem");
            link(tls_ca("peerOrganizations", "key.localhost"), "org2-tls-ca.pem");
            let users = dir.join(format!("crypto/peerOrganizations/{domain}/users"));
            link(users.join(format!("User1@{domain}/msp")), "msp");
            link(users.join(format!("Admin@{domain}/msp")), "admin-msp");
            // As the samples of Fabric write one: neither channels nor orderers.
            let pem = std::fs::read_to_string(tls_ca("peerOrganizations", &domain)).unwrap();
            let peer = address(&format!("peer-{name}"));
            let profile = json!({
                "name": "test", "version": "1.0.0",
                "client": {
                    "organization": name,
                    "connection": { "timeout": { "peer": { "endorser": "300" } } },
                },
                "organizations": {
                    name: { "mspid": msp(name), "peers": ["peer"], "certificateAuthorities": [] },
                },
                "peers": { "peer": {
                    "url": format!("grpcs://{}", peer.replace("127.0.0.1", "localhost")),
                    "tlsCACerts": { "pem": pem },
                    "grpcOptions": {
                        "ssl-target-name-override": "localhost",
                        "hostnameOverride": "localhost",
                    },
                } },
            });
            std::fs::write(own.join("connection.yaml"), profile.to_string()).unwrap();
            let names = [
                ("orderer.example:7050", address("orderer-1")),
                ("peer.org1.example:7051", address("peer-management")),
                ("peer.org2.example:7051", address("peer-key")),
                ("127.0.0.1:7060", chaincodes.next().unwrap()),
                ("127.0.0.1:7061", chaincodes.next().unwrap()),
                ("Org1MSP", msp("management").to_owned()),
                ("Org2MSP", msp("key").to_owned()),
                (" sharing", " datapact".to_owned()),
            ];
            let names = names.map(|(name, is)| (name.to_owned(), is)).into();
            Organisation { name, folder: own, names }
        });
        Self {
            network: Some(network),
            chaincodes: Vec::new(),
            folder,
            organisations,
            _ports: ports,
        }
    }

    /// What an organisation's administrator types.
    fn shell(&self, at: usize, command: &str) -> Command {
        let organisation = &self.organisations[at];
        let mut command = command.to_owned();
        for (name, is) in &organisation.names {
            command = command.replace(name, is);
        }
        let bin = Path::new(env!("CARGO_BIN_EXE_datapact")).parent().unwrap().to_owned();
        let fabric = std::env::var_os("FABRIC_BIN").map(PathBuf::from);
        let fabric = fabric.iter().flat_map(|bin| [bin.clone(), bin.join("bin")]);
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(
            [bin].into_iter().chain(fabric).chain(std::env::split_paths(&path)),
        );
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command])
            .current_dir(&organisation.folder)
            .env("PATH", path.unwrap())
            .env(
                "FABRIC_CFG_PATH",
                self.folder.path().join(format!("network/peer-{}", organisation.name)),
            )
            .env("FABRIC_LOGGING_SPEC", "error")
            .env("CORE_PEER_MSPCONFIGPATH", organisation.folder.join("admin-msp"))
            .env_remove("DATAPACT_HOME");
        shell
    }

    fn run(&self, at: usize, command: &str) -> String {
        let output = self.shell(at, command).output().unwrap();
        let [said, errors] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{command}: {said}{errors}");
        said
    }

    /// Packages, installs, starts, approves and commits, as the guide says; the new processes run
    /// beside the old ones.
    fn deploy(&mut self, guide: &[String]) {
        let guide = |beginning: &str| command(guide, beginning);
        for at in 0..2 {
            let said = self.run(at, &guide("datapact ledger contract package"));
            let id = said.split_whitespace().last().unwrap().to_owned();
            let install = guide("peer lifecycle chaincode install");
            self.run(at, &install);
            assert!(self.run(at, "peer lifecycle chaincode queryinstalled").contains(&id), "{id}");
            let process = guide("datapact-chaincode");
            let example = process.split_whitespace().find(|word| word.ends_with("...")).unwrap();
            self.organisations[at].names.insert(example.to_owned(), id);
            let child =
                self.shell(at, &format!("exec {process}")).stdout(Stdio::null()).spawn().unwrap();
            self.chaincodes.push(child);
            self.run(at, &guide("peer lifecycle chaincode approveformyorg"));
        }
        self.run(0, &guide("peer lifecycle chaincode commit"));
    }

    fn ledger(&self, at: usize, fixture: &Fixture) -> FabricLedger {
        let config =
            FabricConfig::load(&self.organisations[at].folder.join("ledger.toml")).unwrap();
        let trust = fixture.trust();
        let trust = Arc::new(move || Arc::clone(&trust));
        FabricLedger::with(config, ChainOptions { id: ID.to_owned(), trust, clock: system_clock() })
    }
}

impl Drop for Consortium {
    fn drop(&mut self) {
        for chaincode in &mut self.chaincodes {
            let _ = chaincode.kill();
            let _ = chaincode.wait();
        }
        let network = self.network.take();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(network.unwrap().down()).unwrap();
            });
        });
    }
}

fn msp(name: &str) -> &'static str {
    if name == "key" { "KeyMSP" } else { "ManagementMSP" }
}

/// Executes, again while what was just deployed is not there yet.
async fn executed(
    ledger: &FabricLedger,
    call: &(datapact_core::contract::Call, datapact_core::contract::Documents),
) {
    let end = Instant::now() + PATIENCE;
    while let Err(error) = ledger.execute(&call.0, &call.1).await {
        assert!(Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn events(ledger: &FabricLedger) -> Vec<Event> {
    ledger.events(0, 1000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_deployed_and_upgraded_on_an_existing_network_as_the_guide_says() {
    if !can_run().await {
        return;
    }
    let mut consortium = Consortium::start().await;
    let guide = commands("## On an existing network");
    let upgrade = commands("### Upgrade");
    let first: Vec<String> =
        guide.iter().filter(|command| !upgrade.contains(command)).cloned().collect();

    // The same bytes wherever it is made.
    let package = command(&first, "datapact ledger contract package");
    consortium.run(0, &package.replace("-o datapact_1.tgz", "-o again.tgz"));
    consortium.deploy(&first);
    let made = |name: &str| std::fs::read(consortium.organisations[0].folder.join(name)).unwrap();
    assert_eq!(made("again.tgz"), made("datapact_1.tgz"));

    consortium.run(1, &command(&first, "peer chaincode invoke"));
    let describe = command(&first, "datapact ledger describe");
    consortium.run(0, &describe);
    consortium
        .run(1, &format!("{} --administrator-msp admin-msp", describe.split('#').next().unwrap()));
    for at in 0..2 {
        let info =
            consortium.run(at, &format!("{} --json", command(&first, "datapact ledger info")));
        let info: Value = serde_json::from_str(&info).unwrap();
        assert_eq!((&info["ledger"], &info["submitter"]), (&json!(ID), &json!("ManagementMSP")));
    }

    let fixture = Fixture::new(ID);
    let (management, key) = (consortium.ledger(0, &fixture), consortium.ledger(1, &fixture));
    key.head().await.unwrap();
    let share = fixture.share(AccessTimes::Times(2), |_| {});
    executed(&management, &share.set()).await;
    let consumer = fixture.consumer("Consumer");
    let access = share.request(&consumer);
    executed(&management, &access).await;
    let before = events(&management).await;
    assert_eq!(before.len(), 2);

    // The next definition, at other addresses; the old processes are ended. All that was is there,
    // for old readers and new.
    let old: Vec<Child> = std::mem::take(&mut consortium.chaincodes);
    consortium.deploy(&upgrade);
    for mut child in old {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let said = consortium
        .run(1, "peer lifecycle chaincode querycommitted --channelID datapact --name datapact");
    assert!(said.contains("Sequence: 2"), "{said}");
    executed(&management, &access).await;
    assert_eq!(events(&management).await, before, "a repeat across the upgrade is one");
    executed(&management, &share.request(&consumer)).await;
    let commitment = consumer.opening().commitment(&share.id());
    assert_eq!(management.counter(&share.id(), &commitment).await.unwrap().granted, 2);
    let later = events(&management).await;
    assert_eq!((later.len(), &later[..2]), (3, &before[..]));
    let fresh = consortium.ledger(1, &fixture);
    fresh.wait(later[2].position, PATIENCE).await.unwrap();
    assert_eq!(
        events(&fresh).await,
        later,
        "who begins to follow now reads all definitions' events"
    );
}
