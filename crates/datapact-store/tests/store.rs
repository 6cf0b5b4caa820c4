//! The store on both databases: commits, savepoints, migrations, and what happens when the database
//! goes away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use datapact_local::testing::postgres::{self, Server};
use datapact_store::{
    Db, Group, Location, Migration, Postgres, Reader, Row, Store, StoreError, Tx, Value, number,
    text,
};
use futures_util::future::join_all;

const TABLE: Migration = Migration {
    module: "t",
    version: 1,
    sql: "CREATE TABLE t (k BIGINT NOT NULL PRIMARY KEY, v TEXT);",
};

fn insert(tx: &Tx, k: u64) -> Result<(), StoreError> {
    tx.run("INSERT INTO t (k) VALUES ($1)", [number(k)]).map(drop)
}

async fn put(store: &Store, k: u64, fail: bool) -> Result<(), StoreError> {
    store
        .write(move |tx| {
            insert(tx, k)?;
            if fail { Err(StoreError::Damaged("on purpose".to_owned())) } else { Ok(()) }
        })
        .await
}

fn all(db: &Db) -> Result<Vec<u64>, StoreError> {
    db.rows("SELECT k FROM t ORDER BY k", [])?.iter().map(|row| row.number(0)).collect()
}

async fn keys(store: &Store) -> Vec<u64> {
    store.read(all).await.unwrap()
}

fn database(server: &Server) -> Location {
    let postgres::Database { host, port, database, user, password } = server.database();
    let password = Some(password.into());
    Location::Postgres(Postgres { host, port, database, user, password, ca: None })
}

async fn locations(dir: &tempfile::TempDir) -> Vec<Location> {
    let mut locations = vec![Location::Sqlite(dir.path().join("db"))];
    if let Some(server) = postgres::shared() {
        locations.push(database(server));
    }
    locations
}

async fn connect(location: &Location, schema: &[Migration]) -> Result<Store, StoreError> {
    Store::connect(location, Some("t"), schema).await
}

#[tokio::test]
async fn a_failing_job_rolls_back_alone() {
    let dir = tempfile::tempdir().unwrap();
    for location in locations(&dir).await {
        let store = connect(&location, &[TABLE]).await.unwrap();
        let results = join_all((0..600).map(|k| put(&store, k, k % 7 == 3))).await;
        for (k, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), k % 7 == 3, "{k}");
        }
        let again = put(&store, 0, false).await.unwrap_err();
        assert!(matches!(again, StoreError::Database(_)) && !again.is_temporary(), "{again}");
        // In one batch with others, too.
        let again = join_all((596..604).map(|k| put(&store, k, false))).await;
        assert_eq!(again.iter().filter(|result| result.is_err()).count(), 3);
        assert_eq!(
            keys(&store).await,
            (0..604).filter(|k| k % 7 != 3 || *k > 597).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn migrations_go_forward_and_newer_or_foreign_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let second = Migration { module: "t", version: 2, sql: "ALTER TABLE t ADD COLUMN note TEXT;" };
    for location in locations(&dir).await {
        // Many at once, as when several processes start.
        let opened = (0..4).map(|_| connect(&location, &[TABLE]));
        for opened in join_all(opened).await {
            opened.unwrap();
        }
        put(&connect(&location, &[TABLE]).await.unwrap(), 1, false).await.unwrap();
        let store = connect(&location, &[second, TABLE]).await.unwrap();
        assert_eq!(keys(&store).await, [1]);
        assert!(matches!(connect(&location, &[second]).await, Err(StoreError::Migrations(_))));
        let newer = connect(&location, &[TABLE]).await;
        assert!(matches!(newer, Err(StoreError::Newer { found: 2, known: 1, .. })));
        let foreign = Store::connect(&location, Some("u"), &[second, TABLE]).await;
        assert!(matches!(foreign, Err(StoreError::Foreign { found, .. }) if found == "t"));
    }
}

/// SQLite does not wait for the lock under which a file becomes one with a log ahead of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_is_opened_by_many_at_once() {
    for _ in 0..50 {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(dir.path().join("db"));
        let opened = (0..4).map(|_| {
            let location = location.clone();
            tokio::spawn(async move { connect(&location, &[TABLE]).await })
        });
        for opened in join_all(opened).await {
            opened.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    for location in locations(&dir).await {
        let store = connect(&location, &[TABLE]).await.unwrap();
        let refused: Result<Option<Row>, StoreError> =
            store.read(|db| db.row("INSERT INTO t (k) VALUES (1) RETURNING k", [])).await;
        let refused = refused.unwrap_err();
        assert!(refused.to_string().to_lowercase().contains("read"), "{refused}");
        let refused: Result<Vec<Row>, StoreError> =
            store.read(|db| db.rows("INSERT INTO t (k) VALUES (1)", [])).await;
        assert!(refused.is_err());
        assert!(keys(&store).await.is_empty());
        let backup = store.backup(&dir.path().join("copy")).await;
        assert_eq!(backup.is_ok(), !location.is_shared());
    }
}

#[tokio::test]
async fn a_copy_holds_what_was_committed_and_nothing_is_made_by_reading() {
    let dir = tempfile::tempdir().unwrap();
    let (file, copy) = (dir.path().join("db"), dir.path().join("copy"));
    let location = Location::Sqlite(file.clone());
    assert!(Store::look(&location).await.unwrap_err().is_temporary());
    assert!(Store::snapshot(&file, &copy).await.is_err());
    assert!(!file.exists() && !copy.exists());
    let store = connect(&location, &[TABLE]).await.unwrap();
    put(&store, 7, false).await.unwrap();
    store.check().await.unwrap();
    Store::look(&location).await.unwrap();
    store.backup(&copy).await.unwrap();
    assert!(store.backup(&copy).await.is_err());
    let copied = Reader::open(&Location::Sqlite(copy)).await.unwrap();
    assert_eq!(copied.read(all).await.unwrap(), [7]);
}

#[tokio::test]
async fn values_come_back_as_they_went() {
    let dir = tempfile::tempdir().unwrap();
    let wide = Migration {
        module: "t",
        version: 1,
        sql: "CREATE TABLE w (k BIGINT NOT NULL PRIMARY KEY, n BIGINT, t TEXT, b BYTEA);
              CREATE INDEX w_n ON w (n);",
    };
    for location in locations(&dir).await {
        let store = connect(&location, &[wide]).await.unwrap();
        // With NULL first, so that its type is not known from the values; in more than one
        // statement; and with a parameter out of its order.
        let row = |k: u64| match k % 3 {
            0 => [number(k), Value::Null, Value::Null, Value::Null],
            1 => [number(k), number(k), text(k), vec![1, 2, k as u8].into()],
            _ => [number(k), Value::Integer(-1), "".into(), Vec::new().into()],
        };
        let count = 3000;
        let written: Result<u64, StoreError> = store
            .write(move |tx| {
                tx.insert("w (k, n, t, b)", vec![row(0)])?;
                tx.insert("w (k, n, t, b)", vec![row(1)])?;
                tx.insert("w (k, n, t, b)", (2..count).map(row).collect())?;
                let upsert = "ON CONFLICT (k) DO UPDATE SET t = excluded.t";
                tx.insert_or("w (k, t)", vec![[number(0), text("zero")]], upsert)?;
                tx.delete_of("DELETE FROM w WHERE k IN", (2000..count).map(number).collect())?;
                tx.run("UPDATE w SET t = $2 WHERE k = $1", [number(5), text("five")])
            })
            .await;
        assert_eq!(written.unwrap(), 1);
        let read: Result<(), StoreError> = store
            .read(move |db| {
                let sql = "SELECT k, n, t, b FROM w WHERE k IN";
                assert!(db.rows_of(sql, [])?.is_empty());
                assert_eq!(db.rows_of(sql, (0..count).map(number))?.len(), 2000);
                let mut rows = db.rows_of(sql, [5, 1, 0].map(number))?;
                rows.sort_by_key(|row| row.number(0).unwrap());
                assert_eq!(rows.len(), 3);
                let given = [(5, "five"), (1, "one"), (99_999, "none")];
                let given = given.map(|(k, name)| [number(k), text(name)]);
                let joined = "SELECT w.k, given.name FROM given JOIN w ON w.k = given.k";
                let mut found = Vec::new();
                for row in db.rows_joined("given (k, name)", &given, joined)? {
                    found.push((row.number(0)?, row.text(1)?));
                }
                found.sort_unstable();
                found.dedup();
                assert_eq!(found, [(1, "one".to_owned()), (5, "five".to_owned())]);
                assert!(db.rows_joined::<2>("given (k, name)", &[], joined)?.is_empty());
                assert_eq!(rows[0].optional_number(1)?, None);
                assert_eq!(rows[0].text(2)?, "zero");
                assert!(matches!(rows[0].bytes(3), Err(StoreError::Damaged(_))));
                assert_eq!(rows[1].optional_number(1)?, Some(1));
                assert_eq!(rows[1].parse::<u64>(2)?, 1);
                assert_eq!(rows[1].bytes(3)?, [1, 2, 1]);
                assert!(matches!(rows[2].number(1), Err(StoreError::Damaged(_))));
                assert_eq!(rows[2].optional_text(2)?.as_deref(), Some("five"));
                assert!(matches!(rows[2].number(9), Err(StoreError::Damaged(_))));
                assert!(
                    db.row("SELECT k FROM w WHERE k = $1", [])
                        .is_err_and(|error| !error.is_temporary())
                );
                Ok(())
            })
            .await;
        read.unwrap();
    }
}

#[tokio::test]
async fn a_group_does_all_that_wait_in_one_job() {
    let dir = tempfile::tempdir().unwrap();
    for location in locations(&dir).await {
        let store = connect(&location, &[TABLE]).await.unwrap();
        let writing = Group::writing(store.clone(), |tx: &Tx, keys: Vec<u64>| {
            let count = keys.len();
            let mut outcomes = Vec::new();
            for k in keys {
                outcomes.push(match k % 5 {
                    0 => Err(StoreError::Damaged("on purpose".to_owned())),
                    _ => insert(tx, k).map(|()| count),
                });
            }
            Ok(outcomes)
        });
        let outcomes = join_all((0..100).map(|k| writing.ask(k))).await;
        for (k, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.is_err(), k % 5 == 0, "{k}");
        }
        assert!(outcomes.iter().flatten().any(|count| *count > 1));
        let reading = Group::reading(store.clone(), |db: &Db, keys: Vec<u64>| {
            let found =
                db.rows_of("SELECT k FROM t WHERE k IN", keys.iter().copied().map(number))?;
            let found: Vec<u64> =
                found.iter().map(|row| row.number(0)).collect::<Result<_, _>>()?;
            Ok::<_, StoreError>(keys.iter().map(|k| Ok(found.contains(k))).collect())
        });
        for (k, found) in join_all((0..100).map(|k| reading.ask(k))).await.iter().enumerate() {
            assert_eq!(*found.as_ref().unwrap(), k % 5 != 0, "{k}");
        }
    }
}

/// A job that panics is told of, and does not take a connection with it.
#[tokio::test]
async fn a_reading_job_that_panics_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("db"), &[TABLE]).await.unwrap();
    for _ in 0..20 {
        let failed: Result<(), StoreError> = store.read(|_| panic!("on purpose")).await;
        assert!(matches!(failed, Err(StoreError::Closed)));
    }
    assert!(keys(&store).await.is_empty());
}

/// A job of one process that reads and then writes what it read is not disturbed by those of
/// another.
#[tokio::test(flavor = "multi_thread")]
async fn several_processes_write_one_after_the_other() {
    let Some(server) = postgres::shared() else { return };
    let location = database(server);
    let stores =
        [connect(&location, &[TABLE]).await.unwrap(), connect(&location, &[TABLE]).await.unwrap()];
    let next = |store: &Store| {
        let store = store.clone();
        async move {
            store
                .write(|tx| {
                    let row = tx.row("SELECT COALESCE(MAX(k), 0) FROM t", [])?.unwrap();
                    insert(tx, row.number(0)? + 1)
                })
                .await
        }
    };
    let work = (0..400).map(|i| next(&stores[i % 2]));
    for done in join_all(work).await {
        done.unwrap();
    }
    assert_eq!(keys(&stores[0]).await, (1..=400).collect::<Vec<_>>());
}

/// What was answered is there after the server has crashed; nothing has to be restarted for it to
/// go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_away_is_used_again() {
    let Some(server) = Server::start() else { return };
    let location = database(&server);
    let store = connect(&location, &[TABLE]).await.unwrap();
    put(&store, 1, false).await.unwrap();
    server.stop();
    let away = put(&store, 2, false).await.unwrap_err();
    assert!(away.is_temporary(), "{away:?}");
    let away = store.read(all).await.unwrap_err();
    assert!(away.is_temporary(), "{away:?}");
    server.resume();
    put(&store, 3, false).await.unwrap();
    assert_eq!(keys(&store).await, [1, 3]);
    // Reader and writer find their connections gone, and go on with others.
    server.stop();
    server.resume();
    assert_eq!(keys(&store).await, [1, 3]);
    put(&store, 4, false).await.unwrap();
    assert_eq!(keys(&store).await, [1, 3, 4]);
}

/// PostgreSQL ends a transaction whose statement failed, whatever its job makes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_passes_over_a_failure_is_not_answered_as_done() {
    let Some(server) = Server::start() else { return };
    let store = connect(&database(&server), &[TABLE]).await.unwrap();
    let passed_over = store.write(|tx| {
        let _ = tx.run("INSERT INTO nowhere VALUES (1)", []);
        Ok::<_, StoreError>(())
    });
    assert!(passed_over.await.is_err());
    put(&store, 1, false).await.unwrap();
    assert_eq!(keys(&store).await, [1]);
}

/// The files of a database whose names are under `dir`, one after another.
fn files(dir: &std::path::Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        all.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    all
}

/// PR-1: rows that were deleted are in no byte of the database's files, though their pages were
/// split and joined in between.
#[tokio::test]
async fn pr_1_what_was_deleted_is_in_no_file_after_a_scrub() {
    let dir = tempfile::tempdir().unwrap();
    let store = connect(&Location::Sqlite(dir.path().join("db")), &[TABLE]).await.unwrap();
    let named = |k: u64| format!("{}Leaving Person{k}", "x".repeat((k % 700) as usize));
    let sql = "INSERT INTO t (k, v) VALUES ($1, $2)";
    for round in 0..4_u64 {
        // In no order, so that pages are split everywhere.
        let put = store.write(move |tx| {
            for k in 0..500_u64 {
                let k = (k * 7919 + round) % 500 + 500 * round;
                tx.run(sql, [number(k), text(named(k))])?;
            }
            Ok::<_, StoreError>(())
        });
        put.await.unwrap();
    }
    let contains =
        |needle: &str| files(dir.path()).windows(needle.len()).any(|w| w == needle.as_bytes());
    let delete = |sql: &'static str| store.write(move |tx| tx.run(sql, []));
    delete("DELETE FROM t WHERE k % 3 <> 0").await.unwrap();
    assert!(contains("Leaving Person1"), "the log holds it before");
    delete("DELETE FROM t").await.unwrap();
    put(&store, 7, false).await.unwrap();
    store.scrub(vec!["t"]).await.unwrap();
    assert!(!contains("Leaving"));
    assert_eq!(keys(&store).await, [7]);
    put(&store, 8, false).await.unwrap();
    assert_eq!(keys(&store).await, [7, 8]);
}

/// A scrub of PostgreSQL rewrites the tables that are named, while readers and writers go on.
#[tokio::test]
async fn a_scrub_leaves_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    for location in locations(&dir).await {
        let store = connect(&location, &[TABLE]).await.unwrap();
        for k in 0..20 {
            put(&store, k, false).await.unwrap();
        }
        let (scrubbed, written) = tokio::join!(store.scrub(vec!["t"]), put(&store, 20, false));
        scrubbed.unwrap();
        written.unwrap();
        assert_eq!(keys(&store).await, (0..21).collect::<Vec<_>>());
    }
}
