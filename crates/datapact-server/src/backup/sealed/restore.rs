//! Putting the encrypted rows of a backup back where they were, except those whose secrets were
//! destroyed.

use std::collections::BTreeMap;

use datapact_core::id::Timestamp;
use datapact_store::{Row, Store, StoreError, Tx, Value, number, text};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::file::{ByNumber, SecretFile};
use super::{Tables, rows};
use crate::backup::{BackupError, Result};
use crate::erasures::personal::Personal;
use crate::erasures::secret::{self, Secret};

/// How many rows are put back in one transaction.
const PAGE: u64 = 500;

/// What became of the rows that name people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Unsealed {
    /// How many are restored.
    pub restored: u64,
    /// How many are not, because someone whom they name, or the key, was erased since the backup.
    pub erased: u64,
}

/// The table and the values of a row.
type Opened = (&'static str, Map<String, Json>);

/// Puts back what `secrets` opens, in the database at `path`, which is a backup's.
pub(in crate::backup) async fn unseal(
    path: &std::path::Path,
    tables: &Tables,
    secrets: &SecretFile,
    now: Timestamp,
) -> Result<Unsealed> {
    let personal = tables.personal;
    let store = Store::open(path, &tables.with_sealed()).await?;
    let by_number = secrets
        .by_number()
        .ok_or_else(|| BackupError::from(StoreError::Damaged("the file of secrets".to_owned())))?;
    let by_number = std::sync::Arc::new(by_number);
    let (mut after, mut unsealed) = (0, Unsealed::default());
    loop {
        let by_number = std::sync::Arc::clone(&by_number);
        let page = store.write(move |tx| page(tx, personal, &by_number, after)).await?;
        let Some((last, of_page)) = page else { break };
        after = last;
        unsealed.restored += of_page.restored;
        unsealed.erased += of_page.erased;
    }
    let secrets = secrets.clone();
    store.write(move |tx| finish(tx, personal, secrets, now)).await?;
    Ok(unsealed)
}

/// Puts back a page of rows; none behind the last. Those that are erased stay in the table.
fn page(
    tx: &Tx,
    personal: &[Personal],
    secrets: &ByNumber,
    after: u64,
) -> std::result::Result<Option<(u64, Unsealed)>, StoreError> {
    let sql = "SELECT rowid, source, numbers, row, part_number, part FROM sealed_row \
               WHERE rowid > $1 ORDER BY rowid LIMIT $2";
    let found = tx.rows(sql, [number(after), number(PAGE)])?;
    let Some(last) = found.last() else { return Ok(None) };
    let mut unsealed = Unsealed::default();
    for row in &found {
        match opened(row, personal, secrets)? {
            None => unsealed.erased += 1,
            Some((table, values)) => {
                insert(tx, table, values)?;
                tx.run("DELETE FROM sealed_row WHERE rowid = $1", [number(row.number(0)?)])?;
                unsealed.restored += 1;
            }
        }
    }
    Ok(Some((last.number(0)?, unsealed)))
}

/// The table and the values of an encrypted row; none if a secret of it was destroyed.
fn opened(
    row: &Row,
    personal: &[Personal],
    secrets: &ByNumber,
) -> std::result::Result<Option<Opened>, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("an encrypted row {what}"));
    let source = row.text(1)?;
    let of_table = personal.iter().find(|personal| personal.table == source);
    let Personal { table, part, .. } = of_table.ok_or_else(|| damaged("of no table"))?;
    let numbers = row.text(2)?;
    let found: Option<Vec<&Secret>> =
        numbers.split_whitespace().map(|number| secrets.get(number)).collect();
    let Some(found) = found else { return Ok(None) };
    let altered = || damaged("was altered");
    let plain = secret::open(&found, table, &row.bytes(3)?).ok_or_else(altered)?;
    let mut values: Map<String, Json> = serde_json::from_slice(&plain).map_err(|_| altered())?;
    let part_secret = row.optional_text(4)?.and_then(|number| secrets.get(&number));
    if let (Some(part), Some(secret)) = (part, part_secret) {
        let plain = secret::open(&[secret], table, &row.bytes(5)?).ok_or_else(altered)?;
        let value = serde_json::from_slice(&plain).map_err(|_| altered())?;
        values.insert(part.column.to_owned(), value);
    }
    Ok(Some((table, values)))
}

fn insert(tx: &Tx, table: &str, values: Map<String, Json>) -> std::result::Result<(), StoreError> {
    // Names come from the backup, so only those of the table's columns are used.
    let columns = rows::columns(tx, table)?;
    let mut given = BTreeMap::new();
    for (column, value) in values {
        if !columns.contains(&column) {
            return Err(StoreError::Damaged(format!("`{table}` has no such column")));
        }
        given.insert(format!("\"{column}\""), stored(value)?);
    }
    let into = given.keys().cloned().collect::<Vec<_>>().join(", ");
    let places = (1..=given.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO \"{table}\" ({into}) VALUES ({places})");
    tx.run(sql, given.into_values()).map(drop)
}

fn stored(value: Json) -> std::result::Result<Value, StoreError> {
    match value {
        Json::Null => Ok(Value::Null),
        Json::String(text) => Ok(text.into()),
        Json::Number(number) => number
            .as_i64()
            .map(Value::from)
            .ok_or_else(|| StoreError::Damaged("a number that is too large".to_owned())),
        _ => Err(StoreError::Damaged("a value of no column".to_owned())),
    }
}

/// Leaves what an erasure leaves of the rows that were not put back, deletes them, and puts the
/// secrets in their places.
fn finish(
    tx: &Tx,
    personal: &[Personal],
    secrets: SecretFile,
    now: Timestamp,
) -> std::result::Result<(), StoreError> {
    for Personal { table, remains, .. } in personal {
        let Some(remains) = remains else { continue };
        let sql = "SELECT remains FROM sealed_row WHERE source = $1 AND remains IS NOT NULL";
        for row in tx.rows(sql, [text(table)])? {
            let columns: Vec<Json> = row.json(0)?;
            let values = columns.into_iter().map(stored);
            let mut values = values.collect::<std::result::Result<Vec<_>, StoreError>>()?;
            values.push(number(now));
            tx.run(remains.sql, values)?;
        }
    }
    tx.run("DROP TABLE sealed_row", [])?;
    tx.run("DELETE FROM schema_version WHERE module = 'sealed'", [])?;
    secrets.put(tx)
}
