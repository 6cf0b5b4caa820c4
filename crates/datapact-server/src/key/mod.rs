//! The key server (6.2.3): it keeps keys encrypted, follows the ledger on its own, and releases a
//! key only if both the provider's signed policy and its own copy of the ledger say so.
//! `docs/spec/access-token-and-key-release.md` specifies what it checks.

mod failure;
mod follow;
mod jwks;
mod kek;
mod keys;
mod policies;
mod recording;
mod rekey;
mod release;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datapact_api::gate::{Caller, Source};
use datapact_api::key_server::{
    KeyServer, KeyStatus, Keys, ReleaseEntry, ReleaseKey, ReleasedKey, Releases, ShownPolicies,
    ShownPolicy, StoreKey, TokenRevocation, Withhold,
};
use datapact_api::management::Log;
use datapact_api::operation::Page;
use datapact_api::problem::{Problem, Result};
use datapact_api::public::Public;
use datapact_api::user::{self, UserNotice, UserStatus};
use datapact_core::id::{Digest, KeyId, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::permission::KeyReference;
use datapact_core::token::TOKEN_SECONDS_MAX;
use datapact_core::trust::Trust;
use datapact_ledger::follower::{Follower, FollowerConfig, SETTLING};
use datapact_ledger::port::{LedgerCopy as _, LedgerError};
use datapact_ledger::store::{Group, Store, StoreError};
use datapact_log::clock::Clock;
use datapact_log::note::VerifyingKey;
use futures_util::future::BoxFuture;
use sea_orm::DatabaseTransaction;

use crate::called::Called;
use crate::config::KeyServerConfig;
use crate::operator::clock_is_sane;
use crate::operator::metrics::Reading;
use crate::users::Users;

pub use crate::secret_file::SecretFileError;
pub use follow::{WITNESS_FILE, witness_key};
pub use keys::{KEYS_MAX, UNFILLED_MAX};
pub use rekey::{Rekeyed, rotate_kek};
pub use release::RELEASES_MAX;

use failure::{Failure, copy_problem};
use jwks::JwksCache;
use kek::{Bound, FIRST_VERSION, Kek};
use tables::StoredKey;
use zeroize::Zeroizing;

/// The key server's database, in its data folder.
pub const DATABASE_FILE: &str = "key.sqlite";
/// How often what is no longer needed is forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// Why a key server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy of the ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file with a secret.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The data folder cannot be made.
    #[error("cannot make the data folder: {0}")]
    Data(std::io::Error),
    /// Another key-encryption key than the one in use.
    #[error("the key-encryption key in `{path}` is not the one that the stored keys are encrypted with; put the right file back", path = .0.display())]
    WrongKek(std::path::PathBuf),
    /// The configuration.
    #[error("the configuration is wrong: {0}")]
    Configuration(String),
    /// There is no key-encryption key to change yet.
    #[error(
        "this key server has stored nothing yet, so there is no key-encryption key to change; start it first"
    )]
    Unused,
    /// Another process is changing the key-encryption key.
    #[error("another process is changing the key-encryption key; let it finish")]
    Rekeying,
}

/// The key server, for all callers.
pub struct KeyService {
    /// As its certificate names it: the audience of tokens and key requests.
    name: String,
    url: String,
    /// Management's name.
    management: String,
    /// The ledger's id.
    ledger: String,
    current: Duration,
    registration_seconds: u64,
    kek: Kek,
    store: Store,
    copy: Arc<Follower>,
    /// Reads what is kept for releases, all that wait together.
    kept: release::Kept,
    /// Puts releases on record, all that wait together.
    releases: Group<recording::New, Option<tables::ReleaseRow>, Failure>,
    witness: VerifyingKey,
    jwks: JwksCache,
    signer: Arc<Signer>,
    users: Users,
    trust: Source<Trust>,
    clock: Clock,
    tasks: Vec<tokio::task::AbortHandle>,
}

impl Drop for KeyService {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

impl KeyService {
    /// Opens the key server and lets it follow the ledger until it is dropped.
    ///
    /// `signer` holds the server's TLS key and signs its releases; `public` is management's public
    /// listener, and `management` takes the cosignatures.
    ///
    /// # Errors
    /// When a file, the database or the copy of the ledger in it is not what it must be.
    pub async fn open(
        config: &KeyServerConfig,
        trust: Source<Trust>,
        signer: Arc<Signer>,
        public: Arc<dyn Public>,
        management: Arc<dyn Log>,
        clock: Clock,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let data = &config.server.data;
        tokio::fs::create_dir_all(data).await.map_err(OpenError::Data)?;
        let name = config.server.name().map_err(OpenError::Configuration)?;
        let management_name =
            config.management.name().map_err(|e| OpenError::Configuration(e.to_string()))?;
        let log: VerifyingKey = config
            .log_key
            .parse()
            .map_err(|e| OpenError::Configuration(format!("`log_key`: {e}")))?;
        if log.name() != config.ledger {
            let detail =
                format!("`log_key` is of the ledger `{}`, not of `{}`", log.name(), config.ledger);
            return Err(OpenError::Configuration(detail));
        }
        let location = config.server.database(DATABASE_FILE)?;
        let migrations =
            [datapact_ledger::tables::MIGRATIONS, tables::MIGRATIONS, crate::users::MIGRATIONS]
                .concat();
        let store =
            Store::connect(&location, Some(&format!("key server {name}")), &migrations).await?;
        let kek = open_kek(config, &store).await?;
        let chain = match &config.chain {
            Some(path) => Some(crate::chain::open(
                path,
                &config.ledger,
                Arc::clone(&trust),
                Arc::clone(&clock),
            )?),
            None => None,
        };
        let witness = witness_key(data, &name)?;
        let witness_public = witness.public().clone();
        let follower = FollowerConfig {
            log,
            witness: Some(witness),
            source: Arc::new(follow::PublicLog(Arc::clone(&public))),
            clock: Arc::clone(&clock),
            chain,
            settling: SETTLING,
        };
        let copy = Arc::new(Follower::open(store.clone(), follower).await?);
        let tasks = vec![
            tokio::spawn(follow::follow(Arc::clone(&copy), management)).abort_handle(),
            tokio::spawn(tidy(
                store.clone(),
                Arc::clone(&copy),
                Ages {
                    registration: u64::from(config.registration_hours) * 60 * 60,
                    retention: u64::from(config.key_retention_days) * 24 * 60 * 60,
                },
                Arc::clone(&clock),
            ))
            .abort_handle(),
        ];
        let users = Users::open(&store).await?;
        let at = Arc::clone(&clock);
        let releases = Group::writing(store.clone(), move |tx, new| {
            Box::pin(recording::record_all(tx, new, at()))
        });
        Ok(Arc::new(Self {
            name,
            users,
            url: config.server.url.clone(),
            management: management_name.to_owned(),
            ledger: config.ledger.clone(),
            current: Duration::from_secs(config.current_seconds),
            registration_seconds: u64::from(config.registration_hours) * 60 * 60,
            kek,
            copy,
            kept: release::kept(store.clone()),
            releases,
            store,
            witness: witness_public,
            jwks: JwksCache::new(public, management_name.to_owned()),
            signer,
            trust,
            clock,
            tasks,
        }))
    }

    /// Whether keys can be released: the copy of the ledger is believed and can be confirmed.
    ///
    /// # Errors
    /// Why not.
    pub async fn health(&self) -> Result<()> {
        self.copy.current(self.current).await.map_err(copy_problem)
    }

    /// A file of the log (C2SP tlog-tiles), from the key server's own copy: whoever restores
    /// management needs it.
    pub async fn read_log(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.copy.read(path).await.map_err(copy_problem)
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many entries of the ledger are replayed.
    pub fn ledger_size(&self) -> u64 {
        self.copy.size()
    }

    /// The public key of the cosignatures (C2SP vkey).
    pub fn witness_vkey(&self) -> String {
        self.witness.to_string()
    }

    /// Whether the ledger's newest entry is of the past.
    pub(crate) async fn clock_is_sane(&self) -> std::result::Result<(), String> {
        let newest = datapact_ledger::tables::newest_time(self.store.read()).await;
        clock_is_sane((self.clock)(), newest.map_err(|error| error.to_string())?)
    }

    /// Figures for the operator.
    pub(crate) async fn figures(&self) -> Vec<Reading> {
        let help = "Jobs that wait for the database's writer";
        let mut readings = vec![
            Reading::count("datapact_write_queue", help, self.store.waiting() as u64),
            Reading::count(
                "datapact_ledger_entries",
                "Entries of the ledger, all replayed",
                self.copy.size(),
            ),
        ];
        if let Some(age) = self.copy.confirmed() {
            let help = "Since when the copy of the ledger was last confirmed to be current";
            readings.push(Reading::gauge(
                "datapact_follower_confirmed_seconds",
                help,
                age.as_secs_f64(),
            ));
        }
        if let Ok(size) = datapact_ledger::tables::cosigned_size(self.store.read()).await {
            let help = "Entries under the newest checkpoint that was cosigned";
            readings.push(Reading::count(
                "datapact_ledger_cosigned_entries",
                help,
                size.unwrap_or(0),
            ));
        }
        if let Ok(time) = datapact_ledger::tables::newest_time(self.store.read()).await {
            let help = "The time of the ledger's newest entry, in seconds since 1970";
            readings.push(Reading::count("datapact_ledger_newest_timestamp_seconds", help, time));
        }
        if let Ok((registered, stored)) = tables::totals(self.store.read()).await {
            let unfilled = registered.saturating_sub(stored);
            readings.push(Reading::count("datapact_keys", "Keys stored", stored));
            let help = "Registrations that wait for their keys";
            readings.push(Reading::count("datapact_keys_unfilled", help, unfilled));
        }
        readings
    }

    /// The database, for backups.
    pub fn database(&self) -> &Store {
        &self.store
    }
}

impl KeyService {
    /// Takes management's word about a user; what names an erased one is destroyed with it (PR-1).
    async fn set_user(&self, notice: &UserNotice) -> Result<()> {
        let (notice, marker) = (notice.clone(), self.users.marker);
        self.write(move |tx| {
            Box::pin(async move {
                let identity = &notice.identity;
                if Users::take(tx, &marker.of(identity), &notice).await?
                    && notice.status == UserStatus::Erased
                {
                    tables::erase(tx, identity, |share| marker.on_share(identity, share)).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn write<T, F>(&self, job: F) -> Result<T>
    where
        F: for<'t> FnOnce(
                &'t DatabaseTransaction,
            ) -> BoxFuture<'t, std::result::Result<T, Failure>>
            + Send
            + 'static,
        T: Send + 'static,
    {
        self.store.write(job).await.map_err(Problem::from)
    }
}

impl KeyService {
    /// A key under the version of the key-encryption key that is in use, for a share to be filled
    /// in.
    async fn seal_for(&self, key: &KeyId, package: &Digest, plain: &[u8; 32]) -> Result<StoredKey> {
        let kek = tables::kek_in_use(self.store.read()).await.map_err(Problem::from)?;
        self.with_version(kek)?;
        let sealed = self.kek.seal(Bound { key, package, kek }, plain);
        let sealed =
            sealed.ok_or_else(|| Problem::internal("the key-encryption key in use is missing"))?;
        Ok(StoredKey { share: ShareId([0; 16]), package: *package, kek, sealed })
    }

    /// Opens a stored key. One that a rotation has just encrypted anew is read again.
    async fn open_stored(&self, id: &KeyId, stored: &StoredKey) -> Result<Zeroizing<[u8; 32]>> {
        self.with_version(stored.kek)?;
        let open = |stored: &StoredKey| {
            let bound = Bound { key: id, package: &stored.package, kek: stored.kek };
            self.kek.open_sealed(bound, &stored.sealed)
        };
        if let Ok(plain) = open(stored) {
            return Ok(plain);
        }
        let newest = tables::key(self.store.read(), id).await.map_err(Problem::from)?;
        let newest = newest.and_then(|entry| entry.stored).filter(|newest| newest.kek > stored.kek);
        if let Some(newest) = newest {
            self.with_version(newest.kek)?;
            if let Ok(plain) = open(&newest) {
                return Ok(plain);
            }
        }
        tracing::error!(key = %id, "a stored key does not open: its row was altered");
        Err(Problem::internal(kek::OpenError))
    }

    /// Reads the file of the key-encryption key again if a rotation has put a version in that is
    /// not known here.
    fn with_version(&self, version: u32) -> Result<()> {
        if self.kek.has(version) {
            return Ok(());
        }
        self.kek.reload().map_err(Problem::internal)
    }
}

/// Opens the KEK file and proves that it is the one that this database was encrypted with.
async fn open_kek(config: &KeyServerConfig, store: &Store) -> std::result::Result<Kek, OpenError> {
    let proofs = tables::kek_proofs(store.read()).await.map_err(OpenError::from)?;
    let database = std::path::PathBuf::from(store.location().to_string());
    let kek = Kek::open(&config.kek, &database, !proofs.is_empty())?;
    for (version, proof) in &proofs {
        kek.open_sealed(Bound::proof(*version), proof)
            .map_err(|_| OpenError::WrongKek(config.kek.clone()))?;
    }
    if proofs.is_empty() {
        let proof = kek.seal(Bound::proof(FIRST_VERSION), &[0; 32]);
        let proof = proof.ok_or_else(|| OpenError::WrongKek(config.kek.clone()))?;
        let written = store.write(move |tx| {
            Box::pin(async move { tables::write_kek_proof(tx, FIRST_VERSION, &proof).await })
        });
        written.await.map_err(OpenError::from)?;
    }
    Ok(kek)
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => Self::Store(error),
            Failure::Refused(problem) => Self::Configuration(problem.detail),
        }
    }
}

/// How long things are kept, in seconds.
#[derive(Debug, Clone, Copy)]
struct Ages {
    /// A registration that no policy names.
    registration: u64,
    /// The key of a share that has ended.
    retention: u64,
}

/// Forgets registrations that were never filled, and sealed keys whose tokens are dead; destroys
/// keys whose retention is over.
async fn tidy(store: Store, copy: Arc<Follower>, ages: Ages, clock: Clock) {
    let mut every = tokio::time::interval(TIDY_EVERY);
    loop {
        every.tick().await;
        let now = clock();
        let tidied = store.write(move |tx| {
            Box::pin(async move {
                tables::forget_unpublished(tx, now.saturating_sub(ages.registration)).await?;
                tables::forget_revocations(tx, now).await?;
                tables::forget_sealed(tx, now.saturating_sub(2 * TOKEN_SECONDS_MAX)).await
            })
        });
        if let Err(failure) = tidied.await {
            tracing::warn!(problem = %Problem::from(failure), "old registrations and releases could not be tidied");
        }
        if let Err(failure) =
            keys::destroy_ended(&store, &*copy, now.saturating_sub(ages.retention)).await
        {
            tracing::warn!(problem = %Problem::from(failure), "keys of ended shares could not be destroyed");
        }
    }
}

impl KeyService {
    /// The key server as `caller` sees it.
    pub fn called(self: &Arc<Self>, caller: Caller) -> impl KeyServer + use<> {
        Called { service: Arc::clone(self), caller }
    }
}

impl Called<KeyService> {
    /// The user who calls, unless management has disabled it.
    async fn user(&self) -> Result<&Identity> {
        let user = self.caller.require_user()?;
        self.users.admit(user).await?;
        Ok(user)
    }
}

#[async_trait]
impl Keys for Called<KeyService> {
    async fn register_key(&self) -> Result<KeyReference> {
        self.register(self.user().await?, self.caller.idempotency_key.as_deref()).await
    }

    async fn store_key(&self, id: &KeyId, key: &StoreKey) -> Result<KeyStatus> {
        self.store(self.user().await?, id, key).await
    }

    async fn key_status(&self, id: &KeyId) -> Result<KeyStatus> {
        if self.caller.identity().is_server() {
            self.caller.require_server(&self.management)?;
            return self.status(None, id).await;
        }
        self.status(Some(self.user().await?), id).await
    }

    async fn keys(&self, page: Page<KeyId>) -> Result<Vec<KeyStatus>> {
        self.keys_of(self.user().await?, page.after.as_ref()).await
    }

    async fn delete_key(&self, id: &KeyId) -> Result<()> {
        self.delete(self.user().await?, id).await
    }
}

#[async_trait]
impl ShownPolicies for Called<KeyService> {
    async fn show_policy(&self, shown: &ShownPolicy) -> Result<()> {
        self.caller.require_server(&self.management)?;
        self.show(shown).await
    }

    async fn withhold(&self, withheld: &Withhold) -> Result<()> {
        self.service.withhold(self.user().await?, &withheld.policy).await
    }
}

#[async_trait]
impl Releases for Called<KeyService> {
    async fn release(&self, id: &KeyId, release: &ReleaseKey) -> Result<ReleasedKey> {
        self.service.release(&self.caller, id, release).await
    }

    async fn releases(&self, share: &ShareId, page: Page<Digest>) -> Result<Vec<ReleaseEntry>> {
        self.releases_of(self.user().await?, share, page.after.as_ref()).await
    }

    async fn revoke_token(&self, revocation: &TokenRevocation) -> Result<()> {
        self.caller.require_server(&self.management)?;
        self.service.revoke_token(revocation).await
    }
}

#[async_trait]
impl user::Users for Called<KeyService> {
    async fn set_user(&self, notice: &UserNotice) -> Result<()> {
        self.caller.require_server(&self.management)?;
        self.service.set_user(notice).await
    }
}
