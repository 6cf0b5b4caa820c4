//! Reading the rows of a database for its backup, each encrypted if it names a person.

use std::collections::BTreeSet;
use std::sync::Arc;

use datapact_store::{Db, Row, StoreError, Value, number, text};
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc;

use super::NOT_COPIED;
use crate::erasures::personal::Personal;
use crate::erasures::secret::{self, Secret, Secrets, Subject};
use crate::users::Marker;

/// How many rows are read at once.
const PAGE: u64 = 500;
/// The statement that adds an encrypted row.
const SEAL: &str = "INSERT INTO sealed_row (source, numbers, row, part_number, part, remains) \
                    VALUES ($1, $2, $3, $4, $5, $6)";

type Result<T> = std::result::Result<T, StoreError>;

/// Rows for one statement.
pub(super) struct Copied {
    pub(super) sql: Arc<str>,
    pub(super) rows: Vec<Vec<Value>>,
}

/// Why the copy stopped.
pub(super) enum Stop {
    /// A person or key has come for whom no secret is drawn yet.
    NoSecret,
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The tables that are copied, in the order in which they were made.
pub(super) fn tables(db: &Db) -> Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' \
               AND name NOT LIKE 'sqlite_%' ORDER BY rowid";
    let names = db.rows(sql, [])?.iter().map(|row| row.text(0)).collect::<Result<Vec<_>>>()?;
    Ok(names.into_iter().filter(|name| !NOT_COPIED.contains(&name.as_str())).collect())
}

/// The columns of a table.
pub(super) fn columns(db: &Db, table: &str) -> Result<Vec<String>> {
    let rows = db.rows("SELECT name FROM pragma_table_info($1)", [text(table)])?;
    rows.iter().map(|row| row.text(0)).collect()
}

/// Whom the tables name, and the keys that they hold.
pub(super) fn subjects(
    db: &Db,
    personal: &[Personal],
    marker: &Marker,
) -> Result<BTreeSet<Subject>> {
    let mut subjects = BTreeSet::new();
    for Personal { table, of, part, .. } in personal {
        for by in of.iter().chain(part.as_ref().map(|part| &part.of)) {
            let sql = format!("SELECT DISTINCT {} FROM \"{table}\" t", by.sql());
            for row in db.rows(sql, [])? {
                by.read(&row, 0, marker, &mut subjects)?;
            }
        }
    }
    Ok(subjects)
}

/// Gives all rows of the database, as of one moment.
pub(super) fn copy_out(
    db: &Db,
    personal: &[Personal],
    secrets: &Secrets,
    marker: &Marker,
    out: &mpsc::Sender<Copied>,
) -> std::result::Result<(), Stop> {
    // Ended with the connection.
    db.rows("BEGIN", [])?;
    for table in tables(db)? {
        let personal = personal.iter().find(|personal| personal.table == table);
        let columns = columns(db, &table)?;
        let (sql, insert) = statements(&table, &columns, personal);
        let mut after = 0;
        loop {
            let page = db.rows(&sql, [number(after), number(PAGE)])?;
            let Some(last) = page.last() else { break };
            after = last.number(0)?;
            let seal = |row: Row| match personal {
                None => Ok(row.into_values().into_iter().skip(1).collect()),
                Some(personal) => Sealing { personal, columns: &columns, secrets, marker }.row(row),
            };
            let rows =
                page.into_iter().map(seal).collect::<std::result::Result<Vec<Vec<_>>, Stop>>()?;
            let closed = |_| Stop::Store(StoreError::Closed);
            out.blocking_send(Copied { sql: Arc::clone(&insert), rows }).map_err(closed)?;
        }
    }
    Ok(())
}

/// What reads a page of a table, and what writes one of its rows. What is read is the row's number,
/// the columns, and whom the row and its part name.
fn statements(table: &str, columns: &[String], personal: Option<&Personal>) -> (String, Arc<str>) {
    let mut read = vec!["t.rowid".to_owned()];
    read.extend(columns.iter().map(|column| format!("t.\"{column}\"")));
    let quoted = columns.iter().map(|column| format!("\"{column}\""));
    let insert: Arc<str> = match personal {
        Some(Personal { of, part, .. }) => {
            let by = of.iter().chain(part.as_ref().map(|part| &part.of));
            read.extend(by.map(|by| by.sql().to_owned()));
            SEAL.into()
        }
        None => {
            let places: Vec<_> = (1..=columns.len()).map(|n| format!("${n}")).collect();
            let (into, values) = (quoted.collect::<Vec<_>>().join(", "), places.join(", "));
            format!("INSERT INTO \"{table}\" ({into}) VALUES ({values})").into()
        }
    };
    let read = read.join(", ");
    let page =
        format!("SELECT {read} FROM \"{table}\" t WHERE t.rowid > $1 ORDER BY t.rowid LIMIT $2");
    (page, insert)
}

/// Encrypts the rows of a table.
struct Sealing<'a> {
    personal: &'a Personal,
    columns: &'a [String],
    secrets: &'a Secrets,
    marker: &'a Marker,
}

impl Sealing<'_> {
    /// The values of [`SEAL`].
    fn row(&self, row: Row) -> std::result::Result<Vec<Value>, Stop> {
        let Personal { table, of, part, remains } = self.personal;
        let mut subjects = BTreeSet::new();
        let mut at = 1 + self.columns.len();
        for by in *of {
            by.read(&row, at, self.marker, &mut subjects)?;
            at += 1;
        }
        let mut of_part = BTreeSet::new();
        if let Some(part) = part {
            part.of.read(&row, at, self.marker, &mut of_part)?;
        }
        let mut values = Map::new();
        for (column, value) in self.columns.iter().zip(row.into_values().into_iter().skip(1)) {
            values.insert(column.clone(), json(value)?);
        }
        let remains = remains.as_ref().map(|remains| {
            let column = |name: &&str| values.get(*name).cloned().unwrap_or_default();
            Json::Array(remains.columns.iter().map(column).collect()).to_string()
        });
        let (part_number, sealed_part) = match (part, of_part.first()) {
            (Some(part), Some(subject)) => {
                let secret = self.secret(subject)?;
                let emptied = part.emptied.map_or(Json::Null, Json::from);
                let value = values.insert(part.column.to_owned(), emptied).unwrap_or_default();
                let sealed = seal(&[secret], table, &value)?;
                (Value::from(secret.number.clone()), Value::from(sealed))
            }
            _ => (Value::Null, Value::Null),
        };
        let secrets = subjects.iter().map(|subject| self.secret(subject));
        let secrets = secrets.collect::<std::result::Result<Vec<_>, Stop>>()?;
        let numbers: Vec<_> = secrets.iter().map(|secret| secret.number.as_str()).collect();
        Ok(vec![
            text(table),
            text(numbers.join(" ")),
            seal(&secrets, table, &Json::Object(values))?.into(),
            part_number,
            sealed_part,
            remains.into(),
        ])
    }

    fn secret(&self, subject: &Subject) -> std::result::Result<&Secret, Stop> {
        self.secrets.get(&subject.to_string()).ok_or(Stop::NoSecret)
    }
}

fn seal(secrets: &[&Secret], table: &str, value: &Json) -> Result<Vec<u8>> {
    let sealed = secret::seal(secrets, table, value.to_string().into_bytes());
    sealed.ok_or_else(|| StoreError::Damaged("a row that cannot be encrypted".to_owned()))
}

fn json(value: Value) -> Result<Json> {
    match value {
        Value::Null => Ok(Json::Null),
        Value::Integer(number) => Ok(number.into()),
        Value::Text(text) => Ok(text.into()),
        Value::Blob(_) => Err(StoreError::Damaged("bytes in a table that names people".to_owned())),
    }
}
