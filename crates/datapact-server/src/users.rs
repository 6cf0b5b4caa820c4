//! What a key or storage server was told of users: whom it refuses whatever its access list says
//! (MG-1).
//!
//! Users stand here as commitments under a secret of this database, so that the table names nobody.

use std::collections::HashSet;

use aws_lc_rs::hmac;
use datapact_api::problem::{Problem, Result};
use datapact_api::user::{UserNotice, UserStatus};
use datapact_core::commitment::Opening;
use datapact_core::id::{Salt, ShareId};
use datapact_core::identity::Identity;
use datapact_ledger::store::{Migration, Store, StoreError, padded, placeholders, statement};
use sea_orm::{ConnectionTrait, DbErr};

/// The table of a [`Marker`].
pub(crate) const MARKS: Migration = Migration {
    module: "marks",
    version: 1,
    statements: &[
        "CREATE TABLE user_secret (id BIGINT NOT NULL PRIMARY KEY, secret TEXT NOT NULL)",
    ],
};

/// The tables of [`Users`].
pub(crate) const MIGRATIONS: &[Migration] = &[
    MARKS,
    Migration {
        module: "users",
        version: 1,
        statements: &[
            "CREATE TABLE user_status (mark TEXT NOT NULL PRIMARY KEY, refused BIGINT NOT NULL, \
             sequence BIGINT NOT NULL)",
        ],
    },
];

/// Makes marks: what stands for an identity where its name must not.
#[derive(Clone, Copy)]
pub(crate) struct Marker(Salt);

impl Marker {
    /// The marker of this database, made at the first start.
    pub(crate) async fn open(store: &Store) -> std::result::Result<Self, StoreError> {
        let drawn = Salt::random();
        let read = store.write(move |tx| {
            Box::pin(async move {
                let sql = "INSERT INTO user_secret (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
                tx.execute_raw(statement(tx, sql, [drawn.to_string().into()])).await?;
                let row = tx
                    .query_one_raw(statement(tx, "SELECT secret FROM user_secret WHERE id = 1", []))
                    .await?;
                let row = row.ok_or_else(|| DbErr::RecordNotFound("the secret of the marks".to_owned()))?;
                Ok::<String, StoreError>(row.try_get_by_index(0)?)
            })
        });
        let secret = read
            .await?
            .parse()
            .map_err(|_| StoreError::Damaged("the secret of the marks".into()))?;
        Ok(Self(secret))
    }

    /// What stands for `identity` on `share`.
    pub(crate) fn on_share(&self, identity: &Identity, share: &ShareId) -> String {
        let opening = Opening { identity: identity.clone(), salt: self.0 };
        opening.commitment(share).to_string()
    }

    /// Bytes that nobody can guess, the same each time `identity` gives the same idempotency key
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

    /// What stands for `identity` as a whole: no share has this id.
    pub(crate) fn of(&self, identity: &Identity) -> String {
        self.on_share(identity, &ShareId([0; 16]))
    }
}

/// What a user hears that was disabled or erased.
pub(crate) fn disabled() -> Problem {
    Problem::forbidden("your account is disabled").hint("ask an administrator")
}

/// The users that a server was told of.
pub(crate) struct Users {
    store: Store,
    pub(crate) marker: Marker,
}

impl Users {
    pub(crate) async fn open(store: &Store) -> std::result::Result<Self, StoreError> {
        Ok(Self { store: store.clone(), marker: Marker::open(store).await? })
    }

    /// Refuses a user that was disabled or erased.
    pub(crate) async fn admit(&self, identity: &Identity) -> Result<()> {
        let mark = self.marker.of(identity);
        let refused = Self::refused(self.store.read(), [mark.as_str()].into_iter()).await;
        if refused.map_err(|e| crate::stores::problem(e.into()))?.is_empty() {
            Ok(())
        } else {
            Err(disabled())
        }
    }

    /// Which of the users that `marks` stand for were disabled or erased.
    pub(crate) async fn refused(
        on: &impl ConnectionTrait,
        marks: impl Iterator<Item = &str>,
    ) -> std::result::Result<HashSet<String>, DbErr> {
        let marks = padded(marks.collect());
        let list = placeholders(on, 1, marks.len());
        let sql = format!("SELECT mark FROM user_status WHERE refused <> 0 AND mark IN {list}");
        let rows = on.query_all_raw(statement(on, sql, marks.into_iter().map(Into::into))).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    /// Takes a notice, within a transaction; whether it was newer than the last one.
    pub(crate) async fn take(
        on: &impl ConnectionTrait,
        mark: &str,
        notice: &UserNotice,
    ) -> std::result::Result<bool, DbErr> {
        let refused = i64::from(notice.status != UserStatus::Active);
        let sequence = i64::try_from(notice.sequence).unwrap_or(i64::MAX);
        let sql = "INSERT INTO user_status (mark, refused, sequence) VALUES ($1, $2, $3) \
                   ON CONFLICT (mark) DO UPDATE SET refused = excluded.refused, sequence = excluded.sequence \
                   WHERE user_status.sequence < excluded.sequence";
        let done = on
            .execute_raw(statement(on, sql, [mark.into(), refused.into(), sequence.into()]))
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn mg_1_a_notice_counts_at_once_and_an_older_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), MIGRATIONS).await.unwrap();
        let users = Users::open(&store).await.unwrap();
        let ann: Identity = "clinic:CN=Ann".parse().unwrap();
        let bob: Identity = "clinic:CN=Bob".parse().unwrap();
        let tell = async |status, sequence| {
            let (mark, notice) =
                (users.marker.of(&ann), UserNotice { identity: ann.clone(), status, sequence });
            let job = store.write(move |tx| {
                Box::pin(
                    async move { Users::take(tx, &mark, &notice).await.map_err(StoreError::from) },
                )
            });
            job.await.unwrap()
        };
        assert!(users.admit(&ann).await.is_ok());
        assert!(tell(UserStatus::Disabled, 4).await);
        assert!(users.admit(&ann).await.is_err() && users.admit(&bob).await.is_ok());
        assert!(!tell(UserStatus::Active, 4).await && !tell(UserStatus::Active, 3).await);
        assert!(users.admit(&ann).await.is_err());
        assert!(tell(UserStatus::Active, 5).await);
        assert!(users.admit(&ann).await.is_ok());
        // The secret stays, and the file names nobody.
        let again = Users::open(&store).await.unwrap();
        assert_eq!(again.marker.of(&ann), users.marker.of(&ann));
        assert_ne!(again.marker.of(&ann), again.marker.of(&bob));
    }
}
