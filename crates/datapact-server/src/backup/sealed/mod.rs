//! The database in a backup. What names no person is copied as it is. Each row that names one, and
//! each key, is in the table `sealed_row`, encrypted under secrets that are in no backup
//! (`crate::erasures::secret`): once a secret is destroyed, the row is destroyed in every backup.

pub(super) mod file;
pub(super) mod restore;
mod rows;

use std::path::Path;

use datapact_store::{Location, Migration, Reader, Store, StoreError, Tx};
use tokio::sync::mpsc;

use self::rows::{Copied, Stop};
use super::Result;
use super::files::remove_database;
use crate::erasures::personal::Personal;
use crate::erasures::secret::{self, Secrets};
use crate::users::Marker;

/// The table of rows that are encrypted. `numbers` are those of the secrets, one a word; `row` is
/// the row as a JSON object. `part` is a column that is encrypted by itself, `left` what an erasure
/// would have left of the row.
const SCHEMA: Migration =
    Migration { module: "sealed", version: 1, sql: include_str!("schema_1.sql") };
/// Tables that are not copied: the store's own, and the secrets.
const NOT_COPIED: [&str; 5] =
    ["schema_version", "store_head", "user_secret", "backup_secret", "sealed_row"];
/// How often the copy is begun again, because a user or key came in between.
const TRIES: usize = 10;
/// How many groups of rows wait to be written.
const QUEUE: usize = 4;

/// What a database consists of.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) schema: Vec<Migration>,
    pub(super) personal: &'static [Personal],
}

impl Tables {
    fn with_sealed(&self) -> Vec<Migration> {
        [self.schema.as_slice(), &[SCHEMA]].concat()
    }
}

/// Writes a consistent copy of the database `live` to `target`, which must not exist. Its server
/// may be running.
pub(super) async fn write(live: &Store, tables: &Tables, target: &Path) -> Result<()> {
    let marker = Marker::open(live).await?;
    let partial = target.with_extension("partial");
    remove_database(&partial)?;
    let copy = Store::open(&partial, &tables.with_sealed()).await?;
    let mut tries = 0;
    // A user or key that has come since the secrets were drawn has none yet.
    while !copied(live, &copy, tables.personal, marker).await? {
        tries += 1;
        if tries == TRIES {
            let why = "users and keys come faster than they are copied";
            return Err(StoreError::Damaged(why.to_owned()).into());
        }
    }
    Store::snapshot(&partial, target).await?;
    drop(copy);
    remove_database(&partial)
}

/// Copies everything; false if a row came for which no secret was drawn.
async fn copied(
    live: &Store,
    copy: &Store,
    personal: &'static [Personal],
    marker: Marker,
) -> Result<bool> {
    let secrets = secrets(live, personal, marker).await?;
    copy.write(clear).await?;
    let (out, mut copied) = mpsc::channel(QUEUE);
    // A connection of its own, which ends with the transaction that it reads in.
    let reader = Reader::open(live.location()).await?;
    let reading = reader.read(move |db| rows::copy_out(db, personal, &secrets, &marker, &out));
    let writing = async {
        while let Some(Copied { sql, rows }) = copied.recv().await {
            let insert = copy
                .write(move |tx| rows.into_iter().try_for_each(|row| tx.run(&*sql, row).map(drop)));
            insert.await?;
        }
        // Dropped at the first failure: the other side ends then.
        drop(copied);
        Ok::<_, StoreError>(())
    };
    let (read, written) = tokio::join!(reading, writing);
    written?;
    match read {
        Ok(()) => Ok(true),
        Err(Stop::NoSecret) => Ok(false),
        Err(Stop::Store(error)) => Err(error.into()),
    }
}

/// The secrets of all whom the database names, and of its keys.
pub(super) async fn secrets(
    live: &Store,
    personal: &'static [Personal],
    marker: Marker,
) -> Result<Secrets> {
    let subjects = live.read(move |db| rows::subjects(db, personal, &marker)).await?;
    live.write(move |tx| secret::ensure(tx, &subjects)).await?;
    Ok(live.read(secret::all).await?)
}

/// Empties all tables, of what an earlier try and the schema itself have put there.
fn clear(tx: &Tx) -> std::result::Result<(), StoreError> {
    for table in rows::tables(tx)? {
        tx.run(format!("DELETE FROM \"{table}\""), [])?;
    }
    tx.run("DELETE FROM sealed_row", []).map(drop)
}

/// The database at `path`, opened to draw the secrets of a backup.
pub(super) async fn open(path: &Path, tables: &Tables) -> Result<Store> {
    let location = Location::Sqlite(path.to_owned());
    Ok(Store::connect(&location, None, &tables.schema).await?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use super::*;
    use crate::{key, management, storage};

    /// Tables that name no person, to be reviewed when one is added.
    const OTHERS: &[&str] = &[
        // Its versions name administrators to every user, for good.
        "enrolment",
        "invitation",
        "key_kek",
        "key_revocation",
        "key_tombstone",
        "ledger_checkpoint",
        "ledger_cosignature",
        "ledger_entry",
        "ledger_fault",
        "ledger_mirror",
        "ledger_policy",
        "ledger_state",
        "ledger_tile",
        "projection",
        "replaced",
        "token_revocation",
        "tombstone",
        "user_status",
        "webhook_cursor",
        "webhook_delivery",
        // The store's own, and those of erasures.
        "backup_secret",
        "erasure_note",
        "schema_version",
        "store_head",
        "user_secret",
    ];

    #[tokio::test]
    async fn pr_1_every_table_is_known_to_name_people_or_not_to() {
        for (schema, personal) in [
            (management::schema(), management::PERSONAL),
            (key::schema(), key::PERSONAL),
            (storage::schema(), storage::PERSONAL),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("db"), &schema).await.unwrap();
            let tables = store.read(|db| {
                let sql = "SELECT name FROM sqlite_master WHERE type = 'table' \
                           AND name NOT LIKE 'sqlite_%'";
                db.rows(sql, [])?
                    .iter()
                    .map(|row| row.text(0))
                    .collect::<std::result::Result<_, StoreError>>()
            });
            let mut tables: BTreeSet<String> = tables.await.unwrap();
            for Personal { table, .. } in personal {
                assert!(tables.remove(*table), "there is no table `{table}`");
            }
            tables.retain(|table| !OTHERS.contains(&table.as_str()));
            assert!(tables.is_empty(), "do they name people? {tables:?}");
        }
    }
}
