//! The storage server (6.2.4): packages by streams, to whom the access list admits. It never sees a
//! key.

mod objects;
mod schema;
#[cfg(test)]
mod tests;
mod uploads;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::gate::{Caller, Source};
use datapact_api::operation::Page;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::public::{Health, Public};
use datapact_api::storage_server::{
    self, ByteRange, ByteStream, Download, PackageAddress, PackageStatus, Packages, Part,
    StorageServer, UploadOffset,
};
use datapact_api::user::{self, UserNotice};
use datapact_core::address::Addressed as _;
use datapact_core::id::{Digest, PackageId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::package::{PackageError, PackageReader, ReadAt};
use datapact_core::trust::Trust;
use datapact_ledger::store::Store;
use datapact_log::clock::Clock;

use crate::called::Called;
use crate::config::StorageServerConfig;
use crate::operator::metrics::Reading;
use crate::operator::{Check, Operated, clock_is_sane};
use crate::users::Users;
use objects::{Objects, Upload};
use schema::{Row, Stored};
use uploads::Uploads;

/// How many unfilled registrations one provider may have.
const REGISTRATIONS_MAX: u64 = 1_000;

/// The database, in the data folder.
pub(crate) const DATABASE_FILE: &str = "storage.sqlite";
/// The packages, in the data folder, unless they are in a bucket.
pub const PACKAGES_FOLDER: &str = "packages";

/// A storage server.
pub struct StorageService {
    name: String,
    url: String,
    management: Identity,
    store: Store,
    objects: Objects,
    uploads: Uploads,
    users: Users,
    trust: Source<Trust>,
    clock: Clock,
    package_bytes_max: u64,
    provider_bytes_max: u64,
    registration_seconds: u64,
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

impl StorageService {
    /// Opens what the configuration names, and removes what uploads that were cut off have left.
    pub async fn open(
        config: &StorageServerConfig,
        trust: Source<Trust>,
        clock: Clock,
    ) -> Result<Arc<Self>> {
        let data = &config.server.data;
        let name = config.server.name().map_err(Problem::malformed)?;
        let location = config.server.database(DATABASE_FILE).map_err(Problem::internal)?;
        let owner = format!("storage server {name}");
        let migrations = [schema::MIGRATIONS, crate::users::MIGRATIONS].concat();
        let store = Store::connect(&location, Some(&owner), &migrations)
            .await
            .map_err(Problem::internal)?;
        let users = Users::open(&store).await.map_err(Problem::internal)?;
        let objects = match &config.objects {
            None => Objects::open(&data.join(PACKAGES_FOLDER))?,
            Some(bucket) => Objects::open_bucket(bucket)?,
        };
        let management = config.management.name().map_err(Problem::malformed)?;
        let service = Self {
            name,
            url: config.server.url.clone(),
            management: Identity::server(management),
            store,
            objects,
            uploads: Uploads::open(data).map_err(Problem::internal)?,
            users,
            trust,
            clock,
            package_bytes_max: config.package_bytes_max,
            provider_bytes_max: config.provider_bytes_max,
            registration_seconds: u64::from(config.registration_hours) * 60 * 60,
        };
        match service.tidy().await {
            Err(problem) if service.objects.is_remote() => {
                tracing::warn!(%problem, "tidying up failed; it is tried again in an hour");
            }
            tidied => tidied?,
        }
        Ok(Arc::new(service))
    }

    /// Forgets registrations that within a configured time were not filled or whose package
    /// management never asked for, and deletes objects and uploads that no registration names: a
    /// package without a share is not left for good.
    pub async fn tidy(&self) -> Result<()> {
        let before = (self.clock)().saturating_sub(self.registration_seconds);
        schema::forget_unconfirmed(&self.store, before).await?;
        self.tidy_uploads().await?;
        // Listed first: whatever is named later is not among them.
        let objects = self.objects.list(before).await?;
        let named = schema::objects(&self.store).await?;
        for object in objects {
            if !named.contains(&object) && !self.objects.is_in_flight(&object) {
                self.objects.delete(&object).await?;
            }
        }
        Ok(())
    }

    /// Deletes what has arrived for registrations that are filled or gone.
    async fn tidy_uploads(&self) -> Result<()> {
        for id in self.uploads.begun().map_err(Problem::internal)? {
            let row = schema::row(&self.store, &id).await?;
            if row.is_none_or(|row| row.stored.is_some()) {
                self.uploads.forget(&id).await?;
            }
        }
        Ok(())
    }

    /// Takes what arrives of a package, and stores the package once it is whole. `provider` has
    /// registered it.
    async fn take_part(
        &self,
        id: PackageId,
        provider: Identity,
        part: Part,
        bytes: ByteStream,
    ) -> Result<PackageStatus> {
        let Part { offset, size } = part;
        let mut turn = self.uploads.take(&id).await;
        let row = self.own_row(&id, &provider).await?;
        if row.stored.is_some() {
            let problem = Problem::new(Kind::Conflict, "a package is stored under this identifier");
            return Err(problem.hint("ask for its status, or register a new one"));
        }
        if size > self.package_bytes_max {
            return Err(too_large("a package", self.package_bytes_max, size));
        }
        if !schema::announce(&self.store, id, size, self.provider_bytes_max).await? {
            return Err(too_large(
                "all of a provider's packages together",
                self.provider_bytes_max,
                size,
            ));
        }
        if turn.append(offset, size, bytes).await? < size {
            return Ok(self.status(id, row));
        }
        let path = turn.path.clone();
        let source = tokio::task::spawn_blocking(move || std::fs::File::open(path));
        let source = source.await.map_err(Problem::internal)?.map_err(Problem::internal)?;
        let digest = match self.examine(source, id, &provider).await {
            Ok(digest) => digest,
            Err(problem) => {
                // Going on with it would not make it better.
                turn.forget().await?;
                return Err(problem);
            }
        };
        let upload = self.objects.adopt(&id, size, &turn.path).await?;
        let status = self.fill(id, row, upload, digest, size).await?;
        turn.forget().await?;
        Ok(status)
    }

    /// Keeps an object that was examined, unless another was faster or the provider has no room for
    /// it.
    async fn fill(
        &self,
        id: PackageId,
        row: Row,
        upload: Upload,
        digest: Digest,
        size: u64,
    ) -> Result<PackageStatus> {
        let stored = Stored { object: upload.name().to_owned(), digest, size };
        match schema::fill(&self.store, id, stored.clone(), self.provider_bytes_max).await {
            Ok(true) => {}
            Ok(false) => {
                upload.discard().await;
                let row = self.own_row(&id, &row.provider).await?;
                return match &row.stored {
                    Some(other) if other.digest == digest => Ok(self.status(id, row)),
                    Some(_) => Err(Problem::new(
                        Kind::Conflict,
                        "another package is stored under this identifier",
                    )
                    .hint("register a new one")),
                    None => {
                        let what = "all of a provider's packages together";
                        Err(too_large(what, self.provider_bytes_max, size))
                    }
                };
            }
            Err(problem) => {
                upload.discard().await;
                return Err(problem);
            }
        }
        upload.keep();
        Ok(self.status(id, Row { provider: row.provider, stored: Some(stored) }))
    }

    fn status(&self, id: PackageId, row: Row) -> PackageStatus {
        PackageStatus {
            package: self.address(id),
            provider: row.provider,
            stored: row.stored.is_some(),
            digest: row.stored.as_ref().map(|stored| stored.digest),
            size: row.stored.as_ref().map(|stored| stored.size),
        }
    }

    fn address(&self, id: PackageId) -> PackageAddress {
        PackageAddress { id, address: id.address_at(&self.url) }
    }

    async fn row(&self, id: &PackageId) -> Result<Row> {
        schema::row(&self.store, id)
            .await?
            .ok_or_else(|| Problem::not_found(format!("there is no package `{id}` here")))
    }

    /// The registration, for its provider only.
    async fn own_row(&self, id: &PackageId, caller: &Identity) -> Result<Row> {
        let row = self.row(id).await?;
        if row.provider == *caller {
            Ok(row)
        } else {
            Err(Problem::forbidden(format!("the package `{id}` is another provider's")))
        }
    }

    /// What the uploaded bytes are: a whole package with this identifier, every byte of it as
    /// `provider` signed it.
    async fn examine<S: ReadAt + Send + 'static>(
        &self,
        source: S,
        id: PackageId,
        provider: &Identity,
    ) -> Result<Digest> {
        let read = tokio::task::spawn_blocking(move || {
            let package = PackageReader::open(source)?;
            package.verify()?;
            Ok::<_, PackageError>(package.metadata().clone())
        });
        let metadata = read.await.map_err(Problem::internal)?.map_err(|e| {
            Problem::malformed(format!("the upload is not a complete package: {e}"))
        })?;
        let now: Timestamp = (self.clock)();
        metadata
            .verify(&(self.trust)(), datapact_core::document::ANYBODY, now)
            .map_err(|e| Problem::malformed(format!("the package's metadata: {e}")))?;
        if metadata.signer() != provider {
            return Err(Problem::forbidden("the package's metadata is signed by another provider"));
        }
        if metadata.body().package != id {
            return Err(Problem::malformed("the package is made for another identifier")
                .hint("upload it where its metadata says"));
        }
        Ok(metadata.id())
    }
}

impl StorageService {
    /// The storage server as `caller` sees it.
    pub fn called(self: &Arc<Self>, caller: Caller) -> impl StorageServer + use<> {
        Called { service: Arc::clone(self), caller }
    }
}

#[async_trait]
impl Public for StorageService {
    async fn health(&self) -> Result<Health> {
        schema::check(&self.store).await?;
        self.objects.check().await?;
        Ok(crate::health(&self.name, "storage"))
    }
}

#[async_trait]
impl Operated for StorageService {
    async fn checks(&self) -> Vec<Check> {
        let clock = async {
            let newest =
                schema::newest(&self.store).await.map_err(|problem| problem.to_string())?;
            clock_is_sane((self.clock)(), newest)
        };
        vec![
            Check::of("database", self.store.check()).await,
            Check::of("objects", self.objects.check()).await,
            Check::of("clock", clock).await,
        ]
    }

    async fn readings(&self) -> Vec<Reading> {
        let help = "Jobs that wait for the database's writer";
        let mut readings =
            vec![Reading::count("datapact_write_queue", help, self.store.waiting() as u64)];
        if let Ok((registered, stored, bytes)) = schema::totals(&self.store).await {
            let help = "Registrations that wait for their packages";
            readings.push(Reading::count(
                "datapact_packages_unfilled",
                help,
                registered.saturating_sub(stored),
            ));
            readings.push(Reading::count("datapact_packages", "Packages stored", stored));
            readings.push(Reading::count(
                "datapact_package_bytes",
                "Bytes of packages stored",
                bytes,
            ));
        }
        readings
    }
}

impl Called<StorageService> {
    /// The user who calls, unless management has disabled it.
    async fn user(&self) -> Result<&Identity> {
        let user = self.caller.require_user()?;
        self.service.users.admit(user).await?;
        Ok(user)
    }
}

#[async_trait]
impl Packages for Called<StorageService> {
    async fn register_package(&self) -> Result<PackageAddress> {
        let provider = self.user().await?;
        let service = &self.service;
        let repeats = self.caller.idempotency_key.as_deref();
        let of_call = |key| PackageId(service.users.marker.of_call("package", provider, key));
        let id = repeats.map_or_else(PackageId::random, of_call);
        if repeats.is_some() && service.row(&id).await.is_ok() {
            return Ok(service.address(id));
        }
        let unfilled = schema::unfilled(&service.store, provider).await?;
        if unfilled >= REGISTRATIONS_MAX {
            return Err(Problem::new(Kind::Busy, "too many registrations wait for their packages")
                .hint("upload or delete them, or wait a day"));
        }
        schema::register(&service.store, id, provider.clone(), (service.clock)()).await?;
        Ok(service.address(id))
    }

    async fn package_status(&self, id: &PackageId) -> Result<PackageStatus> {
        let service = &self.service;
        let row = if *self.caller.identity() == service.management {
            schema::confirm(&service.store, *id).await?;
            service.row(id).await?
        } else {
            service.own_row(id, self.user().await?).await?
        };
        Ok(service.status(*id, row))
    }

    async fn download(&self, id: &PackageId, range: Option<ByteRange>) -> Result<Download> {
        self.user().await?;
        let row = self.service.row(id).await?;
        let stored = row
            .stored
            .ok_or_else(|| Problem::not_found(format!("the package `{id}` is not uploaded yet")))?;
        let (first, end) = match range {
            None => (0, stored.size),
            Some(range) => (
                range.first,
                range.last.map_or(stored.size, |last| last.saturating_add(1).min(stored.size)),
            ),
        };
        if first >= end {
            return Err(Problem::malformed(format!(
                "the range lies outside the package's {} bytes",
                stored.size
            )));
        }
        let bytes = self.service.objects.read(&stored.object, first..end).await?;
        Ok(Download { size: stored.size, first, length: end - first, bytes })
    }

    async fn packages(&self, page: Page<PackageId>) -> Result<Vec<PackageStatus>> {
        let service = &self.service;
        let rows = schema::rows_of(&service.store, self.user().await?, page.after.as_ref()).await?;
        Ok(rows.into_iter().map(|(id, row)| service.status(id, row)).collect())
    }

    async fn delete_package(&self, id: &PackageId) -> Result<()> {
        let service = &self.service;
        if *self.caller.identity() == service.management {
            service.row(id).await?;
        } else {
            service.own_row(id, self.user().await?).await?;
        }
        // The registration goes first: what a kill leaves behind is an object that `tidy` deletes.
        let object = schema::delete(&service.store, *id).await?;
        service.uploads.forget(id).await?;
        match object {
            Some(object) => service.objects.delete(&object).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl storage_server::Uploads for Called<StorageService> {
    async fn upload(&self, id: &PackageId, size: u64, bytes: ByteStream) -> Result<PackageStatus> {
        let provider = self.user().await?;
        let service = &self.service;
        let row = service.own_row(id, provider).await?;
        if size > service.package_bytes_max {
            return Err(too_large("a package", service.package_bytes_max, size));
        }
        let used = schema::used(&service.store, provider, id).await?;
        if row.stored.is_none() && used.saturating_add(size) > service.provider_bytes_max {
            let what = "all of a provider's packages together";
            return Err(too_large(what, service.provider_bytes_max, size));
        }
        let upload = service.objects.write(id, size, bytes).await?;
        let examined = async {
            let source = service.objects.source(upload.name()).await?;
            service.examine(source, *id, provider).await
        };
        match examined.await {
            Ok(digest) => service.fill(*id, row, upload, digest, size).await,
            Err(problem) => {
                upload.discard().await;
                Err(problem)
            }
        }
    }

    async fn upload_offset(&self, id: &PackageId) -> Result<UploadOffset> {
        let service = &self.service;
        let provider = self.user().await?;
        service.own_row(id, provider).await?;
        let turn = service.uploads.take(id).await;
        let stored = service.own_row(id, provider).await?.stored;
        let offset = match &stored {
            Some(stored) => stored.size,
            None => turn.length().await?,
        };
        Ok(UploadOffset { offset, stored: stored.is_some() })
    }

    async fn append(
        &self,
        id: &PackageId,
        part: &Part,
        bytes: ByteStream,
    ) -> Result<PackageStatus> {
        let provider = self.user().await?.clone();
        self.service.own_row(id, &provider).await?;
        let (service, id, part) = (Arc::clone(&self.service), *id, *part);
        // A task of its own: whoever goes away ends the stream, but not the keeping of what has
        // arrived.
        let taken = tokio::spawn(async move { service.take_part(id, provider, part, bytes).await });
        taken.await.map_err(Problem::internal)?
    }
}

#[async_trait]
impl user::Users for Called<StorageService> {
    async fn set_user(&self, notice: &UserNotice) -> Result<()> {
        let service = &self.service;
        if *self.caller.identity() != service.management {
            return Err(Problem::forbidden("only management may call this"));
        }
        let mark = service.users.marker.of(&notice.identity);
        for object in schema::set_user(&service.store, mark, notice.clone()).await? {
            service.objects.delete(&object).await?;
        }
        service.tidy_uploads().await
    }
}

fn too_large(what: &str, max: u64, size: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("{what} may be at most {max} bytes; this one has {size}"))
}
