//! What a provider keeps at the key and storage servers: listed, replaced, destroyed (DP-10, KS-6,
//! DS-3).

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::KeyStatus;
use datapact_api::operation::Page;
use datapact_api::storage_server::PackageStatus;
use datapact_core::id::{KeyId, PackageId, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::permission::KeyReference;
use datapact_core::policy::ShareState;
use datapact_core::policy::desensitization::Desensitization;
use serde::Serialize;

use crate::consumer::all_accesses;
use crate::error::{ClientError, Result};
use crate::provider::{ChangeShare, Draft, Provider, SetShare, expect_address};
use crate::session::{ProgressSink, retry};

/// What the data of a share are replaced with.
pub struct Replacement {
    /// The new data.
    pub input: Box<dyn Read + Send>,
    /// Holds their desensitization once they were read to their end; none if they have none.
    pub desensitization: Option<Arc<OnceLock<Desensitization>>>,
    /// Their media type; as before if none.
    pub media_type: Option<String>,
    /// What else changes.
    pub change: ChangeShare,
    /// Whether the key and package that were there before are destroyed at once. Otherwise
    /// consumers who have just been granted access can still open what they were granted.
    pub destroy_before: bool,
}

/// A share whose key and package are destroyed: it cannot be opened any more, not even by those who
/// kept the ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasedShare {
    /// The share.
    pub share: ShareId,
    /// The revocation, unless the share was revoked before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<SetShare>,
    /// The key that is gone.
    pub key: KeyId,
    /// The package that is gone.
    pub package: PackageId,
    /// Who was given access before, and may have kept what they saw.
    pub opened: Vec<OpenedBefore>,
    /// How many accesses there were beside these, of users who have been erased since.
    pub erased: u64,
}

/// A consumer who was given access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenedBefore {
    /// Who.
    pub consumer: Identity,
    /// How often.
    pub accesses: u32,
    /// When last, by the ledger.
    pub last: Timestamp,
}

impl Provider {
    /// Publishes other data as the next version of a share, under a new key and package and the
    /// same contract.
    pub async fn replace(
        &self,
        share: &ShareId,
        replacement: Replacement,
        progress: ProgressSink,
    ) -> Result<SetShare> {
        let session = &self.session;
        session.refresh_revocations().await?;
        let own = self.own(share).await?;
        let mut policy = self.next_version(&own)?;
        replacement.change.apply(&mut policy);
        let information = &mut policy.information;
        if let Some(media_type) = replacement.media_type {
            information.media_type = media_type;
        }
        // What was done to the earlier data says nothing about the new.
        information.desensitization = None;
        let (key_before, package_before) = (information.key.clone(), information.package.clone());
        let (key_endpoint, key_server) = session.key_server_of(&key_before.address)?;
        let (storage_endpoint, storage) = session.storage_server_of(&package_before.address)?;
        let key = retry(|| key_server.register_key()).await?;
        expect_address(key_endpoint, &key.id, &key.address)?;
        let package = retry(|| storage.register_package()).await?;
        expect_address(storage_endpoint, &package.id, &package.address)?;
        information.key = key;
        let draft = Draft::new(package, |package| {
            policy.information.package = package;
            policy
        })?;
        let set =
            self.place(replacement.input, draft, replacement.desensitization, progress).await?;
        if replacement.destroy_before {
            self.destroy(&key_before, package_before.id, &package_before.address).await?;
        }
        Ok(set)
    }

    /// Revokes a share and destroys the keys and packages of all of its versions; it says who was
    /// given access before. Repeated, it destroys what is still there.
    pub async fn revoke_and_erase(&self, share: &ShareId) -> Result<ErasedShare> {
        let policy = self.show(share).await?.policy;
        let revoked = match policy.state {
            ShareState::Revoked => None,
            _ => Some(self.revoke(share).await?),
        };
        let (key, package) = (&policy.information.key, &policy.information.package);
        self.destroy(key, package.id, &package.address).await?;
        self.destroy_earlier(share).await?;
        let mut opened: BTreeMap<Identity, OpenedBefore> = BTreeMap::new();
        for access in all_accesses(&self.session, Some(*share)).await? {
            let consumer = access.consumer.identity;
            let before = OpenedBefore { consumer: consumer.clone(), accesses: 0, last: 0 };
            let entry = opened.entry(consumer).or_insert(before);
            (entry.accesses, entry.last) = (entry.accesses + 1, entry.last.max(access.record.time));
        }
        let opened: Vec<OpenedBefore> = opened.into_values().collect();
        let named: u64 = opened.iter().map(|opened| u64::from(opened.accesses)).sum();
        let erased = self.show(share).await?.accesses.saturating_sub(named);
        Ok(ErasedShare { share: *share, revoked, key: key.id, package: package.id, opened, erased })
    }

    async fn destroy(&self, key: &KeyReference, package: PackageId, address: &str) -> Result<()> {
        let (_, key_server) = self.session.key_server_of(&key.address)?;
        gone(retry(|| key_server.delete_key(&key.id)).await)?;
        let (_, storage) = self.session.storage_server_of(address)?;
        gone(retry(|| storage.delete_package(&package)).await)
    }

    /// Destroys what earlier versions of a revoked share have left until its retention is over. A
    /// key is the last to go, since it says which package it opens.
    async fn destroy_earlier(&self, share: &ShareId) -> Result<()> {
        let keys = self.keys().await?.into_iter().filter(|status| status.share == Some(*share));
        let keys: Vec<KeyStatus> = keys.collect();
        if keys.is_empty() {
            return Ok(());
        }
        let packages = self.packages().await?;
        for status in keys {
            let opens = |package: &&PackageStatus| {
                package.digest.is_some() && package.digest == status.package
            };
            for package in packages.iter().filter(opens).map(|status| &status.package) {
                let (_, storage) = self.session.storage_server_of(&package.address)?;
                gone(retry(|| storage.delete_package(&package.id)).await)?;
            }
            let (_, key_server) = self.session.key_server_of(&status.key.address)?;
            gone(retry(|| key_server.delete_key(&status.key.id)).await)?;
        }
        Ok(())
    }

    /// The user's keys, on all key servers of the profile.
    pub async fn keys(&self) -> Result<Vec<KeyStatus>> {
        let mut all = Vec::new();
        for (endpoint, server) in self.session.key_servers() {
            let mut after = None;
            loop {
                let page = retry(|| server.keys(Page { after })).await?;
                let Some(last) = page.last() else { break };
                after = Some(advanced(endpoint, after, last.key.id)?);
                all.extend(page);
            }
        }
        Ok(all)
    }

    /// The user's packages, on all storage servers of the profile.
    pub async fn packages(&self) -> Result<Vec<PackageStatus>> {
        let mut all = Vec::new();
        for (endpoint, server) in self.session.storage_servers() {
            let mut after = None;
            loop {
                let page = retry(|| server.packages(Page { after })).await?;
                let Some(last) = page.last() else { break };
                after = Some(advanced(endpoint, after, last.package.id)?);
                all.extend(page);
            }
        }
        Ok(all)
    }

    /// Destroys a key that no current policy names, on whichever key server it is.
    pub async fn delete_key(&self, id: &KeyId) -> Result<()> {
        let keys = self.keys().await?;
        let found = keys.into_iter().find(|status| status.key.id == *id);
        let found = found.ok_or_else(|| missing("key", id, "key list"))?;
        let (_, server) = self.session.key_server_of(&found.key.address)?;
        retry(|| server.delete_key(id)).await
    }

    /// Deletes a package, on whichever storage server it is: what a share names cannot be opened
    /// any more then.
    pub async fn delete_package(&self, id: &PackageId) -> Result<()> {
        let packages = self.packages().await?;
        let found = packages.into_iter().find(|status| status.package.id == *id);
        let found = found.ok_or_else(|| missing("package", id, "package list"))?;
        let (_, server) = self.session.storage_server_of(&found.package.address)?;
        retry(|| server.delete_package(id)).await
    }

    /// Whether a current policy of the user names the package.
    pub async fn is_named(&self, id: &PackageId) -> Result<bool> {
        let shares = self.shares().await?;
        let names = |share: &crate::provider::ShareView| {
            share.policy.information.package.id == *id && share.policy.state != ShareState::Revoked
        };
        Ok(shares.iter().any(names))
    }
}

/// What is gone already needs no destroying.
fn gone(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == datapact_api::problem::Kind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// A page must lead on, or a server could keep its client reading for ever.
pub(crate) fn advanced<T: Ord>(server: &Endpoint, after: Option<T>, last: T) -> Result<T> {
    if after.is_some_and(|after| last <= after) {
        return Err(ClientError::untrusted(format!(
            "the list of `{}` is out of order",
            server.url
        )));
    }
    Ok(last)
}

fn missing(what: &str, id: &impl std::fmt::Display, command: &str) -> ClientError {
    let detail = format!("you have no {what} `{id}`");
    ClientError::not_found(detail, format!("`datapact {command}` shows them"))
}
