//! Starting a key server: from its configuration to running services.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::gate::Source;
use datapact_api::management::{Directory, Log};
use datapact_api::public::Public;
use datapact_core::jws::Signer;
use datapact_core::trust::Trust;
use datapact_ledger::follower::{Follower, FollowerConfig, SETTLING};
use datapact_log::clock::Clock;
use datapact_log::note::VerifyingKey;

use super::base::Base;
use super::custody::KeyService;
use super::custody::vault::Vault;
use super::database::connect;
use super::erasure;
use super::failure::OpenError;
use super::follow::{self, PublicLog, witness_key};
use super::release::ReleaseService;
use super::release::jwks::JwksCache;
use super::replica::Replica;
use super::server::{KeyServer, Services};
use super::shown::ShownPolicyService;
use super::tidying::Tidying;
use super::user::UserService;
use crate::config::KeyServerConfig;
use crate::erasures::Erasures;
use crate::users::Users;

impl KeyServer {
    /// Opens the key server and lets it follow the ledger until it is dropped.
    ///
    /// `signer` holds the server's TLS key and signs its releases; `public` is management's public
    /// listener, `management` takes the cosignatures, and `directory` knows the users.
    ///
    /// # Errors
    /// When a file, the database or the copy of the ledger in it is not what it must be.
    pub async fn open(
        config: &KeyServerConfig,
        trust: Source<Trust>,
        signer: Arc<Signer>,
        public: Arc<dyn Public>,
        management: Arc<dyn Log>,
        directory: Arc<dyn Directory>,
        clock: Clock,
    ) -> Result<Arc<Self>, OpenError> {
        tokio::fs::create_dir_all(&config.server.data).await.map_err(OpenError::Data)?;
        let name = config.server.name().map_err(OpenError::Configuration)?;
        let endpoint = config.management.endpoint();
        let management_name =
            endpoint.name().map_err(|e| OpenError::Configuration(e.to_string()))?;
        let log = log_key(config)?;
        let store = connect(config, &name).await?;
        // The KEK before the ledger: with the wrong one nothing else may begin.
        let vault = Arc::new(Vault::open(&config.kek, &store).await?);
        let witness = witness_key(&config.server.data, &name)?;
        let witness_public = witness.public().clone();
        let chain = match &config.chain {
            Some(path) => {
                let (trust, clock) = (Arc::clone(&trust), Arc::clone(&clock));
                Some(crate::chain::open(path, &config.ledger, trust, clock)?)
            }
            None => None,
        };
        let follower = FollowerConfig {
            log,
            witness: Some(witness),
            source: Arc::new(PublicLog(Arc::clone(&public))),
            clock: Arc::clone(&clock),
            chain,
            settling: SETTLING,
        };
        let follower = Arc::new(Follower::open(store.clone(), follower).await?);
        let age_max = Duration::from_secs(config.current_seconds);
        let replica = Arc::new(Replica::new(Arc::clone(&follower), age_max));
        let users = Arc::new(Users::open(&store, management_name, directory).await?);
        let erasures = Erasures::new(&store, &config.server.data, erasure::PERSONAL);
        let (journaled, marker, now) = (erasures.journaled()?, users.marker, clock());
        store.write(move |tx| erasure::apply(tx, &journaled, &marker, now)).await?;
        let base = Base { store, clock, trust, users, replica, erasures };
        let jwks = JwksCache::new(public, management_name.to_owned());
        let erasures = Arc::clone(&signer);
        let services = Services {
            keys: Arc::new(KeyService::new(&base, config, Arc::clone(&vault))),
            policies: Arc::new(ShownPolicyService::new(&base, config)),
            releases: Arc::new(ReleaseService::new(&base, config, &name, vault, signer, jwks)),
            users: Arc::new(UserService::new(&base, config, management_name, erasures)?),
        };
        let tasks = vec![
            tokio::spawn(follow::follow(follower, management)),
            tokio::spawn(Tidying::new(&base, config).run()),
        ];
        let log = config.ledger.clone();
        Ok(Arc::new(Self { name, log, base, services, witness: witness_public, tasks }))
    }
}

/// The key of the log that is followed.
fn log_key(config: &KeyServerConfig) -> Result<VerifyingKey, OpenError> {
    let wrong = |detail: String| OpenError::Configuration(format!("`log_key` {detail}"));
    let key: VerifyingKey = config.log_key.parse().map_err(|e| wrong(format!("is wrong: {e}")))?;
    if key.name() != config.ledger {
        let (of, ledger) = (key.name(), &config.ledger);
        return Err(wrong(format!("is of the ledger `{of}`, not of `{ledger}`")));
    }
    Ok(key)
}
