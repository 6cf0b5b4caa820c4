//! Registrations of packages, as all parts of the storage server look them up.

pub(crate) mod table;

use datapact_api::problem::{Problem, Result};
use datapact_api::storage_server::{PackageAddress, PackageStatus};
use datapact_core::address::Addressed as _;
use datapact_core::id::PackageId;
use datapact_core::identity::Identity;
use datapact_store::{Db, Store, StoreError, Tx};

use self::table::Registration;

/// Who has registered which package.
pub(in crate::storage) struct Registry {
    store: Store,
    /// The server's own address.
    url: String,
}

impl Registry {
    pub(in crate::storage) fn new(store: Store, url: &str) -> Self {
        Self { store, url: url.to_owned() }
    }

    pub(in crate::storage) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Db) -> std::result::Result<T, StoreError> + Send + 'static,
    ) -> Result<T> {
        self.store.read(job).await.map_err(crate::stores::problem)
    }

    pub(in crate::storage) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tx) -> std::result::Result<T, StoreError> + Send + 'static,
    ) -> Result<T> {
        self.store.write(job).await.map_err(crate::stores::problem)
    }

    /// The registration `id`, or a refusal.
    pub(in crate::storage) async fn get(&self, id: &PackageId) -> Result<Registration> {
        let found = self.find(id).await?;
        found.ok_or_else(|| Problem::not_found(format!("there is no package `{id}` here")))
    }

    /// The registration `id`, if there is one.
    pub(in crate::storage) async fn find(&self, id: &PackageId) -> Result<Option<Registration>> {
        let id = *id;
        self.read(move |db| table::registration(db, &id)).await
    }

    /// The registration `id`, if `provider` made it, or a refusal.
    pub(in crate::storage) async fn own(
        &self,
        id: &PackageId,
        provider: &Identity,
    ) -> Result<Registration> {
        let found = self.get(id).await?;
        if found.provider == *provider {
            Ok(found)
        } else {
            Err(Problem::forbidden(format!("the package `{id}` is another provider's")))
        }
    }

    pub(in crate::storage) fn status(&self, of: Registration) -> PackageStatus {
        PackageStatus {
            package: self.address(of.id),
            provider: of.provider,
            stored: of.stored.is_some(),
            digest: of.stored.as_ref().map(|stored| stored.digest),
            size: of.stored.as_ref().map(|stored| stored.size),
        }
    }

    pub(in crate::storage) fn address(&self, id: PackageId) -> PackageAddress {
        PackageAddress { id, address: id.address_at(&self.url) }
    }
}
