//! The contract's state: shares, accesses and counters.

use datapact_core::contract::{
    AccessRecord, Counter, Receipt, ShareRecord, Value, access_key, counter_key, share_key,
};
use datapact_core::id::{Commitment, Digest, ShareId};
use datapact_log::Position;
use datapact_store::{Db, Group, Store, StoreError, number, text};

use super::batch::Overlay;
use crate::port::GrantedAccess;

/// Reads values of the contract's state, by their keys, for all who wait.
pub(crate) type States = Group<Vec<String>, Overlay, StoreError>;

/// The states in `store`.
pub(crate) fn states(store: &Store) -> States {
    Group::reading(store.clone(), |db: &Db, asked: Vec<Vec<String>>| {
        let all = Overlay::load(db, asked.iter().flatten().cloned())?;
        Ok(asked.into_iter().map(|keys| Ok(all.part(keys))).collect())
    })
}

pub(super) fn value(db: &Db, key: String) -> Result<Option<(Value, Position)>, StoreError> {
    let row = db.row("SELECT value, position FROM ledger_state WHERE key = $1", [key.into()])?;
    row.map(|row| Ok((row.json(0)?, row.number(1)?))).transpose()
}

pub(crate) fn share(db: &Db, share: &ShareId) -> Result<Option<ShareRecord>, StoreError> {
    value(db, share_key(share))?.map(of_share).transpose()
}

pub(crate) fn access(
    db: &Db,
    request: &Digest,
) -> Result<Option<(Position, AccessRecord)>, StoreError> {
    match value(db, access_key(request))? {
        None => Ok(None),
        Some((Value::Access(record), position)) => Ok(Some((position, record))),
        Some(_) => Err(misplaced()),
    }
}

pub(crate) fn counter(
    db: &Db,
    share: &ShareId,
    consumer: &Commitment,
) -> Result<Counter, StoreError> {
    of_counter(value(db, counter_key(share, consumer))?)
}

/// The newest policy of a share, and how many accesses a consumer was granted on it.
pub(crate) async fn standing(
    states: &States,
    share: &ShareId,
    consumer: &Commitment,
) -> Result<(Option<ShareRecord>, Counter), StoreError> {
    let (share, counter) = (share_key(share), counter_key(share, consumer));
    let mut found = states.ask(vec![share.clone(), counter.clone()]).await?;
    Ok((found.take(&share).map(of_share).transpose()?, of_counter(found.take(&counter))?))
}

fn of_share(value: (Value, Position)) -> Result<ShareRecord, StoreError> {
    match value {
        (Value::Share(record), _) => Ok(record),
        _ => Err(misplaced()),
    }
}

fn of_counter(value: Option<(Value, Position)>) -> Result<Counter, StoreError> {
    match value {
        None => Ok(Counter { granted: 0 }),
        Some((Value::Counter(counter), _)) => Ok(counter),
        Some(_) => Err(misplaced()),
    }
}

/// A granted access to `share`, the share's newest policy, and the one by which the access was
/// decided.
pub(crate) async fn granted_access(
    states: &States,
    store: &Store,
    share: &ShareId,
    request: &Digest,
) -> Result<Option<GrantedAccess>, StoreError> {
    let (of_access, of_share) = (access_key(request), share_key(share));
    let mut found = states.ask(vec![of_access.clone(), of_share.clone()]).await?;
    let (access, newest) = match (found.take(&of_access), found.take(&of_share)) {
        (Some(access), Some(newest)) => (access, newest),
        _ => return Ok(None),
    };
    let (Value::Access(record), position) = access else { return Err(misplaced()) };
    let (Value::Share(newest), set) = newest else { return Err(misplaced()) };
    if record.request.share != *share {
        return Ok(None);
    }
    // A policy that was set before the access, and is the newest even now, was the newest then.
    let of_record = if set < position {
        newest.clone()
    } else {
        let share = *share;
        let before = store.read(move |db| policy_before(db, &share, position)).await?;
        before.ok_or_else(|| StoreError::Damaged("an access is without its policy".to_owned()))?
    };
    Ok(Some(GrantedAccess { position, record, newest, of_record }))
}

pub(crate) fn policy_before(
    db: &Db,
    share: &ShareId,
    before: Position,
) -> Result<Option<ShareRecord>, StoreError> {
    let sql = "SELECT receipt FROM ledger_entry WHERE position = \
               (SELECT MAX(position) FROM ledger_policy WHERE share = $1 AND position < $2)";
    match db.row(sql, [text(share), number(before)])?.map(|row| row.json(0)).transpose()? {
        None => Ok(None),
        Some(Receipt::Policy(record)) => Ok(Some(record)),
        Some(_) => Err(misplaced()),
    }
}

fn misplaced() -> StoreError {
    StoreError::Damaged(
        "a value of the contract's state is of another kind than its key".to_owned(),
    )
}
