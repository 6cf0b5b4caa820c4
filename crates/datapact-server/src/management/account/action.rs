//! The record of what administrators do: only ever added to, each entry naming its predecessor's
//! digest and the signed statement of the call.

use std::sync::Arc;

use datapact_api::gate::Caller;
use datapact_api::management::{Action, ActionRecord, Deed};
use datapact_core::id::{AccountId, Digest, Timestamp};
use datapact_store::{Db, Tx, json, number, text};

use crate::management::failure::Result;

/// How many actions a page holds.
const PAGE: u64 = 200;

/// Who does something, with the evidence.
pub(crate) struct Author {
    /// None when management does it on its own.
    pub(crate) actor: Option<AccountId>,
    pub(crate) statement: Option<Arc<str>>,
}

impl Author {
    pub(crate) fn of(actor: AccountId, caller: &Caller) -> Self {
        Self { actor: Some(actor), statement: caller.statement.clone() }
    }
}

/// Adds an action, in the transaction that does it; its sequence.
pub(crate) fn record(tx: &Tx, time: Timestamp, author: &Author, deed: Deed) -> Result<u64> {
    let last = tx.row("SELECT sequence, digest FROM action ORDER BY sequence DESC LIMIT 1", [])?;
    let (before, previous) = match last {
        Some(row) => (row.number(0)?, Some(row.parse(1)?)),
        None => (0, None),
    };
    let record = ActionRecord {
        sequence: before + 1,
        time,
        actor: author.actor,
        deed,
        statement: author.statement.as_ref().map(|statement| Digest::of(statement.as_bytes())),
        previous,
    };
    let row = [
        number(record.sequence),
        json(&record)?,
        text(record.digest()),
        author.actor.map(text).into(),
        author.statement.as_deref().into(),
    ];
    tx.insert("action (sequence, record, digest, actor, statement)", vec![row])?;
    Ok(record.sequence)
}

/// The actions behind the one numbered `after`.
pub(super) fn page(db: &Db, after: u64) -> Result<Vec<Action>> {
    let sql = "SELECT record, statement FROM action WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    let found = db.rows(sql, [number(after), number(PAGE)])?;
    found
        .iter()
        .map(|row| Ok(Action { record: row.json(0)?, statement: row.optional_text(1)? }))
        .collect()
}
