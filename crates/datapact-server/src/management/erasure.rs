//! Erasing a user (MG-1, PR-1): account, openings and signed documents go, and so does every link
//! from the ledger to the person. What stays is what others need: that an entry was erased, and a
//! mark on live shares, so that who comes again gets no second count.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::management::RecordQuery;
use datapact_api::management::{Deed, Erasure};
use datapact_api::problem::{Kind, Problem};
use datapact_api::user::UserStatus;
use datapact_core::id::{AccountId, ShareId};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingPolicy};
use sea_orm::ConnectionTrait;

use super::actions::{Author, record};
use super::failure::{Failure, Result};
use super::projector::state_name;
use super::schema::{number, row, rows, run, text};
use super::{Server, Session, accounts, intents, notices, subscriptions};
use crate::users::Marker;

/// How often what is due is erased.
const EVERY: Duration = Duration::from_secs(60);
/// How many erasures a page holds.
const PAGE: u64 = 200;

/// Erases what is due, for as long as the server lives.
pub(super) async fn tidy(server: Arc<Server>) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        // Another process may have erased some.
        server.policies.forget();
        if let Err(Failure(problem)) = server.erase_due().await {
            tracing::warn!(%problem, "what is due could not be erased; trying again");
        }
        if let Err(Failure(problem)) = server.forget_expired().await {
            tracing::warn!(%problem, "expired shares could not be taken out of the catalog's index");
        }
        if let Err(Failure(problem)) = server.delete_packages().await {
            tracing::warn!(%problem, "packages of ended shares could not be deleted; trying again");
        }
    }
}

impl Server {
    /// Erases the accounts whose time has come, and what is left of erased users on shares that
    /// have ended.
    pub(super) async fn erase_due(&self) -> Result<()> {
        let now = self.now();
        self.store.write(move |tx| Box::pin(intents::forget_refused(tx, now))).await?;
        let sql = "SELECT id FROM account WHERE erase_at IS NOT NULL AND erase_at <= $1";
        for row in rows(self.store.read(), sql, [number(now)]).await? {
            // One that must wait holds up no other, nor what follows.
            if let Err(Failure(problem)) = self.erase(&row.parse(0)?).await {
                tracing::warn!(%problem, "an account that is due could not be erased yet; trying again");
            }
        }
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let ended = "(SELECT id FROM share WHERE state = $1 OR expires <= $2)";
                    let values = || [text(state_name(ShareState::Revoked)), number(now)];
                    let sql = format!("DELETE FROM tombstone WHERE share IN {ended}");
                    run(tx, &sql, values()).await?;
                    let sql = format!(
                        "DELETE FROM salt WHERE EXISTS (SELECT 1 FROM salt_later l WHERE l.share = salt.share \
                         AND l.identity = salt.identity AND l.share IN {ended})"
                    );
                    run(tx, &sql, values()).await?;
                    let sql = format!("DELETE FROM salt_later WHERE share IN {ended}");
                    run(tx, &sql, values()).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Erases the account `id`, if it is still to be erased.
    pub(super) async fn erase(&self, id: &AccountId) -> Result<()> {
        let (id, now, marker, servers) = (*id, self.now(), self.marker, self.told_servers());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let account = accounts::by_id(tx, &id).await?;
                    if account.active || account.erase_at.is_none_or(|at| at > now) {
                        return Ok(());
                    }
                    let identity = &account.identity;
                    nothing_under_way(tx, identity).await?;
                    erase_shares(tx, identity).await?;
                    erase_salts(tx, identity, &marker, now).await?;
                    erase_documents(tx, identity, now).await?;
                    subscriptions::erase(tx, identity).await?;
                    run(tx, "DELETE FROM invitation WHERE account = $1", [text(id)]).await?;
                    run(tx, "UPDATE action SET statement = NULL WHERE actor = $1", [text(id)])
                        .await?;
                    let noticed = accounts::noticed(tx, &id).await?;
                    run(tx, "DELETE FROM account WHERE id = $1", [text(id)]).await?;
                    let nobody = Author { actor: None, statement: None };
                    let action = record(tx, now, &nobody, Deed::Erased { account: id }).await?;
                    let sequence = notices::sequence(noticed, now, action);
                    notices::post(tx, &servers, identity, UserStatus::Erased, sequence).await
                })
            })
            .await?;
        self.policies.forget();
        self.notices.posted();
        Ok(())
    }
}

impl Session {
    pub(super) async fn erasures_of(&self, query: &RecordQuery) -> Result<Vec<Erasure>> {
        let account = self.active_account().await?;
        let after = query.after.map_or(-1, |after| i64::try_from(after).unwrap_or(i64::MAX));
        let mut values = vec![text(&account.identity), after.into(), number(PAGE)];
        let mut of_share = "";
        if let Some(share) = &query.share {
            values.push(text(share));
            of_share = "AND share = $4";
        }
        let sql = format!(
            "SELECT position, time FROM erasure WHERE provider = $1 AND position > $2 {of_share} \
             ORDER BY position LIMIT $3"
        );
        let found = rows(self.service.store.read(), sql, values).await?;
        found
            .iter()
            .map(|row| Ok(Erasure { position: row.number(0)?, time: row.number(1)? }))
            .collect()
    }
}

/// What is being recorded would come back after the erasure.
async fn nothing_under_way(on: &impl ConnectionTrait, identity: &Identity) -> Result<()> {
    let name = serde_json::to_string(identity).map_err(Problem::internal)?;
    let pattern = name.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    let sql = "SELECT 1 FROM intent WHERE documents LIKE $1 ESCAPE '!' LIMIT 1";
    if row(on, sql, [text(format!("%{pattern}%"))]).await?.is_none() {
        return Ok(());
    }
    let problem =
        Problem::new(Kind::Unavailable, "a call of this user is being recorded on the ledger");
    Err(problem.hint("the account is disabled, and is erased when that is done or given up").into())
}

/// What the user shared: nobody finds it any more, and its key and package go at the other servers.
async fn erase_shares(on: &impl ConnectionTrait, identity: &Identity) -> Result<()> {
    for table in ["term", "publication", "erasure"] {
        let sql = format!(
            "DELETE FROM {table} WHERE share IN (SELECT id FROM share WHERE provider = $1)"
        );
        run(on, &sql, [text(identity)]).await?;
    }
    run(on, "DELETE FROM policy WHERE provider = $1", [text(identity)]).await?;
    run(on, "DELETE FROM share WHERE provider = $1", [text(identity)]).await?;
    // The consumers keep their own records.
    run(on, "UPDATE access SET provider = '' WHERE provider = $1", [text(identity)]).await?;
    run(on, "UPDATE usage SET provider = '' WHERE provider = $1", [text(identity)]).await?;
    Ok(())
}

/// What opened the user's commitments. On a live share a mark stays; where a live policy names the
/// user, the salt stays with that policy until it ends, since its provider has signed the name.
async fn erase_salts(
    on: &impl ConnectionTrait,
    identity: &Identity,
    marker: &Marker,
    now: u64,
) -> Result<()> {
    let sql = "SELECT t.share, p.document, s.state, s.expires FROM salt t LEFT JOIN share s ON s.id = t.share \
               LEFT JOIN policy p ON p.id = s.policy WHERE t.identity = $1";
    for row in rows(on, sql, [text(identity)]).await? {
        let share: ShareId = row.parse(0)?;
        let revoked = state_name(ShareState::Revoked);
        let live = row.optional(2)?.is_some_and(|state| state != revoked)
            && row.number_if_any(3)?.is_some_and(|expires| expires > now);
        if live {
            let policy: Signed<SharingPolicy> = row.signed(1)?;
            if policy.body().terms.users.contains(identity) {
                let sql = "INSERT INTO salt_later (share, identity) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                run(on, sql, [text(share), text(identity)]).await?;
                continue;
            }
            let sql = "INSERT INTO tombstone (share, mark) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            run(on, sql, [text(share), text(marker.on_share(identity, &share))]).await?;
        }
        let sql = "DELETE FROM salt WHERE share = $1 AND identity = $2";
        run(on, sql, [text(share), text(identity)]).await?;
    }
    Ok(())
}

/// What the user signed, and what tells of it.
async fn erase_documents(on: &impl ConnectionTrait, identity: &Identity, now: u64) -> Result<()> {
    for table in ["access", "usage"] {
        let sql = format!(
            "INSERT INTO erasure (position, share, provider, time) \
             SELECT position, share, provider, CAST($2 AS BIGINT) FROM {table} WHERE consumer = $1 \
             ON CONFLICT (position) DO NOTHING"
        );
        // SQLite takes `ON CONFLICT` after a SELECT only behind a WHERE, which stands there.
        run(on, &sql, [text(identity), number(now)]).await?;
        run(on, &format!("DELETE FROM {table} WHERE consumer = $1"), [text(identity)]).await?;
    }
    let sql = "DELETE FROM notification WHERE holder = $1 OR subject = $1";
    run(on, sql, [text(identity)]).await?;
    Ok(())
}
