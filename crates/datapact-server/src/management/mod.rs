//! Management (6.2.2): accounts, policies, accesses, tokens, publication, and the embedded ledger.
//!
//! Architecture invariants: nothing here decides access, [`datapact_core::contract`] does, on the
//! ledger; no key and no plaintext ever comes here; what a chain records was stored before as an
//! intent, and what users read was applied by the one projector, so a crash at any step loses
//! nothing and doubles nothing. What the embedded ledger records is one transaction with what users
//! read.

mod accesses;
mod accounts;
mod actions;
mod api;
mod deliveries;
mod erasure;
mod failure;
mod figures;
mod grant;
mod intents;
mod keys;
mod ledger;
mod notices;
mod policies;
mod projector;
mod public;
mod publication;
mod retention;
mod schema;
mod search;
mod subscriptions;
#[cfg(test)]
mod tests;
mod together;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use datapact_api::endpoint::Endpoint;
use datapact_api::gate::{Caller, Source};
use datapact_api::key_server::KeyServer;
use datapact_api::management::{Enrolment, Management};
use datapact_api::storage_server::StorageServer;
use datapact_core::id::Digest;
use datapact_core::token::TokenKey;
use datapact_core::trust::Trust;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::mirror::{self, MirroredLedger};
use datapact_ledger::store::{Group, Migration, StoreError};
use datapact_ledger::{Ledger, LedgerError, Store};
use datapact_log::clock::Clock;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::VerifyingKey;
use tokio::sync::{Notify, Semaphore, watch};

use crate::called::Called;
use crate::config::{ManagementConfig, Peer};
use crate::users::Marker;
use crate::webhook::Webhooks;
pub(crate) use keys::SECRET_FILES;
pub use keys::{Keys, KeysError};

/// The database, in the data folder.
pub(crate) const DATABASE_FILE: &str = "management.sqlite";
/// How long an answer waits for its projection.
const PROJECTION_TIMEOUT: Duration = Duration::from_secs(20);
/// How many clients may follow the publications at once.
const SUBSCRIBERS_MAX: usize = 1000;

/// Key servers by name, as management calls them.
pub type KeyServers = BTreeMap<String, Arc<dyn KeyServer>>;
/// Storage servers by name, as management calls them.
pub type StorageServers = BTreeMap<String, Arc<dyn StorageServer>>;

/// Why management could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Its database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The configuration.
    #[error("management's configuration is wrong: {0}")]
    Configuration(String),
    /// Another process works on the same data.
    #[error("the data folder `{path}` is in use by another process; stop it first", path = .0.display())]
    InUse(PathBuf),
}

/// Management, running: the service behind its routes and its public listener. It stops when it is
/// dropped.
pub struct ManagementServer {
    server: Arc<Server>,
    /// None of them ends before the server does.
    tasks: Vec<tokio::task::JoinHandle<()>>,
    _lock: Option<std::fs::File>,
}

/// What all sessions share.
struct Server {
    name: String,
    management: Endpoint,
    public: Endpoint,
    token_seconds: u64,
    account_retention_seconds: u64,
    package_retention_seconds: u64,
    store: Store,
    marker: Marker,
    notices: notices::Notices,
    log: Arc<EmbeddedLedger>,
    ledger: Arc<dyn Ledger>,
    ledger_id: String,
    log_policy: LogPolicy,
    token: TokenKey,
    trust: Source<Trust>,
    clock: Clock,
    key_servers: Vec<Remote<dyn KeyServer>>,
    storage_servers: Vec<Remote<dyn StorageServer>>,
    /// The next position that the projector will apply.
    projected: watch::Sender<u64>,
    /// The newest publication.
    published: watch::Sender<u64>,
    /// Why the projector cannot go on, if it cannot.
    stuck: Mutex<Option<String>>,
    /// Stores intents, all that wait together.
    intents: Group<intents::New, intents::Stored, failure::Failure>,
    /// Reads what is known of requests for access, all that wait together.
    known: accesses::Knowing,
    /// Executes calls where the ledger lies in the same database.
    together: Option<together::Together>,
    at_hand: intents::AtHand,
    policies: policies::Kept,
    /// One lock for each document being worked on.
    working: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    subscribers: Arc<Semaphore>,
    /// Calls webhooks, if the operator lets it.
    webhooks: Option<Arc<Webhooks>>,
    /// Something is to be sent at once.
    deliver_now: Notify,
}

/// A configured server.
struct Remote<T: ?Sized> {
    endpoint: Endpoint,
    name: String,
    certificate: PathBuf,
    pem: RwLock<Arc<str>>,
    client: Arc<T>,
}

/// Management as one caller sees it.
type Session = Called<Server>;

impl ManagementServer {
    /// Opens the database, making keys and database at the first start, executes again what a crash
    /// interrupted, and starts to project. `key_servers` and `storage_servers` hold a client for
    /// each configured name.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is running then.
    pub async fn open(
        config: &ManagementConfig,
        trust: Source<Trust>,
        key_servers: &KeyServers,
        storage_servers: &StorageServers,
        clock: Clock,
    ) -> Result<Arc<Self>, OpenError> {
        Self::open_with(config, trust, key_servers, storage_servers, clock, |log| log).await
    }

    /// As [`Self::open`], with a ledger made from the embedded one.
    async fn open_with(
        config: &ManagementConfig,
        trust: Source<Trust>,
        key_servers: &KeyServers,
        storage_servers: &StorageServers,
        clock: Clock,
        ledger: impl FnOnce(Arc<EmbeddedLedger>) -> Arc<dyn Ledger>,
    ) -> Result<Arc<Self>, OpenError> {
        let wrong = OpenError::Configuration;
        let data = &config.server.data;
        let keys = Keys::open(data, &config.ledger.id)?;
        let location = config.server.database(DATABASE_FILE).map_err(KeysError::Secret)?;
        let lock = if location.is_shared() { None } else { Some(lock(data)?) };
        let witnesses = witnesses(config)?;
        let log_policy = log_policy(keys.log_vkey(), &witnesses, config.ledger.quorum)?;
        let owner = format!("management of {}", config.ledger.id);
        let store = Store::connect(&location, Some(&owner), &migrations()).await?;
        let of_ledger = Arc::clone(&trust);
        let embedded = EmbeddedConfig {
            key: keys.log,
            witnesses,
            trust: Arc::new(move || of_ledger()),
            clock: Arc::clone(&clock),
        };
        let log = Arc::new(EmbeddedLedger::open(store.clone(), embedded).await?);
        let decides: Arc<dyn Ledger> = match &config.ledger.chain {
            None => {
                mirror::is_none(store.read()).await?;
                ledger(Arc::clone(&log))
            }
            Some(path) => {
                let chain =
                    crate::chain::open(path, log.id(), Arc::clone(&trust), Arc::clone(&clock))?;
                Arc::new(MirroredLedger::open(chain, Arc::clone(&log)).await?)
            }
        };
        let together = std::ptr::addr_eq(Arc::as_ptr(&decides), Arc::as_ptr(&log))
            .then(|| together::group(store.clone(), Arc::clone(&log), Arc::clone(&clock)));
        let webhooks =
            config.webhooks.as_ref().map(Webhooks::new).transpose().map_err(wrong)?.map(Arc::new);
        let (next, event) = projector::position(&store).await?;
        let server = Arc::new(Server {
            name: config.server.name().map_err(wrong)?,
            management: own_endpoint(config),
            public: config.public.clone(),
            token_seconds: config.token_seconds,
            account_retention_seconds: u64::from(config.account_retention_days) * 24 * 60 * 60,
            package_retention_seconds: u64::from(config.package_retention_days) * 24 * 60 * 60,
            marker: Marker::open(&store).await?,
            notices: notices::Notices::new(),
            ledger: decides,
            ledger_id: log.id().to_owned(),
            log,
            log_policy,
            token: keys.token,
            trust,
            clock,
            key_servers: remotes(&config.key_servers, key_servers)?,
            storage_servers: remotes(&config.storage_servers, storage_servers)?,
            projected: watch::Sender::new(next),
            published: watch::Sender::new(event),
            stuck: Mutex::default(),
            intents: Group::writing(store.clone(), |tx, new| Box::pin(intents::store_all(tx, new))),
            known: accesses::knowing(store.clone()),
            together,
            at_hand: intents::AtHand::default(),
            policies: policies::Kept::default(),
            working: Mutex::default(),
            subscribers: Arc::new(Semaphore::new(SUBSCRIBERS_MAX)),
            webhooks,
            deliver_now: Notify::new(),
            store,
        });
        accounts::ensure_administrators(&server, &config.administrators).await?;
        let projector = tokio::spawn(projector::project(Arc::clone(&server)));
        let mut this = Self { server, tasks: vec![projector], _lock: lock };
        // A chain may stand still for long; nobody has to wait for it but who asks it.
        let chained = config.ledger.chain.is_some();
        if !chained {
            intents::recover(&this.server).await.map_err(accounts::failed)?;
        }
        this.tasks.push(tokio::spawn(intents::take_up(Arc::clone(&this.server), chained)));
        this.server.post_disabled().await.map_err(accounts::failed)?;
        this.server.index_all().await.map_err(accounts::failed)?;
        this.tasks.extend(notices::deliver(&this.server));
        this.tasks.push(tokio::spawn(erasure::tidy(Arc::clone(&this.server))));
        if let Some(webhooks) = this.server.webhooks.clone() {
            this.tasks
                .push(tokio::spawn(deliveries::run_webhooks(Arc::clone(&this.server), webhooks)));
        }
        Ok(Arc::new(this))
    }

    /// What users are configured with (US-4).
    pub fn enrolment(&self) -> Enrolment {
        self.server.enrolment()
    }

    /// Reads the other servers' certificates again.
    ///
    /// # Errors
    /// [`OpenError::Configuration`] names the file that cannot be read; the former content stays
    /// then.
    pub fn reload(&self) -> Result<(), OpenError> {
        self.server.key_servers.iter().try_for_each(Remote::reload)?;
        self.server.storage_servers.iter().try_for_each(Remote::reload)
    }
}

impl Drop for ManagementServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// All tables in management's database.
pub(crate) fn migrations() -> Vec<Migration> {
    [
        datapact_ledger::tables::MIGRATIONS,
        schema::MIGRATIONS,
        intents::MIGRATIONS,
        tokens::MIGRATIONS,
        subscriptions::MIGRATIONS,
    ]
    .concat()
}

/// One process at a time works on a database file. On PostgreSQL there may be several.
fn lock(data: &std::path::Path) -> Result<std::fs::File, OpenError> {
    let path = data.join("lock");
    let failed = |e: std::io::Error| OpenError::Keys(KeysError::File(path.clone(), e));
    let file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(data.to_owned())),
        Err(std::fs::TryLockError::Error(e)) => Err(failed(e)),
    }
}

fn witnesses(config: &ManagementConfig) -> Result<Vec<VerifyingKey>, OpenError> {
    let parse = |line: &String| {
        line.parse()
            .map_err(|e| OpenError::Configuration(format!("`ledger.witnesses`: `{line}`: {e}")))
    };
    config.ledger.witnesses.iter().map(parse).collect()
}

/// The policy that enrolment hands out (C2SP tlog-policy): `quorum` of the witnesses, or all of
/// them.
fn log_policy(
    log: &VerifyingKey,
    witnesses: &[VerifyingKey],
    quorum: Option<u32>,
) -> Result<LogPolicy, OpenError> {
    let all =
        LogPolicy::new(log, witnesses).map_err(|e| OpenError::Configuration(e.to_string()))?;
    match quorum {
        None => Ok(all),
        Some(0) => {
            let text = all.to_string().replace("quorum all-witnesses", "quorum none");
            text.parse().map_err(|e| OpenError::Configuration(format!("`ledger.quorum`: {e}")))
        }
        Some(quorum) => {
            let text =
                all.to_string().replace("all-witnesses all ", &format!("all-witnesses {quorum} "));
            text.replace("all-witnesses", "quorum-of-witnesses")
                .parse()
                .map_err(|e| OpenError::Configuration(format!("`ledger.quorum`: {e}")))
        }
    }
}

/// Where users reach management: by its name, on the public listener's machine where that is not in
/// the DNS.
fn own_endpoint(config: &ManagementConfig) -> Endpoint {
    let url = config.server.url.clone();
    let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(443);
    let connect = config.public.connect.map(|public| std::net::SocketAddr::new(public.ip(), port));
    Endpoint { url, connect }
}

fn remotes<T: ?Sized>(
    peers: &[Peer],
    clients: &BTreeMap<String, Arc<T>>,
) -> Result<Vec<Remote<T>>, OpenError> {
    let remote = |peer: &Peer| {
        let endpoint = peer.endpoint();
        let name = endpoint.name().map_err(|e| OpenError::Configuration(e.to_string()))?.to_owned();
        let client = clients.get(&name).cloned().ok_or_else(|| {
            OpenError::Configuration(format!("there is no client for the server `{name}`"))
        })?;
        let certificate = peer.certificate.clone();
        let remote =
            Remote { endpoint, name, certificate, pem: RwLock::new(Arc::from("")), client };
        remote.reload()?;
        Ok(remote)
    };
    peers.iter().map(remote).collect()
}

impl<T: ?Sized> Remote<T> {
    fn reload(&self) -> Result<(), OpenError> {
        use rustls_pki_types::pem::PemObject as _;
        let wrong = |detail: String| {
            OpenError::Configuration(format!(
                "the certificate of `{}` in `{}`: {detail}",
                self.name,
                self.certificate.display()
            ))
        };
        let text = std::fs::read_to_string(&self.certificate).map_err(|e| wrong(e.to_string()))?;
        let chain = rustls_pki_types::CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| wrong(e.to_string()))?;
        if chain.is_empty() {
            return Err(wrong("it holds no PEM certificate".to_owned()));
        }
        // Only the certificates: whatever else is in the file stays there.
        let pem: String =
            chain.iter().map(|der| keys::to_pem("CERTIFICATE", der).to_string()).collect();
        *self.pem.write().unwrap_or_else(PoisonError::into_inner) = pem.into();
        Ok(())
    }

    fn pem(&self) -> String {
        self.pem.read().unwrap_or_else(PoisonError::into_inner).to_string()
    }
}

impl Server {
    fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Where the key servers are.
    fn key_server_endpoints(&self) -> Vec<Endpoint> {
        self.key_servers.iter().map(|server| server.endpoint.clone()).collect()
    }

    /// Where the storage servers are.
    fn storage_server_endpoints(&self) -> Vec<Endpoint> {
        self.storage_servers.iter().map(|server| server.endpoint.clone()).collect()
    }
}

impl ManagementServer {
    /// Management as `caller` sees it.
    pub fn called(&self, caller: Caller) -> impl Management + use<> {
        Called { service: Arc::clone(&self.server), caller }
    }
}
