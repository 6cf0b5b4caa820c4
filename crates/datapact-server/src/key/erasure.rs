//! What the key server destroys of an erased user, and destroys again where a restored database has
//! brought it back (PR-1).

use std::collections::HashMap;

use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Db, StoreError, Tx};

use super::{custody, policy, release};
use crate::erasures::personal::{By, Personal};
use crate::erasures::secret::Subject;
use crate::erasures::{self, Erased};
use crate::users::{Marker, Users};

/// The tables that name users, or hold keys.
pub(crate) const PERSONAL: &[Personal] = &[
    // A registration without a key is no key's.
    Personal::rows(
        "key_entry",
        &[By::User("t.owner"), By::Key("CASE WHEN t.sealed IS NOT NULL THEN t.id END")],
    ),
    Personal::rows("key_policy", &[By::User("t.owner")]),
    Personal::rows("key_consumer", &[By::User("t.identity")]),
    Personal::rows("key_release", &[By::User("t.consumer"), By::User("t.owner")]),
    Personal::rows("key_release_erasure", &[By::User("t.owner")]),
    Personal::rows("key_erasure", &[By::User("t.signer")]),
];

/// Destroys what names an erased user, and notes it with the `sequence` of management's notice.
pub(super) fn erase(
    tx: &Tx,
    identity: &Identity,
    marker: &Marker,
    sequence: u64,
    now: Timestamp,
) -> Result<(), StoreError> {
    destroy(tx, identity, marker)?;
    let mark = marker.digest(identity);
    erasures::note(tx, &Erased::User { mark, sequence }, &Subject::User(mark), now)
}

fn destroy(tx: &Tx, identity: &Identity, marker: &Marker) -> Result<(), StoreError> {
    // Its releases first: what they say of it becomes marks on the shares.
    release::table::erase(tx, identity, |share| marker.on_share(identity, share))?;
    release::erasure::erase(tx, identity)?;
    policy::table::erase(tx, identity)?;
    custody::table::erase(tx, identity)
}

/// Destroys again what `journaled` says: a restored database may hold it.
pub(super) fn apply(
    tx: &Tx,
    journaled: &[Erased],
    marker: &Marker,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut named = None;
    for erased in journaled {
        match erased {
            Erased::Account(_) => {}
            Erased::Key(id) => {
                if custody::table::forget(tx, id)? {
                    erasures::note_rest(tx, now)?;
                }
            }
            Erased::User { mark, sequence } => {
                if !Users::refuse(tx, &mark.to_string(), *sequence)? {
                    continue;
                }
                let named = match &mut named {
                    Some(named) => named,
                    None => named.insert(identities(tx, marker)?),
                };
                if let Some(identity) = named.get(mark) {
                    destroy(tx, identity, marker)?;
                    erasures::note_rest(tx, now)?;
                }
            }
        }
    }
    Ok(())
}

/// The users whom the tables name, by their marks.
fn identities(db: &Db, marker: &Marker) -> Result<HashMap<Digest, Identity>, StoreError> {
    let sql = "SELECT owner FROM key_entry UNION SELECT owner FROM key_policy \
               UNION SELECT identity FROM key_consumer UNION SELECT consumer FROM key_release \
               UNION SELECT owner FROM key_release UNION SELECT owner FROM key_release_erasure \
               UNION SELECT signer FROM key_erasure WHERE signer IS NOT NULL";
    let by_mark = |row: &datapact_store::Row| {
        let identity: Identity = row.parse(0)?;
        Ok((marker.digest(&identity), identity))
    };
    db.rows(sql, [])?.iter().map(by_mark).collect()
}
