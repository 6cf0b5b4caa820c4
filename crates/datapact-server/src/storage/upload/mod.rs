//! Uploads of packages, whole or in parts (DS-1).

mod examine;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::storage_server::{ByteStream, PackageStatus, Part, UploadOffset, Uploads};
use datapact_core::id::{Digest, PackageId};
use datapact_core::identity::Identity;

use super::base::Base;
use super::objects::{Objects, Upload};
use super::parts::Parts;
use super::registry::Registry;
use super::registry::table::{self, Registration, Stored};
use crate::called::Called;
use crate::config::StorageServerConfig;
use crate::users::Users;
use examine::Examiner;

/// Takes packages from their providers.
pub(super) struct UploadService {
    registry: Arc<Registry>,
    objects: Arc<Objects>,
    parts: Arc<Parts>,
    users: Arc<Users>,
    examiner: Examiner,
    package_bytes_max: u64,
    provider_bytes_max: u64,
}

impl UploadService {
    pub(super) fn new(base: &Base, config: &StorageServerConfig) -> Self {
        let Base { registry, objects, parts, users, trust, clock, .. } = base.clone();
        Self {
            registry,
            objects,
            parts,
            users,
            examiner: Examiner { trust, clock },
            package_bytes_max: config.package_bytes_max,
            provider_bytes_max: config.provider_bytes_max,
        }
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
        // One upload of a package at a time; the registration is read once it is this one's turn.
        let mut turn = self.parts.take(&id).await;
        let registration = self.registry.own(&id, &provider).await?;
        if registration.stored.is_some() {
            let problem = Problem::new(Kind::Conflict, "a package is stored under this identifier");
            return Err(problem.hint("ask for its status, or register a new one"));
        }
        self.check_package(size)?;
        // What has arrived takes room, however short the caller now says that the package is.
        self.set_room_aside(id, size.max(turn.length().await?)).await?;
        if turn.append(offset, size, bytes).await? < size {
            return Ok(self.registry.status(registration));
        }
        let path = turn.path.clone();
        let source = tokio::task::spawn_blocking(move || std::fs::File::open(path));
        let source = source.await.map_err(Problem::internal)?.map_err(Problem::internal)?;
        let digest = match self.examiner.examine(source, id, &provider).await {
            Ok(digest) => digest,
            Err(problem) => {
                // Going on with it would not make it better.
                turn.forget().await?;
                return Err(problem);
            }
        };
        let upload = self.objects.adopt(&id, size, &turn.path).await?;
        let status = self.fill(registration, upload, digest, size).await?;
        // Last: whatever ends this before leaves the parts, which are tidied away.
        turn.forget().await?;
        Ok(status)
    }

    /// Takes a package that arrives at once. `provider` has registered it.
    async fn take_whole(
        &self,
        id: PackageId,
        provider: Identity,
        size: u64,
        bytes: ByteStream,
    ) -> Result<PackageStatus> {
        self.check_package(size)?;
        // One upload of a package at a time, so that none has the room of another.
        let turn = self.parts.take(&id).await;
        let registration = self.registry.own(&id, &provider).await?;
        if registration.stored.as_ref().is_some_and(|stored| stored.size != size) {
            return Err(another_is_stored());
        }
        if registration.stored.is_some() {
            // A repeat, which takes room only until it has been compared.
            return self.store(registration, size, turn.while_held(bytes)).await;
        }
        let kept = turn.length().await?;
        self.set_room_aside(id, size.saturating_add(kept)).await?;
        let stored = self.store(registration, size, turn.while_held(bytes)).await;
        if stored.is_err() {
            self.registry.write(move |tx| table::give_back(tx, &id, kept)).await?;
        }
        stored
    }

    /// Writes what arrives to an object, examines it, and keeps it.
    async fn store(
        &self,
        registration: Registration,
        size: u64,
        bytes: ByteStream,
    ) -> Result<PackageStatus> {
        let upload = self.objects.write(&registration.id, size, bytes).await?;
        let examined = async {
            let source = self.objects.source(upload.name()).await?;
            self.examiner.examine(source, registration.id, &registration.provider).await
        };
        match examined.await {
            Ok(digest) => self.fill(registration, upload, digest, size).await,
            Err(problem) => {
                upload.discard().await;
                Err(problem)
            }
        }
    }

    /// Sets room aside before anything is taken, so that uploads together pass no bound.
    async fn set_room_aside(&self, id: PackageId, size: u64) -> Result<()> {
        let max = self.provider_bytes_max;
        match self.registry.write(move |tx| table::announce(tx, &id, size, max)).await? {
            true => Ok(()),
            false => Err(self.provider_is_full(size)),
        }
    }

    /// Keeps an object that was examined, unless another was faster or the provider has no room for
    /// it.
    async fn fill(
        &self,
        registration: Registration,
        upload: Upload,
        digest: Digest,
        size: u64,
    ) -> Result<PackageStatus> {
        let Registration { id, provider, .. } = registration;
        let stored = Stored { object: upload.name().to_owned(), digest, size };
        let (new, max) = (stored.clone(), self.provider_bytes_max);
        match self.registry.write(move |tx| table::fill(tx, &id, &new, max)).await {
            Ok(true) => {
                upload.keep();
                Ok(self.registry.status(Registration { id, provider, stored: Some(stored) }))
            }
            Ok(false) => {
                upload.discard().await;
                let found = self.registry.own(&id, &provider).await?;
                match &found.stored {
                    Some(other) if other.digest == digest => Ok(self.registry.status(found)),
                    Some(_) => Err(another_is_stored()),
                    None => Err(self.provider_is_full(size)),
                }
            }
            Err(problem) => {
                upload.discard().await;
                Err(problem)
            }
        }
    }

    fn check_package(&self, size: u64) -> Result<()> {
        if size > self.package_bytes_max {
            return Err(too_large("a package", self.package_bytes_max, size));
        }
        Ok(())
    }

    fn provider_is_full(&self, size: u64) -> Problem {
        too_large("all of a provider's packages together", self.provider_bytes_max, size)
    }
}

#[async_trait]
impl Uploads for Called<UploadService> {
    async fn upload(&self, id: &PackageId, size: u64, bytes: ByteStream) -> Result<PackageStatus> {
        let provider = self.users.user(&self.caller).await?.clone();
        self.registry.own(id, &provider).await?;
        let (service, id) = (Arc::clone(&self.service), *id);
        // A task of its own: when the caller goes away, the room is given back.
        let taken =
            tokio::spawn(async move { service.take_whole(id, provider, size, bytes).await });
        taken.await.map_err(Problem::internal)?
    }

    async fn upload_offset(&self, id: &PackageId) -> Result<UploadOffset> {
        let provider = self.users.user(&self.caller).await?;
        self.registry.own(id, provider).await?;
        let turn = self.parts.take(id).await;
        let stored = self.registry.own(id, provider).await?.stored;
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
        let provider = self.users.user(&self.caller).await?.clone();
        self.registry.own(id, &provider).await?;
        let (service, id, part) = (Arc::clone(&self.service), *id, *part);
        // A task of its own: a caller that goes away ends the stream, but what has arrived is
        // still kept.
        let taken = tokio::spawn(async move { service.take_part(id, provider, part, bytes).await });
        taken.await.map_err(Problem::internal)?
    }
}

fn too_large(what: &str, max: u64, size: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("{what} may be at most {max} bytes; this one has {size}"))
}

fn another_is_stored() -> Problem {
    let detail = "another package is stored under this identifier";
    Problem::new(Kind::Conflict, detail).hint("register a new one")
}
