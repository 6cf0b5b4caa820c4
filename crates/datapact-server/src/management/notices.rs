//! Telling the key and storage servers what users are, and key servers what tokens are revoked:
//! from an outbox that is written with the change itself, so that a server which was away hears of
//! it as soon as it is back.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::key_server::KeyServer;
use datapact_api::problem::{self, Kind, Problem};
use datapact_api::storage_server::StorageServer;
use datapact_api::user::{UserNotice, UserStatus};
use datapact_core::id::Timestamp;
use datapact_core::identity::Identity;
use sea_orm::{ConnectionTrait, Value};
use tokio::sync::watch;

use super::failure::{Failure, Result};
use super::schema::{json, number, row, rows, run, text};
use super::{Server, tokens};

/// How long an answer waits until all servers are told.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a server that is away is left alone, at first and at the longest.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// How often the outbox is looked at where several processes share it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How many notices are read at once.
const BATCH: u64 = 100;

/// Wakes those who deliver, and those who wait for it.
pub(super) struct Notices {
    posted: watch::Sender<()>,
    delivered: watch::Sender<()>,
}

impl Notices {
    pub(super) fn new() -> Self {
        Self { posted: watch::Sender::new(()), delivered: watch::Sender::new(()) }
    }

    /// Something new is in the outbox.
    pub(super) fn posted(&self) {
        self.posted.send_replace(());
    }
}

/// A server to be told.
#[derive(Clone)]
enum Told {
    Key(Arc<dyn KeyServer>),
    Storage(Arc<dyn StorageServer>),
}

impl Told {
    async fn set_user(&self, notice: &UserNotice) -> problem::Result<()> {
        match self {
            Self::Key(server) => server.set_user(notice).await,
            Self::Storage(server) => server.set_user(notice).await,
        }
    }
}

/// How many bits of a notice's sequence tell notices of one second apart.
const WITHIN_SECOND: u32 = 20;

/// The sequence of a notice behind the one numbered `noticed`, made at `now` by the action numbered
/// `action`. It grows with the clock, because the actions' numbers begin anew where an old backup
/// was restored, and the servers know what they were told since; and it grows where processes'
/// clocks differ.
pub(super) fn sequence(noticed: u64, now: Timestamp, action: u64) -> u64 {
    let within = action & ((1 << WITHIN_SECOND) - 1);
    (noticed + 1).max((now << WITHIN_SECOND) | within)
}

/// Puts a notice for each of `servers` into the outbox, in place of an older one about the same
/// user.
pub(super) async fn post(
    on: &impl ConnectionTrait,
    servers: &[String],
    identity: &Identity,
    status: UserStatus,
    sequence: u64,
) -> Result<()> {
    for server in servers {
        let sql = "INSERT INTO notice (server, identity, status, sequence) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (server, identity) DO UPDATE SET \
                   status = excluded.status, sequence = excluded.sequence";
        run(on, sql, [text(server), text(identity), json(&status)?, number(sequence)]).await?;
    }
    Ok(())
}

impl Server {
    fn told(&self) -> Vec<(String, Told)> {
        let keys = self
            .key_servers
            .iter()
            .map(|s| (format!("key:{}", s.name), Told::Key(s.client.clone())));
        let storage = self.storage_servers.iter();
        let storage =
            storage.map(|s| (format!("storage:{}", s.name), Told::Storage(s.client.clone())));
        keys.chain(storage).collect()
    }

    /// The servers that are told of users, as the outbox names them.
    pub(super) fn told_servers(&self) -> Vec<String> {
        self.told().into_iter().map(|(name, _)| name).collect()
    }

    /// Waits until every server knows what `identity` is now.
    ///
    /// # Errors
    /// When one of them is away; it is told as soon as it is back.
    pub(super) async fn tell(&self, identity: &Identity) -> Result<()> {
        self.told_all(
            "SELECT server FROM notice WHERE identity = $1 ORDER BY server",
            text(identity),
        )
        .await
    }

    /// Waits until the outbox holds nothing more of what `sql` finds in it: the servers that are
    /// still to be told.
    ///
    /// # Errors
    /// When one of them is away; it is told as soon as it is back.
    pub(super) async fn told_all(&self, sql: &'static str, of: Value) -> Result<()> {
        self.notices.posted();
        let mut delivered = self.notices.delivered.subscribe();
        let told = tokio::time::timeout(PATIENCE, async {
            loop {
                delivered.borrow_and_update();
                if row(self.store.read(), sql, [of.clone()]).await?.is_none() {
                    return Ok::<_, Failure>(());
                }
                if delivered.changed().await.is_err() {
                    return Err(
                        Problem::new(Kind::Unavailable, "management is shutting down").into()
                    );
                }
            }
        });
        if let Ok(outcome) = told.await {
            return outcome;
        }
        let away: Vec<String> = rows(self.store.read(), sql, [of])
            .await?
            .iter()
            .filter_map(|row| row.text(0).ok())
            .collect();
        // Another process of this management may have told them.
        if away.is_empty() {
            return Ok(());
        }
        let detail = format!("it is done here, but {} could not be told yet", away.join(" and "));
        let hint = "each is told as soon as it answers; repeat the call to see whether it was";
        Err(Problem::new(Kind::Unavailable, detail).hint(hint).into())
    }

    /// Puts the accounts that are disabled into the outbox: a server that was restored from a
    /// backup hears of them.
    pub(super) async fn post_disabled(&self) -> Result<()> {
        let servers = self.told_servers();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let sql = "SELECT identity, noticed FROM account WHERE active = 0 AND noticed > 0";
                    for row in rows(tx, sql, []).await? {
                        let identity: Identity = row.parse(0)?;
                        for server in &servers {
                            let sql = "INSERT INTO notice (server, identity, status, sequence) \
                                       VALUES ($1, $2, $3, $4) ON CONFLICT (server, identity) DO NOTHING";
                            let status = json(&UserStatus::Disabled)?;
                            run(tx, sql, [text(server), text(&identity), status, number(row.number(1)?)])
                                .await?;
                        }
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// One task for each server: one that is away holds up no other.
pub(super) fn deliver(server: &Arc<Server>) -> Vec<tokio::task::JoinHandle<()>> {
    let told = server.told().into_iter();
    told.map(|(name, told)| tokio::spawn(deliver_to(Arc::clone(server), name, told))).collect()
}

async fn deliver_to(server: Arc<Server>, name: String, told: Told) {
    let mut posted = server.notices.posted.subscribe();
    let mut retry = RETRY_MIN;
    loop {
        posted.borrow_and_update();
        match deliver_batch(&server, &name, &told).await {
            Ok(true) => retry = RETRY_MIN,
            Ok(false) => {
                retry = RETRY_MIN;
                // What another process has posted before it ended is nobody's but ours.
                let look =
                    if server.store.location().is_shared() { LOOK_AGAIN } else { Duration::MAX };
                if let Ok(Err(_)) = tokio::time::timeout(look, posted.changed()).await {
                    return;
                }
            }
            Err(Failure(problem)) => {
                tracing::warn!(server = name, %problem, "a server could not be told of a user; trying again");
                let _ = tokio::time::timeout(retry, posted.changed()).await;
                retry = RETRY_MAX.min(retry * 2);
            }
        }
    }
}

/// Delivers what is in the outbox; whether there was anything.
async fn deliver_batch(server: &Server, name: &str, told: &Told) -> Result<bool> {
    if let Told::Key(key_server) = told
        && tokens::deliver(server, name, &**key_server).await?
    {
        server.notices.delivered.send_replace(());
        return Ok(true);
    }
    let sql = "SELECT identity, status, sequence FROM notice WHERE server = $1 ORDER BY sequence LIMIT $2";
    let found = rows(server.store.read(), sql, [text(name), number(BATCH)]).await?;
    for row in &found {
        let notice =
            UserNotice { identity: row.parse(0)?, status: row.json(1)?, sequence: row.number(2)? };
        told.set_user(&notice).await?;
        let values = [text(name), text(&notice.identity), number(notice.sequence)];
        server
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let sql =
                        "DELETE FROM notice WHERE server = $1 AND identity = $2 AND sequence = $3";
                    run(tx, sql, values).await.map_err(Failure::from)
                })
            })
            .await?;
        server.notices.delivered.send_replace(());
    }
    Ok(!found.is_empty())
}
