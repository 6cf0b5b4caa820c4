//! The record of what administrators do: only ever added to, each entry naming its predecessor's
//! digest and the signed statement of the call.

use std::sync::Arc;

use datapact_api::gate::Caller;
use datapact_api::management::{Action, ActionRecord, Deed};
use datapact_core::id::{AccountId, Digest, Timestamp};
use sea_orm::ConnectionTrait;

use super::Session;
use super::failure::Result;
use super::schema::{json, number, row, rows, run, text};

/// How many actions a page holds.
const PAGE: u64 = 200;

/// Who does something, with the evidence.
pub(super) struct Author {
    pub(super) actor: Option<AccountId>,
    pub(super) statement: Option<Arc<str>>,
}

impl Author {
    pub(super) fn of(actor: AccountId, caller: &Caller) -> Self {
        Self { actor: Some(actor), statement: caller.statement.clone() }
    }
}

/// Adds an action, in the transaction that does it; its sequence.
pub(super) async fn record(
    on: &impl ConnectionTrait,
    time: Timestamp,
    author: &Author,
    deed: Deed,
) -> Result<u64> {
    let last =
        row(on, "SELECT sequence, digest FROM action ORDER BY sequence DESC LIMIT 1", []).await?;
    let (before, previous) = match last {
        Some(row) => (row.number(0)?, row.parse(1)?),
        None => (0, Digest([0; 32])),
    };
    let record = ActionRecord {
        sequence: before + 1,
        time,
        actor: author.actor,
        deed,
        statement: author.statement.as_ref().map(|statement| Digest::of(statement.as_bytes())),
        previous,
    };
    let sql = "INSERT INTO action (sequence, record, digest, actor, statement) VALUES ($1, $2, $3, $4, $5)";
    let values = [
        number(record.sequence),
        json(&record)?,
        text(record.digest()),
        author.actor.map(|actor| actor.to_string()).into(),
        author.statement.as_deref().map(str::to_owned).into(),
    ];
    run(on, sql, values).await?;
    Ok(record.sequence)
}

impl Session {
    pub(super) async fn actions_after(&self, after: u64) -> Result<Vec<Action>> {
        self.administrator().await?;
        let sql =
            "SELECT record, statement FROM action WHERE sequence > $1 ORDER BY sequence LIMIT $2";
        let found = rows(self.service.store.read(), sql, [number(after), number(PAGE)]).await?;
        found
            .iter()
            .map(|row| Ok(Action { record: row.json(0)?, statement: row.optional(1)? }))
            .collect()
    }
}
