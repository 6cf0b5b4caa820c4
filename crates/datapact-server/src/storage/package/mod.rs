//! Packages: providers register and delete them, consumers download them (DS-2, DS-3).

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::operation::Page;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::storage_server::{ByteRange, Download, PackageAddress, PackageStatus, Packages};
use datapact_core::id::PackageId;
use datapact_log::clock::Clock;

use super::base::Base;
use super::objects::Objects;
use super::parts::Parts;
use super::registry::{Registry, table};
use crate::called::Called;
use crate::users::Users;

/// How many unfilled registrations one provider may have.
const REGISTRATIONS_MAX: u64 = 1_000;

/// Registers, sends and deletes packages.
pub(super) struct PackageService {
    registry: Arc<Registry>,
    objects: Arc<Objects>,
    parts: Arc<Parts>,
    users: Arc<Users>,
    clock: Clock,
}

impl PackageService {
    pub(super) fn new(base: &Base) -> Self {
        let Base { registry, objects, parts, users, clock, .. } = base.clone();
        Self { registry, objects, parts, users, clock }
    }
}

#[async_trait]
impl Packages for Called<PackageService> {
    async fn register_package(&self) -> Result<PackageAddress> {
        let provider = self.users.user(&self.caller).await?.clone();
        let repeats = self.caller.idempotency_key.as_deref();
        let of_call = |key| PackageId(self.users.marker.of_call("package", &provider, key));
        let id = repeats.map_or_else(PackageId::random, of_call);
        if repeats.is_some() && self.registry.find(&id).await?.is_some() {
            return Ok(self.registry.address(id));
        }
        let now = (self.clock)();
        let register = self.registry.write(move |tx| {
            let is_full = table::unfilled(tx, &provider)? >= REGISTRATIONS_MAX;
            if !is_full {
                table::register(tx, &id, &provider, now)?;
            }
            Ok(is_full)
        });
        if register.await? {
            let problem =
                Problem::new(Kind::Busy, "too many registrations wait for their packages");
            return Err(problem.hint("upload or delete them, or wait a day"));
        }
        Ok(self.registry.address(id))
    }

    async fn package_status(&self, id: &PackageId) -> Result<PackageStatus> {
        let registration = if self.users.is_management(&self.caller) {
            let package = *id;
            self.registry.write(move |tx| table::confirm(tx, &package)).await?;
            self.registry.get(id).await?
        } else {
            self.registry.own(id, self.users.user(&self.caller).await?).await?
        };
        Ok(self.registry.status(registration))
    }

    async fn download(&self, id: &PackageId, range: Option<ByteRange>) -> Result<Download> {
        self.users.user(&self.caller).await?;
        let stored = self.registry.get(id).await?.stored;
        let stored = stored
            .ok_or_else(|| Problem::not_found(format!("the package `{id}` is not uploaded yet")))?;
        let (first, end) = match range {
            None => (0, stored.size),
            Some(ByteRange { first, last }) => {
                (first, last.map_or(stored.size, |last| last.saturating_add(1).min(stored.size)))
            }
        };
        if first >= end {
            let size = stored.size;
            let detail = format!("the range lies outside the package's {size} bytes");
            return Err(Problem::malformed(detail));
        }
        let bytes = self.objects.read(&stored.object, first..end).await?;
        Ok(Download { size: stored.size, first, length: end - first, bytes })
    }

    async fn packages(&self, page: Page<PackageId>) -> Result<Vec<PackageStatus>> {
        let provider = self.users.user(&self.caller).await?.clone();
        let read = self
            .registry
            .read(move |db| table::registrations_of(db, &provider, page.after.as_ref()));
        Ok(read.await?.into_iter().map(|found| self.registry.status(found)).collect())
    }

    async fn delete_package(&self, id: &PackageId) -> Result<()> {
        if self.users.is_management(&self.caller) {
            self.registry.get(id).await?;
        } else {
            self.registry.own(id, self.users.user(&self.caller).await?).await?;
        }
        // The registration goes first: what a kill leaves behind is an object that is tidied away.
        let package = *id;
        let object = self.registry.write(move |tx| table::delete(tx, &package)).await?;
        self.parts.forget(id).await?;
        match object {
            Some(object) => self.objects.delete(&object).await,
            None => Ok(()),
        }
    }
}
