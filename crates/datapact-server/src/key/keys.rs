//! Registering, storing and deleting keys (KS-1 to KS-3, KS-6; SH-2).

use std::time::Duration;

use datapact_api::key_server::{KeyStatus, StoreKey};
use datapact_api::problem::{Kind, Problem, Result};
use datapact_core::contract::ShareRecord;
use datapact_core::id::{KeyId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::permission::KeyReference;
use datapact_core::policy::ShareState;
use datapact_ledger::LedgerCopy;
use datapact_ledger::store::Store;

use super::KeyService;
use super::failure::{Failure, copy_problem};
use super::kek;
use super::tables::{self, KeyEntry, PolicyRow, StoredKey};

/// How many registrations of one provider may wait at a time.
pub const UNFILLED_MAX: u64 = 100;
/// How often a key is sealed while the key-encryption key changes.
const TRIES: usize = 3;
/// How many keys one provider may keep.
pub const KEYS_MAX: u64 = 100_000;

impl KeyService {
    /// Registrations from before then that are not filled are forgotten.
    fn oldest_unfilled(&self) -> Timestamp {
        (self.clock)().saturating_sub(self.registration_seconds)
    }

    fn reference(&self, id: KeyId) -> KeyReference {
        KeyReference::at(&self.url, id)
    }

    pub(super) async fn register(
        &self,
        owner: &Identity,
        repeats: Option<&str>,
    ) -> Result<KeyReference> {
        let of_call = |key| KeyId(self.users.marker.of_call("key", owner, key));
        let id = repeats.map_or_else(KeyId::random, of_call);
        let (owner, now) = (owner.to_string(), (self.clock)());
        let oldest = self.oldest_unfilled();
        self.write(move |tx| {
            Box::pin(async move {
                tables::forget_unpublished(tx, oldest).await?;
                if tables::key(tx, &id).await?.is_some() {
                    return Ok(());
                }
                if tables::keys_of(tx, &owner, false).await? >= UNFILLED_MAX {
                    let detail =
                        format!("{UNFILLED_MAX} of your keys are registered and not yet stored");
                    let hint = "store or delete them; they are forgotten after a time";
                    return Err(Problem::new(Kind::Busy, detail).hint(hint).into());
                }
                if tables::keys_of(tx, &owner, true).await? >= KEYS_MAX {
                    let detail = format!("you keep {KEYS_MAX} keys here, and more are not allowed");
                    return Err(Problem::new(Kind::Busy, detail)
                        .hint("delete keys that no policy names")
                        .into());
                }
                tables::insert_key(tx, &id, &owner, now).await
            })
        })
        .await?;
        Ok(self.reference(id))
    }

    pub(super) async fn store(
        &self,
        owner: &Identity,
        id: &KeyId,
        key: &StoreKey,
    ) -> Result<KeyStatus> {
        let plain = kek::decode(&key.key).ok_or_else(|| {
            Problem::malformed("the key must be 64 lower-case hexadecimal digits")
        })?;
        let oldest = self.oldest_unfilled();
        // A rotation may begin in between; then the key is sealed again, under the new version.
        let mut filled = None;
        for _ in 0..TRIES {
            let sealed = self.seal_for(id, &key.package, &plain).await?;
            let stored = StoredKey { share: key.share, package: key.package, ..sealed };
            let (id, owner) = (*id, owner.to_string());
            filled = self
                .write(move |tx| {
                    Box::pin(async move {
                        let entry =
                            tables::key(tx, &id).await?.filter(|entry| is_alive(entry, oldest));
                        let entry = owned(entry, &id, &owner)?;
                        if entry.stored.is_none() {
                            if tables::kek_in_use(tx).await? != stored.kek {
                                return Ok(None);
                            }
                            tables::fill_key(tx, &id, &stored).await?;
                        }
                        Ok(Some((entry.stored, stored)))
                    })
                })
                .await?;
            if filled.is_some() {
                break;
            }
        }
        let (before, stored) = filled.ok_or_else(|| {
            Problem::new(Kind::Unavailable, "the key-encryption key is being changed")
                .hint("try again")
        })?;
        let id = *id;
        if let Some(before) = before {
            // A repeat is answered as the first time; the keys themselves are compared in constant
            // time.
            let known = self.open_stored(&id, &before).await?;
            let same_key = aws_lc_rs::constant_time::verify_slices_are_equal(
                known.as_slice(),
                plain.as_slice(),
            )
            .is_ok();
            if !same_key || before.share != stored.share || before.package != stored.package {
                let detail = format!("something else is stored under the key `{id}`");
                return Err(Problem::new(Kind::Conflict, detail).hint("register a new key"));
            }
        }
        Ok(self.status_of(id, Some(&stored)))
    }

    /// The status of `id`, for its owner, or for management when `owner` is none.
    pub(super) async fn status(&self, owner: Option<&Identity>, id: &KeyId) -> Result<KeyStatus> {
        let entry = tables::key(self.store.read(), id)
            .await?
            .filter(|e| is_alive(e, self.oldest_unfilled()));
        let entry = match owner {
            Some(owner) => owned(entry, id, &owner.to_string())?,
            None => entry.ok_or_else(|| unknown(id))?,
        };
        Ok(self.status_of(*id, entry.stored.as_ref()))
    }

    fn status_of(&self, id: KeyId, stored: Option<&StoredKey>) -> KeyStatus {
        KeyStatus {
            key: self.reference(id),
            stored: stored.is_some(),
            share: stored.map(|stored| stored.share),
            package: stored.map(|stored| stored.package),
        }
    }

    /// The owner's keys behind `after`, by identifier.
    pub(super) async fn keys_of(
        &self,
        owner: &Identity,
        after: Option<&KeyId>,
    ) -> Result<Vec<KeyStatus>> {
        let entries = tables::entries_of(self.store.read(), &owner.to_string(), after).await?;
        let oldest = self.oldest_unfilled();
        let alive = entries.iter().filter(|entry| is_alive(entry, oldest));
        Ok(alive.map(|entry| self.status_of(entry.id, entry.stored.as_ref())).collect())
    }

    pub(super) async fn delete(&self, owner: &Identity, id: &KeyId) -> Result<()> {
        let (id, owner) = (*id, owner.to_string());
        let entry = owned(tables::key(self.store.read(), &id).await?, &id, &owner)?;
        let on_ledger = match &entry.stored {
            Some(stored) => {
                // The version that replaces the key may just have been recorded. An older copy only
                // refuses more.
                let _ = self.copy.current(Duration::ZERO).await;
                self.copy.share(&stored.share).await.map_err(copy_problem)?
            }
            None => None,
        };
        self.write(move |tx| {
            Box::pin(async move {
                let entry = owned(tables::key(tx, &id).await?, &id, &owner)?;
                let rows = match &entry.stored {
                    Some(stored) => tables::policies(tx, &stored.share, &owner).await?,
                    None => Vec::new(),
                };
                if is_current(&rows, on_ledger.as_ref(), &id) {
                    let detail = format!("a policy names the key `{id}`, so it stays");
                    let hint =
                        "revoke the share to end all access, or publish a version with another key";
                    return Err(Problem::new(Kind::Conflict, detail).hint(hint).into());
                }
                tables::delete_key(tx, &id).await
            })
        })
        .await
    }
}

/// Whether a policy that is or may become the share's newest names `key`: one that was shown and is
/// not older than the ledger's newest, unless its provider has revoked the share.
fn is_current(rows: &[PolicyRow], on_ledger: Option<&ShareRecord>, key: &KeyId) -> bool {
    if rows.iter().any(|row| row.state == ShareState::Revoked) {
        return false;
    }
    let newest = on_ledger.map_or(0, |record| record.policy.version);
    rows.iter().any(|row| row.key == *key && row.version >= newest)
}

/// Destroys the keys of shares that ended before `before`, and those that a version of before then
/// has replaced, as this server's own copy of the ledger says.
pub(super) async fn destroy_ended(
    store: &Store,
    copy: &impl LedgerCopy,
    before: Timestamp,
) -> std::result::Result<(), Failure> {
    for (share, owner) in tables::maybe_ended(store.read(), before).await? {
        let newest = copy.share(&share).await.map_err(|e| Failure::Refused(copy_problem(e)))?;
        // What the ledger does not hold may still come.
        let Some(newest) = newest else { continue };
        let ended = newest.policy.expires <= before
            || (newest.policy.state == ShareState::Revoked && newest.time <= before);
        if !ended && newest.time > before {
            continue;
        }
        let job = store.write(move |tx| {
            Box::pin(async move {
                let rows = tables::policies(tx, &share, &owner).await?;
                let current = rows.iter().filter(|row| row.version >= newest.policy.version);
                let current: Vec<KeyId> = current.map(|row| row.key).collect();
                // A later version may make an expired share active again; it was shown first.
                let revived = rows.iter().any(|row| row.version > newest.policy.version);
                for key in tables::keys_of_share(tx, &share, &owner).await? {
                    if !current.contains(&key) || (ended && !revived) {
                        tables::delete_key(tx, &key).await?;
                    }
                }
                Ok::<_, Failure>(())
            })
        });
        job.await?;
    }
    Ok(())
}

/// Whether the entry is filled, or was registered at `oldest` or after it.
fn is_alive(entry: &KeyEntry, oldest: Timestamp) -> bool {
    entry.stored.is_some() || entry.registered >= oldest
}

/// The entry, if `owner` registered it. Whether somebody else's key exists is nobody's business.
fn owned(entry: Option<KeyEntry>, id: &KeyId, owner: &str) -> Result<KeyEntry> {
    entry.filter(|entry| entry.owner == owner).ok_or_else(|| unknown(id))
}

pub(super) fn unknown(id: &KeyId) -> Problem {
    Problem::not_found(format!("there is no key `{id}` of yours here"))
        .hint("a registration that no policy names within a day is forgotten; register anew")
}
