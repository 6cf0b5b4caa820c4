//! Starting management: from its configuration to running services.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use datapact_api::endpoint::Endpoint;
use datapact_api::gate::Source;
use datapact_core::trust::Trust;
use datapact_ledger::Ledger;
use datapact_ledger::embedded::{EmbeddedConfig, EmbeddedLedger};
use datapact_ledger::mirror::{self, MirroredLedger};
use datapact_log::clock::Clock;
use datapact_log::log_policy::LogPolicy;
use datapact_store::Store;

use super::access::AccessService;
use super::account::AccountService;
use super::account::admission::Admission;
use super::base::Base;
use super::catalog::CatalogService;
use super::catalog::publications::Publications;
use super::database::{DATABASE_FILE, schema};
use super::directory::DirectoryService;
use super::enrolment::{EnrolmentService, EnrolmentSource};
use super::erasure::Eraser;
use super::failure::OpenError;
use super::issuer::Issuer;
use super::keys::{Keys, KeysError};
use super::log::{LogService, witness};
use super::notice::Outbox;
use super::notification::NotificationService;
use super::peers::{KeyServers, Peers, StorageServers};
use super::personal::PERSONAL;
use super::policy::retention::Retention;
use super::policy::{PolicyService, SignedPolicies};
use super::projection::Tables;
use super::server::{ManagementServer, Services};
use super::submit::Submit;
use super::subscription::SubscriptionService;
use super::subscription::webhook::Webhooks;
use super::tidying::Tidying;
use super::token::TokenService;
use crate::config::ManagementConfig;
use crate::erasures::Erasures;
use crate::users::Marker;

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
    pub(super) async fn open_with(
        config: &ManagementConfig,
        trust: Source<Trust>,
        key_servers: &KeyServers,
        storage_servers: &StorageServers,
        clock: Clock,
        ledger: impl FnOnce(Arc<EmbeddedLedger>) -> Arc<dyn Ledger>,
    ) -> Result<Arc<Self>, OpenError> {
        let data = &config.server.data;
        let keys = Keys::open(data, &config.ledger.id)?;
        let location = config.server.database(DATABASE_FILE).map_err(KeysError::Secret)?;
        // One process at a time works on a database file. On PostgreSQL there may be several.
        let lock = if location.is_shared() { None } else { Some(lock(data)?) };
        let witnesses = witness::witnesses(config)?;
        let log_policy = witness::log_policy(keys.log_vkey(), &witnesses, config.ledger.quorum)?;
        let owner = format!("management of {}", config.ledger.id);
        let store = Store::connect(&location, Some(&owner), &schema()).await?;

        let of_ledger = Arc::clone(&trust);
        let embedded = EmbeddedConfig {
            key: keys.log,
            witnesses: witnesses.into_iter().map(|(key, _)| key).collect(),
            trust: Arc::new(move || of_ledger()),
            clock: Arc::clone(&clock),
        };
        let log = Arc::new(EmbeddedLedger::open(store.clone(), embedded).await?);
        let ledger = match &config.ledger.chain {
            None => {
                store.read(mirror::is_none).await?;
                ledger(Arc::clone(&log))
            }
            Some(path) => {
                let chain =
                    crate::chain::open(path, log.id(), Arc::clone(&trust), Arc::clone(&clock))?;
                Arc::new(MirroredLedger::open(chain, Arc::clone(&log)).await?)
            }
        };

        let peers = Arc::new(Peers::open(config, key_servers, storage_servers)?);
        let admission = Arc::new(Admission::new(store.reader().clone(), Arc::clone(&peers)));
        let erasures = Erasures::new(&store, data, PERSONAL);
        let base = Base { store, clock, trust, admission, peers, erasures };
        let shared = Shared {
            submit: Submit::open(&base, Arc::clone(&log), ledger, Arc::new(Tables)).await?,
            log,
            policies: Arc::new(SignedPolicies::new(base.store.clone())),
            marker: Marker::open(&base.store).await?,
            outbox: Arc::new(Outbox::new(
                base.store.clone(),
                Arc::clone(&base.peers),
                Arc::clone(&base.clock),
                base.erasures.clone(),
            )),
            issuer: Arc::new(Issuer::new(
                config.server.name().map_err(OpenError::Configuration)?,
                keys.token,
                config.token_seconds,
            )),
        };
        Self::start(config, base, shared, log_policy, lock).await
    }

    /// Makes the services and starts the tasks.
    async fn start(
        config: &ManagementConfig,
        base: Base,
        shared: Shared,
        log_policy: LogPolicy,
        lock: Option<File>,
    ) -> Result<Arc<Self>, OpenError> {
        let published = shared.submit.published();
        let (policies, streams) =
            (Arc::clone(&shared.policies), config.server.limits.event_streams);
        let publications = Arc::new(Publications::new(&base, policies, published, streams));
        let eraser = Arc::new(Eraser::new(
            &base,
            shared.marker,
            Arc::clone(&shared.outbox),
            Arc::clone(&shared.policies),
        ));
        let services =
            Services::new(config, &base, &shared, &publications, Arc::clone(&eraser), log_policy)?;
        services.accounts.ensure_administrators(&config.administrators.identities).await?;
        services.enrolments.write_invitation().await?;
        let Shared { submit, log, policies, outbox, issuer, .. } = shared;
        let tidying = Tidying {
            eraser: Arc::clone(&eraser),
            catalog: Arc::clone(&services.catalog),
            policies,
            retention: Retention::new(&base, config.package_retention_days),
        };
        let tasks = Vec::new();
        let mut this = Self { base, services, submit, publications, issuer, tasks, _lock: lock };

        // From here on tasks run. Should a later step fail, they end with `this`.
        this.tasks.extend(this.submit.start().await?);
        eraser.erase_again().await?;
        this.services.accounts.post_disabled().await?;
        this.tasks.extend(outbox.deliver());
        this.tasks.push(tokio::spawn(tidying.run()));
        this.tasks.extend(this.services.subscriptions.start());
        this.tasks.extend(witness::ask_all(config, &log)?);
        Ok(Arc::new(this))
    }
}

/// A day, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// What several services share.
struct Shared {
    submit: Arc<Submit>,
    log: Arc<EmbeddedLedger>,
    policies: Arc<SignedPolicies>,
    marker: Marker,
    outbox: Arc<Outbox>,
    issuer: Arc<Issuer>,
}

impl Services {
    fn new(
        config: &ManagementConfig,
        base: &Base,
        shared: &Shared,
        publications: &Arc<Publications>,
        eraser: Arc<Eraser>,
        log_policy: LogPolicy,
    ) -> Result<Self, OpenError> {
        // What is shared is the same everywhere: a policy that is forgotten in memory after an
        // erasure, for instance, is forgotten for all.
        let submit = || Arc::clone(&shared.submit);
        let policies = || Arc::clone(&shared.policies);
        let enrolment = EnrolmentSource::new(
            config,
            own_endpoint(config)?,
            &log_policy,
            Arc::clone(&base.peers),
            Arc::clone(&base.trust),
        )?;
        let webhooks = config.webhooks.as_ref().map(Webhooks::new).transpose();
        Ok(Self {
            accounts: Arc::new(AccountService {
                store: base.store.clone(),
                clock: Arc::clone(&base.clock),
                admission: Arc::clone(&base.admission),
                outbox: Arc::clone(&shared.outbox),
                eraser,
                marker: shared.marker,
                trust: Arc::clone(&base.trust),
                retention_seconds: u64::from(config.account_retention_days) * DAY,
            }),
            enrolments: Arc::new(EnrolmentService::new(base, enrolment, &config.server.data)),
            policies: Arc::new(PolicyService::new(base, submit())),
            accesses: Arc::new(AccessService::new(
                base,
                submit(),
                policies(),
                shared.marker,
                Arc::clone(&shared.issuer),
            )),
            tokens: Arc::new(TokenService::new(
                base,
                submit(),
                policies(),
                Arc::clone(&shared.outbox),
                Arc::clone(&shared.issuer),
            )),
            catalog: Arc::new(CatalogService::new(
                base,
                submit(),
                policies(),
                Arc::clone(publications),
            )),
            subscriptions: Arc::new(SubscriptionService::new(
                base,
                Arc::clone(publications),
                policies(),
                webhooks.map_err(OpenError::Configuration)?.map(Arc::new),
                config.server.url.clone(),
                shared.submit.published(),
            )),
            notifications: Arc::new(NotificationService::new(base)),
            log: Arc::new(LogService::new(
                base,
                submit(),
                Arc::clone(&shared.log),
                log_policy,
                shared.issuer.name().to_owned(),
            )),
            directory: Arc::new(DirectoryService::new(base)),
        })
    }
}

fn lock(data: &Path) -> Result<File, OpenError> {
    let path = data.join("lock");
    let failed = |e: std::io::Error| OpenError::Keys(KeysError::File(path.clone(), e));
    let file =
        File::options().create(true).write(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(data.to_owned())),
        Err(std::fs::TryLockError::Error(e)) => Err(failed(e)),
    }
}

/// Where users reach management: by its name, on the public listener's machine where that is not in
/// the DNS.
fn own_endpoint(config: &ManagementConfig) -> Result<Endpoint, OpenError> {
    let by_name = Endpoint { url: config.server.url.clone(), connect: None };
    let port = by_name.port().map_err(|e| OpenError::Configuration(e.to_string()))?;
    let connect = config.public.connect.map(|public| SocketAddr::new(public.ip(), port));
    Ok(Endpoint { connect, ..by_name })
}
