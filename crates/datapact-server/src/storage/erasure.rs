//! What the storage server forgets of an erased user, and forgets again where a restored database
//! has brought it back (PR-1).

use datapact_core::id::Timestamp;
use datapact_core::identity::Identity;
use datapact_store::{StoreError, Tx};

use super::registry::table;
use crate::erasures::personal::{By, Personal};
use crate::erasures::secret::Subject;
use crate::erasures::{self, Erased};
use crate::users::{Marker, Users};

/// The tables that name users.
pub(crate) const PERSONAL: &[Personal] =
    &[Personal::rows("package", &[By::User("t.realm || ':' || t.subject")])];

/// Forgets the registrations of an erased user, and notes it with the `sequence` of management's
/// notice; the objects that they named.
pub(super) fn erase(
    tx: &Tx,
    identity: &Identity,
    marker: &Marker,
    sequence: u64,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let mark = marker.digest(identity);
    erasures::note(tx, &Erased::User { mark, sequence }, &Subject::User(mark), now)?;
    table::erase(tx, identity)
}

/// Forgets again what `journaled` says: a restored database may hold it. The objects are deleted
/// with all others that no registration names.
pub(super) fn apply(
    tx: &Tx,
    journaled: &[Erased],
    marker: &Marker,
    now: Timestamp,
) -> Result<(), StoreError> {
    for erased in journaled {
        let Erased::User { mark, sequence } = erased else { continue };
        if Users::refuse(tx, &mark.to_string(), *sequence)? {
            for provider in table::providers(tx)? {
                if marker.digest(&provider) == *mark {
                    table::erase(tx, &provider)?;
                    erasures::note_rest(tx, now)?;
                }
            }
        }
    }
    Ok(())
}
