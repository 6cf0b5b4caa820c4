//! The table of notifications.

use datapact_api::management::{Notification, NotificationEvent, NotificationQuery};
use datapact_core::id::{ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, StoreError, Tx, Value, json, number, text};
use serde::{Deserialize, Serialize};

/// The table of notifications.
pub(crate) const SCHEMA: Migration =
    Migration { module: "notification", version: 1, sql: include_str!("schema_1.sql") };

/// How many notifications a page holds.
const PAGE: u64 = 200;
/// How long notifications are kept after they were acknowledged, in seconds: 90 days from their
/// time.
const ACKNOWLEDGED_SECONDS: u64 = 90 * 24 * 60 * 60;

/// A notification to be added.
pub(crate) struct NewNotification {
    pub(crate) sequence: u64,
    /// Whom it is for.
    pub(crate) holder: Identity,
    /// The other user whom it names, with whom it is erased.
    pub(crate) subject: Option<Identity>,
    pub(crate) time: Timestamp,
    pub(crate) share: ShareId,
    pub(crate) event: NotificationEvent,
}

/// What has no column of its own.
#[derive(Serialize, Deserialize)]
struct Body {
    share: ShareId,
    event: NotificationEvent,
}

/// Adds notifications, in the transaction of what they tell of.
pub(crate) fn insert(tx: &Tx, new: Vec<NewNotification>) -> Result<(), StoreError> {
    let row = |new: NewNotification| {
        Ok([
            number(new.sequence),
            text(&new.holder),
            new.subject.map_or(Value::Null, text),
            number(new.time),
            json(&Body { share: new.share, event: new.event })?,
        ])
    };
    let rows = new.into_iter().map(row).collect::<Result<_, StoreError>>()?;
    tx.insert("notification (sequence, holder, subject, time, body)", rows)
}

/// Those of `holder`, oldest first.
pub(super) fn page(
    db: &Db,
    holder: &Identity,
    query: &NotificationQuery,
) -> Result<Vec<Notification>, StoreError> {
    let open = if query.all { "" } else { "AND acknowledged = 0" };
    let sql = format!(
        "SELECT sequence, time, body FROM notification \
         WHERE holder = $1 AND sequence > $2 {open} ORDER BY sequence LIMIT $3"
    );
    let found = db.rows(sql, [text(holder), number(query.after.unwrap_or(0)), number(PAGE)])?;
    let notification = |row: &datapact_store::Row| {
        let Body { share, event } = row.json(2)?;
        Ok(Notification { sequence: row.number(0)?, time: row.number(1)?, share, event })
    };
    found.iter().map(notification).collect()
}

/// Marks those of `holder` up to `sequence` as seen.
pub(super) fn acknowledge(tx: &Tx, holder: &Identity, sequence: u64) -> Result<(), StoreError> {
    let sql = "UPDATE notification SET acknowledged = 1 \
               WHERE holder = $1 AND sequence <= $2 AND acknowledged = 0";
    tx.run(sql, [text(holder), number(sequence)]).map(drop)
}

/// Deletes those that were acknowledged and are old.
pub(crate) fn forget_acknowledged(tx: &Tx, now: Timestamp) -> Result<(), StoreError> {
    let oldest = now.saturating_sub(ACKNOWLEDGED_SECONDS);
    let sql = "DELETE FROM notification WHERE time < $1 AND acknowledged = 1";
    tx.run(sql, [number(oldest)]).map(drop)
}

/// Erases those of a user, and those that name the user.
pub(crate) fn erase(tx: &Tx, identity: &Identity) -> Result<(), StoreError> {
    let sql = "DELETE FROM notification WHERE holder = $1 OR subject = $1";
    tx.run(sql, [text(identity)]).map(drop)
}
