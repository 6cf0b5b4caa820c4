//! Registering, storing and deleting keys (KS-1 to KS-3, KS-6; SH-2).

mod kek;
pub(super) mod rekey;
pub(super) mod retention;
pub(super) mod table;
pub(super) mod vault;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::key_server::{KeyStatus, Keys, StoreKey};
use datapact_api::operation::Page;
use datapact_api::problem::{self, Kind, Problem};
use datapact_core::contract::ShareRecord;
use datapact_core::id::{KeyId, Timestamp};
use datapact_core::permission::KeyReference;
use datapact_core::policy::ShareState;
use datapact_log::clock::Clock;
use datapact_store::{Store, Tx};

use super::base::Base;
use super::failure::{Failure, Result};
use super::policy::table::{PolicyRow, policies};
use super::replica::Replica;
use crate::called::Called;
use crate::config::KeyServerConfig;
use crate::erasures::Erasures;
use crate::users::Users;
use table::{KeyEntry, StoredKey};
use vault::Vault;

/// How many registrations of one provider may wait at a time.
pub const UNFILLED_MAX: u64 = 100;
/// How many keys one provider may keep.
pub const KEYS_MAX: u64 = 100_000;
/// How often a key is sealed while the key-encryption key changes.
const TRIES: usize = 3;

/// Keeps the keys of providers.
pub(super) struct KeyService {
    store: Store,
    clock: Clock,
    users: Arc<Users>,
    replica: Arc<Replica>,
    vault: Arc<Vault>,
    erasures: Erasures,
    /// The server's own address.
    url: String,
    /// How long a registration lives that is not filled.
    registration_seconds: u64,
}

impl KeyService {
    pub(super) fn new(base: &Base, config: &KeyServerConfig, vault: Arc<Vault>) -> Self {
        Self {
            store: base.store.clone(),
            clock: Arc::clone(&base.clock),
            users: Arc::clone(&base.users),
            replica: Arc::clone(&base.replica),
            vault,
            erasures: base.erasures.clone(),
            url: config.server.url.clone(),
            registration_seconds: u64::from(config.registration_hours) * 60 * 60,
        }
    }

    /// Registrations from before then that are not filled are forgotten.
    fn oldest_unfilled(&self) -> Timestamp {
        (self.clock)().saturating_sub(self.registration_seconds)
    }

    async fn entry(&self, id: &KeyId) -> Result<Option<KeyEntry>> {
        let id = *id;
        Ok(self.store.read(move |db| table::key(db, &id)).await?)
    }

    /// Stores a key in its entry. Gives what the entry held before, and what was to be stored.
    async fn fill(
        &self,
        id: &KeyId,
        owner: &str,
        key: &StoreKey,
        plain: &[u8; 32],
    ) -> Result<(Option<StoredKey>, StoredKey)> {
        let oldest = self.oldest_unfilled();
        // A rotation may begin in between; then the key is sealed again, under the new version.
        for _ in 0..TRIES {
            let stored = self.vault.seal(id, key.share, key.package, plain).await?;
            let (id, owner) = (*id, owner.to_owned());
            let filled = self.store.write(move |tx| {
                let entry = table::key(tx, &id)?.filter(|entry| is_alive(entry, oldest));
                let entry = owned(entry, &id, &owner)?;
                if entry.stored.is_none() {
                    if table::kek_in_use(tx)? != stored.kek {
                        return Ok(None);
                    }
                    table::fill(tx, &id, &stored)?;
                }
                Ok::<_, Failure>(Some((entry.stored, stored)))
            });
            if let Some(filled) = filled.await? {
                return Ok(filled);
            }
        }
        let problem = Problem::new(Kind::Unavailable, "the key-encryption key is being changed");
        Err(problem.hint("try again").into())
    }

    fn reference(&self, id: KeyId) -> KeyReference {
        KeyReference::at(&self.url, id)
    }

    fn status(&self, id: KeyId, stored: Option<&StoredKey>) -> KeyStatus {
        KeyStatus {
            key: self.reference(id),
            stored: stored.is_some(),
            share: stored.map(|stored| stored.share),
            package: stored.map(|stored| stored.package),
        }
    }
}

#[async_trait]
impl Keys for Called<KeyService> {
    async fn register_key(&self) -> problem::Result<KeyReference> {
        let owner = self.users.user(&self.caller).await?;
        let of_call = |key| KeyId(self.users.marker.of_call("key", owner, key));
        let id = self.caller.idempotency_key.as_deref().map_or_else(KeyId::random, of_call);
        let (owner, now, oldest) = (owner.to_string(), (self.clock)(), self.oldest_unfilled());
        self.store.write(move |tx| register(tx, &id, &owner, now, oldest)).await?;
        Ok(self.reference(id))
    }

    async fn store_key(&self, id: &KeyId, key: &StoreKey) -> problem::Result<KeyStatus> {
        let owner = self.users.user(&self.caller).await?.to_string();
        let plain = kek::decode(&key.key).ok_or_else(|| {
            Problem::malformed("the key must be 64 lower-case hexadecimal digits")
        })?;
        let (before, stored) = self.fill(id, &owner, key, &plain).await?;
        // A repeat is answered as the first time.
        if let Some(before) = before
            && !(before.is(&stored) && self.vault.holds(id, &before, &plain).await?)
        {
            let detail = format!("something else is stored under the key `{id}`");
            return Err(Problem::new(Kind::Conflict, detail).hint("register a new key"));
        }
        Ok(self.status(*id, Some(&stored)))
    }

    async fn key_status(&self, id: &KeyId) -> problem::Result<KeyStatus> {
        let owner = if self.caller.identity().is_server() {
            self.users.require_management(&self.caller)?;
            None
        } else {
            Some(self.users.user(&self.caller).await?.to_string())
        };
        let oldest = self.oldest_unfilled();
        let entry = self.entry(id).await?.filter(|entry| is_alive(entry, oldest));
        let entry = match owner {
            Some(owner) => owned(entry, id, &owner)?,
            None => entry.ok_or_else(|| unknown(id))?,
        };
        Ok(self.status(*id, entry.stored.as_ref()))
    }

    async fn keys(&self, page: Page<KeyId>) -> problem::Result<Vec<KeyStatus>> {
        let owner = self.users.user(&self.caller).await?.to_string();
        let read = self.store.read(move |db| {
            table::entries_of(db, &owner, page.after.as_ref()).map_err(Failure::from)
        });
        let (entries, oldest) = (read.await?, self.oldest_unfilled());
        let alive = entries.iter().filter(|entry| is_alive(entry, oldest));
        Ok(alive.map(|entry| self.status(entry.id, entry.stored.as_ref())).collect())
    }

    async fn delete_key(&self, id: &KeyId) -> problem::Result<()> {
        let owner = self.users.user(&self.caller).await?.to_string();
        let entry = owned(self.entry(id).await?, id, &owner)?;
        let on_ledger = match &entry.stored {
            Some(stored) => {
                // The version that replaces the key may just have been recorded. An older copy only
                // refuses more.
                let _ = self.replica.refresh().await;
                self.replica.share(&stored.share).await?
            }
            None => None,
        };
        let (id, now) = (*id, (self.clock)());
        let deleted = self.store.write(move |tx| {
            let entry = owned(table::key(tx, &id)?, &id, &owner)?;
            let rows = match &entry.stored {
                Some(stored) => policies(tx, &stored.share, &owner)?,
                None => Vec::new(),
            };
            if is_current(&rows, on_ledger.as_ref(), &id) {
                let detail = format!("a policy names the key `{id}`, so it stays");
                let hint =
                    "revoke the share to end all access, or publish a version with another key";
                return Err(Problem::new(Kind::Conflict, detail).hint(hint).into());
            }
            Ok::<_, Failure>(table::delete(tx, &id, now)?)
        });
        deleted.await?;
        self.erasures.write_journal().await;
        Ok(())
    }
}

/// Registers a key, unless it is registered already.
fn register(tx: &Tx, id: &KeyId, owner: &str, now: Timestamp, oldest: Timestamp) -> Result<()> {
    table::forget_unpublished(tx, oldest)?;
    if table::key(tx, id)?.is_some() {
        return Ok(());
    }
    let (unfilled, filled) = table::counts_of(tx, owner)?;
    if unfilled >= UNFILLED_MAX {
        let detail = format!("{UNFILLED_MAX} of your keys are registered and not yet stored");
        let hint = "store or delete them; they are forgotten after a time";
        return Err(Problem::new(Kind::Busy, detail).hint(hint).into());
    }
    if filled >= KEYS_MAX {
        let detail = format!("you keep {KEYS_MAX} keys here, and more are not allowed");
        let problem = Problem::new(Kind::Busy, detail);
        return Err(problem.hint("delete keys that no policy names").into());
    }
    Ok(table::insert(tx, id, owner, now)?)
}

/// Whether a policy that is or may become the share's newest names `key`: one that was shown and is
/// not older than the ledger's newest, unless its provider has revoked the share.
fn is_current(rows: &[PolicyRow], on_ledger: Option<&ShareRecord>, key: &KeyId) -> bool {
    if rows.iter().any(|row| row.state == ShareState::Revoked) {
        return false;
    }
    let newest = on_ledger.map_or(0, |record| record.policy.version);
    rows.iter().any(|row| row.data.key == *key && row.version >= newest)
}

/// Whether the entry is filled, or was registered at `oldest` or after it.
fn is_alive(entry: &KeyEntry, oldest: Timestamp) -> bool {
    entry.stored.is_some() || entry.registered >= oldest
}

/// The entry, if `owner` registered it. Other callers do not learn that it exists.
fn owned(entry: Option<KeyEntry>, id: &KeyId, owner: &str) -> problem::Result<KeyEntry> {
    entry.filter(|entry| entry.owner == owner).ok_or_else(|| unknown(id))
}

pub(super) fn unknown(id: &KeyId) -> Problem {
    Problem::not_found(format!("there is no key `{id}` of yours here"))
        .hint("a registration that no policy names within a day is forgotten; register a new key")
}
