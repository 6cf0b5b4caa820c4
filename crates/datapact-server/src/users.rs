//! What management said of users to a key or storage server, which refuses users without an active
//! account, whatever its access list says (MG-1). Management tells of every change; about a user
//! that it was told nothing of, a server asks once.
//!
//! The tables hold users as commitments under a secret of this database, so they name no person.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use datapact_api::gate::Caller;
use datapact_api::management::Directory;
use datapact_api::problem::{Kind, Problem, Result};
use datapact_api::user::{UserNotice, UserStatus};
use datapact_core::commitment::Opening;
use datapact_core::id::{Digest, Salt, ShareId};
use datapact_core::identity::Identity;
use datapact_store::{Db, Migration, Store, StoreError, Tx, number, text};

/// The table of a [`Marker`].
pub(crate) const MARKS: Migration = Migration {
    module: "marks",
    version: 1,
    sql: "CREATE TABLE user_secret (id BIGINT NOT NULL PRIMARY KEY, secret TEXT NOT NULL);",
};

/// The tables of [`Users`].
pub(crate) const MIGRATIONS: &[Migration] = &[
    MARKS,
    Migration {
        module: "users",
        version: 1,
        sql: "CREATE TABLE user_status (
                  mark TEXT NOT NULL PRIMARY KEY,
                  refused BIGINT NOT NULL,
                  sequence BIGINT NOT NULL
              );",
    },
];

/// Makes marks, which replace identities where these must not be named.
#[derive(Clone, Copy)]
pub(crate) struct Marker(Salt);

impl Marker {
    /// The marker of this database, made at the first start.
    pub(crate) async fn open(store: &Store) -> std::result::Result<Self, StoreError> {
        let drawn = Salt::random();
        let settle = store.write(move |tx| {
            let sql = "INSERT INTO user_secret (id, secret) VALUES (1, $1) \
                       ON CONFLICT (id) DO NOTHING";
            tx.run(sql, [text(drawn)])?;
            let row = tx.row("SELECT secret FROM user_secret WHERE id = 1", [])?;
            row.ok_or_else(|| StoreError::Damaged("the secret of the marks is missing".into()))?
                .parse(0)
        });
        Ok(Self(settle.await?))
    }

    /// The mark of `identity` on `share`.
    pub(crate) fn on_share(&self, identity: &Identity, share: &ShareId) -> String {
        let opening = Opening { identity: identity.clone(), salt: self.0 };
        opening.commitment(share).to_string()
    }

    /// Bytes that cannot be guessed, the same each time `identity` gives the same idempotency key
    /// for `what`: what a call makes under them is made once.
    pub(crate) fn of_call<const N: usize>(
        &self,
        what: &str,
        identity: &Identity,
        key: &str,
    ) -> [u8; N] {
        let mac = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        // The key has no NUL, and `what` neither.
        let tag = hmac::sign(&mac, format!("{what}\0{identity}\0{key}").as_bytes());
        let mut bytes = [0; N];
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(byte, of_tag)| *byte = *of_tag);
        bytes
    }

    /// The mark of `identity` on this server.
    pub(crate) fn of(&self, identity: &Identity) -> String {
        self.digest(identity).to_string()
    }

    /// The same, not as text.
    pub(crate) fn digest(&self, identity: &Identity) -> Digest {
        Digest(self.of_call("user", identity, ""))
    }
}

/// How a disabled or erased user is refused.
pub(crate) fn disabled() -> Problem {
    Problem::forbidden("your account is disabled").hint("ask an administrator")
}

/// How a user without an account is refused.
fn unknown(identity: &Identity) -> Problem {
    let problem = Problem::forbidden(format!("`{identity}` has no account"));
    problem.hint("ask an administrator for an invitation and `join` with it")
}

/// For how long management is not asked again about a user without an account, and about how many
/// at once. It tells of a new account by itself.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
const UNKNOWN_MAX: usize = 10_000;

/// Admits the callers of a key or storage server: management, and users with an active account.
pub(crate) struct Users {
    store: Store,
    pub(crate) marker: Marker,
    /// Management's name.
    management: String,
    directory: Arc<dyn Directory>,
    /// Who had no account, by mark, and when.
    unknown: Mutex<HashMap<String, Instant>>,
}

impl Users {
    pub(crate) async fn open(
        store: &Store,
        management: &str,
        directory: Arc<dyn Directory>,
    ) -> std::result::Result<Self, StoreError> {
        Ok(Self {
            store: store.clone(),
            marker: Marker::open(store).await?,
            management: management.to_owned(),
            directory,
            unknown: Mutex::default(),
        })
    }

    /// The user who calls, if it has an active account.
    pub(crate) async fn user<'a>(&self, caller: &'a Caller) -> Result<&'a Identity> {
        let user = caller.require_user()?;
        self.admit(user).await?;
        Ok(user)
    }

    async fn admit(&self, identity: &Identity) -> Result<()> {
        let mark = self.marker.of(identity);
        let of = mark.clone();
        let known = self.store.read(move |db| {
            let sql = "SELECT refused FROM user_status WHERE mark = $1";
            db.row(sql, [text(of)])?.map(|row| row.number(0)).transpose()
        });
        match known.await.map_err(crate::stores::problem)? {
            Some(0) => Ok(()),
            Some(_) => Err(disabled()),
            None => self.ask(identity, mark).await,
        }
    }

    /// Asks management about a user that it has told nothing of, and remembers what it says.
    async fn ask(&self, identity: &Identity, mark: String) -> Result<()> {
        if self.is_unknown(&mark) {
            return Err(unknown(identity));
        }
        let notice = match self.directory.user(identity).await {
            Ok(notice) if notice.identity == *identity => notice,
            Ok(_) => {
                let detail = "management answered about another user than it was asked about";
                return Err(Problem::new(Kind::Untrusted, detail));
            }
            Err(problem) if problem.kind == Kind::NotFound => {
                self.remember_unknown(mark);
                return Err(unknown(identity));
            }
            Err(problem) => {
                let detail = format!("management cannot be asked about you: {}", problem.detail);
                return Err(Problem::new(Kind::Unavailable, detail).hint("try again"));
            }
        };
        // A notice that has come meanwhile is newer, and stays.
        let (of, said) = (mark, notice.clone());
        let take = self.store.write(move |tx| {
            Self::take(tx, &of, &said)?;
            Ok(Self::refused(tx, [of.as_str()])?.is_empty())
        });
        match take.await.map_err(crate::stores::problem)? {
            true => Ok(()),
            false => Err(disabled()),
        }
    }

    fn is_unknown(&self, mark: &str) -> bool {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.get(mark).is_some_and(|since| since.elapsed() < UNKNOWN_FOR)
    }

    fn remember_unknown(&self, mark: String) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() >= UNKNOWN_MAX {
            unknown.retain(|_, since| since.elapsed() < UNKNOWN_FOR);
        }
        // When so many come at once, management is asked about the others again.
        if unknown.len() < UNKNOWN_MAX {
            unknown.insert(mark, Instant::now());
        }
    }

    /// Refuses every caller but management.
    pub(crate) fn require_management(&self, caller: &Caller) -> Result<()> {
        caller.require_server(&self.management)
    }

    /// Whether management calls.
    pub(crate) fn is_management(&self, caller: &Caller) -> bool {
        *caller.identity() == Identity::server(&self.management)
    }

    /// The marks, of `marks`, whose users were disabled or erased.
    pub(crate) fn refused<'a>(
        db: &Db,
        marks: impl IntoIterator<Item = &'a str>,
    ) -> std::result::Result<HashSet<String>, StoreError> {
        let sql = "SELECT mark FROM user_status WHERE refused <> 0 AND mark IN";
        let found = db.rows_of(sql, marks.into_iter().map(text))?;
        found.iter().map(|row| row.text(0)).collect()
    }

    /// Takes a notice; whether it was newer than the last one.
    pub(crate) fn take(
        tx: &Tx,
        mark: &str,
        notice: &UserNotice,
    ) -> std::result::Result<bool, StoreError> {
        Self::set(tx, mark, notice.status != UserStatus::Active, notice.sequence)
    }

    /// Refuses an erased user again, whom a restored database knows as before; whether the notice
    /// of this sequence was new to it.
    pub(crate) fn refuse(
        tx: &Tx,
        mark: &str,
        sequence: u64,
    ) -> std::result::Result<bool, StoreError> {
        Self::set(tx, mark, true, sequence)
    }

    fn set(
        tx: &Tx,
        mark: &str,
        is_refused: bool,
        sequence: u64,
    ) -> std::result::Result<bool, StoreError> {
        let sql = "INSERT INTO user_status (mark, refused, sequence) VALUES ($1, $2, $3) \
                   ON CONFLICT (mark) DO UPDATE SET \
                   refused = excluded.refused, sequence = excluded.sequence \
                   WHERE user_status.sequence < excluded.sequence";
        let changed = tx.run(sql, [text(mark), is_refused.into(), number(sequence)])?;
        Ok(changed == 1)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;

    /// Knows who has an account, and counts how often it was asked.
    #[derive(Default)]
    struct Accounts {
        active: Mutex<HashSet<Identity>>,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Directory for Accounts {
        async fn user(&self, of: &Identity) -> Result<UserNotice> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            match self.active.lock().unwrap().contains(of) {
                true => Ok(UserNotice {
                    identity: of.clone(),
                    status: UserStatus::Active,
                    sequence: 0,
                    authorisation: None,
                }),
                false => Err(Problem::not_found("no account")),
            }
        }
    }

    #[tokio::test]
    async fn mg_1_a_notice_counts_at_once_and_an_older_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), MIGRATIONS).await.unwrap();
        let accounts = Arc::new(Accounts::default());
        let directory: Arc<dyn Directory> = accounts.clone();
        let users = Users::open(&store, "management.example", directory.clone()).await.unwrap();
        let ann: Identity = "clinic:CN=Ann".parse().unwrap();
        let bob: Identity = "clinic:CN=Bob".parse().unwrap();
        accounts.active.lock().unwrap().insert(ann.clone());
        let tell = async |who: &Identity, status, sequence| {
            let (mark, identity) = (users.marker.of(who), who.clone());
            let notice = UserNotice { identity, status, sequence, authorisation: None };
            let job = store.write(move |tx| Users::take(tx, &mark, &notice));
            job.await.unwrap()
        };
        let asked = || accounts.asked.load(Ordering::Relaxed);
        // Who has an account is asked about once, and who has none not at each call.
        for _ in 0..3 {
            users.admit(&ann).await.unwrap();
            assert!(users.admit(&bob).await.unwrap_err().detail.contains("has no account"));
        }
        assert_eq!(asked(), 2);
        assert!(tell(&bob, UserStatus::Active, 1).await);
        assert!(users.admit(&bob).await.is_ok(), "it has joined");
        assert!(tell(&ann, UserStatus::Disabled, 4).await);
        assert!(users.admit(&ann).await.is_err() && users.admit(&bob).await.is_ok());
        assert!(!tell(&ann, UserStatus::Active, 4).await);
        assert!(!tell(&ann, UserStatus::Active, 3).await);
        assert!(users.admit(&ann).await.is_err());
        assert!(tell(&ann, UserStatus::Active, 5).await);
        assert!(users.admit(&ann).await.is_ok());
        assert_eq!(asked(), 2);
        // The secret stays.
        let again = Users::open(&store, "management.example", directory).await.unwrap();
        assert_eq!(again.marker.of(&ann), users.marker.of(&ann));
        assert_ne!(again.marker.of(&ann), again.marker.of(&bob));
    }
}
