//! What was erased stays erased (PR-1). An erasure notes itself, in the transaction that erases
//! (`note`). `Erasures::settle` then writes the note to the [`journal`], which outlives the
//! database, takes what was deleted out of the database's files, and deletes the note: killed in
//! between, it goes on at the next start.

pub mod journal;
pub(crate) mod personal;
pub(crate) mod secret;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datapact_core::id::{Timestamp, random};
use datapact_store::{Migration, Store, StoreError, Tx, Value, json, number};

use journal::Line;
pub use journal::{Erased, JournalError};
use personal::Personal;
use secret::Subject;

/// The table of notes.
pub(crate) const SCHEMA: Migration =
    Migration { module: "erasures", version: 1, sql: include_str!("schema_1.sql") };

/// The tables of secrets.
const SECRETS: [&str; 2] = ["backup_secret", "erasure_note"];

/// Notes, in the transaction that erases it, what is erased, and destroys the secret of `subject`,
/// under which backups hold it.
pub(crate) fn note(
    tx: &Tx,
    erased: &Erased,
    subject: &Subject,
    now: Timestamp,
) -> Result<(), StoreError> {
    secret::destroy(tx, subject)?;
    let row = [json(erased)?, number(now)];
    tx.insert_or("erasure_note (erased, time)", vec![row], "ON CONFLICT (erased) DO NOTHING")
}

/// Notes, in the transaction that deletes it, that the rest of something erased is deleted: it is
/// to be taken out of the database's files, too.
pub(crate) fn note_rest(tx: &Tx, now: Timestamp) -> Result<(), StoreError> {
    // Each its own, so that none is taken for one that is being completed.
    let name = format!("rest {}", hex::encode(random::<16>()));
    let row = [Value::from(name), number(now), true.into()];
    tx.insert("erasure_note (erased, time, journaled)", vec![row])
}

/// Completes erasures. Clones are the same.
#[derive(Clone)]
pub(crate) struct Erasures(Arc<Inner>);

struct Inner {
    store: Store,
    journal: PathBuf,
    /// The tables that name people.
    personal: &'static [Personal],
    /// Held while erasures are completed: those that wait are then completed with the next one.
    working: tokio::sync::Mutex<()>,
}

/// Why an erasure could not be completed yet.
#[derive(Debug, thiserror::Error)]
enum Unsettled {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("a task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Erasures {
    /// Of the server with the database `store` and the data folder `data`, whose tables `personal`
    /// name people.
    pub(crate) fn new(store: &Store, data: &Path, personal: &'static [Personal]) -> Self {
        Self(Arc::new(Inner {
            store: store.clone(),
            journal: data.join(journal::FILE),
            personal,
            working: tokio::sync::Mutex::default(),
        }))
    }

    /// What the journal holds, to be erased again where a restored database has brought it back.
    pub(crate) fn journaled(&self) -> Result<Vec<Erased>, JournalError> {
        Ok(journal::read(&self.0.journal)?.into_iter().map(|line| line.erased).collect())
    }

    /// Writes what was noted to the journal. What cannot be done now is done by [`Self::settle`].
    pub(crate) async fn write_journal(&self) {
        let _working = self.0.working.lock().await;
        if let Err(error) = self.write_notes().await {
            tracing::warn!(%error, "the erasure journal cannot be written; trying again");
        }
    }

    /// Completes what was noted: the journal is written, and what was deleted is taken out of the
    /// database's files. What cannot be done now is done the next time.
    pub(crate) async fn settle(&self) {
        let _working = self.0.working.lock().await;
        if let Err(error) = self.complete().await {
            tracing::warn!(%error, "an erasure is not complete yet; trying again");
        }
    }

    /// Writes the journal now, and completes the erasure behind the caller's back: rewriting a
    /// large database takes longer than a call may.
    pub(crate) async fn settle_soon(&self) {
        self.write_journal().await;
        let erasures = self.clone();
        tokio::spawn(async move { erasures.settle().await });
    }

    async fn complete(&self) -> Result<(), Unsettled> {
        self.write_notes().await?;
        let store = &self.0.store;
        let notes = store.read(|db| {
            let rows = db.rows("SELECT erased FROM erasure_note WHERE journaled = 1", [])?;
            rows.iter().map(|row| Ok(row.text(0)?.into())).collect::<Result<Vec<_>, StoreError>>()
        });
        let notes = notes.await?;
        if notes.is_empty() {
            return Ok(());
        }
        let tables = self.0.personal.iter().map(|personal| personal.table);
        store.scrub(tables.chain(SECRETS).collect()).await?;
        let delete =
            store.write(move |tx| tx.delete_of("DELETE FROM erasure_note WHERE erased IN", notes));
        Ok(delete.await?)
    }

    /// Appends the notes that the journal lacks.
    async fn write_notes(&self) -> Result<(), Unsettled> {
        let store = &self.0.store;
        let lines = store.read(|db| {
            let sql = "SELECT erased, time FROM erasure_note WHERE journaled = 0 ORDER BY time";
            let line =
                |row: &datapact_store::Row| Ok(Line { erased: row.json(0)?, time: row.number(1)? });
            db.rows(sql, [])?.iter().map(line).collect::<Result<Vec<_>, StoreError>>()
        });
        let lines = lines.await?;
        if lines.is_empty() {
            return Ok(());
        }
        let notes = lines.iter().map(|line| json(&line.erased)).collect::<Result<Vec<_>, _>>()?;
        let path = self.0.journal.clone();
        tokio::task::spawn_blocking(move || journal::append(&path, &lines)).await??;
        let done = store.write(move |tx| {
            tx.delete_of("UPDATE erasure_note SET journaled = 1 WHERE erased IN", notes)
        });
        Ok(done.await?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use datapact_core::id::{AccountId, Digest};

    use super::*;

    const PERSON: &[Personal] = &[Personal::rows("person", &[])];

    #[tokio::test]
    async fn pr_1_an_erasure_is_journaled_and_leaves_no_byte() {
        let dir = tempfile::tempdir().unwrap();
        let table =
            Migration { module: "t", version: 1, sql: "CREATE TABLE person (name TEXT NOT NULL);" };
        let store = Store::open(&dir.path().join("db"), &[SCHEMA, table]).await.unwrap();
        let insert = store.write(|tx| tx.run("INSERT INTO person VALUES ('Leaving')", []));
        insert.await.unwrap();
        let erased = [Erased::Account(AccountId([1; 16])), Erased::Account(AccountId([2; 16]))];
        let erase = async |erased: Erased| {
            let job = store.write(move |tx| {
                tx.run("DELETE FROM person", [])?;
                note(tx, &erased, &Subject::User(Digest([1; 32])), 7)
            });
            job.await.unwrap();
        };
        erase(erased[0].clone()).await;
        let erasures = Erasures::new(&store, dir.path(), PERSON);
        erasures.write_journal().await;
        assert_eq!(erasures.journaled().unwrap(), erased[..1]);
        erase(erased[1].clone()).await;
        // Killed after the journal was written, it goes on in the next process.
        let erasures = Erasures::new(&store, dir.path(), PERSON);
        erasures.settle().await;
        erasures.settle().await;
        assert_eq!(erasures.journaled().unwrap(), erased, "each is in it once");
        let count = store.read(|db| db.row("SELECT COUNT(*) FROM erasure_note", [])).await;
        assert_eq!(count.unwrap().unwrap().number(0).unwrap(), 0);
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"Leaving"));
        }
    }
}
