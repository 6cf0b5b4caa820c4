//! A storage server, from its configuration to its routes.

use std::sync::Arc;

use axum::Router;
use datapact_api::gate::Source;
use datapact_api::management::Directory;
use datapact_api::problem::{Problem, Result};
use datapact_api::storage_server as api;
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use datapact_store::{Migration, Store};
use tokio::task::JoinHandle;

use super::base::Base;
use super::erasure;
use super::objects::Objects;
use super::package::PackageService;
use super::parts::Parts;
use super::registry::{self, Registry};
use super::tidying::Tidying;
use super::upload::UploadService;
use super::user::UserService;
use crate::called::called;
use crate::config::StorageServerConfig;
use crate::erasures::Erasures;
use crate::operator::Check;
use crate::users::Users;

/// The database, in the data folder.
pub(crate) const DATABASE_FILE: &str = "storage.sqlite";
/// The packages, in the data folder, unless they are in a bucket.
pub const PACKAGES_FOLDER: &str = "packages";

/// A storage server, running: the services behind its routes. It stops when it is dropped.
pub struct StorageServer {
    pub(super) name: String,
    pub(super) store: Store,
    pub(super) base: Base,
    pub(super) services: Services,
    tidying: JoinHandle<()>,
}

/// The service of each noun.
pub(super) struct Services {
    pub(super) packages: Arc<PackageService>,
    pub(super) uploads: Arc<UploadService>,
    pub(super) users: Arc<UserService>,
}

/// Whether the objects that `config` names answer: the check of the server that is ready. Nothing
/// is made or changed.
///
/// # Errors
/// Why not.
pub async fn look_at_objects(config: &StorageServerConfig) -> std::result::Result<(), String> {
    let folder = config.server.data.join(PACKAGES_FOLDER);
    Check::of("objects", Objects::look(&folder, config.objects.as_ref())).await.outcome()
}

impl StorageServer {
    /// Opens what the configuration names, and removes what uploads that were cut off have left.
    /// `directory` knows the users.
    ///
    /// # Errors
    /// When the configuration is wrong, or the database or the folder of packages cannot be used.
    pub async fn open(
        config: &StorageServerConfig,
        trust: Source<Trust>,
        directory: Arc<dyn Directory>,
        clock: Clock,
    ) -> Result<Arc<Self>> {
        let data = &config.server.data;
        let name = config.server.name().map_err(Problem::malformed)?;
        let location = config.server.database(DATABASE_FILE).map_err(Problem::internal)?;
        let owner = format!("storage server {name}");
        let store =
            Store::connect(&location, Some(&owner), &schema()).await.map_err(Problem::internal)?;
        let management = config.management.name().map_err(Problem::malformed)?;
        let users = Users::open(&store, management, directory).await;
        let users = users.map_err(Problem::internal)?;
        let erasures = Erasures::new(&store, data, erasure::PERSONAL);
        let journaled = erasures.journaled().map_err(Problem::internal)?;
        let (marker, now) = (users.marker, clock());
        let apply = store.write(move |tx| erasure::apply(tx, &journaled, &marker, now));
        apply.await.map_err(Problem::internal)?;
        let objects = match &config.objects {
            None => Objects::open(&data.join(PACKAGES_FOLDER))?,
            Some(bucket) => Objects::open_bucket(bucket)?,
        };
        let base = Base {
            registry: Arc::new(Registry::new(store.clone(), &config.server.url)),
            objects: Arc::new(objects),
            parts: Arc::new(Parts::open(data).map_err(Problem::internal)?),
            users: Arc::new(users),
            trust,
            clock,
            erasures,
        };
        if !base.objects.is_remote() {
            // No other process shares the database: what was being uploaded has ended.
            let begun = base.parts.begun().map_err(Problem::internal)?;
            base.registry.write(move |tx| registry::table::forget_announced(tx, &begun)).await?;
        }
        let tidying = Arc::new(Tidying::new(&base, config));
        match tidying.tidy().await {
            Err(problem) if base.objects.is_remote() => {
                tracing::warn!(%problem, "tidying up failed; it is tried again in an hour");
            }
            tidied => tidied?,
        }
        let services = Services {
            packages: Arc::new(PackageService::new(&base)),
            uploads: Arc::new(UploadService::new(&base, config)),
            users: Arc::new(UserService::new(&base, Arc::clone(&tidying))),
        };
        let tidying = tokio::spawn(tidying.run());
        Ok(Arc::new(Self { name, store, base, services, tidying }))
    }

    /// The routes of all nouns, to be put behind the gate.
    pub fn router(&self) -> Router {
        api::package::routes(called(&self.services.packages))
            .merge(api::upload::routes(called(&self.services.uploads)))
            .merge(datapact_api::user::routes(called(&self.services.users)))
    }
}

/// All tables in the storage server's database.
pub(crate) fn schema() -> Vec<Migration> {
    let own = [registry::table::SCHEMA, crate::erasures::SCHEMA];
    [&own, crate::users::MIGRATIONS].concat()
}

impl Drop for StorageServer {
    fn drop(&mut self) {
        self.tidying.abort();
    }
}
