//! Management's tables, in the same database as the embedded ledger's, and the few words of SQL
//! around them.
//!
//! An identity stands as its text, `realm:subject`; ids and digests as hexadecimal; what is only
//! read back whole as JSON; truth values as 0 and 1. All of it is SQL that SQLite and PostgreSQL
//! share.

use std::str::FromStr;

use datapact_ledger::store::{Migration, StoreError, padded, placeholders, statement};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The tables of management, for [`datapact_ledger::Store::open`].
pub(super) const MIGRATIONS: &[Migration] = &[
    crate::users::MARKS,
    Migration { module: "management", version: 1, statements: FIRST },
    Migration { module: "management", version: 2, statements: ADMINISTRATION },
    Migration { module: "management", version: 3, statements: RETENTION },
    Migration { module: "management", version: 4, statements: SEARCH },
    Migration { module: "management", version: 5, statements: PAGES },
];

/// A provider's shares, page by page.
const PAGES: &[&str] =
    &["DROP INDEX share_provider", "CREATE INDEX share_provider ON share (provider, event)"];

/// What administrators do, and what is left of users who were erased.
const ADMINISTRATION: &[&str] = &[
    "ALTER TABLE account ADD COLUMN erase_at BIGINT",
    // The sequence of the action that last set the status.
    "ALTER TABLE account ADD COLUMN noticed BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE publication ADD COLUMN share TEXT",
    "CREATE INDEX publication_share ON publication (share)",
    // Whom else a notification names.
    "ALTER TABLE notification ADD COLUMN subject TEXT",
    "CREATE INDEX notification_subject ON notification (subject)",
    "CREATE INDEX salt_identity ON salt (identity)",
    // Only ever added to; but a statement is erased with its signer.
    "CREATE TABLE action (sequence BIGINT NOT NULL PRIMARY KEY, record TEXT NOT NULL, digest TEXT NOT NULL, \
     actor TEXT, statement TEXT)",
    "CREATE INDEX action_actor ON action (actor)",
    // What the other servers are still to be told of users.
    "CREATE TABLE notice (server TEXT NOT NULL, identity TEXT NOT NULL, status TEXT NOT NULL, \
     sequence BIGINT NOT NULL, PRIMARY KEY (server, identity))",
    // Entries of the ledger whose documents were erased.
    "CREATE TABLE erasure (position BIGINT NOT NULL PRIMARY KEY, share TEXT NOT NULL, provider TEXT NOT NULL, \
     time BIGINT NOT NULL)",
    "CREATE INDEX erasure_provider ON erasure (provider, position)",
    // Live shares that erased users had a count on, by their marks: who comes again gets no second
    // one.
    "CREATE TABLE tombstone (share TEXT NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (share, mark))",
    // Salts of erased users whom a live policy names: erased when that ends.
    "CREATE TABLE salt_later (share TEXT NOT NULL, identity TEXT NOT NULL, PRIMARY KEY (share, identity))",
];

/// What is kept until it is acknowledged, and what is deleted when its time is over.
const RETENTION: &[&str] = &[
    "ALTER TABLE notification ADD COLUMN acknowledged BIGINT NOT NULL DEFAULT 0",
    // The ledger's time of the newest version, and whether its package was deleted since.
    "ALTER TABLE share ADD COLUMN changed BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE share ADD COLUMN package_gone BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX share_expires ON share (package_gone, expires)",
    // Packages of earlier versions that later ones do not name.
    "CREATE TABLE replaced (package TEXT NOT NULL PRIMARY KEY, address TEXT NOT NULL, time BIGINT NOT NULL)",
    "CREATE INDEX replaced_time ON replaced (time)",
];

/// What shares are found by.
const SEARCH: &[&str] = &[
    "DROP TABLE category",
    "CREATE TABLE term (share TEXT NOT NULL, term TEXT NOT NULL, event BIGINT NOT NULL, \
     PRIMARY KEY (share, term))",
    "CREATE INDEX term_event ON term (term, event, share)",
    // 0 not yet, 1 yes, 2 no longer, since it has expired.
    "ALTER TABLE share ADD COLUMN indexed BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE share ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE share ADD COLUMN price BIGINT",
    "ALTER TABLE share ADD COLUMN currency TEXT",
    "CREATE INDEX share_indexed ON share (indexed, expires)",
];

const FIRST: &[&str] = &[
    "CREATE TABLE account (id TEXT NOT NULL PRIMARY KEY, identity TEXT NOT NULL UNIQUE, role TEXT NOT NULL, \
         attributes TEXT NOT NULL, active BIGINT NOT NULL, created BIGINT NOT NULL)",
    "CREATE TABLE invitation (code TEXT NOT NULL PRIMARY KEY, realm TEXT NOT NULL, role TEXT NOT NULL, \
         attributes TEXT NOT NULL, expires BIGINT NOT NULL, account TEXT)",
    // What opens commitments. Deleting a row erases the link between the ledger and a person.
    "CREATE TABLE salt (share TEXT NOT NULL, identity TEXT NOT NULL, salt TEXT NOT NULL, \
         PRIMARY KEY (share, identity))",
    // Calls that may or may not be on the ledger yet, by the id of the document behind them.
    "CREATE TABLE intent (id TEXT NOT NULL PRIMARY KEY, call TEXT NOT NULL, documents TEXT NOT NULL)",
    // One row: the ledger's position up to which everything below is applied, and the numbers given
    // out last.
    "CREATE TABLE projection (id BIGINT NOT NULL PRIMARY KEY, next BIGINT NOT NULL, event BIGINT NOT NULL, \
         sequence BIGINT NOT NULL)",
    "INSERT INTO projection (id, next, event, sequence) VALUES (1, 0, 0, 0)",
    "CREATE TABLE policy (id TEXT NOT NULL PRIMARY KEY, share TEXT NOT NULL, version BIGINT NOT NULL, \
         provider TEXT NOT NULL, position BIGINT NOT NULL, document TEXT NOT NULL)",
    // The newest version of each share, with what is searched for.
    "CREATE TABLE share (id TEXT NOT NULL PRIMARY KEY, provider TEXT NOT NULL, realm TEXT NOT NULL, \
         policy TEXT NOT NULL, event BIGINT NOT NULL, state TEXT NOT NULL, expires BIGINT NOT NULL, \
         words TEXT NOT NULL, entry TEXT NOT NULL, accesses BIGINT NOT NULL)",
    "CREATE INDEX share_event ON share (event)",
    "CREATE INDEX share_provider ON share (provider)",
    "CREATE TABLE category (share TEXT NOT NULL, category TEXT NOT NULL, PRIMARY KEY (share, category))",
    "CREATE INDEX category_share ON category (category, share)",
    "CREATE TABLE access (request TEXT NOT NULL PRIMARY KEY, share TEXT NOT NULL, provider TEXT NOT NULL, \
         consumer TEXT NOT NULL, position BIGINT NOT NULL, record TEXT NOT NULL, document TEXT NOT NULL)",
    "CREATE INDEX access_consumer ON access (consumer, position)",
    "CREATE INDEX access_provider ON access (provider, position)",
    "CREATE TABLE usage (report TEXT NOT NULL PRIMARY KEY, share TEXT NOT NULL, provider TEXT NOT NULL, \
         consumer TEXT NOT NULL, position BIGINT NOT NULL, record TEXT NOT NULL, document TEXT NOT NULL)",
    "CREATE INDEX usage_consumer ON usage (consumer, position)",
    "CREATE INDEX usage_provider ON usage (provider, position)",
    // The outbox: what subscribers and users are told.
    "CREATE TABLE publication (event BIGINT NOT NULL PRIMARY KEY, entry TEXT NOT NULL)",
    "CREATE TABLE notification (sequence BIGINT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, \
         time BIGINT NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX notification_time ON notification (time)",
    "CREATE INDEX notification_holder ON notification (holder, sequence)",
];

/// A parameter from anything that has a text.
pub(super) fn text(value: impl ToString) -> Value {
    value.to_string().into()
}

/// A parameter from a number; none that this program counts exceeds 63 bits.
pub(super) fn number(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

/// A parameter from something kept as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Value, StoreError> {
    let text = serde_json::to_string(value).map_err(|e| damaged(&e))?;
    Ok(text.into())
}

/// Runs a statement and says how many rows it changed.
pub(super) async fn run(
    on: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    Ok(on.execute_raw(statement(on, sql, values)).await?.rows_affected())
}

/// The rows that a query finds.
pub(super) async fn rows(
    on: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<Row>, StoreError> {
    Ok(on.query_all_raw(statement(on, sql, values)).await?.into_iter().map(Row).collect())
}

/// The one row that a query finds.
pub(super) async fn row(
    on: &impl ConnectionTrait,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<Row>, StoreError> {
    Ok(on.query_one_raw(statement(on, sql, values)).await?.map(Row))
}

/// The rows that a query finds by any of `values`; `sql` ends before their list.
pub(super) async fn rows_of(
    on: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<Row>, StoreError> {
    let values = padded(values.into_iter().collect());
    match values.len() {
        0 => Ok(Vec::new()),
        count => rows(on, format!("{sql} {}", placeholders(on, 1, count)), values).await,
    }
}

/// Deletes what has any of `values`; `sql` ends before their list.
pub(super) async fn delete_of(
    on: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<(), StoreError> {
    match values.len() {
        0 => Ok(()),
        count => run(on, &format!("{sql} {}", placeholders(on, 1, count)), values).await.map(drop),
    }
}

/// Inserts rows; `into` is a table's name and its columns.
pub(super) async fn insert<const N: usize>(
    on: &impl ConnectionTrait,
    into: &str,
    rows: Vec<[Value; N]>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!("INSERT INTO {into} VALUES {}", placeholders(on, rows.len(), N));
    run(on, &sql, rows.into_iter().flatten()).await.map(drop)
}

/// A row, read by position.
pub(super) struct Row(QueryResult);

impl Row {
    pub(super) fn text(&self, index: usize) -> Result<String, StoreError> {
        Ok(self.0.try_get_by_index(index)?)
    }

    pub(super) fn number(&self, index: usize) -> Result<u64, StoreError> {
        u64::try_from(self.0.try_get_by_index::<i64>(index)?).map_err(|e| damaged(&e))
    }

    /// A number that an aggregate may leave empty.
    pub(super) fn number_or(&self, index: usize, default: u64) -> Result<u64, StoreError> {
        match self.0.try_get_by_index::<Option<i64>>(index)? {
            Some(number) => u64::try_from(number).map_err(|e| damaged(&e)),
            None => Ok(default),
        }
    }

    /// A number that may be missing.
    pub(super) fn number_if_any(&self, index: usize) -> Result<Option<u64>, StoreError> {
        let number = self.0.try_get_by_index::<Option<i64>>(index)?;
        number.map(|number| u64::try_from(number).map_err(|e| damaged(&e))).transpose()
    }

    pub(super) fn optional(&self, index: usize) -> Result<Option<String>, StoreError> {
        Ok(self.0.try_get_by_index(index)?)
    }

    pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(
        &self,
        index: usize,
    ) -> Result<T, StoreError> {
        self.text(index)?.parse().map_err(|e: T::Err| damaged(&e))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, index: usize) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(index)?).map_err(|e| damaged(&e))
    }
}

/// A signed document, kept as its compact serialization.
impl Row {
    pub(super) fn signed<B: datapact_core::document::Body>(
        &self,
        index: usize,
    ) -> Result<datapact_core::jws::Signed<B>, StoreError> {
        datapact_core::jws::Signed::parse(&self.text(index)?).map_err(|e| damaged(&e))
    }
}

fn damaged(error: &impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(error.to_string())
}
