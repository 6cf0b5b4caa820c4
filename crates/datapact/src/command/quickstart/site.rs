//! Everything that the quickstart needs on one machine: CAs of two organisations and of the
//! servers, and the certificates, keys and configuration files of three servers and a witness. Made
//! once; a later run finds it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use datapact_client::ca::{Ca, Kind};
use datapact_client::home::Home;
use datapact_client::key_file::PrivateKey;
use datapact_client::subject::Subject;
use datapact_local::ports::PortBlock;
use datapact_log::note::VerifyingKey;
use datapact_server::config::{self, ManagementConfig};
use serde::{Deserialize, Serialize};

use super::chain::LedgerKind;
use crate::failure::{Failure, Result};

/// How long the quickstart's certificates last.
const VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Says that a folder is one of the quickstart's, which may be made again if it is not finished.
const MARK: &str = ".datapact-quickstart";
const PORTS: &str = "ports.json";
/// The id of the ledger.
pub(super) const LEDGER_ID: &str = "management.quickstart.test/ledger";
/// The kind of ledger that the site was made with.
const LEDGER: &str = "ledger";

/// The administrator of the quickstart's management.
pub(super) const ADMINISTRATOR: &str = "clinic:CN=admin,O=Clinic";

/// The lab's witness of the ledger.
const WITNESS: &str = "witness.lab.test";

/// Where the seven listeners are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ports {
    management: u16,
    management_public: u16,
    key: u16,
    key_public: u16,
    storage: u16,
    storage_public: u16,
    witness: u16,
}

/// A quickstart's folder.
pub(super) struct Site {
    folder: PathBuf,
    /// Held while a quickstart runs, so that no second one uses the folder.
    _lock: fs::File,
    /// Held while a quickstart runs, so that no other site or network gets the ports before the
    /// servers listen.
    _ports: Option<PortBlock>,
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::local(
        format!("`{}`: {error}", path.display()),
        "choose another folder with `--data DIR`",
    )
}

impl Site {
    /// Opens the site in `folder`, making it if there is none.
    pub(super) async fn open(folder: &Path, ledger: LedgerKind) -> Result<(Self, bool)> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| failed(folder, e))?;
        let folder = folder.canonicalize().map_err(|e| failed(folder, e))?;
        let mark = folder.join(MARK);
        let empty = fs::read_dir(&folder).map_err(|e| failed(&folder, e))?.next().is_none();
        if !empty && !mark.exists() {
            let detail = format!("`{}` is not empty and no quickstart made it", folder.display());
            return Err(Failure::usage(detail, "choose another folder with `--data DIR`"));
        }
        let lock = fs::File::create(&mark).map_err(|e| failed(&mark, e))?;
        lock.try_lock().map_err(|_| {
            let detail = format!("another quickstart is running in `{}`", folder.display());
            Failure::usage(detail, "end it with Ctrl-C, or choose another folder with `--data DIR`")
        })?;
        let mut site = Self { folder, _lock: lock, _ports: None };
        let existed = site.folder.join(PORTS).exists();
        if existed {
            site.confirm(ledger)?;
            site._ports = site.ports().and_then(|ports| PortBlock::again(ports.management));
        } else {
            site._ports = Some(site.make(ledger).await?);
        }
        Ok((site, existed))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the chain is kept, if the ledger is one.
    pub(super) fn network(&self) -> PathBuf {
        self.folder.join("network")
    }

    /// The ports of a site that was made before.
    fn ports(&self) -> Option<Ports> {
        let text = fs::read_to_string(self.folder.join(PORTS)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Refuses another ledger than the one that the site was made with.
    fn confirm(&self, ledger: LedgerKind) -> Result<()> {
        let made =
            fs::read_to_string(self.folder.join(LEDGER)).unwrap_or_else(|_| "embedded".to_owned());
        if made.trim() == ledger.name() {
            return Ok(());
        }
        let detail = format!(
            "the quickstart in `{}` has the ledger `{}`",
            self.folder.display(),
            made.trim()
        );
        Err(Failure::usage(
            detail,
            format!("run it with `--ledger {}`, or in a new folder with `--data DIR`", made.trim()),
        ))
    }

    /// The home with the profiles.
    pub(super) fn home(&self) -> Result<Home> {
        Ok(Home::locate(Some(self.folder.join("home")))?)
    }

    /// The configuration file of a server.
    pub(super) fn config(&self, role: &str) -> PathBuf {
        self.folder.join("servers").join(role).join(format!("{role}.toml"))
    }

    /// Where a server's log goes.
    pub(super) fn log(&self, role: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{role}.log"))
    }

    /// What the administrator joins with; management has written it.
    pub(super) fn administrators_invitation(&self) -> PathBuf {
        self.folder
            .join("servers/management/data")
            .join(datapact_server::run::ADMINISTRATORS_INVITATION)
    }

    /// The CA of an organisation.
    pub(super) fn ca(&self, realm: &str) -> Result<Ca> {
        let folder = self.folder.join("ca").join(realm);
        Ca::open(&folder, None).map_err(|e| failed(&folder, e))
    }

    /// Makes everything. The ports come last: without them the site is not finished, and the next
    /// run makes it again.
    async fn make(&self, ledger: LedgerKind) -> Result<PortBlock> {
        for part in ["ca", "servers", "home", "logs"] {
            match fs::remove_dir_all(self.folder.join(part)) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed(&self.folder, e)),
                _ => {}
            }
        }
        for part in ["logs", "servers"] {
            let part = self.folder.join(part);
            fs::create_dir_all(&part).map_err(|e| failed(&part, e))?;
        }
        let block = PortBlock::reserve().map_err(|e| failed(&self.folder, e))?;
        let ports =
            Ports::of(&block).ok_or_else(|| failed(&self.folder, "a block has too few ports"))?;
        for (realm, name) in [("clinic", "Clinic CA"), ("lab", "Lab CA"), ("server", "Servers' CA")]
        {
            let folder = self.folder.join("ca").join(realm);
            let mut ca =
                Ca::init(&folder, name, 2 * VALID, None).map_err(|e| failed(&folder, e))?;
            let public = ports.management_public;
            let url = format!("https://management.quickstart.test:{public}/crl/{realm}");
            ca.publish_crl_at(&url).map_err(|e| failed(&folder, e))?;
            ca.crl().map_err(|e| failed(&folder, e))?;
        }
        self.write("servers/trust.toml", &trust_toml())?;
        for role in ["management", "key", "storage"] {
            self.certify(role, &format!("{role}.quickstart.test"), "server")?;
        }
        // The witness is the lab's, which certifies it itself.
        self.certify("witness", WITNESS, "lab")?;
        // The servers' configurations name each other's keys: the witness's key goes into
        // management's, whose log key goes into the key server's.
        let key_data = self.folder.join("servers/key/data");
        let witness = datapact_server::key::witness_key(&key_data, "key.quickstart.test")
            .map_err(|e| failed(&key_data, e))?;
        let data = self.folder.join("servers/witness/data");
        let lab = datapact_server::witness::make(&data, WITNESS).await;
        let lab = lab.map_err(|e| failed(&data, e))?.to_string();
        self.write(
            "servers/management/management.toml",
            &management_toml(&ports, &witness.public().to_string(), &lab, ledger),
        )?;
        let path = self.config("management");
        let management: ManagementConfig = config::load(&path).map_err(|e| failed(&path, e))?;
        let data = &management.server.data;
        let keys = datapact_server::management::Keys::open(data, &management.ledger.id)
            .map_err(|e| failed(data, e))?;
        self.write(
            "servers/key/key.toml",
            &key_toml(&ports, &keys.log_vkey().to_string(), ledger),
        )?;
        self.write("servers/storage/storage.toml", &storage_toml(&ports))?;
        self.write("servers/witness/witness.toml", &witness_toml(&ports, keys.log_vkey()))?;
        self.write(LEDGER, ledger.name())?;
        // Last: this file says that the site is whole.
        let ports = serde_json::to_string(&ports).map_err(|e| failed(&self.folder, e))?;
        self.write(PORTS, &ports)?;
        Ok(block)
    }

    /// A server's key and certificate, by the CA of `realm`.
    fn certify(&self, role: &str, name: &str, realm: &str) -> Result<()> {
        let folder = self.folder.join("servers").join(role);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|e| failed(&folder, e))?;
        let key = PrivateKey::generate().map_err(|e| failed(&folder, e))?;
        key.save(&folder.join("private_key.pem"), None).map_err(|e| failed(&folder, e))?;
        let subject = Subject::new(name, None).map_err(|e| failed(&folder, e))?;
        let request = key.request(&subject).map_err(|e| failed(&folder, e))?;
        let kind = Kind::Server { dns_names: vec![name.to_owned()] };
        let certificate =
            self.ca(realm)?.issue(&request, &kind, VALID).map_err(|e| failed(&folder, e))?;
        self.write(&format!("servers/{role}/certificate.pem"), &certificate)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        use std::io::Write as _;
        let path = self.folder.join(file);
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| failed(&path, e))
    }
}

impl Ports {
    fn of(block: &PortBlock) -> Option<Self> {
        let mut ports = block.ports();
        Some(Self {
            management: ports.next()?,
            management_public: ports.next()?,
            key: ports.next()?,
            key_public: ports.next()?,
            storage: ports.next()?,
            storage_public: ports.next()?,
            witness: ports.next()?,
        })
    }
}

fn trust_toml() -> String {
    let realm = |name: &str| {
        format!(
            "[[realm]]\nname = \"{name}\"\nca = [\"../ca/{name}/ca.pem\"]\n\
             crl = [\"../ca/{name}/crl.pem\"]\n\n"
        )
    };
    format!(
        "# Which CA certifies whom. `server` is the servers' own.\n\n{}{}{}",
        realm("clinic"),
        realm("lab"),
        realm("server")
    )
}

fn server_toml(role: &str, port: u16, public_port: u16, allow: &str) -> String {
    format!(
        r#"[server]
url = "https://{role}.quickstart.test:{port}"
listen = "127.0.0.1:{port}"
public_listen = "127.0.0.1:{public_port}"
data = "data"

[server.tls]
certificate = "certificate.pem"
private_key = "private_key.pem"
trust = "../trust.toml"

[server.access]
allow = [{allow}]
"#
    )
}

fn endpoint(role: &str, port: u16) -> String {
    format!("url = \"https://{role}.quickstart.test:{port}\"\nconnect = \"127.0.0.1:{port}\"\n")
}

/// Where a server finds its node of the chain, if the ledger is one.
fn chain(file: Option<&str>) -> String {
    file.map(|file| format!("chain = \"../../network/{file}\"\n")).unwrap_or_default()
}

/// The witnesses are the key server, whose key is `follower`, and the lab's, whose is `witness`.
fn management_toml(ports: &Ports, follower: &str, witness: &str, ledger: LedgerKind) -> String {
    let chain = chain(ledger.files().map(|[own, _]| own));
    let peer = |kind: &str, role: &str, port: u16| {
        format!("[[{kind}]]\n{}certificate = \"../{role}/certificate.pem\"\n", endpoint(role, port))
    };
    let allow = r#""clinic", "lab", "server:key.quickstart.test""#;
    [
        format!("administrators = [\"{ADMINISTRATOR}\"]\n"),
        server_toml("management", ports.management, ports.management_public, allow),
        format!("[public]\n{}", endpoint("management", ports.management_public)),
        format!("[ledger]\nid = \"{LEDGER_ID}\"\nwitnesses = [\"{follower}\"]\n{chain}"),
        format!(
            "[[ledger.independent_witnesses]]\nkey = \"{witness}\"\n\
             url = \"https://{WITNESS}:{port}/witness\"\nconnect = \"127.0.0.1:{port}\"\n",
            port = ports.witness
        ),
        peer("key_servers", "key", ports.key),
        format!("[key_servers.public]\n{}", endpoint("key", ports.key_public)),
        peer("storage_servers", "storage", ports.storage),
    ]
    .join("\n")
}

fn key_toml(ports: &Ports, log_key: &str, ledger: LedgerKind) -> String {
    let chain = chain(ledger.files().map(|[_, own]| own));
    let allow = r#""clinic", "lab", "server:management.quickstart.test""#;
    [
        format!("ledger = \"{LEDGER_ID}\"\nlog_key = \"{log_key}\"\nkek = \"data/kek\"\n{chain}"),
        server_toml("key", ports.key, ports.key_public, allow),
        format!("[management]\n{}", endpoint("management", ports.management)),
        format!("administrators = [\"{ADMINISTRATOR}\"]\n"),
        format!("[management_public]\n{}", endpoint("management", ports.management_public)),
    ]
    .join("\n")
}

fn storage_toml(ports: &Ports) -> String {
    let allow = r#""clinic", "lab", "server:management.quickstart.test""#;
    [
        server_toml("storage", ports.storage, ports.storage_public, allow),
        format!("[management]\n{}", endpoint("management", ports.management)),
    ]
    .join("\n")
}

fn witness_toml(ports: &Ports, log: &VerifyingKey) -> String {
    let port = ports.witness;
    format!(
        r#"url = "https://{WITNESS}:{port}"
listen = "127.0.0.1:{port}"
certificate = "certificate.pem"
private_key = "private_key.pem"
data = "data"
logs = ["{log}"]
"#
    )
}
