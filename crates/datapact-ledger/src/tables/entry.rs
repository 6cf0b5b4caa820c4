//! Entries and their receipts.

use datapact_core::contract::{Receipt, Value, access_key, usage_key};
use datapact_core::id::Timestamp;
use datapact_log::Position;
use datapact_store::{Db, StoreError, number, text};

use super::state::value;
use crate::port::{EVENTS_MAX, Event};

/// The bytes of up to `max` entries from `from` on.
pub(crate) fn entries(db: &Db, from: Position, max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
    let sql = "SELECT entry FROM ledger_entry WHERE position >= $1 ORDER BY position LIMIT $2";
    db.rows(sql, [number(from), number(max as u64)])?.iter().map(|row| row.bytes(0)).collect()
}

/// How many entries the log in `db` has.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub fn size(db: &Db) -> Result<u64, StoreError> {
    let row = db.row("SELECT MAX(position) FROM ledger_entry", [])?;
    let newest = row.map(|row| row.optional_number(0)).transpose()?.flatten();
    Ok(newest.map_or(0, |newest| newest + 1))
}

/// The time of the newest entry, in seconds since 1970; 0 when there is none.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub fn newest_time(db: &Db) -> Result<Timestamp, StoreError> {
    let sql = "SELECT time FROM ledger_entry ORDER BY position DESC LIMIT 1";
    db.row(sql, [])?.map_or(Ok(0), |row| row.number(0))
}

/// What is recorded from `from` on, in order; at most `max`, and at most [`EVENTS_MAX`].
///
/// # Errors
/// [`StoreError`] when the database fails.
pub fn events(db: &Db, from: Position, max: usize) -> Result<Vec<Event>, StoreError> {
    // What no database can hold was not recorded.
    if i64::try_from(from).is_err() {
        return Ok(Vec::new());
    }
    let sql = "SELECT position, time, receipt FROM ledger_entry \
               WHERE position >= $1 ORDER BY position LIMIT $2";
    db.rows(sql, [number(from), number(max.min(EVENTS_MAX) as u64)])?
        .iter()
        .map(|row| {
            Ok(Event { position: row.number(0)?, time: row.number(1)?, receipt: row.json(2)? })
        })
        .collect()
}

/// The position at which the log holds just this receipt.
pub(crate) fn position_of(db: &Db, receipt: &Receipt) -> Result<Option<Position>, StoreError> {
    let key = match receipt {
        Receipt::Access(record) => access_key(&record.request.request),
        Receipt::Usage(record) => usage_key(&record.usage.report),
        Receipt::Policy(record) => {
            let sql = "SELECT p.position, e.receipt FROM ledger_policy p \
                       JOIN ledger_entry e ON e.position = p.position \
                       WHERE p.share = $1 ORDER BY p.position DESC";
            for row in db.rows(sql, [text(record.policy.share)])? {
                if row.json::<Receipt>(1)? == *receipt {
                    return Ok(Some(row.number(0)?));
                }
            }
            return Ok(None);
        }
    };
    Ok(match (value(db, key)?, receipt) {
        (Some((Value::Access(stored), at)), Receipt::Access(record)) if stored == *record => {
            Some(at)
        }
        (Some((Value::Usage(stored), at)), Receipt::Usage(record)) if stored == *record => Some(at),
        _ => None,
    })
}
