//! Registering, storing and deleting keys (KS-1 to KS-3, KS-6; SH-2).

use datapact_api::key_server::{KeyStatus, StoreKey};
use datapact_api::problem::{Kind, Problem, Result};
use datapact_core::id::{KeyId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::permission::KeyReference;

use super::KeyService;
use super::kek::{self, Bound, KEK_VERSION};
use super::tables::{self, KeyEntry, StoredKey};

/// How long a registration waits to be filled, in seconds: a day.
pub(super) const UNFILLED_SECONDS_MAX: u64 = 24 * 60 * 60;
/// How many registrations of one provider may wait at a time.
pub const UNFILLED_MAX: u64 = 100;
/// How many keys one provider may keep.
pub const KEYS_MAX: u64 = 100_000;

impl KeyService {
    fn reference(&self, id: KeyId) -> KeyReference {
        KeyReference { id, address: self.address(&id) }
    }

    /// The URL to get a key from.
    pub(super) fn address(&self, id: &KeyId) -> String {
        format!("{}/v1/keys/{id}", self.url)
    }

    pub(super) async fn register(&self, owner: &Identity) -> Result<KeyReference> {
        let (id, owner, now) = (KeyId::random(), owner.to_string(), (self.clock)());
        self.write(move |tx| {
            Box::pin(async move {
                tables::forget_unpublished(tx, oldest_unfilled(now)).await?;
                if tables::keys_of(tx, &owner, false).await? >= UNFILLED_MAX {
                    let detail = format!("{UNFILLED_MAX} of your keys are registered and not yet stored");
                    let hint = "store or delete them; they are forgotten after a day";
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

    pub(super) async fn store(&self, owner: &Identity, id: &KeyId, key: &StoreKey) -> Result<KeyStatus> {
        let plain = kek::decode(&key.key)
            .ok_or_else(|| Problem::malformed("the key must be 64 lower-case hexadecimal digits"))?;
        let sealed = self.kek.seal(Bound { key: id, package: &key.package }, &plain);
        let stored = StoredKey { share: key.share, package: key.package, sealed };
        let (id, owner, now) = (*id, owner.to_string(), (self.clock)());
        let wanted = stored.clone();
        let before = self
            .write(move |tx| {
                Box::pin(async move {
                    let entry = tables::key(tx, &id).await?.filter(|entry| is_alive(entry, now));
                    let entry = owned(entry, &id, &owner)?;
                    if entry.stored.is_none() {
                        tables::fill_key(tx, &id, &wanted, KEK_VERSION).await?;
                    }
                    Ok(entry.stored)
                })
            })
            .await?;
        if let Some(before) = before {
            // A repeat is answered as the first time; the keys themselves are compared in constant time.
            let bound = Bound { key: &id, package: &before.package };
            let known = self.kek.open_sealed(bound, &before.sealed).map_err(Problem::internal)?;
            let same_key =
                aws_lc_rs::constant_time::verify_slices_are_equal(known.as_slice(), plain.as_slice()).is_ok();
            if !same_key || before.share != stored.share || before.package != stored.package {
                let detail = format!("something else is stored under the key `{id}`");
                return Err(Problem::new(Kind::Conflict, detail).hint("register a new key"));
            }
        }
        Ok(self.status_of(id, Some(&stored)))
    }

    /// The status of `id`, for its owner, or for management when `owner` is none.
    pub(super) async fn status(&self, owner: Option<&Identity>, id: &KeyId) -> Result<KeyStatus> {
        let entry = tables::key(self.store.read(), id).await?.filter(|e| is_alive(e, (self.clock)()));
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

    pub(super) async fn delete(&self, owner: &Identity, id: &KeyId) -> Result<()> {
        let (id, owner) = (*id, owner.to_string());
        self.write(move |tx| {
            Box::pin(async move {
                owned(tables::key(tx, &id).await?, &id, &owner)?;
                if tables::is_key_named(tx, &id).await? {
                    let detail = format!("a policy names the key `{id}`, so it stays");
                    let hint = "revoke the share to end all access; its key is then never released again";
                    return Err(Problem::new(Kind::Conflict, detail).hint(hint).into());
                }
                tables::delete_key(tx, &id).await
            })
        })
        .await
    }
}

pub(super) fn oldest_unfilled(now: Timestamp) -> Timestamp {
    now.saturating_sub(UNFILLED_SECONDS_MAX)
}

fn is_alive(entry: &KeyEntry, now: Timestamp) -> bool {
    entry.stored.is_some() || entry.registered >= oldest_unfilled(now)
}

/// The entry, if `owner` registered it. Whether somebody else's key exists is nobody's business.
fn owned(entry: Option<KeyEntry>, id: &KeyId, owner: &str) -> Result<KeyEntry> {
    entry.filter(|entry| entry.owner == owner).ok_or_else(|| unknown(id))
}

pub(super) fn unknown(id: &KeyId) -> Problem {
    Problem::not_found(format!("there is no key `{id}` of yours here"))
        .hint("a registration that no policy names within a day is forgotten; register anew")
}
