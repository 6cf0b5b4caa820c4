//! The end of keys: they are destroyed some time after their shares have ended.

use datapact_core::contract::ShareRecord;
use datapact_core::id::{KeyId, ShareId, Timestamp};
use datapact_core::policy::ShareState;
use datapact_store::{Store, StoreError, Tx};

use super::table;
use crate::key::failure::Result;
use crate::key::policy::table::policies;
use crate::key::replica::Replica;

/// Destroys the keys of shares that ended before `before`, and those that a version of before then
/// has replaced, as this server's own copy of the ledger says.
pub(in crate::key) async fn destroy_ended(
    store: &Store,
    replica: &Replica,
    before: Timestamp,
    now: Timestamp,
) -> Result<()> {
    for (share, owner) in store.read(move |db| table::maybe_ended(db, before)).await? {
        // What the ledger does not hold may still come.
        let Some(newest) = replica.share(&share).await? else { continue };
        let has_ended = newest.policy.expires <= before
            || (newest.policy.state == ShareState::Revoked && newest.time <= before);
        if !has_ended && newest.time > before {
            continue;
        }
        let end = End { newest, has_ended, now };
        store.write(move |tx| destroy(tx, &share, &owner, &end)).await?;
    }
    Ok(())
}

/// What is known of a share when its keys are destroyed.
struct End {
    /// The newest version on the ledger.
    newest: ShareRecord,
    has_ended: bool,
    /// The time now.
    now: Timestamp,
}

/// Destroys the keys of `share` that no policy from the newest on names, or all if it has ended.
fn destroy(
    tx: &Tx,
    share: &ShareId,
    owner: &str,
    End { newest, has_ended, now }: &End,
) -> std::result::Result<(), StoreError> {
    let rows = policies(tx, share, owner)?;
    let current = rows.iter().filter(|row| row.version >= newest.policy.version);
    let current: Vec<KeyId> = current.map(|row| row.data.key).collect();
    // A later version may make an expired share active again; it was shown first.
    let is_revived = rows.iter().any(|row| row.version > newest.policy.version);
    for key in table::keys_of_share(tx, share, owner)? {
        if !current.contains(&key) || (*has_ended && !is_revived) {
            table::delete(tx, &key, *now)?;
        }
    }
    Ok(())
}
