//! Three servers on loopback with their CAs, and users who join them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use datapact_api::management::{NewInvitation, Role};
use datapact_client::admin::Administrator;
use datapact_client::ca::{Ca, Kind};
use datapact_client::invitation::Invitation;
use datapact_client::join::{join, prepare};
use datapact_client::key_file::PrivateKey;
use datapact_client::subject::Subject;
use datapact_client::{Home, Profile, Session};
use datapact_core::contract::Attributes;
use datapact_local::ports::PortBlock;
use datapact_server::key::witness_key;
use datapact_server::management::Keys;
use datapact_server::run::{self, Ready, ServeError};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct World {
    folder: TempDir,
    clinic: Ca,
    lab: Ca,
    pub(crate) admin: Administrator,
    servers: Vec<JoinHandle<Result<(), ServeError>>>,
    _ports: PortBlock,
}

fn ca(folder: &Path, name: &str) -> Ca {
    let ca = Ca::init(&folder.join(format!("ca-{name}")), name, YEAR, None).unwrap();
    ca.crl().unwrap();
    ca
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (servers, clinic, lab) = (ca(path, "servers"), ca(path, "clinic"), ca(path, "lab"));
        let trust = [("server", "servers"), ("clinic", "clinic"), ("lab", "lab")]
            .map(|(realm, ca)| {
                format!(
                    "[[realm]]\nname = \"{realm}\"\nca = [\"ca-{ca}/ca.pem\"]\n\
                     crl = [\"ca-{ca}/crl.pem\"]\n"
                )
            })
            .concat();
        fs::write(path.join("trust.toml"), trust).unwrap();

        let roles = ["management", "key", "storage"];
        let block = PortBlock::reserve().unwrap();
        let mut ports = block.ports();
        let mut free = || SocketAddr::from((Ipv4Addr::LOCALHOST, ports.next().unwrap()));
        let listen = roles.map(|_| (free(), free()));
        let url = |i: usize| format!("https://{}.example:{}", roles[i], listen[i].0.port());
        for role in &roles {
            let key = PrivateKey::generate().unwrap();
            key.save(&path.join(format!("{role}.key")), None).unwrap();
            let name = format!("{role}.example");
            let request = key.request(&Subject::new(&name, None).unwrap()).unwrap();
            let chain =
                servers.issue(&request, &Kind::Server { dns_names: vec![name] }, DAY).unwrap();
            fs::write(path.join(format!("{role}.pem")), chain).unwrap();
            fs::create_dir(path.join(role)).unwrap();
        }
        let common = |i: usize| {
            format!(
                "[server]\nurl = \"{}\"\nlisten = \"{}\"\npublic_listen = \"{}\"\n\
                 data = \"{r}\"\n[server.tls]\ncertificate = \"{r}.pem\"\n\
                 private_key = \"{r}.key\"\ntrust = \"trust.toml\"\n\
                 [server.access]\nallow = [\"server\", \"clinic\", \"lab\"]\n",
                url(i),
                listen[i].0,
                listen[i].1,
                r = roles[i],
            )
        };
        let ledger = "management.example/ledger";
        let log_key = Keys::open(&path.join("management"), ledger).unwrap().log_vkey().to_string();
        let witness = witness_key(&path.join("key"), "key.example").unwrap().public().to_string();
        let public_port = listen[0].1.port();
        let management = format!(
            "administrators = [\"clinic:CN=Admin\"]\n{}\n\
             [public]\nurl = \"https://management.example:{public_port}\"\n\
             connect = \"{}\"\n[ledger]\nid = \"{ledger}\"\nwitnesses = [\"{witness}\"]\n\
             [[key_servers]]\nurl = \"{}\"\nconnect = \"{}\"\ncertificate = \"key.pem\"\n\
             [[storage_servers]]\nurl = \"{}\"\nconnect = \"{}\"\ncertificate = \"storage.pem\"\n",
            common(0),
            listen[0].1,
            url(1),
            listen[1].0,
            url(2),
            listen[2].0,
        );
        let of_management = format!("url = \"{}\"\nconnect = \"{}\"\n", url(0), listen[0].0);
        let key = format!(
            "ledger = \"{ledger}\"\nlog_key = \"{log_key}\"\nkek = \"kek\"\n{}\n\
             [management]\n{of_management}administrators = [\"clinic:CN=Admin\"]\n\
             [management_public]\n\
             url = \"https://management.example:{public_port}\"\nconnect = \"{}\"\n",
            common(1),
            listen[0].1,
        );
        let storage = format!("{}\n[management]\n{of_management}", common(2));
        let config = |name: &str, text: String| -> PathBuf {
            let file = path.join(format!("{name}.toml"));
            fs::write(&file, text).unwrap();
            file
        };
        let (management, key, storage) =
            (config("management", management), config("key", key), config("storage", storage));
        let never = std::future::pending::<()>;
        let ready = |_: Ready| ();
        let servers = vec![
            tokio::spawn(async move { run::serve_management(&management, ready, never()).await }),
            tokio::spawn(async move { run::serve_key(&key, ready, never()).await }),
            tokio::spawn(async move { run::serve_storage(&storage, ready, never()).await }),
        ];

        let invitation = path.join("management/administrators.json");
        for _ in 0..1200 {
            assert!(!servers.iter().any(JoinHandle::is_finished), "a server ended");
            if invitation.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let admin = enrol(path, &clinic, "admin", "Admin", &invitation).await;
        let admin = Administrator::new(admin);
        let draft = admin.draft().await.unwrap();
        let (progress, signed) = admin.sign_enrolment(&draft).await.unwrap();
        assert!(progress.published && signed.renewed);
        Self {
            clinic,
            lab,
            admin: Administrator::new(signed.session),
            servers,
            folder,
            _ports: block,
        }
    }

    /// A user with an account.
    pub(crate) async fn user(&self, realm: &str, name: &str, country: &str) -> Session {
        let file = self.folder.path().join(format!("{name}.invitation"));
        let attributes = Attributes {
            organisation: Some(realm.parse().unwrap()),
            industry: Some("isic4:8610".parse().unwrap()),
            country: Some(country.parse().unwrap()),
        };
        let new =
            NewInvitation { realm: realm.to_owned(), role: Role::User, attributes, seconds: 600 };
        self.admin.invite(&new, &file).await.unwrap();
        let ca = if realm == "clinic" { &self.clinic } else { &self.lab };
        enrol(self.folder.path(), ca, name, name, &file).await
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

/// Joins as a user would: invitation, request, certificate, account.
async fn enrol(
    path: &Path,
    ca: &Ca,
    profile: &str,
    common_name: &str,
    invitation: &Path,
) -> Session {
    let home = Home::locate(Some(path.join(format!("home-{profile}")))).unwrap();
    let invitation = Invitation::read(invitation, None).unwrap();
    let subject = Subject::new(common_name, None).unwrap();
    let prepared = prepare(&home, profile, &invitation, &subject, None).unwrap();
    let chain = ca.issue(&prepared.request_pem, &Kind::User, DAY).unwrap();
    let joined = join(&home, profile, chain.as_bytes(), None).await.unwrap();
    assert!(joined.current && joined.account.active);
    // A repeat answers the same.
    assert_eq!(join(&home, profile, chain.as_bytes(), None).await.unwrap(), joined);
    Session::connect(Profile::load(&home, profile, None).unwrap()).unwrap()
}
